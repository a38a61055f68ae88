// Inequalities of one variable, brought to the form in which sets of reals are read.
#include <algorithm>

#include "rewards/math/comparer.h"

namespace cohort::math {
namespace {

// The only free symbol of an expression; empty where there is none or another one.
std::string only_symbol(const Expr& expr) {
  if (expr.kind == Kind::symbol) return expr.name;
  std::string name;
  for (const Expr& arg : expr.args) {
    if (!has_symbols(arg)) continue;
    const std::string next = only_symbol(arg);
    if (next.empty() || (!name.empty() && next != name)) return {};
    name = next;
  }
  return name;
}

Expr with_value(const Expr& expr, int value) {
  if (expr.kind == Kind::symbol) return make_number(value);
  Expr out = expr;
  for (Expr& arg : out.args) arg = with_value(arg, value);
  return out;
}

// a and b of a x + b; none for what is not linear in its symbol.
std::optional<std::pair<Rational, Rational>> linear(const Expr& expr, Budget& budget) {
  std::vector<Rational> values;
  for (int x : {0, 1, 2, 5}) {
    auto value = exact_value(with_value(expr, x), budget);
    if (!value) return std::nullopt;
    values.push_back(std::move(*value));
  }
  const Rational slope = values[1] - values[0];
  if (slope.is_zero() || values[2] - values[1] != slope || values[3] - values[0] != slope * 5) return std::nullopt;
  return std::pair(slope, values[0]);
}

std::string flipped(const std::string& op) {
  return op[0] == '<' ? ">" + op.substr(1) : op[0] == '>' ? "<" + op.substr(1) : op;
}

bool is_ordering(const std::string& op) {
  return op == "<" || op == ">" || op == "<=" || op == ">=" || op == "!=";
}

}  // namespace

// |x| < 3 as -3 < x < 3, |x| > 3 as x < -3 or x > 3; anything else as it is.
Expr without_bars(const Expr& relation) {
  if (relation.kind == Kind::relation && relation.args.size() == 3 && relation.args[1].kind == Kind::call) {
    Expr left = make_two(Kind::relation, relation.args[1], relation.args[0]),
         right = make_two(Kind::relation, relation.args[1], relation.args[2]);  // 1 <= |x| <= 2
    left.operators = {flipped(relation.operators[0])};
    right.operators = {relation.operators[1]};
    const Expr low = without_bars(left), high = without_bars(right);
    const bool both = low.kind == Kind::list && high.kind == Kind::list;
    return both ? make_two(Kind::list, low, high, "and") : relation;
  }
  const bool shaped = relation.kind == Kind::relation && relation.args.size() == 2 &&
                      relation.args[0].kind == Kind::call && relation.args[0].name == "abs" &&
                      has_symbols(relation.args[0].args[0]) && !has_symbols(relation.args[1]);
  const std::string op = shaped ? relation.operators[0] : "";
  if (op != "<" && op != "<=" && op != ">" && op != ">=") return relation;
  const Expr &x = relation.args[0].args[0], &end = relation.args[1];
  Expr low = make_two(Kind::relation, x, make_one(Kind::negate, end)), high = make_two(Kind::relation, x, end);
  low.operators = {(op[0] == '<' ? ">" : "<") + op.substr(1)};
  high.operators = {op};
  return make_two(Kind::list, std::move(low), std::move(high), op[0] == '<' ? "and" : "or");
}

// 1 < 2x + 3 <= 5 as -1 < x <= 1. What is not linear in one symbol stays.
Expr solved(const Expr& relation, Budget& budget) {
  if (relation.kind == Kind::list) {
    Expr out = relation;
    for (Expr& arg : out.args) arg = solved(arg, budget);
    return out;
  }
  if (relation.kind != Kind::relation ||
      !std::all_of(relation.operators.begin(), relation.operators.end(), is_ordering))
    return relation;
  Expr out = relation;
  if (out.args.size() == 2 && has_symbols(out.args[0]) && has_symbols(out.args[1])) {
    out.args[0] = make_two(Kind::sum, relation.args[0], make_one(Kind::negate, relation.args[1]));
    out.args[1] = make_number(0);
  }
  const auto side = std::find_if(out.args.begin(), out.args.end(), has_symbols);
  if (side == out.args.end() || side->kind == Kind::symbol || std::any_of(side + 1, out.args.end(), has_symbols))
    return relation;
  const std::string name = only_symbol(*side);
  const auto line = name.empty() ? std::nullopt : linear(*side, budget);
  if (!line) return relation;
  const Expr slope = make_number(line->first), offset = make_number(-line->second);
  for (auto arg = out.args.begin(); arg != out.args.end(); ++arg) {
    if (arg != side) *arg = make_two(Kind::divide, make_two(Kind::sum, *arg, offset), slope);
  }
  *side = {.kind = Kind::symbol, .name = name};
  if (line->first < 0) std::transform(out.operators.begin(), out.operators.end(), out.operators.begin(), flipped);
  return out;
}

}  // namespace cohort::math
