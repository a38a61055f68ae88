// Every reference answer of the data sets equals itself through every wrapper and in other spellings.
// The data sets lie in ../shared/datasets beside the source folder, or where COHORT_DATASETS says.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "rewards/reward.h"

namespace cohort {
namespace {

std::filesystem::path datasets() {
  const char* given = std::getenv("COHORT_DATASETS");
  return given ? std::filesystem::path(given) : std::filesystem::path(COHORT_SOURCE_DIR) / "../shared/datasets";
}

// Distinct values of one field of a JSON-lines file.
std::set<std::string> answers(const std::string& file, const std::string& field) {
  std::set<std::string> found;
  std::ifstream in(datasets() / file);
  for (std::string line; std::getline(in, line);) {
    const Json value = Json::parse(line).at(field);
    found.insert(value.is_string() ? value.get<std::string>() : value.dump());
  }
  return found;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

std::string mark(const std::string& before, const std::string& answer, const std::string& after) {
  return before + answer + after;
}

std::vector<std::string> wrapped(const std::string& answer) {
  return {mark("So we get \\boxed{", answer, "}."),
          mark("<think>It is 7 or 8.</think>\n<answer>", answer, "</answer>"),
          mark("<think>\\boxed{7}</think>\nHence $\\boxed{", answer, "}$."),
          mark("Adding up, the answer is $", answer, "$."),
          mark("**Final Answer:** $", answer, "$"),
          mark("We find that\n\\[", answer, "\\]"),
          mark("The final answer is \\(", answer, "\\). I hope it is correct."),
          mark("So $\\boxed{", answer, "}$ is what was asked for, and we are done."),
          mark("It follows that $$\\boxed{ ", answer, " }.$$"),
          mark("Final Answer: The final answer is $", answer, "$. I hope it is correct."),
          mark("### Final Answer\n\n$$", answer, "$$"),
          mark("Earlier $\\boxed{0.123}$ looked right.\n\nThe answer is $\\boxed{", answer, "}$.<|im_end|>"),
          mark("<think>\nmaybe 3\n</think>\n\n<answer>\n$", answer, "$\n</answer>"),
          mark("所以答案是 $", answer, "$。"),
          mark("故答案为：$\\boxed{", answer, "}$．"),
          mark("We add.\n#### ", answer, "")};
}

// \frac{1}{2} as \frac12, where both are single digits.
std::string shortened(std::string text) {
  for (size_t at = text.find("\\frac{"); at != std::string::npos; at = text.find("\\frac{", at + 5)) {
    const auto digit = [&](size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
    if (digit(at + 6) && text.substr(at + 7, 2) == "}{" && digit(at + 9) && text.substr(at + 10, 1) == "}")
      text.replace(at + 5, 6, {text[at + 6], text[at + 9]});
  }
  return text;
}

std::vector<std::string> respelled(const std::string& answer) {
  return {replaced(answer, "\\frac", "\\dfrac"),
          replaced(replaced(answer, "\\dfrac", "\\frac"), "\\tfrac", "\\frac"),
          replaced(replaced(answer, "\\left", ""), "\\right", ""),
          replaced(answer, "pmatrix", "bmatrix"),
          replaced(answer, "\\text{", "\\mbox{"),
          replaced(answer, ",\\!", "{,}"),
          replaced(answer, " ", "  "),
          replaced(answer, "\\frac", "\\displaystyle\\frac"),
          replaced(replaced(answer, "\\left", ""), "\\right", "") + "\\,",
          "\\,\\! " + answer + "\\;",
          "{" + answer + "}",
          "\\displaystyle " + answer,
          replaced(replaced(answer, "\\left(", "("), "\\right)", ")"),
          replaced(answer, "+", " + "),
          replaced(answer, "=", " = "),
          answer + ".",
          shortened(answer),
          " " + answer + " ",
          replaced(answer, "^\\circ", "^{\\circ}"),
          replaced(answer, "\\cdot", "\\times"),
          replaced(answer, "-", "−"),
          replaced(answer, "\\pi", "π"),
          replaced(answer, "\\infty", "∞"),
          replaced(answer, "\\cup", "∪")};
}

struct Case {
  std::string gold, completion;
};

void expect_all_correct(const std::vector<Case>& cases) {
  const RewardFn accuracy = make_reward({.name = "accuracy"});
  size_t failed = 0;
  for (const Case& one : cases) {
    Task task;
    task.answer = one.gold;
    const Judged judged{&task, one.completion};
    const Score score = accuracy({&judged, 1}, {}).at(0);
    if (score.status == Status::correct) continue;
    if (++failed <= 40)
      ADD_FAILURE() << "gold " << one.gold << " completion " << one.completion << ": " << to_string(score.status) << " "
                    << score.reason;
  }
  EXPECT_EQ(failed, 0U) << "of " << cases.size();
}

std::vector<Case> cases_of(const std::set<std::string>& golds, bool latex) {
  std::vector<Case> cases;
  for (const std::string& gold : golds) {
    for (const std::string& text : wrapped(gold)) cases.push_back({gold, text});
    if (!latex) continue;
    for (const std::string& text : respelled(gold)) {
      if (text != gold) cases.push_back({gold, "\\boxed{" + text + "}"});
    }
  }
  return cases;
}

class AccuracyDatasets : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(datasets() / "math/math_test5000.jsonl"))
      GTEST_SKIP() << "no data sets in " << datasets();
  }
};

TEST_F(AccuracyDatasets, MathAnswersEqualThemselves) {
  std::set<std::string> golds = answers("math/math_test5000.jsonl", "answer");
  golds.merge(answers("math/math_train7500_answers.jsonl", "answer"));
  std::erase_if(golds, [](const std::string& gold) { return gold.find_first_not_of(' ') == std::string::npos; });
  expect_all_correct(cases_of(golds, true));
}

TEST_F(AccuracyDatasets, Gsm8kAnswersEqualThemselves) {
  std::set<std::string> golds = answers("gsm8k/train.jsonl", "final");
  golds.merge(answers("gsm8k/test.jsonl", "final"));
  expect_all_correct(cases_of(golds, false));
}

TEST_F(AccuracyDatasets, WordProblemAnswersEqualThemselvesWithUnits) {
  std::set<std::string> golds = answers("mawps/singleop.jsonl", "answer");
  golds.merge(answers("mawps/multiarith.jsonl", "answer"));
  golds.merge(answers("asdiv/test.jsonl", "answer"));
  golds.merge(answers("svamp/test.jsonl", "Answer"));
  golds.merge(answers("cmath/test.jsonl", "answer"));
  golds.merge(answers("aime/aime24.jsonl", "answer"));
  golds.merge(answers("amc/amc23.jsonl", "answer"));
  golds.erase("-");  // a row of ASDiv without an answer
  auto cases = cases_of(golds, false);
  for (const std::string& gold : golds) {
    if (gold.find_first_not_of("0123456789.,/ ") != std::string::npos) continue;
    for (const char* unit : {" apples", " dollars", " square feet", "\\text{ km}", "个", " miles per hour"})
      cases.push_back({gold, "\\boxed{" + gold + unit + "}"});
    cases.push_back({gold, "The answer is $" + gold + "."});
  }
  expect_all_correct(cases);
}

TEST_F(AccuracyDatasets, WholeSolutionsServeAsReference) {
  std::vector<Case> cases;
  std::ifstream in(datasets() / "math/math500_test.jsonl");
  for (std::string line; std::getline(in, line);) {
    const Json row = Json::parse(line);
    cases.push_back({row.at("solution"), "\\boxed{" + row.at("answer").get<std::string>() + "}"});
  }
  std::ifstream grade_school(datasets() / "gsm8k/test.jsonl");
  for (std::string line; std::getline(grade_school, line);) {
    const Json row = Json::parse(line);
    cases.push_back({row.at("answer"), "So the answer is " + row.at("final").get<std::string>() + "."});
  }
  expect_all_correct(cases);
}

}  // namespace
}  // namespace cohort
