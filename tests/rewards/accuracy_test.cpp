// Mathematical equality on cases written by hand, family by family: numbers and structures.
#include <gtest/gtest.h>

#include "tests/rewards/pairs.h"

namespace cohort {
namespace {

TEST(AccuracyNumbers, FormsOfOneNumber) {
  expect_same({{"1000", "1,000"},
               {"1000", "1 000"},
               {"1000", "1{,}000"},
               {"2.5", "2{,}5"},
               {"7", "\\max\\{3, 7\\}"},
               {"1000", "1,\\!000"},
               {"1234567", "1,234,567"},
               {"1000", "1\\,000"},
               {"1000", "1000.0"},
               {"0.5", ".5"},
               {"100000", "1e5"},
               {"0.002", "2e-3"},
               {"300000000", "3\\times 10^8"},
               {"300000000", "3 \\cdot 10^{8}"},
               {"0.0025", "2.5\\times10^{-3}"},
               {"-3", "-3"},
               {"-3", "−3"},
               {"3", "+3"},
               {"7", "7."},
               {"7", "07"},
               {"12", "１２"},
               {"\\frac{3}{4}", "3/4"},
               {"\\frac{3}{4}", "\\dfrac34"},
               {"\\frac{3}{4}", "\\frac{6}{8}"},
               {"\\frac{3}{4}", "0.75"},
               {"0.75", "\\tfrac{3}{4}"},
               {"-\\frac{1}{2}", "\\frac{-1}{2}"},
               {"-\\frac{1}{2}", "-1/2"},
               {"-\\frac{1}{2}", "\\frac{1}{-2}"},
               {"3", "6/2"},
               {"\\frac{1}{2}", "½"},
               {"1.5", "1½"},
               {"1.5", "1\\frac12"},
               {"1.5", "1 1/2"},
               {"1.5", "1\\frac{1}{2}"},
               {"\\frac{3}{2}", "1 \\frac{1}{2}"},
               {"-1.5", "-1\\frac12"},
               {"-\\frac{7}{4}", "-1 3/4"},
               {"2", "\\sqrt{4}"},
               {"8", "2^3"},
               {"0.125", "2^{-3}"},
               {"120", "5!"},
               {"10", "\\binom{5}{2}"},
               {"10", "{5 \\choose 2}"},
               {"3", "|{-3}|"},
               {"3", "\\lfloor \\pi \\rfloor"},
               {"4", "\\lceil \\pi \\rceil"},
               {"6", "\\gcd(12, 18)"},
               {"36", "\\operatorname{lcm}(12, 18)"},
               {"2", "17 \\bmod 5"},
               {"7", "\\max(3, 7)"},
               {"3", "\\min(3, 7)"},
               {"15", "\\sum_{k=1}^{5} k"},
               {"120", "\\prod_{k=1}^{5} k"},
               {"55", "\\sum_{k=1}^{5} k^2"},
               {"3", "three"},
               {"12", "twelve"},
               {"2000000", "2 \\text{ million}"},
               {"2000000", "2 million"},
               {"1500", "1.5 thousand"},
               {"0", "-0"},
               {"4", "\\left(2\\right)^2"},
               {"5", "{5}"},
               {"5", "(5)"},
               {"5", "5.00"},
               {"1/3", "\\frac13"},
               {"\\frac{10}{3}", "3\\frac{1}{3}"}});
}

TEST(AccuracyNumbers, DifferentNumbers) {
  expect_different({{"1000", "100"},
                    {"1000", "10000"},
                    {"25", "2500"},
                    {"25", "0.25"},
                    {"0.5", "50"},
                    {"3", "-3"},
                    {"12", "1"},
                    {"12", "2"},
                    {"12", "123"},
                    {"1.5", "1/2"},
                    {"11", "1 1"},
                    {"5", "5x"},
                    {"1/2004!", "1/2006!"},
                    {"2^{-99}", "2^{-98}"},
                    {"1/2^{99}", "0"},
                    {"4", "4\\sqrt{2}"},
                    {"\\frac{1}{2}", "\\frac{1}{3}"},
                    {"10^{50}", "10^{50}+1"},
                    {"2^{2000}", "2^{2001}"},
                    {"5!", "6!"},
                    {"(10^9)!", "5"},
                    {"3", "3 or 4"},
                    {"2", "1, 2 or 3"},
                    {"2", "1, 2, 3"},
                    {"7", "7, 8"},
                    {"100", "99.9999"},
                    {"42", "42.0000001"},
                    {"1", "0.999999"},
                    {"18", "\\text{eighteen or so}"},
                    {"5", "not 5"},
                    {"5", "x^2=5"},
                    {"5", "2+2=5"},
                    {"4", "x^2=4"},
                    {"0", "0.0000001"},
                    {"1", "\\frac{1}{0}"}});
}

TEST(AccuracyNumbers, RepeatingDecimalsAndBases) {
  expect_same({{"\\frac{1}{3}", "0.\\overline{3}"},
               {"\\frac{1}{6}", "0.1\\overline{6}"},
               {"\\frac{1}{7}", "0.\\overline{142857}"},
               {"1/3", "0.333..."},
               {"2/3", "0.666\\ldots"},
               {"0.\\overline{12}", "\\frac{4}{33}"},
               {"0.\\overline{3}", "0.\\dot{3}"},
               {"11", "1011_2"},
               {"1011_2", "1011_{2}"},
               {"2516_8", "2516_{8}"},
               {"A1_{16}", "161"},
               {"1/3", "0.(3)"},
               {"1/6", "0.1(6)"},
               {"\\text{A1}_{16}", "A1_{16}"},
               {"4210_{5}", "4210_5"}});
  expect_different(
      {{"\\frac{1}{3}", "0.\\overline{33}4"}, {"\\frac{1}{3}", "0.3"}, {"1011_2", "1011_3"}, {"1011_2", "1001_2"}});
}

TEST(AccuracyNumbers, RoundedAnswers) {
  expect_same({{"\\frac{1}{3}", "0.333333"},
               {"\\frac{2}{3}", "0.666667"},
               {"\\frac{2}{3}", "0.666666"},
               {"\\pi", "3.14159"},
               {"\\sqrt{2}", "1.41421"},
               {"3.14", "\\pi"},
               {"3.14", "3.14159"},
               {"1.41", "\\sqrt{2}"},
               {"0.333", "1/3"},
               {"12.57", "4\\pi"},
               {"0.3", "0.30000000000000004"},
               {"2.50", "2.5"}});
  expect_different({{"\\frac{1}{3}", "0.33"},
                    {"\\frac{1}{3}", "0.3333"},
                    {"\\frac{1}{3}", "0.333334"},
                    {"\\pi", "3.14"},
                    {"\\pi", "22/7"},
                    {"3.14", "3.2"},
                    {"3.14", "3.15"},
                    {"3.14", "3.1"},
                    {"\\sqrt{2}", "1.414"},
                    {"2.5", "2.6"},
                    {"0.333", "0.3"}});
  expect_same({{"\\frac{1}{3}", "0.3333"}}, "accuracy:digits=4");
  expect_same({{"100", "99"}, {"\\pi", "3.14"}}, "accuracy:tolerance=0.01");
  expect_different({{"100", "98"}}, "accuracy:tolerance=0.01");
}

TEST(AccuracyNumbers, PercentCurrencyDegreesUnits) {
  expect_same({{"25\\%", "25"},
               {"25\\%", "25\\%"},
               {"25", "25\\%"},
               {"25\\%", "0.25"},
               {"\\$18", "18"},
               {"18", "\\$18"},
               {"18", "18 \\text{ dollars}"},
               {"18", "€18"},
               {"1000", "\\$1{,}000.00"},
               {"90", "90^\\circ"},
               {"90^\\circ", "90"},
               {"90", "90°"},
               {"90^\\circ", "90 degrees"},
               {"90^\\circ", "\\frac{\\pi}{2}"},
               {"10", "10 weeks"},
               {"10", "10\\text{ weeks}"},
               {"5\\text{ cm}", "5"},
               {"5", "5 cm"},
               {"5", "5\\,\\mathrm{cm}"},
               {"12", "12\\text{ cm}^2"},
               {"12", "12 square units"},
               {"60", "60\\text{ miles per hour}"},
               {"60", "60 km/h"},
               {"9.8", "9.8\\ \\text{m/s}^2"},
               {"5", "5 m"},
               {"24", "24元"},
               {"24", "24个"},
               {"3", "3\\mbox{ inches}"},
               {"10", "10 apples"},
               {"1/2", "\\frac12 \\text{ hour}"},
               {"1 + 2\\sqrt{3}", "1+2\\sqrt3\\text{ feet}"},
               {"50\\%", "\\frac12"},
               {"3", "3rd"},
               {"12", "12\\text{th}"},
               {"180^\\circ - x", "180 - x"},
               {"12", "\\text{The answer is } 12"},
               {"12", "\\text{Answer: } 12"},
               {"5", "\\text{5 apples}"}});
  expect_different({{"25\\%", "2500"},
                    {"25\\%", "0.0025"},
                    {"18", "\\$1.8"},
                    {"90", "9^\\circ"},
                    {"10", "5 weeks"},
                    {"5", "5x \\text{ cm}"}});
  expect_same({{"0.25", "25\\%"}}, "accuracy:percent=hundredth");
  expect_different({{"25", "25\\%"}}, "accuracy:percent=hundredth");
  expect_different({{"0.25", "25\\%"}}, "accuracy:percent=sign");
  expect_same({{"25", "25\\%"}}, "accuracy:percent=sign");
  expect_same({{"5 \\text{ cm}", "5 cm"}}, "accuracy:units=match");
  expect_different({{"5 \\text{ cm}", "5 m"}, {"5 \\text{ cm}", "5"}}, "accuracy:units=match");
}

TEST(AccuracyNumbers, DecimalComma) {
  expect_same({{"3.14", "3,14"}, {"1000.5", "1000,5"}}, "accuracy:decimal_comma=true");
  expect_different({{"3.14", "3,14"}});
}

TEST(AccuracyNumbers, RatiosAndClocks) {
  expect_same({{"2:3", "2:3"},
               {"2:3", "2/3"},
               {"2:3", "4:6"},
               {"1:2:3", "1 : 2 : 3"},
               {"\\text{4:30 PM}", "4:30 PM"},
               {"4:30", "4:30"},
               {"3:4", "3 \\text{ to } 4"}});
  expect_different({{"2:3", "3:2"},
                    {"4:30", "2:15"},
                    {"\\text{4:30 PM}", "5:30 PM"},
                    {"4:30 PM", "4:30 AM"},
                    {"\\text{4:30 PM}", "\\text{4:30 AM}"},
                    {"1:2:3", "1:3:2"}});
}

TEST(AccuracyStructures, TuplesAndIntervals) {
  expect_same({{"(1,2)", "(1, 2)"},
               {"(1,2)", "\\left(1,2\\right)"},
               {"\\left(\\frac12, -3\\right)", "(0.5,-3)"},
               {"(1,2,3)", "\\langle 1,2,3\\rangle"},
               {"[0,1)", "[0, 1)"},
               {"(-\\infty, 5]", "(-∞, 5]"},
               {"(1,2)", "1, 2"},
               {"(3, \\frac{\\pi}{2})", "\\left( 3, \\frac{\\pi}{2} \\right)"},
               {"(3,5)", "x=3, y=5"},
               {"(3,5)", "(x,y)=(3,5)"}});
  expect_different({{"(1,2)", "(2,1)"},
                    {"(1,2)", "[1,2]"},
                    {"[0,1)", "[0,1]"},
                    {"[0,1)", "(0,1]"},
                    {"(1,2)", "(1,2,3)"},
                    {"(1,2)", "(1,3)"},
                    {"(1,2)", "1"},
                    {"(1,2)", "\\{1,2\\}"},
                    {"(-\\infty,5]", "(\\infty,5]"}});
}

TEST(AccuracyStructures, ListsAndSets) {
  expect_same({{"1,2", "2,1"},
               {"1,2", "1 \\text{ and } 2"},
               {"1,2", "1 or 2"},
               {"1, -2", "\\{-2, 1\\}"},
               {"\\{1,2,3\\}", "\\{3,2,1\\}"},
               {"\\{1,2\\}", "\\{1,1,2\\}"},
               {"\\{1,2\\}", "1, 2"},
               {"1 \\pm \\sqrt 2", "1+\\sqrt2, 1-\\sqrt2"},
               {"\\pm 3", "3, -3"},
               {"\\pm 3", "-3 \\text{ or } 3"},
               {"-1, \\frac12", "0.5; -1"},
               {"\\emptyset", "\\varnothing"},
               {"\\emptyset", "\\{\\}"},
               {"\\{1\\pm\\sqrt{5},-2\\}", "\\{-2, 1+\\sqrt5, 1-\\sqrt5\\}"},
               {"1,2,3", "1, 2, \\text{ and } 3"},
               {"5", "\\{5\\}"},
               {"\\mathbb{R}", "(-\\infty, \\infty)"},
               {"1,2", "x=1, x=2"},
               {"x=1 \\text{ or } x=2", "1, 2"},
               {"1,2", "x = 1 \\text{ or } x = 2"},
               {"1,2", "x_1 = 1, x_2 = 2"},
               {"0, 1", "x=0, 1"},
               {"3", "3, 3"},
               {"1,2", "[1, 2]"}});
  expect_different({{"1,2", "1"},
                    {"1,2", "1,2,3"},
                    {"1,1,2", "1,2,2"},
                    {"\\{1,2\\}", "\\{1,3\\}"},
                    {"\\pm 3", "3"},
                    {"3", "\\pm 3"},
                    {"\\emptyset", "0"},
                    {"1 \\pm \\sqrt2", "1+\\sqrt2"},
                    {"\\emptyset", "\\{0\\}"}});
  expect_different({{"1,2", "2,1"}}, "accuracy:list_order=same");
  expect_different({{"\\{1,2\\}", "1, 2"}, {"(1,2)", "1, 2"}, {"5", "\\{5\\}"}}, "accuracy:brackets=strict");
}

TEST(AccuracyStructures, SetsOfReals) {
  expect_same({{"(-\\infty,2)\\cup(2,\\infty)", "\\mathbb{R}\\setminus\\{2\\}"},
               {"(-\\infty,2)\\cup(2,\\infty)", "(2,\\infty) \\cup (-\\infty,2)"},
               {"(-\\infty,2)\\cup(2,\\infty)", "x \\ne 2"},
               {"(0,3]", "(0,1]\\cup[1,3]"},
               {"(2,\\infty)", "x > 2"},
               {"x>2", "(2, \\infty)"},
               {"x>2", "2<x"},
               {"[1,3)", "1 \\le x < 3"},
               {"1 \\le x < 3", "x \\in [1,3)"},
               {"[1,3)", "x\\in[1,3)"},
               {"[1,3)", "\\{x \\mid 1 \\le x < 3\\}"},
               {"[1,3)", "\\{x \\in \\mathbb{R} : 1 \\le x < 3\\}"},
               {"(-\\infty,-1)\\cup(1,\\infty)", "x<-1 \\text{ or } x>1"},
               {"(1,2)", "x>1 \\text{ and } x<2"},
               {"[-2,2]", "-2\\leq x\\leq 2"},
               {"(\\sqrt{2}, 2)", "(2^{1/2}, \\sqrt 4)"},
               {"\\mathbb{R}", "(-\\infty,0]\\cup(0,\\infty)"},
               {"[0,2]\\cap[1,3]", "[1,2]"},
               {"\\{1\\}\\cup(1,2)", "[1,2)"},
               {"x \\in [-2,7]", "[-2,7]"},
               {"(-1,0)\\cup(0,1)", "-1<x<1, x \\ne 0"},
               {"-1<x<1", "|x|<1"},
               {"|x|\\ge 2", "(-\\infty,-2]\\cup[2,\\infty)"},
               {"(-\\infty,-1)\\cup(1,\\infty)", "x<-1, x>1"},
               {"\\mathbb{R}", "\\text{all real numbers}"},
               {"\\mathbb{R}", "-\\infty < x < \\infty"},
               {"\\mathbb{R}", "x \\in \\mathbb{R}"}});
  expect_different({{"(2,\\infty)", "x \\ge 2"},
                    {"(2,\\infty)", "x<2"},
                    {"(-\\infty,2)\\cup(2,\\infty)", "\\mathbb{R}"},
                    {"(-\\infty,2)\\cup(2,\\infty)", "(-\\infty,2)"},
                    {"[1,3)", "1 < x < 3"},
                    {"(0,3]", "(0,1)\\cup(1,3]"},
                    {"(-\\infty,-1)\\cup(1,\\infty)", "x<-1 \\text{ and } x>1"},
                    {"(2,\\infty)", "y > 3"}});
}

TEST(AccuracyStructures, EquationsAndAssignments) {
  expect_same({{"x=5", "5"},
               {"5", "x=5"},
               {"5", "x = 5"},
               {"y=2x+1", "2x+1"},
               {"y=2x+1", "y = 1 + 2x"},
               {"2x+1", "y=2x+1"},
               {"2x+1", "f(x)=2x+1"},
               {"y=2x+1", "f(x)=2x+1"},
               {"y=2x+1", "2x-y+1=0"},
               {"3x-y+13=0", "y=3x+13"},
               {"x^2+y^2=1", "y^2=1-x^2"},
               {"x^2+y^2=4", "2x^2+2y^2-8=0"},
               {"x=\\frac12", "\\frac{1}{2} = x"},
               {"8", "5+3=8"},
               {"8", "5+3 = 4 \\cdot 2 = 8"},
               {"AB=5", "5"},
               {"x+2y=7", "2y = 7 - x"},
               {"x+y \\le 3", "3 \\ge x+y"},
               {"x+y<3", "2x+2y<6"},
               {"-x+1<0", "x-1>0"},
               {"\\text{Area} = 12", "12"},
               {"7/8 \\approx 0.875", "7/8"},
               {"x=1,y=2", "y=2,x=1"},
               {"x=3", "x = 6/2 = 3"},
               {"0.875", "\\frac78 \\approx 0.875"},
               {"y = \\frac{x}{2}", "x = 2y"},
               {"x=1, y=2", "\\begin{cases} x = 1 \\\\ y = 2 \\end{cases}"},
               {"x=1, y=2", "\\begin{aligned} x &= 1 \\\\ y &= 2 \\end{aligned}"},
               {"12", "x+y=12"},
               {"3/4", "\\frac{a}{b} = \\frac34"},
               {"2x", "\\frac{dy}{dx} = 2x"},
               {"40^\\circ", "m\\angle A = 40^\\circ"},
               {"x=1,y=2", "(1,2)"},
               {"(x,y)=(1,2)", "x=1, y=2"},
               {"\\frac{9}{4}", "\\frac94 \\text{ or } 2.25"}});
  expect_different({{"x=5", "6"},
                    {"5", "x=6"},
                    {"3x-y+13=0", "3x+4y+14=0"},
                    {"y=2x+1", "y=2x"},
                    {"x^2+y^2=1", "x^2+y^2=2"},
                    {"x=5", "y=5"},
                    {"x+y<3", "x+y>3"},
                    {"x+y<3", "x+y \\le 3"},
                    {"x+y=3", "x+y<3"},
                    {"y=2x+1", "2x+1=0"},
                    {"5", "x^2 = 5"},
                    {"x^2=4", "4"},
                    {"x=1,y=2", "x=2,y=1"}});
  expect_same({{"x=5", "y=5"}}, "accuracy:strict_names=false");
}

TEST(AccuracyStructures, Matrices) {
  const char* gold = "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}";
  expect_same({{gold, "\\begin{bmatrix}1&2\\\\3&4\\end{bmatrix}"},
               {gold, "\\left[\\begin{array}{cc}1&2\\\\3&4\\end{array}\\right]"},
               {gold, "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\\\ \\end{pmatrix}"},
               {gold, "\\begin{pmatrix} 2/2 & \\sqrt4 \\\\ 3 & 2^2 \\end{pmatrix}"},
               {"\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "(1,2)"},
               {"(1,2)", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}"}});
  expect_different({{gold, "\\begin{pmatrix} 1 & 2 \\\\ 3 & 5 \\end{pmatrix}"},
                    {gold, "\\begin{pmatrix} 1 & 3 \\\\ 2 & 4 \\end{pmatrix}"},
                    {gold, "\\begin{pmatrix} 1 & 2 \\end{pmatrix}"},
                    {gold, "10"},
                    {"\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 1 & 2 \\end{pmatrix}"}});
}

TEST(AccuracyStructures, Words) {
  expect_same({{"\\text{Evelyn}", "Evelyn"},
               {"Evelyn", "\\text{Evelyn}"},
               {"\\text{(A)}", "A"},
               {"A", "\\text{(A)}"},
               {"C", "(C)"},
               {"\\text{east}", "East"},
               {"\\text{June 20}", "June 20"},
               {"\\text{neither}", "\\textbf{neither}"},
               {"\\text{odd}", "odd"},
               {"\\text{Yes}", "yes"},
               {"\\text{Navin}", "\\mathrm{Navin}"},
               {"\\text{B, E, G}", "B,E,G"},
               {"B", "B) 12"},
               {"\\text{square}", "square."},
               {"\\mbox{four}", "4"},
               {"\\text{A, C}", "\\text{C, A}"}});
  expect_different({{"\\text{Evelyn}", "Devon"},
                    {"A", "B"},
                    {"\\text{odd}", "even"},
                    {"\\text{Evelyn}", "nylevE"},
                    {"\\text{ACF}", "\\text{ACD}"},
                    {"\\text{Yes}", "No"},
                    {"\\text{east}", "5"},
                    {"5", "\\text{east}"},
                    {"B", "A) B"}});
}

}  // namespace
}  // namespace cohort
