// Integrals, derivatives, limits, sums and products: read, compared by their parts, and evaluated where they have a
// value.
#include "tests/rewards/pairs.h"

namespace cohort {
namespace {

TEST(AccuracyCalculus, IntegralsByTheirParts) {
  expect_same({{"\\int u\\,du", "\\int u \\mathrm{d}u"},
               {"\\int_p^q t\\,dt", "\\int_{p}^{q} t dt"},
               {"\\int_p^q t\\,dt", "\\int^q_p t\\,dt"},
               {"\\int_p^q t\\,dt", "\\int_p^q s\\,ds"},
               {"\\int (t^2-s)\\,dt", "\\int (-s+t^2)\\,dt"},
               {"\\int t + s\\,dt", "\\int (s+t)\\,dt"},
               {"\\int \\frac{dw}{w}", "\\int w^{-1}\\,dw"},
               {"\\int \\frac{5\\,dw}{w}", "\\int \\frac{5}{w}\\,dw"},
               {"\\int dv", "\\int 1\\,dv"},
               {"\\int_{}^{} u\\,du", "\\int u\\,du"},
               {"\\int_0^1\\int_0^x g(x,y)\\,dy\\,dx", "\\int_0^{1} \\int_{0}^{x} g(x,y) dy dx"}});
  expect_different({{"\\int_p^q t\\,dt", "\\int_q^p t\\,dt"},
                    {"\\int_p^q t\\,dt", "\\int_p^q t^2\\,dt"},
                    {"\\int_p^q t\\,dt", "\\int_p^{q+1} t\\,dt"},
                    {"\\int t\\,dt", "\\int t\\,ds"},
                    {"\\int (t^2-s)\\,dt", "\\int (t^2+s)\\,dt"}});
}

TEST(AccuracyCalculus, IntegralsByTheirValue) {
  expect_same({{"\\int_0^2 x^2\\,dx", "\\frac83"},
               {"\\frac83", "\\int_0^2 x^2\\,dx"},
               {"\\int_{-1}^{2} x^3\\,dx", "\\frac{15}{4}"},
               {"\\int_0^{\\pi} \\sin x\\,dx", "2"},
               {"\\int_1^e \\frac{dx}{x}", "1"},
               {"\\int_0^1 \\frac{4}{1+x^2}\\,dx", "\\pi"},
               {"\\int_0^1 \\sqrt{x}\\,dx", "\\frac23"},
               {"\\int_0^{\\infty} e^{-x}\\,dx", "1"},
               {"\\int_{-\\infty}^{\\infty} \\frac{1}{1+x^2}\\,dx", "\\pi"},
               {"2\\int_0^1 x\\,dx + 1", "2"}});
  expect_different({{"\\int_0^2 x^2\\,dx", "\\frac73"},
                    {"\\int_0^{\\pi} \\sin x\\,dx", "2+10^{-15}"},
                    {"\\int_0^1 \\frac{4}{1+x^2}\\,dx", "\\frac{355}{113}"},
                    {"\\int_0^1 \\frac{1}{x}\\,dx", "1"},
                    {"\\int_0^{\\infty} \\sin x\\,dx", "1"},
                    {"\\int_0^{\\infty} x\\,dx", "0"}});
}

TEST(AccuracyCalculus, Derivatives) {
  expect_same({{"\\frac{d}{dx} x^3", "3x^2"},
               {"3x^2", "\\frac{d}{dx}\\left[x^3\\right]"},
               {"\\frac{d}{dx} \\tan x", "\\sec^2 x"},
               {"\\frac{d^2}{dx^2} x^3", "\\frac{d^{2}}{dx^{2}} x^{3}"},
               {"\\frac{\\partial}{\\partial x} (x^2 y)", "2xy"},
               {"\\frac{dy}{dx} = 2x", "2x"},
               {"f'(x)=2x", "f^{\\prime}(x) = 2x"},
               {"y''", "y^{\\prime\\prime}"}});
  expect_different({{"\\frac{d}{dx} x^3", "3x^3"},
                    {"\\frac{d}{dx} x^3", "x^2"},
                    {"\\frac{\\partial}{\\partial x} (x^2 y)", "x^2"},
                    {"\\frac{d^2}{dx^2} x^3", "3x^2"},
                    {"y''", "y'"}});
}

TEST(AccuracyCalculus, Limits) {
  expect_same({{"\\lim_{x\\to 0}\\frac{\\sin x}{x}", "1"},
               {"\\lim_{x \\rightarrow 0} \\frac{\\sin(x)}{x}", "1"},
               {"\\lim_{n\\to\\infty}\\left(1+\\frac1n\\right)^n", "e"},
               {"\\lim_{x\\to\\infty}\\frac{2x+1}{3x-5}", "\\frac23"},
               {"\\lim_{x\\to 2}\\frac{x^2-4}{x-2}", "4"},
               {"\\lim_{x\\to 0}\\frac{1-\\cos x}{x^2}", "\\frac12"},
               {"\\lim_{t\\to 3} w", "w"},
               {"\\lim_{t\\Rightarrow 3} g(t)", "\\lim_{t\\longrightarrow 3} g(t)"},
               {"\\lim_{t\\to 3^+} g(t)", "\\lim_{t\\to 3^{+}} g(t)"}});
  expect_different({{"\\lim_{x\\to 0}\\frac{\\sin x}{x}", "0"},
                    {"\\lim_{n\\to\\infty}\\left(1+\\frac1n\\right)^n", "2.71"},
                    {"\\lim_{x\\to\\infty} \\sin x", "0"},
                    {"\\lim_{x\\to 2}\\frac{x^2-4}{x-2}", "0"},
                    {"\\lim_{t\\to 3^+} \\frac{|t-3|}{t-3}", "\\lim_{t\\to 3^-} \\frac{|t-3|}{t-3}"},
                    {"\\lim_{t\\to 3} g(t)", "\\lim_{t\\to 4} g(t)"}});
}

TEST(AccuracyCalculus, SumsAndProducts) {
  expect_same({{"\\sum^{4}_{k=1} k", "10"},
               {"\\prod^n_{k=1} c", "\\prod_{j=1}^{n} c"},
               {"\\sum_{n=1}^{\\infty}\\frac{1}{n^2}", "\\frac{\\pi^2}{6}"},
               {"\\sum_{n=0}^{\\infty}\\frac{1}{n!}", "e"},
               {"\\sum_{n=1}^\\infty \\frac{1}{2^n}", "1"},
               {"\\sum_{n=1}^\\infty \\frac{(-1)^{n+1}}{n}", "\\ln 2"},
               {"F_n=\\sum_{k=0}^{n-1} F_k", "F_n=\\sum_{j=0}^{n-1} F_j"}});
  expect_different({{"\\sum^{4}_{k=1} k", "11"},
                    {"\\sum_{n=1}^{\\infty}\\frac{1}{n^2}", "\\frac{\\pi^2}{8}"},
                    {"\\sum_{n=1}^{\\infty}\\frac{1}{n^2}", "1.6449"},
                    {"\\sum_{k=1}^{3} F_k", "\\sum_{k=2}^{4} F_k"},
                    {"\\sum_{k=1}^{3} F_k", "3F_k"},
                    {"\\sum_{n=1}^{\\infty}\\frac{1}{n}", "1"},
                    {"F_n=\\sum_{k=0}^{n-1} F_k", "F_n=\\sum_{k=0}^{n-2} F_k"}});
}

}  // namespace
}  // namespace cohort
