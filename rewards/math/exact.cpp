// Evaluation in exact rational arithmetic.
#include <algorithm>

#include "rewards/math/evaluate.h"

namespace cohort::math {
namespace {

namespace mp = boost::multiprecision;

bool is_integer(const Rational& value) {
  return denominator(value) == 1;
}

Integer floor_of(const Rational& value) {
  Integer quotient = numerator(value) / denominator(value);  // towards zero
  if (value < 0 && !is_integer(value)) quotient -= 1;
  return quotient;
}

// The integer whose n-th power is `value`, if there is one. value >= 0.
std::optional<Integer> perfect_root(const Integer& value, unsigned n) {
  if (value <= 1) return value;
  const size_t bits = mp::msb(value) + 1;
  if (bits > 8192) return std::nullopt;
  Integer low = 1, high = Integer(1) << static_cast<unsigned>(bits / n + 1);
  while (low <= high) {
    const Integer middle = (low + high) / 2;
    const Integer power = mp::pow(middle, n);
    if (power == value) return middle;
    if (power < value)
      low = middle + 1;
    else
      high = middle - 1;
  }
  return std::nullopt;
}

std::optional<Rational> rational_root(const Rational& value, unsigned n) {
  if (value < 0) {
    if (n % 2 == 0) return std::nullopt;
    const auto root = rational_root(-value, n);
    return root ? std::optional<Rational>(-*root) : std::nullopt;
  }
  const auto top = perfect_root(numerator(value), n);
  const auto bottom = top ? perfect_root(denominator(value), n) : std::nullopt;
  return bottom ? std::optional<Rational>(Rational(*top, *bottom)) : std::nullopt;
}

std::optional<Rational> binomial(const Rational& n, const Rational& k) {
  if (!is_integer(n) || !is_integer(k) || n < 0 || n > 3500) return std::nullopt;
  if (k < 0 || k > n) return Rational(0);
  const auto size = static_cast<unsigned>(numerator(n));
  const auto chosen = std::min(static_cast<unsigned>(numerator(k)), size - static_cast<unsigned>(numerator(k)));
  Integer value = 1;
  for (unsigned i = 1; i <= chosen; ++i) value = value * (size - chosen + i) / i;
  return Rational(value);
}

struct ExactField {
  using Value = Rational;
  static constexpr int64_t kCost = 4;
  static constexpr int64_t kCallCost = 20;

  static std::optional<Rational> rational(const Rational& value) { return value; }
  static std::optional<Rational> constant(const std::string&) { return std::nullopt; }
  static std::optional<Rational> symbol(const std::string&) { return std::nullopt; }
  static std::optional<Rational> degrees(const Rational&) { return std::nullopt; }
  static std::optional<Rational> negate(const Rational& a) { return -a; }
  static std::optional<Rational> divide(const Rational& a, const Rational& b) {
    return b.is_zero() ? std::nullopt : checked(a / b);
  }

  std::optional<Rational> add(const Rational& a, const Rational& b) const {
    return spend(a, b) ? checked(a + b) : std::nullopt;
  }
  std::optional<Rational> multiply(const Rational& a, const Rational& b) const {
    return spend(a, b) ? checked(a * b) : std::nullopt;
  }

  std::optional<Rational> power(const Rational& a, const Rational& b) const {
    if (is_integer(b))
      return budget.take(static_cast<int64_t>(num_bits(a) / 16)) ? math::power(a, numerator(b)) : std::nullopt;
    return denominator(b) > 64 ? std::nullopt : root_power(a, static_cast<unsigned>(denominator(b)), numerator(b));
  }

  std::optional<Rational> root(const Rational& inside, const Rational& degree) const {
    if (!is_integer(degree) || degree < 1 || degree > 64) return std::nullopt;
    return root_power(inside, static_cast<unsigned>(numerator(degree)), 1);
  }

  std::optional<Rational> root_power(const Rational& a, unsigned n, const Integer& top) const {
    if (!budget.take(static_cast<int64_t>(num_bits(a)))) return std::nullopt;
    const auto root = rational_root(a, n);
    return root ? math::power(*root, top) : std::nullopt;
  }

  static std::optional<long> integer(const Rational& value) {
    if (!is_integer(value) || value > 1'000'000'000 || value < -1'000'000'000) return std::nullopt;
    return static_cast<long>(numerator(value));
  }

  std::optional<Rational> call(const std::string& name, const std::vector<Rational>& v) const {
    if (name == "!" || name == "binom") {
      if (!budget.take(2000)) return std::nullopt;
      return name == "!" ? factorial(v.at(0)) : v.size() == 2 ? binomial(v[0], v[1]) : std::nullopt;
    }
    if (name == "!!") return double_factorial(v.at(0));
    if (name == "abs") return abs(v.at(0));
    if (name == "floor") return Rational(floor_of(v.at(0)));
    if (name == "ceil") return Rational(-floor_of(-v.at(0)));
    if (name == "round") return Rational(floor_of(v.at(0) + Rational(1, 2)));
    if (name == "max" || name == "min")
      return name == "max" ? *std::max_element(v.begin(), v.end()) : *std::min_element(v.begin(), v.end());
    if (name == "mod" && v.size() == 2)
      return v[1].is_zero() ? std::nullopt : checked(v[0] - v[1] * Rational(floor_of(v[0] / v[1])));
    if (name == "gcd" || name == "lcm") return common(name, v);
    return std::nullopt;
  }

  static std::optional<Rational> double_factorial(const Rational& n) {
    if (!is_integer(n) || n < 0 || n > 3500) return std::nullopt;
    Integer product = 1;
    for (int k = static_cast<int>(numerator(n)); k > 1; k -= 2) product *= k;
    return Rational(product);
  }

  static std::optional<Rational> common(const std::string& name, const std::vector<Rational>& v) {
    Integer value = name == "gcd" ? 0 : 1;
    for (const Rational& each : v) {
      if (!is_integer(each)) return std::nullopt;
      value = name == "gcd" ? mp::gcd(value, numerator(each)) : mp::lcm(value, numerator(each));
    }
    return checked(Rational(value));
  }

  // Wide operands cost what their bits cost: a fraction is reduced by a gcd, quadratic in its limbs.
  bool spend(const Rational& a, const Rational& b) const {
    const auto limbs = static_cast<int64_t>((num_bits(a) + num_bits(b)) / 64);
    return budget.take(limbs * limbs / 16);
  }

  Budget& budget;
};

}  // namespace

namespace {

bool has_free(const Expr& expr, std::vector<std::string_view>& bound) {
  if (expr.kind == Kind::symbol) return std::find(bound.begin(), bound.end(), expr.name) == bound.end();
  const bool binds = expr.kind == Kind::big && expr.args[0].name.starts_with('#');
  if (!binds) return std::any_of(expr.args.begin(), expr.args.end(), [&](const Expr& e) { return has_free(e, bound); });
  const bool in_range =
      std::any_of(expr.args.begin() + 1, expr.args.end() - 1, [&](const Expr& e) { return has_free(e, bound); });
  bound.push_back(expr.args[0].name);
  const bool in_body = has_free(expr.args.back(), bound);
  bound.pop_back();
  return in_range || in_body;
}

}  // namespace

bool has_symbols(const Expr& expr) {
  std::vector<std::string_view> bound;
  return has_free(expr, bound);
}

std::optional<Rational> exact_value(const Expr& expr, Budget& budget) {
  ExactField field{budget};
  return Evaluator<ExactField>(field, budget)(expr);
}

}  // namespace cohort::math
