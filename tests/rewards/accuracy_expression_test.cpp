// Mathematical equality on cases written by hand: expressions.
#include "tests/rewards/pairs.h"

namespace cohort {
namespace {

TEST(AccuracyExpressions, Polynomials) {
  expect_same({{"x^2+2x+1", "(x+1)^2"},
               {"x^2+2x+1", "1+2x+x^2"},
               {"(x-1)(x+1)", "x^2-1"},
               {"6x^2", "2x\\cdot 3x"},
               {"ab", "ba"},
               {"\\frac{x+1}{2}", "0.5x+0.5"},
               {"\\frac{x^2-1}{x-1}", "x+1"},
               {"x^{2}y", "yx^2"},
               {"2(a+b)", "2a+2b"},
               {"-x+1", "1-x"},
               {"\\frac{1}{x}", "x^{-1}"},
               {"x^3-1", "(x-1)(x^2+x+1)"},
               {"x^2+y^2", "(x+iy)(x-iy)"},
               {"\\theta^2", "\\theta\\theta"},
               {"x_1+x_2", "x_2+x_{1}"},
               {"3\\alpha", "α·3"},
               {"\\frac{2ab}{a^2+b^2}", "2ab/(a^2+b^2)"},
               {"x^2", "x**2"},
               {"2*x", "2x"},
               {"n(n+1)/2", "\\frac{n^2+n}{2}"},
               {"\\frac{\\pi r}{h+r}", "\\pi r/(h+r)"},
               {"p+q-r", "q-r+p"},
               {"4mnpq", "4qpnm"},
               {"abcd", "dcba"},
               {"12z^{16}(1+2z^{17})", "12z^{16}+24z^{33}"},
               {"\\binom{n}{2}", "\\frac{n(n-1)}{2}"},
               {"n!", "n(n-1)!"},
               {"(-1)^n", "\\cos(n\\pi)"},
               {"\\mathbf{i}+2\\mathbf{j}", "2\\hat{j}+\\hat{i}"},
               {"\\frac{2^{n+1}-2}{2}", "2^n-1"}});
  expect_different({{"x^2+2x+1", "x^2+2x+2"},
                    {"x^2", "x^3"},
                    {"x^2", "2x"},
                    {"a+b", "a-b"},
                    {"ab", "a+b"},
                    {"x", "y"},
                    {"x^2-1", "(x-1)^2"},
                    {"\\frac{x}{y}", "\\frac{y}{x}"},
                    {"x^2+2x+1", "(x+1)^2+10^{-12}"},
                    {"x_1", "x_2"},
                    {"|x|", "x"},
                    {"f(x)", "f(y)"},
                    {"2^n", "2^{n+1}"},
                    {"x", "1"},
                    {"x", "X"},
                    {"4mnpq", "4"},
                    {"2abcd", "2"}});
}

TEST(AccuracyExpressions, RadicalsAndPowers) {
  expect_same({{"2\\sqrt{3}", "\\sqrt{12}"},
               {"\\frac{1}{\\sqrt2}", "\\frac{\\sqrt2}{2}"},
               {"\\sqrt{1/n}", "1/\\sqrt{n}"},
               {"\\sqrt[3]{8}", "2"},
               {"\\sqrt[3]{-8}", "-2"},
               {"2^{1/2}", "\\sqrt2"},
               {"\\sqrt{3+2\\sqrt2}", "1+\\sqrt2"},
               {"\\sqrt[3]{2}", "2^{\\frac13}"},
               {"6x\\sqrt{x}", "\\sqrt{36x^3}"},
               {"\\frac{1}{1+\\sqrt2}", "\\sqrt2-1"},
               {"\\sqrt{2}\\sqrt{3}", "\\sqrt{6}"},
               {"sqrt(2)/2", "\\frac{\\sqrt{2}}{2}"},
               {"\\sqrt 2", "√2"},
               {"3\\sqrt{13}", "3\\sqrt13"},
               {"2^{10}", "1024"},
               {"8^{2/3}", "4"},
               {"a^{m+n}", "a^m a^n"},
               {"\\sqrt{x^2}", "|x|"},
               {"2^{3^2}", "512"},
               {"\\frac{5+\\sqrt{21}}{2}", "\\frac{\\sqrt{21}+5}{2}"}});
  expect_different({{"2\\sqrt3", "3\\sqrt2"},
                    {"\\sqrt2", "2"},
                    {"\\sqrt{12}", "\\sqrt{13}"},
                    {"\\sqrt[3]{2}", "\\sqrt{2}"},
                    {"\\sqrt{a+b}", "\\sqrt a+\\sqrt b"},
                    {"\\sqrt{2}", "-\\sqrt{2}"},
                    {"2^{3^2}", "64"},
                    {"\\sqrt{10^{40}+1}", "10^{20}"}});
  expect_different({{"x", "\\sqrt{x^2}"}}, "accuracy:domain=real");
  expect_same({{"x", "\\sqrt{x^2}"}}, "accuracy:domain=positive");
}

TEST(AccuracyExpressions, LogarithmsAndExponentials) {
  expect_same({{"\\ln 8", "3\\ln 2"},
               {"\\log_2 8", "3"},
               {"\\log_{2}{8}", "3"},
               {"e^{\\ln 5}", "5"},
               {"\\ln(ab)", "\\ln a+\\ln b"},
               {"e^x", "\\exp(x)"},
               {"\\log_3 5", "\\frac{\\ln 5}{\\ln 3}"},
               {"1-\\frac1e", "1-e^{-1}"},
               {"\\ln x^2", "2\\ln x"},
               {"\\lg 100", "2"},
               {"\\log_{10} 1000", "3"},
               {"-\\ln 2", "\\ln\\frac12"},
               {"\\cosh x", "\\frac{e^x+e^{-x}}{2}"}});
  expect_different({{"1-1/e", "1+1/e"},
                    {"\\ln 8", "\\ln 9"},
                    {"\\ln(a+b)", "\\ln a+\\ln b"},
                    {"e^x", "e^{-x}"},
                    {"\\log_2 8", "\\log_8 2"},
                    {"e^{2x}", "e^{x^2}"}});
}

TEST(AccuracyExpressions, Trigonometry) {
  expect_same({{"\\sin(90^\\circ - x)", "\\cos x"},
               {"\\sin^2 x+\\cos^2 x", "1"},
               {"\\sin 2x", "2\\sin x\\cos x"},
               {"\\tan x", "\\frac{\\sin x}{\\cos x}"},
               {"\\sin 30^\\circ", "\\frac12"},
               {"\\cos\\frac{\\pi}{3}", "0.5"},
               {"\\sec x", "1/\\cos x"},
               {"\\arcsin 1", "\\frac{\\pi}{2}"},
               {"\\sin^{-1} 1", "\\frac{\\pi}{2}"},
               {"\\arctan 1", "\\pi/4"},
               {"\\cos 2\\theta", "1-2\\sin^2\\theta"},
               {"\\sin(-x)", "-\\sin x"},
               {"\\cot x", "\\frac{1}{\\tan x}"},
               {"2\\cos 20^\\circ", "2 \\sin 70°"},
               {"\\sin x \\cos x", "\\cos(x)\\sin(x)"},
               {"\\tan\\frac{\\pi}{8}", "\\sqrt2-1"},
               {"\\cos 36^\\circ", "\\frac{1+\\sqrt5}{4}"},
               {"sin(x)", "\\sin x"},
               {"\\cos^2\\alpha", "(\\cos\\alpha)^2"}});
  expect_different({{"\\sin x", "\\cos x"},
                    {"\\sin 2x", "2\\sin x"},
                    {"\\sin 30^\\circ", "\\sin 30"},
                    {"\\tan x", "\\cot x"},
                    {"\\sin x", "-\\sin x"},
                    {"\\cos 36^\\circ", "0.81"},
                    {"\\sin^2 x", "\\sin x^2"}});
}

TEST(AccuracyExpressions, ComplexNumbers) {
  expect_same({{"i(2-i)", "1+2i"},
               {"1+2i", "2i+1"},
               {"\\frac{1}{i}", "-i"},
               {"i^2", "-1"},
               {"e^{i\\pi}", "-1"},
               {"|3+4i|", "5"},
               {"\\sqrt{-4}", "2i"},
               {"(1+i)^2", "2i"},
               {"\\frac{3}{5}+\\frac{4}{5}i", "0.6+0.8i"},
               {"-1+i\\sqrt3", "-1+\\sqrt{3}i"},
               {"3+2i, 3-2i", "3-2i, 3+2i"},
               {"e^{i\\theta}", "\\cos\\theta+i\\sin\\theta"}});
  expect_different({{"1+2i", "1-2i"}, {"1+2i", "2+i"}, {"i", "-i"}, {"\\sqrt{-4}", "2"}, {"5", "5i"}});
}

TEST(AccuracyExpressions, BeyondComputing) {
  expect_same({{"9^{9^{9^9}}", "9^{9^{9^{9}}}"},
               {"(10^9)!", "(10^9)!"},
               {"\\infty", "∞"},
               {"-\\infty", "-\\infty"},
               {"+\\infty", "\\infty"}});
  expect_different({{"9^{9^{9^9}}", "8^{9^{9^9}}"},
                    {"(10^9)!", "(10^9+1)!"},
                    {"\\infty", "-\\infty"},
                    {"\\infty", "10^{100}"},
                    {"0", "\\infty"},
                    {"0", "(10^{-300000})^{1000000}"},
                    {"(10^{-300000})^{1000000}", "0"}});
}

}  // namespace
}  // namespace cohort
