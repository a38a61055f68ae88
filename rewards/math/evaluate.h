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
      case Kind::number: return field_.rational(expr.value);
      case Kind::constant: return field_.constant(expr.name);
      case Kind::symbol: return symbol(expr.name);
      case Kind::sum: return fold(expr, [&](const Value& a, const Value& b) { return field_.add(a, b); });
      case Kind::product: return fold(expr, [&](const Value& a, const Value& b) { return field_.multiply(a, b); });
      case Kind::ratio:
      case Kind::divide: return fold(expr, [&](const Value& a, const Value& b) { return field_.divide(a, b); });
      case Kind::negate: return unary(expr, [&](const Value& a) { return field_.negate(a); });
      case Kind::percent: return unary(expr, [&](const Value& a) { return field_.divide(a, *field_.rational(Rational(100))); });
      case Kind::degree: return unary(expr, [&](const Value& a) { return field_.degrees(a); });
      case Kind::power: return binary(expr, [&](const Value& a, const Value& b) { return field_.power(a, b); });
      case Kind::root: return binary(expr, [&](const Value& a, const Value& b) { return field_.root(a, b); });
      case Kind::call: return call(expr);
      case Kind::big: return big(expr);
      default: return std::nullopt;
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

  // Finite sums and products with integer bounds, term by term.
  std::optional<Value> big(const Expr& expr) {
    const auto low = (*this)(expr.args.at(1)), high = (*this)(expr.args.at(2));
    if (!low || !high) return std::nullopt;
    const auto first = field_.integer(*low), last = field_.integer(*high);
    if (!first || !last || *last - *first > 2000) return std::nullopt;
    auto total = field_.rational(Rational(expr.name == "sum" ? 0 : 1));
    for (long k = *first; total && k <= *last; ++k) {
      bound_.emplace_back(expr.args[0].name, *field_.rational(Rational(k)));
      const auto term = (*this)(expr.args[3]);
      bound_.pop_back();
      if (!term) return std::nullopt;
      total = expr.name == "sum" ? field_.add(*total, *term) : field_.multiply(*total, *term);
    }
    return total;
  }

  Field& field_;
  Budget& budget_;
  std::vector<std::pair<std::string, Value>> bound_;  // variables of the sums around
};

/// The exact value of an expression of rational numbers; none for anything else or beyond kMaxBits.
std::optional<Rational> exact_value(const Expr& expr, Budget& budget);

}  // namespace cohort::math
