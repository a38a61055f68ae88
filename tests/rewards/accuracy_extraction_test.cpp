// Where the answer stands in a completion and in a reference, on cases written by hand.
#include <gtest/gtest.h>

#include "tests/rewards/judging.h"

namespace cohort {
namespace {

Status extracted(const char* gold, const char* completion, const char* reward = "accuracy") {
  return score_of(reward, gold, completion).status;
}

TEST(AccuracyExtraction, WhereAnAnswerStands) {
  for (const char* text : {"\\boxed{12}",
                           "$$\\boxed{12}$$",
                           "first \\boxed{11} no, \\boxed{12}",
                           "\\fbox{12}",
                           "\\boxed 12",
                           "\\boxed{\\text{12}}",
                           "The final answer is 12.",
                           "Final Answer: The final answer is $12$. I hope it is correct.",
                           "the answer is **12**",
                           "Answer: 12",
                           "**Answer:** 12",
                           "**Answer: 12**",
                           "Answer:\n12",
                           "ANSWER: $12$",
                           "So 5+7=12\n#### 12",
                           "#### 12 apples",
                           "<answer>12</answer>",
                           "<answer>\\boxed{12}</answer>",
                           "<answer>The answer is 12.</answer>",
                           "<think>13</think>12",
                           "<think>\\boxed{13}</think> \\boxed{12}",
                           "<think>a</think><answer> 12 </answer>",
                           "Hence\nA: 12",
                           "Thus the total is\n**12**",
                           "12",
                           "$12$",
                           "We get $12$.",
                           "In conclusion, 12 is the answer.",
                           "Adding up, $12$ is the final answer.",
                           "We get $\\$12$.",
                           "# Answer\n\n12",
                           "### Final Answer\n$12$",
                           "The answer should be 12.",
                           "*Answer*: 12",
                           "The answer is **12**.",
                           "```\n12\n```",
                           "`12`",
                           "The answer is $12$, as required.",
                           "The answer is 12 (twelve).",
                           "\\framebox{12}",
                           "故答案为：12",
                           "So $x+y = 12$.",
                           "We get \\[ 12 \\]",
                           "We get \\(12\\) in all",
                           "答案是12。",
                           "答案：12",
                           "The answer is: 12",
                           "The correct answer is 12 dollars.",
                           "The answer is x = 12.",
                           "Thus the answer is \\(12\\).",
                           "The answer is $\\boxed{12}$ dollars",
                           "\\boxed{12}\\text{ apples}",
                           "x</think>\nThe answer is 12",
                           "The answer is 12, since 5 + 7 is that. The answer is 12.",
                           "\\[\\boxed{12}\\]\n</answer>",
                           "The answer is that she has 12 apples left.",
                           "The answer is 12 (a dozen).",
                           "The answer is 12, which is 5 + 7.",
                           "The answer is 12 because 5+7=12.",
                           "The answer is therefore 12.",
                           "The total is x = 12",
                           "The total cost is $12."}) {
    EXPECT_EQ(extracted("12", text), Status::correct) << text;
  }
}

TEST(AccuracyExtraction, WhatIsNoAnswer) {
  for (const char* text :
       {"", "She has 12 apples left.", "<think>12", "<think>\\boxed{12}", "<think>\\boxed{12}</think> unknown",
        "\\boxed{}", "\\boxed{11}, so not 12", "\\boxed{11} and \\boxed{12}", "\\boxed{11, 12}",
        "The answer is 11 or 12.", "<answer>11</answer><answer>13</answer>", "<answer></answer>",
        "The answer is 12. No, the answer is 13.", "<answer>12 or 13</answer>", "The answer is between 12 and 13",
        "maybe 12, 13, 14, 15", "The answer is not 12"}) {
    EXPECT_NE(extracted("12", text), Status::correct) << text;
  }
}

TEST(AccuracyExtraction, SeveralBoxesSideBySide) {
  EXPECT_EQ(extracted("1,2", "\\boxed{1} and \\boxed{2}"), Status::correct);
  EXPECT_EQ(extracted("1,2", "$\\boxed{1}$, $\\boxed{2}$"), Status::correct);
  EXPECT_EQ(extracted("1,2", "$x=\\boxed{1}$ or $x=\\boxed{2}$"), Status::correct);
  EXPECT_EQ(extracted("8", "$a=\\boxed{3}$ and $b=\\boxed{5}$, so $a+b=\\boxed{8}$"), Status::correct);
  EXPECT_EQ(extracted("2", "First \\boxed{1}. Then we go on and find another value, \\boxed{2}."), Status::correct);
  EXPECT_EQ(extracted("x^2", "$$\\boxed{x^{2}}$$"), Status::correct);
}

TEST(AccuracyExtraction, StarsAreEmphasisOrOperators) {
  EXPECT_EQ(extracted("x^2+2x", "The answer is x**2+2*x."), Status::correct);
  EXPECT_EQ(extracted("x^2+2x", "The answer is **x^2+2x**."), Status::correct);
  EXPECT_EQ(extracted("x^4-4x^3", "We get $x**4-4x**3$."), Status::correct);
  EXPECT_EQ(extracted("6", "Answer: 2 ** 3"), Status::wrong);
  EXPECT_EQ(extracted("8", "Answer: 2 ** 3"), Status::correct);
}

TEST(AccuracyExtraction, ChoicesInProse) {
  for (const char* text : {"The correct option is B.", "答案是B", "故选：B", "选 B", "Answer: (B) 12", "**B**", "(b)"})
    EXPECT_EQ(extracted("B", text), Status::correct) << text;
  for (const char* text : {"Bob has 3", "The answer is A or B.", "A better idea: the answer is C", "故选：A"})
    EXPECT_NE(extracted("B", text), Status::correct) << text;
}

TEST(AccuracyExtraction, OptionsOpenOtherDoors) {
  EXPECT_EQ(extracted("12", "She has 12 apples left.", "accuracy:last_number=true"), Status::correct);
  EXPECT_EQ(extracted("12", "She has 12 of 13 apples.", "accuracy:last_number=true"), Status::wrong);
  EXPECT_EQ(extracted("12", "<think>\\boxed{12}", "accuracy:after_think=false"), Status::correct);
  EXPECT_EQ(extracted("100000", "They paid\n100 000", "accuracy:last_number=true"), Status::correct);
  EXPECT_EQ(extracted("0.5", "so they ate 50% of it", "accuracy:last_number=true"), Status::correct);
  EXPECT_EQ(extracted("50\\%", "so they ate 50% of it", "accuracy:last_number=true"), Status::correct);
  EXPECT_EQ(extracted("100000", "so they paid 10^5 in all", "accuracy:last_number=true"), Status::correct);
  EXPECT_EQ(extracted("1/2", "so they ate \\frac{1}{2} of it", "accuracy:last_number=true"), Status::correct);
  EXPECT_EQ(extracted("5", "In conclusion, 5 is right, that is what we have found.", "accuracy:last_number=true"),
            Status::correct);
  EXPECT_EQ(extracted("5", "Therefore $y$ is 5"), Status::correct);
  EXPECT_EQ(extracted("3", "The area that we looked for is then\n3 cm^2", "accuracy:last_number=true"),
            Status::correct);
}

TEST(AccuracyExtraction, References) {
  EXPECT_EQ(extracted("$12$", "\\boxed{12}"), Status::correct);
  EXPECT_EQ(extracted("5+7=12\n#### 12", "\\boxed{12}"), Status::correct);
  EXPECT_EQ(extracted("We add and get $5+7=\\boxed{12}$ as claimed.", "\\boxed{12}"), Status::correct);
  EXPECT_EQ(extracted("\\(12\\)", "\\boxed{12}"), Status::correct);
  EXPECT_EQ(extracted("", "\\boxed{12}"), Status::error);
  EXPECT_EQ(extracted("   ", "\\boxed{12}"), Status::error);
  EXPECT_EQ(extracted("\\frac{1}{", "\\boxed{12}"), Status::error);
  EXPECT_EQ(extracted("x^^2=", "\\boxed{12}"), Status::error);
}

TEST(AccuracyVerdicts, StatusAndReason) {
  const Score unreadable = score_of("accuracy", "12", "\\boxed{\\frac{1}}");
  EXPECT_EQ(unreadable.status, Status::unparsable);
  EXPECT_EQ(unreadable.value, 0.0F);
  const Score wrong = score_of("accuracy", "12", "\\boxed{13}");
  EXPECT_EQ(wrong.status, Status::wrong);
  EXPECT_NE(wrong.reason.find("13"), std::string::npos);
  EXPECT_FALSE(score_of("accuracy", "", "\\boxed{13}").value);
}

/// Between the boxes stands a sign alone: no name before it to leave out.
TEST(AccuracyExtraction, BoxesAroundASign) {
  for (const char* sign : {"=", " = ", "$=$"})
    EXPECT_EQ(score_of("accuracy", "2", "\\boxed{2}" + std::string(sign) + "\\boxed{2}").status, Status::correct)
        << sign;
}

}  // namespace
}  // namespace cohort
