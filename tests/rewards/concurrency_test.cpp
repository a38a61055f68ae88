// Many scorers at once. Every verdict is that of one alone; under the thread sanitizer (`make sanitize`) also no race.
#include <gtest/gtest.h>

#include <thread>

#include "rewards/compose.h"
#include "tests/rewards/judging.h"

namespace cohort {
namespace {

constexpr size_t kScorers = 64;

struct Row {
  Task task;
  std::string completion;
};

std::vector<Row> rows() {
  struct Pair {
    const char* answer;
    const char* completion;
  };
  static constexpr Pair kPairs[] = {
      {"\\frac12", "so \\boxed{0.5}"},
      {"\\frac12", "so \\boxed{0.51}"},
      {"x^2+2x+1", "\\boxed{(x+1)^2}"},
      {"\\sqrt{3+2\\sqrt2}", "\\boxed{1+\\sqrt2}"},
      {"\\tan\\frac{\\pi}{8}", "\\boxed{\\sqrt2-1}"},
      {"\\tan\\frac{\\pi}{8}", "\\boxed{\\sqrt2-2}"},
      {"[1,3)", "\\boxed{1 \\le x < 3}"},
      {"\\{1,2\\}", "\\boxed{2, 1}"},
      {"\\int_0^1 x^2 dx", "\\boxed{\\frac13}"},
      {"\\sum_{n=1}^{\\infty}\\frac{1}{n^2}", "\\boxed{\\frac{\\pi^2}{6}}"},
      {"\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\boxed{\\begin{bmatrix}1&2\\\\3&4\\end{bmatrix}}"},
      {"\\text{two thirds}", "The answer is 2/3."},
      {"十二", "<think>12?</think> 答案是 12。"},
      {"12", "<think>12"},
      {"9^{9^{9^9}}", "\\boxed{9^{9^{9^9}}+1}"},
      {"B", "<think>A or B</think><answer>(B)</answer>"},
  };
  std::vector<Row> made;
  for (const Pair& pair : kPairs) {
    Row row{.completion = pair.completion};
    row.task.answer = pair.answer;
    row.task.extra = {{"nums", {1, 2, 3}}, {"target", 6}};
    made.push_back(std::move(row));
  }
  return made;
}

// Every rule that needs nothing from outside, and some of accuracy's options.
std::vector<RewardSpec> specs() {
  std::vector<RewardSpec> all;
  for (const char* text : {"accuracy", "accuracy:percent=sign,list_order=same,digits=4", "accuracy:last_number=true",
                           "format", "tag_count", "repetition", "regex:pattern=answer", "exact", "last_number",
                           "choice", "language_consistency", "countdown"})
    all.push_back(parse_reward(text));
  return all;
}

void expect_same(const std::vector<Score>& found, const std::vector<Score>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].status, expected[i].status) << i;
    EXPECT_EQ(found[i].value, expected[i].value) << i;
    EXPECT_EQ(found[i].reason, expected[i].reason) << i;
    EXPECT_EQ(found[i].components, expected[i].components) << i;
  }
}

// One reward function judged by many threads at once, each beginning elsewhere; the first calls come together, so that
// tables made at first use are made in a race.
TEST(ConcurrentScorers, OneFunctionInManyThreads) {
  const std::vector<Row> all = rows();
  for (const RewardSpec& spec : specs()) {
    const RewardFn reward = make_reward(spec);
    std::vector<std::vector<Score>> found(kScorers, std::vector<Score>(all.size()));
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kScorers; ++t) {
      threads.emplace_back([&, t] {
        for (size_t i = 0; i < all.size(); ++i) {
          const size_t at = (i + t) % all.size();
          found[t][at] = score_with(reward, all[at].task, all[at].completion);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    std::vector<Score> alone;
    for (const Row& row : all) alone.push_back(score_with(reward, row.task, row.completion));
    for (const auto& scores : found) expect_same(scores, alone);
  }
}

// Scorers of two threads each, all of them judging the same rows by several rewards.
TEST(ConcurrentScorers, ManyScorers) {
  const std::vector<Row> all = rows();
  std::vector<Judged> batch;
  for (const Row& row : all) batch.push_back({&row.task, row.completion});
  const std::vector<RewardSpec> rewards = {parse_reward("accuracy"), parse_reward("format"),
                                           parse_reward("language_consistency")};
  const std::vector<Score> alone = Scorer(rewards, 1).judge(batch);
  std::vector<std::vector<Score>> found(kScorers);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kScorers; ++t) threads.emplace_back([&, t] { found[t] = Scorer(rewards, 2).judge(batch); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& scores : found) expect_same(scores, alone);
}

}  // namespace
}  // namespace cohort
