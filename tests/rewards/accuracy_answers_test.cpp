// Answers as models write them, in tests/rewards/answers: a line holds a reference and, between |||, answers that are
// the same (= in front) or near misses (! in front). In completions.txt they are whole completions, \n for a new line;
// in the other files each is judged in several wrappers.
#include <gtest/gtest.h>

#include <array>
#include <fstream>

#include "tests/rewards/judging.h"

namespace cohort {
namespace {

struct Case {
  std::string reference, answer;
  bool same;
};

std::vector<Case> cases_in(const std::string& name) {
  std::vector<Case> cases;
  std::ifstream in(std::string(COHORT_SOURCE_DIR) + "/tests/rewards/answers/" + name + ".txt");
  constexpr std::string_view kBetween = " ||| ";
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::string reference = line.substr(2, line.find(kBetween) - 2);
    for (size_t at = line.find(kBetween); at != std::string::npos;) {
      const size_t start = at + kBetween.size();
      at = line.find(kBetween, start);
      cases.push_back({reference, line.substr(start, at - start), line[0] == '='});
    }
  }
  return cases;
}

std::string with_lines(std::string text) {
  for (size_t at = text.find("\\n"); at != std::string::npos; at = text.find("\\n", at + 1)) {
    const bool command = at + 2 < text.size() && text[at + 2] >= 'a' && text[at + 2] <= 'z';  // \neq
    if (!command) text.replace(at, 2, "\n");
  }
  return text;
}

void expect_verdict(const RewardFn& accuracy, const Case& one, const std::string& completion) {
  Task task;
  task.answer = one.reference;
  const Score score = score_with(accuracy, task, completion);
  EXPECT_EQ(score.status == Status::correct, one.same)
      << one.reference << "   answered   " << completion << "   " << to_string(score.status) << " " << score.reason;
  EXPECT_NE(score.status, Status::error) << one.reference << "   " << score.reason;
}

class AccuracyAnswers : public ::testing::TestWithParam<const char*> {};

TEST_P(AccuracyAnswers, AreJudgedAsAMathematicianWould) {
  const auto cases = cases_in(GetParam());
  ASSERT_GT(cases.size(), 100U);
  const RewardFn accuracy = make_reward({.name = "accuracy"}).judge;
  for (const Case& one : cases) {
    expect_verdict(accuracy, one, "So the result is $\\boxed{" + one.answer + "}$.");
    expect_verdict(accuracy, one,
                   "<think>\nMaybe \\boxed{7}? No.\n</think>\n\nWe add $3+4$.\n\n**Final Answer**\n\n$$\\boxed{" +
                       one.answer + "}$$");
    expect_verdict(accuracy, one, "所以答案是 $\\boxed{" + one.answer + "}$。");
  }
}

INSTANTIATE_TEST_SUITE_P(Files, AccuracyAnswers,
                         ::testing::Values("numbers", "expressions", "structures", "near_misses", "spellings",
                                           "answers", "more_answers", "more_near_misses"),
                         [](const auto& file) { return std::string(file.param); });

TEST(AccuracyCompletions, TheAnswerIsFound) {
  const auto cases = cases_in("completions");
  ASSERT_GT(cases.size(), 300U);
  const RewardFn accuracy = make_reward({.name = "accuracy"}).judge;
  for (Case one : cases) {
    one.reference = with_lines(one.reference);
    expect_verdict(accuracy, one, with_lines(one.answer));
  }
}

}  // namespace
}  // namespace cohort
