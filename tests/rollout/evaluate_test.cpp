// Figures of an evaluation: pass@k, intervals, and what one evaluation gained over another of the same tasks.
#include "rollout/evaluate.h"

#include <gtest/gtest.h>

#include "configs/error.h"

namespace cohort {
namespace {

Evaluation scored(std::vector<double> scores) {
  Evaluation e;
  e.task_score = std::move(scores), e.tasks = int64_t(e.task_score.size());
  return e;
}

TEST(Evaluate, PassAtKIsTheShareOfSubsetsWithACorrectOne) {
  EXPECT_EQ(pass_at_k(4, 0, 2), 0.0);
  EXPECT_NEAR(pass_at_k(4, 1, 2), 3.0 / 6, 1e-15);  // of the six pairs of four, three hold the correct one
  EXPECT_NEAR(pass_at_k(5, 2, 3), 9.0 / 10, 1e-15);
  EXPECT_EQ(pass_at_k(4, 3, 2), 1.0);
}

TEST(Evaluate, TheMajorityVotesByMeaning) {
  const auto group = [](const std::vector<std::pair<const char*, bool>>& completions) {
    Group g{.task = {.id = "t", .answer = "1/2", .extra = Json::object()}};
    for (const auto& [text, correct] : completions)
      g.rollouts.push_back(
          {.text = text, .score = {.value = correct, .status = correct ? Status::correct : Status::wrong}});
    return g;
  };
  const Group g = group({{"\\boxed{3}", false},
                         {"so \\boxed{\\frac{1}{2}}", true},
                         {"\\boxed{3}", false},
                         {"the answer is 0.5", true},
                         {"no idea", false},
                         {"#### 2/4", true}});
  EXPECT_TRUE(majority_is_correct(g, 6));
  EXPECT_FALSE(majority_is_correct(g, 3));
  EXPECT_FALSE(majority_is_correct(g, 4)) << "a tie goes to the earlier answer";
  EXPECT_FALSE(majority_is_correct(group({{"no idea", false}}), 1));
}

TEST(Evaluate, TheIntervalOfAShareIsTheBinomialOne) {
  std::vector<double> values(400);
  for (size_t i = 0; i < 100; ++i) values[i] = 1;
  auto [low, high] = bootstrap_interval(values);
  EXPECT_NEAR(low, 0.25 - 1.96 * std::sqrt(0.25 * 0.75 / 400), 0.006);
  EXPECT_NEAR(high, 0.25 + 1.96 * std::sqrt(0.25 * 0.75 / 400), 0.006);
  EXPECT_EQ(bootstrap_interval({}), std::pair(0.0, 0.0));
}

TEST(Evaluate, AGainIsPairedTaskByTask) {
  std::vector<double> before(200), after(200);
  for (size_t i = 0; i < 200; ++i)
    before[i] = i % 2, after[i] = i % 2 || i % 10 == 0;  // a tenth of the pairs go up, none down
  Gain gain = paired_gain(scored(before), scored(after));
  EXPECT_NEAR(gain.mean, 0.1, 1e-12);
  EXPECT_GT(gain.ci_low, 0.05);  // unpaired, the interval would reach below 0.01
  EXPECT_LT(gain.ci_high, 0.15);
  Gain none = paired_gain(scored(before), scored(before));
  EXPECT_EQ(none.mean, 0);
  EXPECT_EQ(none.ci_low, 0);
  EXPECT_EQ(none.ci_high, 0);
  EXPECT_THROW(paired_gain(scored(before), scored({1.0})), UsageError);
}

}  // namespace
}  // namespace cohort
