// The tree that mathematical text is read into. Reading never evaluates; the tree's depth and size are bounded by the
// parser, so that walking it recursively is safe.
#pragma once
#include <string>
#include <vector>

#include "rewards/math/number.h"

namespace cohort::math {

enum class Kind {
  number,      // value, decimals
  symbol,      // name: "x", "\\theta", "x_{1}"
  constant,    // name: pi, e, i, inf
  sum,         // a + b + …
  product,     // a b …
  negate,      // -a
  divide,      // a / b
  power,       // a ^ b
  root,        // args[1]-th root of args[0]
  call,        // name(args…): sin, log (second argument: base), abs, floor, !, binom, gcd, …
  plus_minus,  // a ± b or ±b; name is "+-" or "-+"
  percent,     // a %
  degree,      // a °
  ratio,       // a : b : …
  big,         // variable, range, body. sum, product, integral: first, last; limit: point, side (-1, 0, 1);
               // derivative, antiderivative: no range. A variable that is bound is called #0, #1, … by its depth
  list,        // a, b, … without brackets; name is what stood between: "," "and" "or"
  tuple,       // a, b, … in brackets; name holds the two brackets, as in "(]": a point, a vector or an interval
  set,         // {a, b, …}
  builder,     // {x | condition}: variable or expression, condition
  named_set,   // name: R, Z, Q, N, C, empty
  set_op,      // name: union, intersection, difference
  matrix,      // rows of Kind::list
  relation,    // args.size() - 1 operators in `operators` between the args
  text,        // name: words
};

struct Expr {
  Kind kind = Kind::number;
  std::string name;
  std::vector<Expr> args;
  Rational value;                      // Kind::number
  int decimals = -1;                   // Kind::number: digits after the point as written; -1 for an exact number
  int significant = 0;                 // Kind::number: significant digits as written
  std::vector<std::string> operators;  // Kind::relation: = < > <= >= != in notin subset ~
  std::string unit;                    // words behind the expression: "weeks", "cm^2"
};

inline size_t num_nodes(const Expr& expr) {
  size_t nodes = 1;
  for (const Expr& arg : expr.args) nodes += num_nodes(arg);
  return nodes;
}

/// Whether a symbol is free in the expression: none that a sum, an integral or a limit in it binds.
bool has_symbols(const Expr& expr);

inline Expr make(Kind kind, std::vector<Expr> args, std::string name = "") {
  return {.kind = kind, .name = std::move(name), .args = std::move(args)};
}
inline Expr make_one(Kind kind, Expr a, std::string name = "") {
  Expr expr{.kind = kind, .name = std::move(name)};
  expr.args.push_back(std::move(a));
  return expr;
}
inline Expr make_two(Kind kind, Expr a, Expr b, std::string name = "") {
  Expr expr = make_one(kind, std::move(a), std::move(name));
  expr.args.push_back(std::move(b));
  return expr;
}
inline Expr make_number(Rational value) {
  return {.kind = Kind::number, .value = std::move(value)};
}

}  // namespace cohort::math
