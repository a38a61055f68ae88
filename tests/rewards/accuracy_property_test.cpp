// Properties: an expression equals its rewritten forms, a perturbed one does not. The expressions are generated from a
// fixed seed; a failure prints both sides.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "rewards/math/equal.h"
#include "rewards/math/parser.h"

namespace cohort::math {
namespace {

// A random expression of +, -, products, quotients, powers, radicals and functions, as LaTeX.
class Generator {
 public:
  Generator(uint64_t seed, bool symbols) : random_(seed), symbols_(symbols) {}

  size_t below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }

  std::string atom() {
    if (symbols_ && below(2) == 0) return std::string(1, "xyab"[below(4)]);
    return std::to_string(1 + below(12));
  }

  std::string expression(int depth) {
    if (depth == 0) return atom();
    const std::string a = expression(depth - 1), b = expression(depth - 1);
    switch (below(8)) {
      case 0: return "\\left(" + a + "\\right)+\\left(" + b + "\\right)";
      case 1: return "\\left(" + a + "\\right)-\\frac{" + b + "}{7}";
      case 2: return "\\left(" + a + "\\right)\\cdot\\left(" + b + "\\right)";
      case 3: return "\\frac{" + a + "}{3+\\left(" + b + "\\right)^2}";
      case 4: return "\\left(" + a + "\\right)^{2}+" + atom();
      case 5: return "\\sqrt{1+\\left(" + a + "\\right)^{2}}";
      case 6: return "\\sin\\left(" + a + "\\right)+" + atom();
      default: return "3\\left(" + a + "\\right)";
    }
  }

 private:
  std::mt19937_64 random_;
  bool symbols_;
};

std::vector<std::string> rewritten(const std::string& e, const std::string& other) {
  return {"(" + e + ")",
          "0+" + e,
          "(" + e + ")\\cdot 1",
          "\\frac{2(" + e + ")}{2}",
          "-(-(" + e + "))",
          "(" + e + ")+(" + other + ")-(" + other + ")",
          "\\frac{(" + e + ")(1+(" + other + ")^2)}{1+(" + other + ")^2}",
          "((" + e + ")^{3})^{1}/((" + e + ")^2)",
          "(" + e + ")(\\sin^2 5+\\cos^2 5)",
          "\\ln(e^{2})\\cdot\\frac{" + e + "}{\\sqrt{4}}"};
}

std::vector<std::string> perturbed(const std::string& e) {
  return {e + "+1", e + "+\\frac{1}{1000000007}", "2(" + e + ")+1", "(" + e + ")\\cdot\\frac{1001}{1000}+\\frac{1}{977}", e + "+10^{-25}", "(" + e + ")+i"};
}

bool same(const std::string& gold, const std::string& answer) {
  const auto a = parse(gold), b = parse(answer);
  return a && b && equal(*a, *b, {});
}

class AccuracyProperties : public ::testing::TestWithParam<int> {};

TEST_P(AccuracyProperties, RewrittenFormsAreEqualAndPerturbedOnesAreNot) {
  const bool symbols = GetParam() % 2 == 1;
  Generator generate(static_cast<uint64_t>(GetParam()), symbols);
  const std::string e = generate.expression(1 + GetParam() % 3), other = generate.expression(1);
  EXPECT_TRUE(same(e, e)) << e;
  for (const std::string& form : rewritten(e, other)) {
    EXPECT_TRUE(same(e, form)) << e << "   rewritten   " << form;
    EXPECT_TRUE(same(form, e)) << form << "   back   " << e;
  }
  for (const std::string& form : perturbed(e)) EXPECT_FALSE(same(e, form)) << e << "   perturbed   " << form;
}

INSTANTIATE_TEST_SUITE_P(Seeds, AccuracyProperties, ::testing::Range(0, 60));

TEST(AccuracyProperty, RationalsEqualTheirFormsAndNoneOther) {
  for (int top = -12; top <= 12; ++top) {
    for (int bottom = 1; bottom <= 12; ++bottom) {
      const std::string gold = "\\frac{" + std::to_string(top) + "}{" + std::to_string(bottom) + "}";
      EXPECT_TRUE(same(gold, std::to_string(top * 7) + "/" + std::to_string(bottom * 7))) << gold;
      EXPECT_TRUE(same(gold, std::to_string(top) + "\\cdot " + std::to_string(bottom) + "^{-1}")) << gold;
      EXPECT_FALSE(same(gold, std::to_string(top * 7 + 1) + "/" + std::to_string(bottom * 7))) << gold;
      EXPECT_FALSE(same(gold, std::to_string(top) + "/" + std::to_string(bottom) + "+10^{-60}")) << gold;
    }
  }
}

TEST(AccuracyProperty, EqualityIsSymmetricOnExactForms) {
  constexpr std::array<const char*, 12> kForms = {"1/2", "0.5", "\\sqrt{2}", "2^{1/2}", "x+1", "1+x", "\\{1,2\\}", "(1,2)", "x>1", "(1,\\infty)", "\\pi", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"};
  for (const char* a : kForms) {
    for (const char* b : kForms) EXPECT_EQ(same(a, b), same(b, a)) << a << "   " << b;
  }
}

// The verdict is a function of the two texts alone: the points drawn for free symbols do not vary from call to call.
TEST(AccuracyProperty, VerdictsRepeat) {
  Generator generate(99, true);
  for (int i = 0; i < 20; ++i) {
    const std::string a = generate.expression(2), b = generate.expression(2);
    EXPECT_EQ(same(a, b), same(a, b)) << a << "   " << b;
  }
}

}  // namespace
}  // namespace cohort::math
