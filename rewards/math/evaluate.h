// Evaluation over a field: exact rationals or certified numbers. Bounded by a budget of steps that is shared by all
// evaluations of one verdict, so that a verdict's cost does not depend on what the text asks for.
#pragma once
#include <optional>
#include <utility>
#include <vector>

#include "rewards/math/expression.h"

namespace cohort::math {

struct Budget {
  int64_t steps = 40'000;  // one step is about 0.3 microseconds
  bool take(int64_t cost) { return (steps -= cost) >= 0; }
};

/// `Field` offers Value and, each answering none where the result does not exist or is out of bounds:
/// rational(Rational), constant(name), symbol(name), add, multiply, divide, negate, power(base, exponent),
/// root(inside, degree), degrees(value), call(name, values), integer(value) -> optional<long>.
template <class Field>
class Evaluator {
 public:
  using Value = typename Field::Value;
  Evaluator(Field& field, Budget& budget) : field_(field), budget_(budget) {}

  std::optional<Value> operator()(const Expr& expr) {
    if (!budget_.take(Field::kCost)) return std::nullopt;
    switch (expr.kind) {
      case Kind::number:
        return field_.rational(expr.value);
      case Kind::constant:
        return field_.constant(expr.name);
      case Kind::symbol:
        return symbol(expr.name);
      case Kind::sum:
        return fold(expr, [&](const Value& a, const Value& b) { return field_.add(a, b); });
      case Kind::product:
        return fold(expr, [&](const Value& a, const Value& b) { return field_.multiply(a, b); });
      case Kind::ratio:
      case Kind::divide:
        return fold(expr, [&](const Value& a, const Value& b) { return field_.divide(a, b); });
      case Kind::negate:
        return unary(expr, [&](const Value& a) { return field_.negate(a); });
      case Kind::percent:
        return unary(expr, [&](const Value& a) { return field_.divide(a, *field_.rational(Rational(100))); });
      case Kind::degree:
        return unary(expr, [&](const Value& a) { return field_.degrees(a); });
      case Kind::power:
        return binary(expr, [&](const Value& a, const Value& b) { return field_.power(a, b); });
      case Kind::root:
        return binary(expr, [&](const Value& a, const Value& b) { return field_.root(a, b); });
      case Kind::call:
        return call(expr);
      case Kind::big:
        return big(expr);
      default:
        return std::nullopt;
    }
  }

 private:
  template <class F>
  std::optional<Value> fold(const Expr& expr, F combine) {
    auto value = (*this)(expr.args.at(0));
    for (size_t i = 1; value && i < expr.args.size(); ++i) {
      const auto next = (*this)(expr.args[i]);
      if (!next) return std::nullopt;
      value = combine(*value, *next);
    }
    return value;
  }

  template <class F>
  std::optional<Value> unary(const Expr& expr, F apply) {
    const auto value = (*this)(expr.args.at(0));
    return value ? apply(*value) : std::nullopt;
  }

  template <class F>
  std::optional<Value> binary(const Expr& expr, F apply) {
    const auto left = (*this)(expr.args.at(0));
    if (!left) return std::nullopt;
    const auto right = (*this)(expr.args.at(1));
    return right ? apply(*left, *right) : std::nullopt;
  }

  std::optional<Value> symbol(const std::string& name) {
    for (auto bound = bound_.rbegin(); bound != bound_.rend(); ++bound) {
      if (bound->first == name) return bound->second;
      if (name.find(bound->first) != std::string::npos) return std::nullopt;  // F_k is another one at each k
    }
    return field_.symbol(name);
  }

  std::optional<Value> call(const Expr& expr) {
    std::vector<Value> values;
    for (const Expr& arg : expr.args) {
      auto value = (*this)(arg);
      if (!value) return std::nullopt;
      values.push_back(std::move(*value));
    }
    if (!budget_.take(Field::kCallCost)) return std::nullopt;
    return field_.call(expr.name, values);
  }

  // The body of `expr` where its variable has that value.
  std::optional<Value> body_at(const Expr& expr, const Value& value) {
    bound_.emplace_back(expr.args[0].name, value);
    auto result = (*this)(expr.args.back());
    bound_.pop_back();
    return result;
  }

  static bool is_infinity(const Expr& expr) { return expr.kind == Kind::constant && expr.name == "inf"; }
  static bool is_minus_infinity(const Expr& expr) { return expr.kind == Kind::negate && is_infinity(expr.args[0]); }

  // Derivatives, integrals, limits and infinite sums, for a field that has them.
  template <class Analysis>
  std::optional<Value> analytic(const Expr& expr) {
    const auto body = [&](const Value& value) {
      const bool outer = std::exchange(field_.sampled, true);
      auto result = body_at(expr, value);
      field_.sampled = outer;
      return result;
    };
    if (expr.name == "derivative") {
      const auto at = symbol(expr.args[0].name);
      return at ? Analysis::derivative(*at, body) : std::nullopt;
    }
    if (expr.name == "antiderivative") return std::nullopt;
    const bool from_minus = is_minus_infinity(expr.args[1]), to_plus = is_infinity(expr.args[2]);
    const auto first = from_minus || is_infinity(expr.args[1]) ? std::nullopt : (*this)(expr.args[1]);
    if (expr.name == "limit") {
      if (!first && !from_minus && !is_infinity(expr.args[1])) return std::nullopt;
      const bool below = from_minus || expr.args[2].value < 0;
      return Analysis::limit(first, below ? -1 : 1, body);
    }
    if (expr.name == "integral") {
      const auto last = to_plus ? std::nullopt : (*this)(expr.args[2]);
      return (first || from_minus) && (last || to_plus) ? Analysis::integral(first, last, body) : std::nullopt;
    }
    const auto start = first ? field_.integer(*first) : std::nullopt;
    if (!start || expr.name != "sum") return std::nullopt;
    return Analysis::series(*start, [&](long n) { return body(*field_.rational(Rational(n))); });
  }

  // Finite sums and products with integer bounds, term by term.
  std::optional<Value> big(const Expr& expr) {
    if ((expr.name != "sum" && expr.name != "product") || is_infinity(expr.args.at(2))) {
      if constexpr (requires { typename Field::Analytic::Ball; })
        return budget_.take(kAnalyticCost) ? analytic<typename Field::Analytic>(expr) : std::nullopt;
      return std::nullopt;
    }
    const auto low = (*this)(expr.args.at(1)), high = (*this)(expr.args.at(2));
    if (!low || !high) return std::nullopt;
    const auto first = field_.integer(*low), last = field_.integer(*high);
    if (!first || !last || *last - *first > 2000) return std::nullopt;
    auto total = field_.rational(Rational(expr.name == "sum" ? 0 : 1));
    for (long k = *first; total && k <= *last; ++k) {
      const auto term = body_at(expr, *field_.rational(Rational(k)));
      if (!term) return std::nullopt;
      total = expr.name == "sum" ? field_.add(*total, *term) : field_.multiply(*total, *term);
    }
    return total;
  }

  static constexpr int64_t kAnalyticCost =
      2'000;  // of a derivative, integral, limit or series, beside the values of its body

  Field& field_;
  Budget& budget_;
  std::vector<std::pair<std::string, Value>> bound_;  // variables of the sums around
};

/// The exact value of an expression of rational numbers; none for anything else or beyond kMaxBits.
std::optional<Rational> exact_value(const Expr& expr, Budget& budget);

}  // namespace cohort::math
