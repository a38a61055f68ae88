// Mathematical equality on cases written by hand, family by family: pairs that are the same and pairs that are not.
#include <gtest/gtest.h>

#include "tests/rewards/judging.h"

namespace cohort {
namespace {

struct Pair {
  const char* gold;
  const char* answer;
};

// Judges `answer` boxed against `gold`, under the options of `reward`.
Status judge(const Pair& pair, const std::string& reward = "accuracy") {
  return score_of(reward, pair.gold, std::string("so $\\boxed{") + pair.answer + "}$.").status;
}

void expect_same(std::initializer_list<Pair> pairs, const std::string& reward = "accuracy") {
  for (const Pair& pair : pairs) EXPECT_EQ(judge(pair, reward), Status::correct) << pair.gold << "   answered   " << pair.answer;
}

void expect_different(std::initializer_list<Pair> pairs, const std::string& reward = "accuracy") {
  for (const Pair& pair : pairs) {
    const Status status = judge(pair, reward);
    EXPECT_TRUE(status == Status::wrong || status == Status::unparsable) << pair.gold << "   answered   " << pair.answer << "   " << to_string(status);
  }
}

TEST(AccuracyNumbers, FormsOfOneNumber) {
  expect_same({{"1000", "1,000"}, {"1000", "1 000"}, {"1000", "1{,}000"}, {"2.5", "2{,}5"}, {"7", "\\max\\{3, 7\\}"}, {"1000", "1,\\!000"}, {"1234567", "1,234,567"}, {"1000", "1\\,000"}, {"1000", "1000.0"},
               {"0.5", ".5"}, {"100000", "1e5"}, {"0.002", "2e-3"}, {"300000000", "3\\times 10^8"}, {"300000000", "3 \\cdot 10^{8}"}, {"0.0025", "2.5\\times10^{-3}"},
               {"-3", "-3"}, {"-3", "−3"}, {"3", "+3"}, {"7", "7."}, {"7", "07"}, {"12", "１２"}, {"\\frac{3}{4}", "3/4"}, {"\\frac{3}{4}", "\\dfrac34"},
               {"\\frac{3}{4}", "\\frac{6}{8}"}, {"\\frac{3}{4}", "0.75"}, {"0.75", "\\tfrac{3}{4}"}, {"-\\frac{1}{2}", "\\frac{-1}{2}"}, {"-\\frac{1}{2}", "-1/2"},
               {"-\\frac{1}{2}", "\\frac{1}{-2}"}, {"3", "6/2"}, {"\\frac{1}{2}", "½"}, {"1.5", "1½"}, {"1.5", "1\\frac12"}, {"1.5", "1 1/2"}, {"1.5", "1\\frac{1}{2}"},
               {"\\frac{3}{2}", "1 \\frac{1}{2}"}, {"-1.5", "-1\\frac12"}, {"-\\frac{7}{4}", "-1 3/4"}, {"2", "\\sqrt{4}"}, {"8", "2^3"}, {"0.125", "2^{-3}"}, {"120", "5!"},
               {"10", "\\binom{5}{2}"}, {"10", "{5 \\choose 2}"}, {"3", "|{-3}|"}, {"3", "\\lfloor \\pi \\rfloor"}, {"4", "\\lceil \\pi \\rceil"}, {"6", "\\gcd(12, 18)"},
               {"36", "\\operatorname{lcm}(12, 18)"}, {"2", "17 \\bmod 5"}, {"7", "\\max(3, 7)"}, {"3", "\\min(3, 7)"}, {"15", "\\sum_{k=1}^{5} k"}, {"120", "\\prod_{k=1}^{5} k"},
               {"55", "\\sum_{k=1}^{5} k^2"}, {"3", "three"}, {"12", "twelve"}, {"2000000", "2 \\text{ million}"}, {"2000000", "2 million"}, {"1500", "1.5 thousand"},
               {"0", "-0"}, {"4", "\\left(2\\right)^2"}, {"5", "{5}"}, {"5", "(5)"}, {"5", "5.00"}, {"1/3", "\\frac13"}, {"\\frac{10}{3}", "3\\frac{1}{3}"}});
}

TEST(AccuracyNumbers, DifferentNumbers) {
  expect_different({{"1000", "100"}, {"1000", "10000"}, {"25", "2500"}, {"25", "0.25"}, {"0.5", "50"}, {"3", "-3"}, {"12", "1"}, {"12", "2"}, {"12", "123"}, {"1.5", "1/2"}, {"11", "1 1"},
                    {"5", "5x"}, {"1/2004!", "1/2006!"}, {"2^{-99}", "2^{-98}"}, {"1/2^{99}", "0"}, {"4", "4\\sqrt{2}"}, {"\\frac{1}{2}", "\\frac{1}{3}"}, {"10^{50}", "10^{50}+1"},
                    {"2^{2000}", "2^{2001}"}, {"5!", "6!"}, {"(10^9)!", "5"}, {"3", "3 or 4"}, {"2", "1, 2 or 3"}, {"2", "1, 2, 3"}, {"7", "7, 8"}, {"100", "99.9999"}, {"42", "42.0000001"},
                    {"1", "0.999999"}, {"18", "\\text{eighteen or so}"}, {"5", "not 5"}, {"5", "x^2=5"}, {"5", "2+2=5"}, {"4", "x^2=4"}, {"0", "0.0000001"}, {"1", "\\frac{1}{0}"}});
}

TEST(AccuracyNumbers, RepeatingDecimalsAndBases) {
  expect_same({{"\\frac{1}{3}", "0.\\overline{3}"}, {"\\frac{1}{6}", "0.1\\overline{6}"}, {"\\frac{1}{7}", "0.\\overline{142857}"}, {"1/3", "0.333..."}, {"2/3", "0.666\\ldots"},
               {"0.\\overline{12}", "\\frac{4}{33}"}, {"0.\\overline{3}", "0.\\dot{3}"}, {"11", "1011_2"}, {"1011_2", "1011_{2}"}, {"2516_8", "2516_{8}"}, {"A1_{16}", "161"}, {"1/3", "0.(3)"}, {"1/6", "0.1(6)"},
               {"\\text{A1}_{16}", "A1_{16}"}, {"4210_{5}", "4210_5"}});
  expect_different({{"\\frac{1}{3}", "0.\\overline{33}4"}, {"\\frac{1}{3}", "0.3"}, {"1011_2", "1011_3"}, {"1011_2", "1001_2"}});
}

TEST(AccuracyNumbers, RoundedAnswers) {
  expect_same({{"\\frac{1}{3}", "0.333333"}, {"\\frac{2}{3}", "0.666667"}, {"\\frac{2}{3}", "0.666666"}, {"\\pi", "3.14159"}, {"\\sqrt{2}", "1.41421"}, {"3.14", "\\pi"}, {"3.14", "3.14159"},
               {"1.41", "\\sqrt{2}"}, {"0.333", "1/3"}, {"12.57", "4\\pi"}, {"0.3", "0.30000000000000004"}, {"2.50", "2.5"}});
  expect_different({{"\\frac{1}{3}", "0.33"}, {"\\frac{1}{3}", "0.3333"}, {"\\frac{1}{3}", "0.333334"}, {"\\pi", "3.14"}, {"\\pi", "22/7"}, {"3.14", "3.2"}, {"3.14", "3.15"}, {"3.14", "3.1"},
                    {"\\sqrt{2}", "1.414"}, {"2.5", "2.6"}, {"0.333", "0.3"}});
  expect_same({{"\\frac{1}{3}", "0.3333"}}, "accuracy:digits=4");
  expect_same({{"100", "99"}, {"\\pi", "3.14"}}, "accuracy:tolerance=0.01");
  expect_different({{"100", "98"}}, "accuracy:tolerance=0.01");
}

TEST(AccuracyNumbers, PercentCurrencyDegreesUnits) {
  expect_same({{"25\\%", "25"}, {"25\\%", "25\\%"}, {"25", "25\\%"}, {"25\\%", "0.25"}, {"\\$18", "18"}, {"18", "\\$18"}, {"18", "18 \\text{ dollars}"}, {"18", "€18"}, {"1000", "\\$1{,}000.00"},
               {"90", "90^\\circ"}, {"90^\\circ", "90"}, {"90", "90°"}, {"90^\\circ", "90 degrees"}, {"90^\\circ", "\\frac{\\pi}{2}"}, {"10", "10 weeks"}, {"10", "10\\text{ weeks}"},
               {"5\\text{ cm}", "5"}, {"5", "5 cm"}, {"5", "5\\,\\mathrm{cm}"}, {"12", "12\\text{ cm}^2"}, {"12", "12 square units"}, {"60", "60\\text{ miles per hour}"}, {"60", "60 km/h"},
               {"9.8", "9.8\\ \\text{m/s}^2"}, {"5", "5 m"}, {"24", "24元"}, {"24", "24个"}, {"3", "3\\mbox{ inches}"}, {"10", "10 apples"}, {"1/2", "\\frac12 \\text{ hour}"},
               {"1 + 2\\sqrt{3}", "1+2\\sqrt3\\text{ feet}"}, {"50\\%", "\\frac12"}, {"3", "3rd"}, {"12", "12\\text{th}"}, {"180^\\circ - x", "180 - x"}, {"12", "\\text{The answer is } 12"}, {"12", "\\text{Answer: } 12"}});
  expect_different({{"25\\%", "2500"}, {"25\\%", "0.0025"}, {"18", "\\$1.8"}, {"90", "9^\\circ"}, {"10", "5 weeks"}, {"5", "5x \\text{ cm}"}});
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
  expect_same({{"2:3", "2:3"}, {"2:3", "2/3"}, {"2:3", "4:6"}, {"1:2:3", "1 : 2 : 3"}, {"\\text{4:30 PM}", "4:30 PM"}, {"4:30", "4:30"}});
  expect_different({{"2:3", "3:2"}, {"4:30", "2:15"}, {"\\text{4:30 PM}", "5:30 PM"}, {"1:2:3", "1:3:2"}});
}

TEST(AccuracyStructures, TuplesAndIntervals) {
  expect_same({{"(1,2)", "(1, 2)"}, {"(1,2)", "\\left(1,2\\right)"}, {"\\left(\\frac12, -3\\right)", "(0.5,-3)"}, {"(1,2,3)", "\\langle 1,2,3\\rangle"}, {"[0,1)", "[0, 1)"}, {"(-\\infty, 5]", "(-∞, 5]"},
               {"(1,2)", "1, 2"}, {"(3, \\frac{\\pi}{2})", "\\left( 3, \\frac{\\pi}{2} \\right)"}, {"(3,5)", "x=3, y=5"}, {"(3,5)", "(x,y)=(3,5)"}});
  expect_different({{"(1,2)", "(2,1)"}, {"(1,2)", "[1,2]"}, {"[0,1)", "[0,1]"}, {"[0,1)", "(0,1]"}, {"(1,2)", "(1,2,3)"}, {"(1,2)", "(1,3)"}, {"(1,2)", "1"}, {"(1,2)", "\\{1,2\\}"}, {"(-\\infty,5]", "(\\infty,5]"}});
}

TEST(AccuracyStructures, ListsAndSets) {
  expect_same({{"1,2", "2,1"}, {"1,2", "1 \\text{ and } 2"}, {"1,2", "1 or 2"}, {"1, -2", "\\{-2, 1\\}"}, {"\\{1,2,3\\}", "\\{3,2,1\\}"}, {"\\{1,2\\}", "\\{1,1,2\\}"}, {"\\{1,2\\}", "1, 2"},
               {"1 \\pm \\sqrt 2", "1+\\sqrt2, 1-\\sqrt2"}, {"\\pm 3", "3, -3"}, {"\\pm 3", "-3 \\text{ or } 3"}, {"-1, \\frac12", "0.5; -1"}, {"\\emptyset", "\\varnothing"}, {"\\emptyset", "\\{\\}"},
               {"\\{1\\pm\\sqrt{5},-2\\}", "\\{-2, 1+\\sqrt5, 1-\\sqrt5\\}"}, {"1,2,3", "1, 2, \\text{ and } 3"}, {"5", "\\{5\\}"}, {"\\mathbb{R}", "(-\\infty, \\infty)"}, {"1,2", "x=1, x=2"},
               {"x=1 \\text{ or } x=2", "1, 2"}, {"1,2", "x = 1 \\text{ or } x = 2"}, {"1,2", "x_1 = 1, x_2 = 2"}, {"0, 1", "x=0, 1"}, {"3", "3, 3"}, {"1,2", "[1, 2]"}});
  expect_different({{"1,2", "1"}, {"1,2", "1,2,3"}, {"1,1,2", "1,2,2"}, {"\\{1,2\\}", "\\{1,3\\}"}, {"\\pm 3", "3"}, {"3", "\\pm 3"}, {"\\emptyset", "0"}, {"1 \\pm \\sqrt2", "1+\\sqrt2"}, {"\\emptyset", "\\{0\\}"}});
  expect_different({{"1,2", "2,1"}}, "accuracy:list_order=same");
  expect_different({{"\\{1,2\\}", "1, 2"}, {"(1,2)", "1, 2"}, {"5", "\\{5\\}"}}, "accuracy:brackets=strict");
}

TEST(AccuracyStructures, SetsOfReals) {
  expect_same({{"(-\\infty,2)\\cup(2,\\infty)", "\\mathbb{R}\\setminus\\{2\\}"}, {"(-\\infty,2)\\cup(2,\\infty)", "(2,\\infty) \\cup (-\\infty,2)"}, {"(-\\infty,2)\\cup(2,\\infty)", "x \\ne 2"},
               {"(0,3]", "(0,1]\\cup[1,3]"}, {"(2,\\infty)", "x > 2"}, {"x>2", "(2, \\infty)"}, {"x>2", "2<x"}, {"[1,3)", "1 \\le x < 3"}, {"1 \\le x < 3", "x \\in [1,3)"}, {"[1,3)", "x\\in[1,3)"},
               {"[1,3)", "\\{x \\mid 1 \\le x < 3\\}"}, {"[1,3)", "\\{x \\in \\mathbb{R} : 1 \\le x < 3\\}"}, {"(-\\infty,-1)\\cup(1,\\infty)", "x<-1 \\text{ or } x>1"}, {"(1,2)", "x>1 \\text{ and } x<2"},
               {"[-2,2]", "-2\\leq x\\leq 2"}, {"(\\sqrt{2}, 2)", "(2^{1/2}, \\sqrt 4)"}, {"\\mathbb{R}", "(-\\infty,0]\\cup(0,\\infty)"}, {"[0,2]\\cap[1,3]", "[1,2]"}, {"\\{1\\}\\cup(1,2)", "[1,2)"},
               {"x \\in [-2,7]", "[-2,7]"}, {"(-1,0)\\cup(0,1)", "-1<x<1, x \\ne 0"}, {"(-\\infty,-1)\\cup(1,\\infty)", "x<-1, x>1"},
               {"\\mathbb{R}", "\\text{all real numbers}"}, {"\\mathbb{R}", "-\\infty < x < \\infty"}, {"\\mathbb{R}", "x \\in \\mathbb{R}"}});
  expect_different({{"(2,\\infty)", "x \\ge 2"}, {"(2,\\infty)", "x<2"}, {"(-\\infty,2)\\cup(2,\\infty)", "\\mathbb{R}"}, {"(-\\infty,2)\\cup(2,\\infty)", "(-\\infty,2)"}, {"[1,3)", "1 < x < 3"},
                    {"(0,3]", "(0,1)\\cup(1,3]"}, {"(-\\infty,-1)\\cup(1,\\infty)", "x<-1 \\text{ and } x>1"}, {"(2,\\infty)", "y > 3"}});
}

TEST(AccuracyStructures, EquationsAndAssignments) {
  expect_same({{"x=5", "5"}, {"5", "x=5"}, {"5", "x = 5"}, {"y=2x+1", "2x+1"}, {"y=2x+1", "y = 1 + 2x"}, {"2x+1", "y=2x+1"}, {"2x+1", "f(x)=2x+1"}, {"y=2x+1", "f(x)=2x+1"}, {"y=2x+1", "2x-y+1=0"},
               {"3x-y+13=0", "y=3x+13"}, {"x^2+y^2=1", "y^2=1-x^2"}, {"x^2+y^2=4", "2x^2+2y^2-8=0"}, {"x=\\frac12", "\\frac{1}{2} = x"}, {"8", "5+3=8"}, {"8", "5+3 = 4 \\cdot 2 = 8"}, {"AB=5", "5"},
               {"x+2y=7", "2y = 7 - x"}, {"x+y \\le 3", "3 \\ge x+y"}, {"x+y<3", "2x+2y<6"}, {"-x+1<0", "x-1>0"}, {"\\text{Area} = 12", "12"}, {"7/8 \\approx 0.875", "7/8"}, {"x=1,y=2", "y=2,x=1"},
               {"x=3", "x = 6/2 = 3"}, {"0.875", "\\frac78 \\approx 0.875"}, {"y = \\frac{x}{2}", "x = 2y"}, {"x=1, y=2", "\\begin{cases} x = 1 \\\\ y = 2 \\end{cases}"}, {"x=1, y=2", "\\begin{aligned} x &= 1 \\\\ y &= 2 \\end{aligned}"},
               {"12", "x+y=12"}, {"3/4", "\\frac{a}{b} = \\frac34"}, {"2x", "\\frac{dy}{dx} = 2x"}, {"40^\\circ", "m\\angle A = 40^\\circ"}, {"x=1,y=2", "(1,2)"}, {"(x,y)=(1,2)", "x=1, y=2"},
               {"\\frac{9}{4}", "\\frac94 \\text{ or } 2.25"}});
  expect_different({{"x=5", "6"}, {"5", "x=6"}, {"3x-y+13=0", "3x+4y+14=0"}, {"y=2x+1", "y=2x"}, {"x^2+y^2=1", "x^2+y^2=2"}, {"x=5", "y=5"}, {"x+y<3", "x+y>3"}, {"x+y<3", "x+y \\le 3"}, {"x+y=3", "x+y<3"},
                    {"y=2x+1", "2x+1=0"}, {"5", "x^2 = 5"}, {"x^2=4", "4"}, {"x=1,y=2", "x=2,y=1"}});
  expect_same({{"x=5", "y=5"}}, "accuracy:strict_names=false");
}

TEST(AccuracyStructures, Matrices) {
  const char* gold = "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}";
  expect_same({{gold, "\\begin{bmatrix}1&2\\\\3&4\\end{bmatrix}"}, {gold, "\\left[\\begin{array}{cc}1&2\\\\3&4\\end{array}\\right]"}, {gold, "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\\\ \\end{pmatrix}"},
               {gold, "\\begin{pmatrix} 2/2 & \\sqrt4 \\\\ 3 & 2^2 \\end{pmatrix}"}, {"\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "(1,2)"}, {"(1,2)", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}"}});
  expect_different({{gold, "\\begin{pmatrix} 1 & 2 \\\\ 3 & 5 \\end{pmatrix}"}, {gold, "\\begin{pmatrix} 1 & 3 \\\\ 2 & 4 \\end{pmatrix}"}, {gold, "\\begin{pmatrix} 1 & 2 \\end{pmatrix}"}, {gold, "10"},
                    {"\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 1 & 2 \\end{pmatrix}"}});
}

TEST(AccuracyStructures, Words) {
  expect_same({{"\\text{Evelyn}", "Evelyn"}, {"Evelyn", "\\text{Evelyn}"}, {"\\text{(A)}", "A"}, {"A", "\\text{(A)}"}, {"C", "(C)"}, {"\\text{east}", "East"}, {"\\text{June 20}", "June 20"}, {"\\text{neither}", "\\textbf{neither}"},
               {"\\text{odd}", "odd"}, {"\\text{Yes}", "yes"}, {"\\text{Navin}", "\\mathrm{Navin}"}, {"\\text{B, E, G}", "B,E,G"}, {"B", "B) 12"}, {"\\text{square}", "square."}, {"\\mbox{four}", "4"}, {"\\text{A, C}", "\\text{C, A}"}});
  expect_different({{"\\text{Evelyn}", "Devon"}, {"A", "B"}, {"\\text{odd}", "even"}, {"\\text{Evelyn}", "nylevE"}, {"\\text{ACF}", "\\text{ACD}"}, {"\\text{Yes}", "No"}, {"\\text{east}", "5"}, {"5", "\\text{east}"}, {"B", "A) B"}});
}

TEST(AccuracyExpressions, Polynomials) {
  expect_same({{"x^2+2x+1", "(x+1)^2"}, {"x^2+2x+1", "1+2x+x^2"}, {"(x-1)(x+1)", "x^2-1"}, {"6x^2", "2x\\cdot 3x"}, {"ab", "ba"}, {"\\frac{x+1}{2}", "0.5x+0.5"}, {"\\frac{x^2-1}{x-1}", "x+1"}, {"x^{2}y", "yx^2"},
               {"2(a+b)", "2a+2b"}, {"-x+1", "1-x"}, {"\\frac{1}{x}", "x^{-1}"}, {"x^3-1", "(x-1)(x^2+x+1)"}, {"x^2+y^2", "(x+iy)(x-iy)"}, {"\\theta^2", "\\theta\\theta"}, {"x_1+x_2", "x_2+x_{1}"}, {"3\\alpha", "α·3"},
               {"\\frac{2ab}{a^2+b^2}", "2ab/(a^2+b^2)"}, {"x^2", "x**2"}, {"2*x", "2x"}, {"n(n+1)/2", "\\frac{n^2+n}{2}"}, {"\\frac{\\pi r}{h+r}", "\\pi r/(h+r)"}, {"p+q-r", "q-r+p"}, {"4mnpq", "4qpnm"}, {"abcd", "dcba"}, {"12z^{16}(1+2z^{17})", "12z^{16}+24z^{33}"}, {"\\binom{n}{2}", "\\frac{n(n-1)}{2}"}, {"n!", "n(n-1)!"},
               {"(-1)^n", "\\cos(n\\pi)"}, {"\\mathbf{i}+2\\mathbf{j}", "2\\hat{j}+\\hat{i}"}, {"\\frac{2^{n+1}-2}{2}", "2^n-1"}});
  expect_different({{"x^2+2x+1", "x^2+2x+2"}, {"x^2", "x^3"}, {"x^2", "2x"}, {"a+b", "a-b"}, {"ab", "a+b"}, {"x", "y"}, {"x^2-1", "(x-1)^2"}, {"\\frac{x}{y}", "\\frac{y}{x}"}, {"x^2+2x+1", "(x+1)^2+10^{-12}"}, {"x_1", "x_2"},
                    {"|x|", "x"}, {"f(x)", "f(y)"}, {"2^n", "2^{n+1}"}, {"x", "1"}, {"x", "X"}, {"4mnpq", "4"}, {"2abcd", "2"}});
}

TEST(AccuracyExpressions, RadicalsAndPowers) {
  expect_same({{"2\\sqrt{3}", "\\sqrt{12}"}, {"\\frac{1}{\\sqrt2}", "\\frac{\\sqrt2}{2}"}, {"\\sqrt{1/n}", "1/\\sqrt{n}"}, {"\\sqrt[3]{8}", "2"}, {"\\sqrt[3]{-8}", "-2"}, {"2^{1/2}", "\\sqrt2"}, {"\\sqrt{3+2\\sqrt2}", "1+\\sqrt2"},
               {"\\sqrt[3]{2}", "2^{\\frac13}"}, {"6x\\sqrt{x}", "\\sqrt{36x^3}"}, {"\\frac{1}{1+\\sqrt2}", "\\sqrt2-1"}, {"\\sqrt{2}\\sqrt{3}", "\\sqrt{6}"}, {"sqrt(2)/2", "\\frac{\\sqrt{2}}{2}"}, {"\\sqrt 2", "√2"}, {"3\\sqrt{13}", "3\\sqrt13"},
               {"2^{10}", "1024"}, {"8^{2/3}", "4"}, {"a^{m+n}", "a^m a^n"}, {"\\sqrt{x^2}", "|x|"}, {"2^{3^2}", "512"}, {"\\frac{5+\\sqrt{21}}{2}", "\\frac{\\sqrt{21}+5}{2}"}});
  expect_different({{"2\\sqrt3", "3\\sqrt2"}, {"\\sqrt2", "2"}, {"\\sqrt{12}", "\\sqrt{13}"}, {"\\sqrt[3]{2}", "\\sqrt{2}"}, {"\\sqrt{a+b}", "\\sqrt a+\\sqrt b"}, {"\\sqrt{2}", "-\\sqrt{2}"}, {"2^{3^2}", "64"}, {"\\sqrt{10^{40}+1}", "10^{20}"}});
  expect_different({{"x", "\\sqrt{x^2}"}}, "accuracy:domain=real");
  expect_same({{"x", "\\sqrt{x^2}"}}, "accuracy:domain=positive");
}

TEST(AccuracyExpressions, LogarithmsAndExponentials) {
  expect_same({{"\\ln 8", "3\\ln 2"}, {"\\log_2 8", "3"}, {"\\log_{2}{8}", "3"}, {"e^{\\ln 5}", "5"}, {"\\ln(ab)", "\\ln a+\\ln b"}, {"e^x", "\\exp(x)"}, {"\\log_3 5", "\\frac{\\ln 5}{\\ln 3}"}, {"1-\\frac1e", "1-e^{-1}"}, {"\\ln x^2", "2\\ln x"},
               {"\\lg 100", "2"}, {"\\log_{10} 1000", "3"}, {"-\\ln 2", "\\ln\\frac12"}, {"\\cosh x", "\\frac{e^x+e^{-x}}{2}"}});
  expect_different({{"1-1/e", "1+1/e"}, {"\\ln 8", "\\ln 9"}, {"\\ln(a+b)", "\\ln a+\\ln b"}, {"e^x", "e^{-x}"}, {"\\log_2 8", "\\log_8 2"}, {"e^{2x}", "e^{x^2}"}});
}

TEST(AccuracyExpressions, Trigonometry) {
  expect_same({{"\\sin(90^\\circ - x)", "\\cos x"}, {"\\sin^2 x+\\cos^2 x", "1"}, {"\\sin 2x", "2\\sin x\\cos x"}, {"\\tan x", "\\frac{\\sin x}{\\cos x}"}, {"\\sin 30^\\circ", "\\frac12"}, {"\\cos\\frac{\\pi}{3}", "0.5"}, {"\\sec x", "1/\\cos x"},
               {"\\arcsin 1", "\\frac{\\pi}{2}"}, {"\\sin^{-1} 1", "\\frac{\\pi}{2}"}, {"\\arctan 1", "\\pi/4"}, {"\\cos 2\\theta", "1-2\\sin^2\\theta"}, {"\\sin(-x)", "-\\sin x"}, {"\\cot x", "\\frac{1}{\\tan x}"}, {"2\\cos 20^\\circ", "2 \\sin 70°"},
               {"\\sin x \\cos x", "\\cos(x)\\sin(x)"}, {"\\tan\\frac{\\pi}{8}", "\\sqrt2-1"}, {"\\cos 36^\\circ", "\\frac{1+\\sqrt5}{4}"}, {"sin(x)", "\\sin x"}, {"\\cos^2\\alpha", "(\\cos\\alpha)^2"}});
  expect_different({{"\\sin x", "\\cos x"}, {"\\sin 2x", "2\\sin x"}, {"\\sin 30^\\circ", "\\sin 30"}, {"\\tan x", "\\cot x"}, {"\\sin x", "-\\sin x"}, {"\\cos 36^\\circ", "0.81"}, {"\\sin^2 x", "\\sin x^2"}});
}

TEST(AccuracyExpressions, ComplexNumbers) {
  expect_same({{"i(2-i)", "1+2i"}, {"1+2i", "2i+1"}, {"\\frac{1}{i}", "-i"}, {"i^2", "-1"}, {"e^{i\\pi}", "-1"}, {"|3+4i|", "5"}, {"\\sqrt{-4}", "2i"}, {"(1+i)^2", "2i"}, {"\\frac{3}{5}+\\frac{4}{5}i", "0.6+0.8i"}, {"-1+i\\sqrt3", "-1+\\sqrt{3}i"},
               {"3+2i, 3-2i", "3-2i, 3+2i"}, {"e^{i\\theta}", "\\cos\\theta+i\\sin\\theta"}});
  expect_different({{"1+2i", "1-2i"}, {"1+2i", "2+i"}, {"i", "-i"}, {"\\sqrt{-4}", "2"}, {"5", "5i"}});
}

TEST(AccuracyExpressions, BeyondComputing) {
  expect_same({{"9^{9^{9^9}}", "9^{9^{9^{9}}}"}, {"(10^9)!", "(10^9)!"}, {"\\infty", "∞"}, {"-\\infty", "-\\infty"}, {"+\\infty", "\\infty"}});
  expect_different({{"9^{9^{9^9}}", "8^{9^{9^9}}"}, {"(10^9)!", "(10^9+1)!"}, {"\\infty", "-\\infty"}, {"\\infty", "10^{100}"}, {"0", "\\infty"}, {"0", "(10^{-300000})^{1000000}"}, {"(10^{-300000})^{1000000}", "0"}});
}

Status extracted(const char* gold, const char* completion, const char* reward = "accuracy") { return score_of(reward, gold, completion).status; }

TEST(AccuracyExtraction, WhereAnAnswerStands) {
  for (const char* text : {"\\boxed{12}", "$$\\boxed{12}$$", "first \\boxed{11} no, \\boxed{12}", "\\fbox{12}", "\\boxed 12", "\\boxed{\\text{12}}", "The final answer is 12.", "Final Answer: The final answer is $12$. I hope it is correct.",
                           "the answer is **12**", "Answer: 12", "**Answer:** 12", "**Answer: 12**", "Answer:\n12", "ANSWER: $12$", "So 5+7=12\n#### 12", "#### 12 apples", "<answer>12</answer>", "<answer>\\boxed{12}</answer>",
                           "<answer>The answer is 12.</answer>", "<think>13</think>12", "<think>\\boxed{13}</think> \\boxed{12}", "<think>a</think><answer> 12 </answer>", "Hence\nA: 12", "Thus the total is\n**12**", "12", "$12$", "So $x+y = 12$.",
                           "We get \\[ 12 \\]", "We get \\(12\\) in all", "答案是12。", "答案：12", "The answer is: 12", "The correct answer is 12 dollars.", "The answer is x = 12.", "Thus the answer is \\(12\\).", "The answer is $\\boxed{12}$ dollars",
                           "\\boxed{12}\\text{ apples}", "x</think>\nThe answer is 12", "The answer is 12, since 5 + 7 is that. The answer is 12.", "\\[\\boxed{12}\\]\n</answer>", "The answer is that she has 12 apples left.",
                           "The answer is 12 (a dozen).", "The answer is 12, which is 5 + 7.", "The answer is 12 because 5+7=12.", "The answer is therefore 12."}) {
    EXPECT_EQ(extracted("12", text), Status::correct) << text;
  }
}

TEST(AccuracyExtraction, WhatIsNoAnswer) {
  for (const char* text : {"", "She has 12 apples left.", "<think>12", "<think>\\boxed{12}", "<think>\\boxed{12}</think> unknown", "\\boxed{}", "\\boxed{11}, so not 12", "\\boxed{11} and \\boxed{12}", "\\boxed{11, 12}", "The answer is 11 or 12.",
                           "<answer>11</answer><answer>13</answer>", "<answer></answer>", "The answer is 12. No, the answer is 13.", "<answer>12 or 13</answer>", "The answer is between 12 and 13", "maybe 12, 13, 14, 15", "The answer is not 12"}) {
    EXPECT_NE(extracted("12", text), Status::correct) << text;
  }
}

TEST(AccuracyExtraction, SeveralBoxesSideBySide) {
  EXPECT_EQ(extracted("1,2", "\\boxed{1} and \\boxed{2}"), Status::correct);
  EXPECT_EQ(extracted("1,2", "$\\boxed{1}$, $\\boxed{2}$"), Status::correct);
  EXPECT_EQ(extracted("2", "First \\boxed{1}. Then we go on and find another value, \\boxed{2}."), Status::correct);
  EXPECT_EQ(extracted("x^2", "$$\\boxed{x^{2}}$$"), Status::correct);
}

TEST(AccuracyExtraction, OptionsOpenOtherDoors) {
  EXPECT_EQ(extracted("12", "She has 12 apples left.", "accuracy:last_number=true"), Status::correct);
  EXPECT_EQ(extracted("12", "She has 12 of 13 apples.", "accuracy:last_number=true"), Status::wrong);
  EXPECT_EQ(extracted("12", "<think>\\boxed{12}", "accuracy:after_think=false"), Status::correct);
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

}  // namespace
}  // namespace cohort
