// Spellings that data sets and models bring along: escapes read once too often or too seldom, forms of other tools,
// words in place of signs. Beside each stands a near miss.
#include "tests/rewards/pairs.h"

namespace cohort {
namespace {

Status judge_text(const char* gold, const std::string& completion, const char* reward = "accuracy") {
  return score_of(reward, gold, completion).status;
}

TEST(AccuracySpellings, DoubledBackslashes) {
  expect_same({{"\\frac{3}{7}", "\\\\frac{3}{7}"},
               {"\\\\left(\\\\frac{1}{4},\\\\sqrt{2}\\\\right)", "(0.25,\\sqrt2)"},
               {"-1 \\\\le t \\\\le 6", "[-1,6]"},
               {"\\begin{pmatrix} 1 \\\\ \\frac12 \\end{pmatrix}",
                "\\\\begin{pmatrix} 1 \\\\\\\\ \\\\frac12 \\\\end{pmatrix}"}});
  expect_different({{"\\frac{3}{7}", "\\\\frac{7}{3}"},
                    {"\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\\\begin{pmatrix} 2 \\\\\\\\ 1 \\\\end{pmatrix}"}});
  EXPECT_EQ(judge_text("9", "so $\\\\boxed{9}$"), Status::correct);
  EXPECT_EQ(judge_text("9", "so $\\\\boxed{8}$"), Status::wrong);
}

TEST(AccuracySpellings, CommandsThatAnEscapeCutShort) {
  EXPECT_EQ(judge_text("\\frac{1}{2}", "\\boxed{\frac{1}{2}}"), Status::correct);
  EXPECT_EQ(judge_text("\\frac{1}{2}", "\boxed{\frac{1}{2}}"), Status::correct);
  EXPECT_EQ(judge_text("3\times 10^4", "\\boxed{30000}"), Status::correct);
  EXPECT_NE(judge_text("\\frac{1}{2}", "\boxed{\frac{2}{1}}"), Status::correct);
}

TEST(AccuracySpellings, SeveralBoxes) {
  for (const char* text :
       {"$\\boxed{(2, 2)} \\quad \\text{and} \\quad \\boxed{(6, 1)}$", "\\[\\boxed{(2,2)}\\] and \\[\\boxed{(6,1)}\\]",
        "\\(\\boxed{(2,2)}\\) and \\(\\boxed{(6,1)}\\).", "$\\boxed{(2,2)}\\text{ for part (a) and }\\boxed{(6,1)}$"})
    EXPECT_EQ(judge_text("(2,2),(6,1)", text), Status::correct) << text;
  EXPECT_EQ(judge_text("3,8", "\\boxed{3} boxes and \\boxed{8} lids"), Status::correct);
  EXPECT_EQ(judge_text("8", "\\boxed{3} boxes and so \\boxed{8}"), Status::correct);
  EXPECT_EQ(judge_text("8", "The side is \\boxed{3}. Area: \\boxed{8}"), Status::correct);
  EXPECT_NE(judge_text("8", "\\boxed{3} or \\boxed{8}"), Status::correct);
}

TEST(AccuracySpellings, AnAnnouncementBehindTheBox) {
  EXPECT_EQ(judge_text("40", "so far \\boxed{12}. Then we add.\nThe final answer is $40$. I hope it is correct."),
            Status::correct);
  EXPECT_NE(judge_text("12", "so far \\boxed{12}. Then we add.\nThe final answer is $40$. I hope it is correct."),
            Status::correct);
  EXPECT_EQ(judge_text("40", "The final answer is below. \\boxed{40}"), Status::correct);
}

TEST(AccuracySpellings, TheLastNumberBehindAFormula) {
  const char* text = "We have $d = 90/n$. Therefore there are 12 such sequences.";
  EXPECT_EQ(judge_text("12", text, "accuracy:last_number=true"), Status::correct);
  EXPECT_NE(judge_text("90", text, "accuracy:last_number=true"), Status::correct);
  EXPECT_NE(judge_text("2", "Code AZ2K", "accuracy:last_number=true"), Status::correct);
}

TEST(AccuracySpellings, WordsForSigns) {
  expect_same({{"40\\%", "40 pct"},
               {"100", "a hundred"},
               {"\\emptyset", "\\text{no solution}"},
               {"\\text{No solution}", "no solutions"},
               {"t>0", "\\text{if } t>0"},
               {"\\binom{6}{2}", "C(6,2)"},
               {"15", "C(6,2)"},
               {"n^T", "n^\\top"},
               {"n^T", "n^{\\mathsf T}"}});
  expect_different({{"40\\%", "4 pct"},
                    {"100", "a thousand"},
                    {"\\emptyset", "\\text{one solution}"},
                    {"0", "\\text{no solution}"},
                    {"15", "C(2,6)"},
                    {"n^T", "n^\\perp"}});
}

TEST(AccuracySpellings, ClocksOfTwelveAndOfTwentyFourHours) {
  expect_same({{"20:34", "20:34:00"}, {"20:34", "8:34 \\text{ p.m.}"}, {"\\text{8:34 PM}", "20:34"}});
  expect_different({{"20:34", "8:34 \\text{ a.m.}"},
                    {"20:34", "20:34:01"},
                    {"20:34", "20:43"},
                    {"12:00", "1:00"},
                    {"\\text{8:34 PM}", "8:43 PM"}});
}

TEST(AccuracySpellings, ImaginaryUnitInCapitals) {
  expect_same({{"a+bi", "a+bI"}, {"-1", "e^{I\\pi}"}, {"3-2i", "3-2I"}});
  expect_different({{"a+bi", "a-bI"}, {"2+3i", "3+2I"}, {"IR", "R"}});
}

TEST(AccuracySpellings, SetsInGroupBraces) {
  expect_same({{"\\{1\\}", "{1,2} \\setminus {2}"},
               {"[0,1)\\cup(1,3]", "[0,3] \\setminus {1}"},
               {"\\{2\\}", "(1,3) \\cap {2}"},
               {"\\{1,2\\}\\supseteq\\{1\\}", "{1} \\subseteq {1,2}"},
               {"n \\in {1,2,3}", "n = 1, 2, 3"}});
  expect_different({{"\\{1\\}", "{1,2} \\setminus {1}"},
                    {"[0,1)\\cup(1,3]", "[0,3] \\setminus {2}"},
                    {"\\{1,2\\}\\supseteq\\{1\\}", "{1,2} \\subseteq {1}"},
                    {"n \\in {1,2,3}", "n = 1, 2, 4"}});
}

TEST(AccuracySpellings, GroupsBetweenSemicolons) {
  expect_same({{"p=5,q=2;p=7,q=2", "(5,2),(7,2)"},
               {"1,2;3,4;5,6", "(5,6),(1,2),(3,4)"},
               {"(0;0;4),(0;-2;0)", "(0,-2,0),(0,0,4)"},
               {"-4;-3;-1", "\\{-1,-3,-4\\}"}});
  expect_different({{"1,2;3,4;5,6", "(2,1),(4,3),(6,5)"}, {"1,2;3,4", "(1,3),(2,4)"}, {"1,2;3,4", "(1,2)"}});
}

TEST(AccuracySpellings, SolutionsSaidTwice) {
  expect_same({{"(1,3),(3,1)", "(1,3),(3,1),(1,3)"}, {"2,5", "5,2,5"}});
  expect_different({{"(1,3),(3,1)", "(1,3),(1,3)"}, {"2,5", "5,2,3"}, {"1,1,2", "1,2,2"}, {"1,1,2", "1,2"}});
}

TEST(AccuracySpellings, RatiosWithNames) {
  expect_same({{"S_{ABC}:S=3:8", "3:8"}, {"V_{1}:V_{2}=11:21", "11:21"}});
  expect_different({{"S_{ABC}:S=3:8", "8:3"}, {"V_{1}:V_{2}=11:21", "21:11"}});
}

TEST(AccuracySpellings, ChainsWithSetsAndBars) {
  expect_same({{"2\\leq|z|\\leq 5", "[-5,-2]\\cup[2,5]"},
               {"0<f(x)<4", "(0,4)"},
               {"z = 1+1 = 2", "z = 4-2 = 2"},
               {"x = \\frac13", "x = \\frac26 = \\frac13 \\approx 0.33"}});
  expect_different({{"2\\leq|z|\\leq 5", "[2,5]"},
                    {"0<f(x)<4", "[0,4]"},
                    {"z = 1+1 = 2", "z = 4-2 = 3"},
                    {"z = 1+1 = 2", "y = 4-2 = 2"},
                    {"x = \\frac13", "x = \\frac26 = \\frac23 \\approx 0.33"}});
}

TEST(AccuracySpellings, WrittenInScientificNotation) {
  expect_same({{"\\frac{1}{432}", "2.314814814815 \\times 10^{-3}"},
               {"2.5 \\times 10^2", "250"},
               {"1500\\times 10^{-1}", "150"},
               {"2^6 \\cdot 3^5", "2^6 3^5"},
               {"2\\pi i", "i2\\pi"}});
  expect_different({{"\\frac{1}{432}", "2.3148 \\times 10^{-3}"},
                    {"\\frac{1}{432}", "2.314814814815 \\times 10^{-2}"},
                    {"2.5 \\times 10^2", "25"},
                    {"2^6 \\cdot 3^5", "2^6 3^4"}});
}

// A decimal reference is the answer rounded; one of two digits may be exact.
TEST(AccuracySpellings, RoundedReferences) {
  expect_same(
      {{"0.33", "\\frac13"},
       {"33.3", "\\frac{100}{3}"},
       {"0.29", "0.290243531202435"},
       {"3.14", "\\pi"},
       {"0.67", "\\frac23"},
       {"\\begin{pmatrix}0.29\\\\-0.186\\end{pmatrix}", "\\begin{pmatrix}0.290243531\\\\-0.186381278\\end{pmatrix}"}});
  expect_different({{"0.33", "0.34"},
                    {"0.25", "0.254"},
                    {"2.5", "2.54"},
                    {"0.5", "0.49"},
                    {"0.3", "\\frac13"},
                    {"0.29", "0.297243531202435"},
                    {"\\frac13", "0.33"}});
}

// What lies beyond the digits that are computed is not called equal.
TEST(AccuracySpellings, DifferencesTooSmallToSee) {
  expect_different({{"1", "2^{\\frac{1}{2^{1000}}}"},
                    {"[1,\\infty)", "[2^{\\frac{1}{2^{1000}}}, \\infty)"},
                    {"\\pi", "\\pi+2^{-1000}"},
                    {"1", "\\cos(10^{-300})"},
                    {"10^{-300}", "\\sin(10^{-300})"},
                    {"1", "\\tanh 1000"},
                    {"\\sqrt2", "\\sqrt{2+10^{-400}}"}});
  expect_same({{"\\pi+2^{-1000}", "2^{-1000}+\\pi"}, {"\\cos(10^{-300})", "\\cos(10^{-300})"}});
}

TEST(AccuracySpellings, SymbolsWithIndicesAndAccents) {
  expect_same(
      {{"a_{n+1}", "a_{1+n}"}, {"2\\overline{x}_n", "2\\bar{x}_{n}"}, {"\\arcosh(u)", "\\operatorname{arccosh} u"}});
  expect_different({{"a_{n+1}", "a_{n+2}"}, {"a_{n-1}", "a_{1-n}"}, {"2\\overline{x}_n", "2\\overline{x}_m"}});
}

}  // namespace
}  // namespace cohort
