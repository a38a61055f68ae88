// Mathematical equality on cases written by hand: how models and textbooks write things down.
#include "tests/rewards/pairs.h"

namespace cohort {
namespace {

TEST(AccuracyReading, SpelledNumbers) {
  expect_same({{"21", "twenty-one"},
               {"21", "\\text{Twenty one}"},
               {"5", "Five"},
               {"205", "two hundred five"},
               {"3000000", "three million"},
               {"1/2", "one half"},
               {"2/3", "two thirds"},
               {"5", "5 (five)"},
               {"-7", "negative 7"},
               {"12", "\\text{twelve}"}});
  expect_different({{"21", "twelve"}, {"5", "fifty"}, {"7", "negative 7"}, {"1/2", "two"}, {"25", "twenty-six"}});
}

TEST(AccuracyReading, ChoicesAndBases) {
  expect_same({{"10", "C_5^2"},
               {"10", "{}_5C_2"},
               {"10", "\\frac{5!}{2!3!}"},
               {"\\binom nk", "\\frac{n!}{k!(n-k)!}"},
               {"4210_{5}", "4210_{\\text{five}}"},
               {"4210_{5}", "(4210)_5"},
               {"1/3", ".\\overline{3}"},
               {"4 1/8", "4.125"},
               {"\\frac{841}{144}", "5 121/144"},
               {"111, \\! 111, \\! 111", "111{,}111{,}111"}});
  expect_different({{"10", "C_5^1"}, {"4210_5", "4210_{\\text{six}}"}, {"5 121/144", "5121/144"}});
}

TEST(AccuracyReading, Units) {
  expect_same({{"45", "45 \\frac{\\text{km}}{\\text{h}}"},
               {"45", "45\\text{ km h}^{-1}"},
               {"9.8", "9.8 m/s^2"},
               {"9.8", "9.8\\frac{m}{s^2}"},
               {"3", "3 apples and oranges"},
               {"18", "USD 18"},
               {"40\\text{ min}", "40"},
               {"90^\\circ", "90^{\\text{o}}"},
               {"\\text{4:51 p.m.}", "4:51 p.m."},
               {"8\\text{:}30", "8:30"}});
  expect_different({{"45", "54 \\frac{\\text{km}}{\\text{h}}"}, {"3", "2 apples and oranges"}, {"9.8", "9.8x"}});
}

TEST(AccuracyReading, Names) {
  expect_same({{"\\phi^2", "\\varphi^2"},
               {"AB", "\\overline{AB}"},
               {"(1,2)", "P(1,2)"},
               {"e^2", "\\mathrm{e}^2"},
               {"2x+3", "2\\mathrm{x}+3"},
               {"\\frac{n}{2}", "\\frac n2"},
               {"x=2,x=3", "x_1=2, x_2=3"},
               {"40^\\circ", "m\\angle A=40^\\circ"},
               {"\\frac13", "P(A)=\\frac13"},
               {"\\frac{x-1}{2}", "f^{-1}(x)=\\frac{x-1}{2}"},
               {"5", "|\\vec{a}|=5"},
               {"3-4i", "\\overline{3+4i}"},
               {"42x\\sqrt{5x}", "42xsqrt(5x)"},
               {"3", "\\log(8,2)"}});
  expect_different({{"\\overline{z}", "z"}, {"x=2,x=3", "x_1=2, x_2=4"}, {"4", "x^2=4"}, {"AB", "CD"}});
}

TEST(AccuracyReading, BoundVariables) {
  expect_same({{"55", "\\sum_{i=1}^{10} i"},
               {"\\frac{n(n+1)}{2}", "\\sum_{k=1}^{n} k"},
               {"\\sum_{k=1}^{n} k^2", "\\sum_{j=1}^{n} j^2"}});
  expect_different({{"55", "\\sum_{i=1}^{9} i"}, {"\\frac{n(n-1)}{2}", "\\sum_{k=1}^{n} k"}});
}

TEST(AccuracyReading, BareLogarithms) {
  expect_same({{"\\ln 5", "\\log 5"}, {"\\log_{10} 5", "\\log 5"}, {"3", "\\log 1000"}, {"\\lg 2", "\\log 2"}});
  expect_different({{"\\log_2 5", "\\log 5"}, {"\\ln 5", "\\log 6"}});
}

TEST(AccuracyReading, SolvedInequalities) {
  expect_same({{"|x-2|<3", "(-1,5)"},
               {"(-\\infty,2)", "2x+1<5"},
               {"[-1,3)", "-1 \\le 2x+1 < 7 \\text{ or } x=-1"},
               {"x\\in(1,4]", "-8\\le -2x<-2"},
               {"(0,1)", "x>0, x<1"},
               {"(-\\infty,-1)\\cup(3,\\infty)", "(-\\infty,-1)\\text{ or }(3,\\infty)"},
               {"(-\\infty,-1)\\cup(3,\\infty)", "(-inf,-1)U(3,inf)"},
               {"(-\\infty,2)", "]-\\infty,2["},
               {"x>0", "\\mathbb{R}^+"},
               {"x\\ne 1,2", "x\\ne1 \\text{ and } x\\ne2"},
               {"\\{x:-1\\le x\\le1\\}", "\\{t:-1\\le t\\le1\\}"},
               {"f(2)<f(1)<f(4)", "f(2)<f(1) \\text{ and } f(1)<f(4)"}});
  expect_different({{"|x-2|<3", "(-1,4)"},
                    {"(-\\infty,2)", "-2x<-4"},
                    {"(0,1)", "x<0, x>1"},
                    {"x>0", "\\mathbb{R}^-"},
                    {"(2,3)", "x>2 \\text{ and } x<4"}});
}

TEST(AccuracyReading, ConditionsBehindAValue) {
  const char* gold = "x=\\frac{\\pi}{4}+k\\pi, k\\in\\mathbb{Z}";
  expect_same({{gold, "x=k\\pi+\\frac{\\pi}{4} \\ (k\\in\\mathbb{Z})"},
               {gold, "x=\\frac{\\pi}{4}+k\\pi"},
               {gold, "\\frac{\\pi}{4}+k\\pi \\text{ where } k\\in\\mathbb{Z}"}});
  expect_different({{gold, "x=\\frac{\\pi}{3}+k\\pi, k\\in\\mathbb{Z}"}});
}

TEST(AccuracyReading, BranchesAndSystems) {
  const char* gold = "\\begin{cases} x+1 & x>0 \\\\ -x & x\\le 0 \\end{cases}";
  expect_same({{gold, "\\begin{cases} 1+x, & \\text{if } x>0 \\\\ -x, & \\text{if } 0\\ge x \\end{cases}"},
               {gold, "f(x)=\\begin{cases} -x & \\text{for } x\\le 0 \\\\ x+1 & \\text{for } x>0 \\end{cases}"},
               {gold, "\\left\\{\\begin{array}{ll} x+1 & x>0 \\\\ -x & x\\le 0 \\end{array}\\right."},
               {"x=1,y=2", "\\left\\{\\begin{array}{l} x=1 \\\\ y=2 \\end{array}\\right."},
               {"x=1,y=2", "\\begin{cases} x &= 1 \\\\ y &= 2 \\end{cases}"}});
  expect_different({{gold, "\\begin{cases} x+1 & x>0 \\\\ x & x\\le 0 \\end{cases}"},
                    {gold, "\\begin{cases} x+1 & x>1 \\\\ -x & x\\le 1 \\end{cases}"},
                    {gold, "x+1"}});
}

TEST(AccuracyReading, MatrixAlgebra) {
  const char* gold = "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}";
  expect_same({{gold, "\\frac12\\begin{pmatrix} 2 & 4 \\\\ 6 & 8 \\end{pmatrix}"},
               {gold, "[[1,2],[3,4]]"},
               {gold, "\\begin{pmatrix} 1 & 2 \\\\[1ex] 3 & 4 \\end{pmatrix}"},
               {gold, "\\begin{pmatrix} 1 & 2 \\cr 3 & 4 \\end{pmatrix}"},
               {gold, "\\begin{pmatrix} 1 & 3 \\\\ 2 & 4 \\end{pmatrix}^T"},
               {"-2", "\\begin{vmatrix} 1 & 2 \\\\ 3 & 4 \\end{vmatrix}"},
               {"ad-bc", "\\left|\\begin{array}{cc} a & b \\\\ c & d \\end{array}\\right|"},
               {"\\begin{pmatrix} 1+3t \\\\ 2+4t \\end{pmatrix}",
                "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}+t\\begin{pmatrix} 3 \\\\ 4 \\end{pmatrix}"},
               {"\\begin{pmatrix} 1 & 2 & 3 \\end{pmatrix}", "(1,2,3)"}});
  expect_different(
      {{gold, "2\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}"},
       {gold, "[[1,3],[2,4]]"},
       {"2", "\\begin{vmatrix} 1 & 2 \\\\ 3 & 4 \\end{vmatrix}"},
       {gold, "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}\\begin{pmatrix} 1 & 0 \\\\ 0 & 1 \\end{pmatrix}+1"}});
}

TEST(AccuracyReading, ListsOfWordsAndChoices) {
  expect_same({{"\\text{Bob and Alice}", "Alice, Bob"},
               {"\\text{A, C}", "AC"},
               {"\\text{A, C}", "\\text{C and A}"},
               {"B", "\\textbf{(B)}\\ 12"},
               {"B", "\\text{Option B}"},
               {"B", "(B) 12 apples"},
               {"B", "b"},
               {"\\textbf{(B)}", "B"},
               {"\\text{June 20}", "June 20th"},
               {"\\text{circle}", "a circle"}});
  expect_different({{"B", "(A) B"},
                    {"B", "(B) or (C)"},
                    {"B", "B+1"},
                    {"\\text{Bob and Alice}", "Bob"},
                    {"\\text{A, C}", "AD"},
                    {"\\text{A, C}", "ACD"}});
}

TEST(AccuracyReading, DifferencesTooSmallToCompute) {
  expect_different({{"7^{7^7}", "7^{7^7}+1"},
                    {"\\lfloor 10^{500}\\pi\\rfloor", "\\lfloor 10^{500}\\pi\\rfloor+1"},
                    {"2^{65536}-2^{65535}", "2^{65536}-2^{65535}+1"}});
  expect_same({{"7^{7^7}+1", "1+7^{7^7}"}});
}

TEST(AccuracyReading, DigitsPastThoseAskedFor) {
  expect_same({{"\\sqrt5", "2.236067978"}, {"\\frac13", "0.3333334"}});
  expect_different({{"\\frac13", "0.333334"}, {"\\sqrt5", "2.236067999"}, {"3", "3.0000001"}});
}

}  // namespace
}  // namespace cohort
