// Each rule on cases worked out by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "configs/error.h"
#include "tests/rewards/judging.h"

namespace cohort {
namespace {

float value_of(std::string_view reward, std::string_view answer, std::string_view completion) {
  return score_of(reward, answer, completion).value.value_or(NAN);
}

float value_with_ids(std::string_view reward, size_t num_ids, std::string_view answer = "1",
                     std::string_view completion = "\\boxed{1}") {
  Task task;
  task.answer = answer;
  const std::vector<int32_t> ids(num_ids, 7);
  return score_with(make_reward(parse_reward(reward)), task, completion, ids).value.value_or(NAN);
}

TEST(Format, ExactForm) {
  EXPECT_EQ(value_of("format", "", "<think>a</think><answer>1</answer>"), 1);
  EXPECT_EQ(value_of("format", "", "  <think>\na\n</think>\n\n<answer>\n1\n</answer>\n"), 1);
  EXPECT_EQ(value_of("format", "", "<think></think><answer>1</answer>"), 1);
}

TEST(Format, AnythingElseIsWrong) {
  for (const char* text :
       {"", "1", "<answer>1</answer>", "<think>a</think>", "<think>a</think><answer>1</answer> so 2",
        "x<think>a</think><answer>1</answer>", "<think>a</think>x<answer>1</answer>",
        "<think>a</think><answer></answer>", "<think>a</think><answer> \n</answer>", "<think>a</think><answer>1",
        "<think>a<think>b</think></think><answer>1</answer>", "<think>a</think><answer>1</answer><answer>2</answer>",
        "<think><answer>1</answer></think><answer>1</answer>", "<answer>1</answer><think>a</think>",
        "<think>a</think><answer><think></answer>", "<THINK>a</THINK><answer>1</answer>"}) {
    EXPECT_EQ(value_of("format", "", text), 0) << text;
  }
}

TEST(Format, TagsAndPrefilledPrompt) {
  EXPECT_EQ(value_of("format:think=t,answer=a", "", "<t>x</t><a>1</a>"), 1);
  EXPECT_EQ(value_of("format:think=t,answer=a", "", "<think>x</think><answer>1</answer>"), 0);
  EXPECT_EQ(value_of("format:prefilled=true", "", "x</think><answer>1</answer>"), 1);
  EXPECT_EQ(value_of("format:prefilled=true", "", "<think>x</think><answer>1</answer>"), 1);
  EXPECT_EQ(value_of("format", "", "x</think><answer>1</answer>"), 0);
}

TEST(TagCount, AQuarterForEachThatStandsOnce) {
  EXPECT_EQ(value_of("tag_count", "", "<think></think><answer></answer>"), 1);
  EXPECT_EQ(value_of("tag_count", "", "<think>"), 0.25F);
  EXPECT_EQ(value_of("tag_count", "", "<think><think></think>"), 0.25F);
  EXPECT_EQ(value_of("tag_count", "", ""), 0);
  EXPECT_EQ(score_of("tag_count", "", "<think>").status, Status::partial);
}

TEST(SoftOverlong, DapoEquation13) {
  const std::string spec = "soft_overlong:max_completion_length=100,cache=20";
  EXPECT_EQ(value_with_ids(spec, 80), 0);
  EXPECT_FLOAT_EQ(value_with_ids(spec, 85), -0.25F);
  EXPECT_FLOAT_EQ(value_with_ids(spec, 90), -0.5F);
  EXPECT_EQ(value_with_ids(spec, 100), -1);
  EXPECT_EQ(value_with_ids(spec, 101), -1);
  EXPECT_EQ(value_with_ids(spec, 1'000'000), -1);
}

TEST(SoftOverlong, TextWithoutTokensHasNoScore) {
  const Score score = score_of("soft_overlong", "", "text");
  EXPECT_FALSE(score.value);
  EXPECT_EQ(score.status, Status::error);
  EXPECT_THROW(make_reward(parse_reward("soft_overlong:cache=0")), UsageError);
}

TEST(Cosine, EndsAndMiddleOfTheCurve) {
  const std::string spec = "cosine:max_len=100";
  EXPECT_FLOAT_EQ(value_with_ids(spec, 0, "1", ""), -1.0F);  // empty counts as wrong
  EXPECT_FLOAT_EQ(value_with_ids(spec, 50), 0.75F);
  EXPECT_FLOAT_EQ(value_with_ids(spec, 100), 0.5F);
  EXPECT_FLOAT_EQ(value_with_ids(spec, 5000), 0.5F);
  EXPECT_FLOAT_EQ(value_with_ids(spec, 50, "2"), -0.75F);
  EXPECT_FLOAT_EQ(value_with_ids(spec, 5000, "2"), -0.5F);
  EXPECT_GT(value_with_ids(spec, 10), value_with_ids(spec, 20));
  EXPECT_FLOAT_EQ(value_of("cosine:unit=characters,max_len=9", "1", "\\boxed{1}"), 0.5F);
  EXPECT_TRUE(std::isnan(value_of("cosine", "1", "\\boxed{1}")));
}

TEST(Repetition, ShareOfRepeatedNgrams) {
  EXPECT_EQ(value_of("repetition", "", "a b c d e f"), 0);
  EXPECT_FLOAT_EQ(value_of("repetition", "", "a b c a b c"), -0.25F);  // abc bca cab abc: three of four
  EXPECT_FLOAT_EQ(value_of("repetition:ngram=1", "", "a a a a"), -0.75F);
  EXPECT_FLOAT_EQ(value_of("repetition:ngram=1,max_penalty=-2", "", "a A a a"), -1.5F);
  EXPECT_EQ(value_of("repetition", "", "a b"), 0);
  EXPECT_FLOAT_EQ(value_of("repetition:ngram=2", "", "好的好的"), -1.0F / 3);
}

TEST(Repetition, InvisibleCharactersDoNotHideCopies) {
  EXPECT_FLOAT_EQ(value_of("repetition:ngram=1", "", "ab a\u200Db a\u200Bb a\u2060b"), -0.75F);
}

TEST(Regex, FindsOrMatchesWhole) {
  EXPECT_EQ(value_of("regex:pattern=^So", "", "So it is"), 1);
  EXPECT_EQ(value_of("regex:pattern=it", "", "So it is"), 1);
  EXPECT_EQ(value_of("regex:pattern=it,full=true", "", "So it is"), 0);
  EXPECT_EQ(value_of("regex:pattern=SO,ignore_case=true", "", "So it is"), 1);
  EXPECT_EQ(value_of("regex:pattern=42", "", "it is 42"), 1);
  EXPECT_EQ(score_of(R"({"name": "regex", "options": {"pattern": "a,b"}})", "", "a,b").value, 1);
  EXPECT_THROW(make_reward(parse_reward("regex")), UsageError);
  EXPECT_THROW(make_reward(parse_reward("regex:pattern=(")), UsageError);
}

TEST(Exact, ExtractsAndCompares) {
  EXPECT_EQ(value_of("exact", "yes", " yes\n"), 1);
  EXPECT_EQ(value_of("exact", "yes", "Yes"), 0);
  EXPECT_EQ(value_of("exact:ignore_case=true", "yes", "Yes"), 1);
  EXPECT_EQ(value_of("exact:extract=answer_tag", "7", "<answer>6</answer> <answer> 7 </answer>"), 1);
  EXPECT_EQ(value_of("exact:extract=boxed", "7", "\\boxed{6} then \\boxed{7}"), 1);
  EXPECT_EQ(value_of("exact:extract=boxed", "\\frac{1}{2}", "\\boxed{\\frac{1}{2}}"), 1);
  EXPECT_EQ(value_of("exact:extract=last_line", "7", "one\n7\n"), 1);
  EXPECT_EQ(value_of("exact:extract=last_number", "1,234", "he pays 1,234 dollars."), 1);
  EXPECT_EQ(score_of("exact:extract=boxed", "7", "7").status, Status::unparsable);
  EXPECT_EQ(score_of("exact", "", "").status, Status::error);
  EXPECT_THROW(make_reward(parse_reward("exact:extract=nowhere")), UsageError);
}

TEST(LastNumber, WhateverTheForm) {
  EXPECT_EQ(value_of("last_number", "18", "<answer>18</answer>"), 1);
  EXPECT_EQ(value_of("last_number", "18", "she has 12 + 6 = 18 dollars."), 1);
  EXPECT_EQ(value_of("last_number", "18", "it is $18.00"), 1);
  EXPECT_EQ(value_of("last_number", "1000", "so 1,000 people"), 1);
  EXPECT_EQ(value_of("last_number", "-3", "x = -3"), 1);
  EXPECT_EQ(value_of("last_number", "3", "5-3"), 1);
  EXPECT_EQ(value_of("last_number", "0.5", "1/2"), 1);
  EXPECT_EQ(value_of("last_number", ".5", "0.5"), 1);
  EXPECT_EQ(value_of("last_number", "18", "18 or maybe 19"), 0);
  EXPECT_EQ(value_of("last_number", "so\n#### 18", "18"), 1);
  EXPECT_EQ(value_of("last_number", "8", "18"), 0);
  EXPECT_EQ(score_of("last_number", "18", "none").status, Status::unparsable);
  EXPECT_EQ(score_of("last_number", "none", "18").status, Status::error);
}

TEST(Choice, LetterFromItsUsualPlaces) {
  for (const char* text : {"B", "(B)", "The answer is B.", "The answer is (B).", "Answer: B", "\\boxed{B}",
                           "\\boxed{\\text{B}}", "<answer>B</answer>", "**Answer:** B", "so\nB) 12", "I choose (B)",
                           "<think>A or C</think> B", "The correct option is **B**", "it must be (A)... no, (B)"}) {
    EXPECT_EQ(value_of("choice", "B", text), 1) << text;
  }
  EXPECT_EQ(value_of("choice", "(B)", "B"), 1);
}

TEST(Choice, ProseHasNoLetters) {
  for (const char* text : {"A good answer needs thought", "I think so", "Banana", "The answer is Bob", "",
                           "<think>B</think>", "<think>B"}) {
    EXPECT_NE(score_of("choice", "B", text).status, Status::correct) << text;
    EXPECT_NE(score_of("choice", "A", text).status, Status::correct) << text;
    EXPECT_NE(score_of("choice", "I", text).status, Status::correct) << text;
  }
  EXPECT_EQ(score_of("choice", "42", "B").status, Status::error);
}

TEST(LanguageConsistency, ShareOfWords) {
  EXPECT_EQ(value_of("language_consistency", "", "<think>all in English</think> 答案"), 1);
  EXPECT_EQ(value_of("language_consistency", "", "<think>two words 两字</think>"), 0.5F);
  EXPECT_EQ(
      value_of("language_consistency:language=zh", "", "<think>我们先算 $x^2 + abc$ 再看 `code here` 结果</think>"), 1);
  EXPECT_EQ(value_of("language_consistency:language=ja", "", "<think>これは日本語です</think>"), 1);
  EXPECT_EQ(value_of("language_consistency:language=ru", "", "<think>это да ok no</think>"), 0.5F);
  EXPECT_EQ(value_of("language_consistency:language=zh", "", "<think>123 456 789 好 ok</think>"), 0.5F);
  EXPECT_EQ(value_of("language_consistency:language=zh", "", "<think></think>"), 1);
  EXPECT_EQ(value_of("language_consistency:language=zh", "", "<think>\\frac{1}{2} \\sqrt 3 12</think>"), 1);
  EXPECT_THROW(make_reward(parse_reward("language_consistency:language=xx")), UsageError);
}

float countdown(std::string_view completion, const Json& extra, std::string_view answer = "") {
  Task task;
  task.answer = answer;
  task.extra = extra;
  return score_with(make_reward(parse_reward("countdown")), task, completion).value.value_or(NAN);
}

TEST(Countdown, ExactlyTheGivenNumbersAndTheTarget) {
  const Json puzzle = {{"numbers", {3, 5, 7}}, {"target", 26}};
  EXPECT_EQ(countdown("<answer>3 * 7 + 5</answer>", puzzle), 1);
  EXPECT_EQ(countdown("<answer>5 + 7*3 = 26</answer>", puzzle), 1);
  EXPECT_EQ(countdown("<answer>(3 × 7) + 5</answer>", puzzle), 1);
  EXPECT_EQ(countdown("<answer>3*7 + 5 + 0</answer>", puzzle), 0);
  EXPECT_EQ(countdown("<answer>26</answer>", puzzle), 0);
  EXPECT_EQ(countdown("<answer>3*7+5 = 27</answer>", puzzle), 0);
  EXPECT_EQ(countdown("<answer>3*7+5; 1</answer>", puzzle), 0);
  EXPECT_EQ(countdown("<answer>35 - 7 - 2</answer>", puzzle), 0);
  EXPECT_EQ(countdown("3*7+5", puzzle), 0);
  EXPECT_EQ(countdown("<answer>8/(3-8/3)</answer>", {{"nums", {3, 3, 8, 8}}, {"target", "24"}}), 1);
  EXPECT_EQ(countdown("<answer>8/(3-3)+8</answer>", {{"nums", {3, 3, 8, 8}}, {"target", 24}}), 0);
  EXPECT_EQ(countdown("<answer>-3+5</answer>", {{"nums", {3, 5}}}, "2"), 1);
  EXPECT_EQ(countdown("<answer>2**3</answer>", {{"nums", {2, 3}}, {"target", 8}}), 0);
  EXPECT_EQ(countdown("<answer>__import__('os')</answer>", puzzle), 0);
  EXPECT_TRUE(std::isnan(countdown("<answer>3*7+5</answer>", Json::object())));
  EXPECT_EQ(countdown("<answer>" + std::string(900, '(') + "3*7+5" + std::string(900, ')') + "</answer>", puzzle), 0);
}

}  // namespace
}  // namespace cohort
