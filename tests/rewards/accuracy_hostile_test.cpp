// Texts made to be expensive. What bounds them is counted, not timed: the parser's length, depth and nodes, and the
// steps that one comparison may take.
#include <gtest/gtest.h>

#include <string>

#include "rewards/math/equal.h"
#include "rewards/math/parser.h"
#include "tests/rewards/judging.h"

namespace cohort::math {
namespace {

std::string times(size_t n, std::string_view part) {
  std::string text;
  for (size_t i = 0; i < n; ++i) text += part;
  return text;
}

// One operation may take the budget below zero by what it costs itself; what is asked for after that is refused.
constexpr int64_t kOvershoot = 100'000;

// Steps that comparing the two takes.
int64_t steps(const std::string& gold, const std::string& answer, bool same) {
  const auto a = parse(gold), b = parse(answer);
  if (!a || !b) return 0;
  Budget budget;
  const int64_t given = budget.steps;
  EXPECT_EQ(equal(*a, *b, {}, budget), same) << gold << "   " << answer;
  return given - budget.steps;
}

const char* const kTowers[] = {"9^{9^{9^{9}}}",
                               "(10^9)!",
                               "((10)!)!",
                               "((((3!)!)!)!)!",
                               "2^{2^{2^{2^{2^{2}}}}}",
                               "\\binom{10^9}{5\\cdot 10^8}",
                               "\\sum_{k=1}^{10^{12}} k",
                               "\\sum_{a=1}^{1000}\\sum_{b=1}^{1000}\\sum_{c=1}^{1000} a^b c",
                               "\\prod_{k=1}^{2000} k^k",
                               "\\prod_{k=1}^{2000}\\sin k",
                               "e^{e^{e^{e^{e^{e}}}}}",
                               "1e999999",
                               "\\sqrt[1000000]{2}",
                               "\\sin(10^{100000})",
                               "(-1)^{10^{100}}",
                               "1.0000001^{10^{12}}",
                               "x^{x^{x^{x^{x^x}}}}",
                               "\\gcd(10^{4000},7^{3000})",
                               "3500!/3499!!",
                               "\\lfloor 10^{500}\\pi\\rfloor",
                               "i^{10^{50}}",
                               "7^{7^7}",
                               "\\{x\\in\\mathbb{Z}\\mid -10^9<x<10^9\\}",
                               "\\{x\\in\\mathbb{Z}\\mid 2^{2^{x}}<10^{100}\\}",
                               "(\\sqrt{2})^{100000}",
                               "2^{65536}-2^{65535}"};

TEST(AccuracyHostileAttack, ValuesBeyondReachCostABoundedNumberOfSteps) {
  for (const std::string tower : kTowers) {
    const int64_t allowed = Budget{}.steps + kOvershoot;
    EXPECT_LE(steps(tower, tower, true), allowed) << tower;
    EXPECT_LE(steps(tower, tower + "+1", false), allowed) << tower;
    EXPECT_LE(steps("x+5", tower, false), allowed) << tower;
    EXPECT_LE(steps("\\{" + tower + ",5\\}", "\\{6," + tower + "\\}", false), allowed) << tower;
  }
}

TEST(AccuracyHostileAttack, LongCollectionsCostABoundedNumberOfSteps) {
  std::string up = "0", down;
  for (int i = 1; i < 120; ++i) up += ", \\sqrt{" + std::to_string(i) + "}";
  for (int i = 119; i >= 1; --i) down += "\\sqrt{" + std::to_string(i) + "+0}, ";
  const auto a = parse(up), b = parse(down + "1");
  ASSERT_TRUE(a && b);
  Budget budget;
  const int64_t given = budget.steps;
  EXPECT_FALSE(equal(*a, *b, {}, budget));
  EXPECT_LE(given - budget.steps, given + kOvershoot);
}

TEST(AccuracyHostileAttack, WhatIsTooLongOrTooDeepIsNotRead) {
  for (std::string_view part : {"(", ")", "{", "[", "\\{", "|", "-", "\\frac{", "\\sqrt{", "x^", "\\left(", "\\sin ",
                                "\\text{", "\\overline{", "\\begin{pmatrix}", "\\pm ", "\\binom{", "\\boxed{"}) {
    EXPECT_FALSE(parse(times(100'000, part))) << part;
    EXPECT_FALSE(parse(times(100'000 / part.size() / 20, part) + "1")) << part;
  }
  const std::string nested = times(50'000, "(") + "1" + times(50'000, ")");
  EXPECT_FALSE(parse(nested));
  EXPECT_FALSE(parse(times(kMaxDepth + 1, "(") + "1" + times(kMaxDepth + 1, ")")));
  EXPECT_TRUE(parse(times(10, "(") + "1" + times(10, ")")));
  EXPECT_FALSE(parse(std::string(kMaxLength + 1, '1')));
  EXPECT_FALSE(parse("1" + times(kMaxNodes, "+1")));
}

// Found by fuzzing: what once threw, overflowed or disagreed with itself.
TEST(AccuracyHostileAttack, ShortTextsThatOnceBrokeSomething) {
  for (const char* text : {"0.1e5\\overline{12}", "1.5e3(3)", "0.\\overline{1e5}", "\\begin{aligned}&&\\end{aligned}",
                           "\\begin{cases}\\hline\\end{cases}"})
    EXPECT_FALSE(parse(text)) << text;
}

// A megabyte of anything has a verdict, and it is not "correct".
TEST(AccuracyHostileAttack, AMegabyteOfBait) {
  for (std::string_view part : {"answer is ", "the final answer is: ",
                                "Answer: \n", "\\boxed{",
                                "\\boxed ",   "\\boxed{1} ",
                                "$",          "$ $",
                                "\\(",        "\\[",
                                "**",         "#### ",
                                "<answer>",   "</answer>",
                                "<think>",    "</think>",
                                "答案是",     "故选",
                                "# Answer\n", "`",
                                ", \\!",      "{",
                                "}",          "\\{",
                                "\\",         "\n",
                                " ",          "1",
                                "1,",         "1 ",
                                "-",          "an",
                                "\xC3",       "\xE2\x80\x8B",
                                "\\text{a}",  "x= ",
                                "\\quad ",    "\\\\[",
                                "(A) or ",    "twenty-",
                                "and ",       "\\cr ",
                                "P(A|",       "$x=1$ and ",
                                "\\int",      "{\\sin}",
                                "A is right", "∴"}) {
    const std::string bait = times(1'000'000 / part.size(), part);
    EXPECT_NE(score_of("accuracy", "12", bait).status, Status::correct) << part;
    EXPECT_NE(score_of("accuracy", "12", "<answer>" + bait).status, Status::correct) << part;
    EXPECT_EQ(score_of("accuracy", "12", bait.substr(0, 90'000) + "} </think> \\boxed{12}").status, Status::correct)
        << part;
  }
}

}  // namespace
}  // namespace cohort::math
