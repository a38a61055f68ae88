// Equations, assignments and inequalities.
#include <algorithm>

#include "rewards/math/comparer.h"

namespace cohort::math {
namespace {

bool all_operators(const Expr& relation, std::string_view op) {
  return std::all_of(relation.operators.begin(), relation.operators.end(),
                     [&](const std::string& o) { return o == op; });
}

bool is_equation(const Expr& relation) {
  return all_operators(relation, "=");
}

// Calls that a problem asks the value of: cos θ = 1/2, |AB| = 5.
bool names_value(std::string_view call) {
  return call == "abs" || call == "sin" || call == "cos" || call == "tan" || call == "cot" || call == "max" ||
         call == "min" || call == "det" || call == "arg" || call == "log" || call == "ln" || call == "gcd" ||
         call == "lcm" || call == "Re" || call == "Im";
}

// f(3), g(f(1)): a function's letter and what it is of.
bool is_value_of_function(const Expr& expr) {
  static constexpr std::string_view kGreek = " \\zeta \\phi \\sigma \\tau \\Gamma \\psi \\pi ";
  if (expr.kind == Kind::product && expr.args.size() == 2 && expr.args[0].kind == Kind::symbol &&
      !has_symbols(expr.args[1]) && kGreek.find(" " + expr.args[0].name + " ") != std::string_view::npos)
    return true;
  return expr.kind == Kind::product && expr.args.size() == 2 && expr.args[0].kind == Kind::symbol &&
         expr.args[0].name.size() == 1 &&
         std::string_view("fghpqrFGHPQRSTVA").find(expr.args[0].name[0]) != std::string_view::npos &&
         (!has_symbols(expr.args[1]) || is_value_of_function(expr.args[1]));
}

// y', f'(x), dy/dx.
bool is_derivative_name(const Expr& expr) {
  if (expr.kind == Kind::symbol) return expr.name.ends_with("'") && !expr.name.ends_with("''");
  if (expr.kind == Kind::product) return expr.args.size() == 2 && is_derivative_name(expr.args[0]);
  const auto differential = [](const Expr& e) {
    return e.kind == Kind::product && e.args.size() == 2 && e.args[0].kind == Kind::symbol && e.args[0].name == "d";
  };
  return expr.kind == Kind::divide && differential(expr.args[0]) && differential(expr.args[1]);
}

// f^{-1}(x)
bool is_inverse_function(const Expr& expr) {
  if (expr.kind != Kind::product || expr.args.size() != 2 || expr.args[0].kind != Kind::power) return false;
  const Expr& power = expr.args[0];
  return power.args[0].kind == Kind::symbol && power.args[1].kind == Kind::negate && expr.args[1].kind == Kind::symbol;
}

// What is being given a value: x, x_1, AB, f(x), x + y, (x, y), "Area". Nothing with a number in it.
bool is_name(const Expr& expr) {
  if (expr.kind == Kind::symbol || expr.kind == Kind::text || (expr.kind == Kind::constant && expr.name != "inf"))
    return true;
  if (expr.kind == Kind::call && (expr.name == "log" || expr.name == "ln") && expr.args.size() == 2)
    return is_name(expr.args[0]);
  if (expr.kind == Kind::call)
    return names_value(expr.name) && std::all_of(expr.args.begin(), expr.args.end(), is_name);
  if (is_inverse_function(expr) || is_value_of_function(expr)) return true;
  if (expr.kind != Kind::product && expr.kind != Kind::sum && expr.kind != Kind::divide && expr.kind != Kind::tuple &&
      expr.kind != Kind::ratio && expr.kind != Kind::degree && expr.kind != Kind::set_op && expr.kind != Kind::matrix)
    return false;
  if (expr.kind == Kind::matrix)
    return std::all_of(expr.args.begin(), expr.args.end(),
                       [](const Expr& row) { return std::all_of(row.args.begin(), row.args.end(), is_name); });
  return std::all_of(expr.args.begin(), expr.args.end(), is_name);
}

// f(x) or y: names for the value of a function. AB and xy are none.
bool is_function_name(const Expr& expr) {
  if (expr.kind == Kind::symbol) return expr.name == "y" || expr.name == "f";
  if (is_inverse_function(expr)) return true;
  const bool pair = expr.kind == Kind::product && expr.args.size() == 2 && expr.args[0].kind == Kind::symbol &&
                    expr.args[1].kind == Kind::symbol;
  if (!pair || expr.args[0].name.size() != 1) return false;
  const char first = expr.args[1].name[0];
  const bool variable = (first >= 'a' && first <= 'z') || first == '\\';
  return variable && std::string_view("fghyuvFGHPQRSTVAC").find(expr.args[0].name[0]) != std::string_view::npos;
}

// x beside x_1: an index that only one side has counts the solutions.
bool differ_by_index(const Expr& a, const Expr& b) {
  if (a.kind != Kind::symbol || b.kind != Kind::symbol) return false;
  const size_t i = a.name.find('_'), j = b.name.find('_');
  return (i == std::string::npos) != (j == std::string::npos) && a.name.substr(0, i) == b.name.substr(0, j);
}

// P beside P(A): the argument left out.
bool differ_by_argument(const Expr& a, const Expr& b) {
  const auto function = [](const Expr& e) {
    return e.kind == Kind::product && e.args.size() == 2 ? e.args[0].name : e.name;
  };
  const bool one = (a.kind == Kind::symbol) != (b.kind == Kind::symbol);
  return one && (is_function_name(a) || is_function_name(b)) && function(a) == function(b) && !function(a).empty();
}

// |AB| as AB: the length.
Expr without_length_bars(const Expr& name) {
  const bool length = name.kind == Kind::call && name.name == "abs" && name.args[0].kind == Kind::product;
  return length && std::all_of(
                       name.args[0].args.begin(), name.args[0].args.end(),
                       [](const Expr& e) { return e.kind == Kind::symbol && e.name[0] >= 'A' && e.name[0] <= 'Z'; })
             ? Expr(name.args[0])
             : name;
}

// n beside N.
bool differ_by_case(const Expr& a, const Expr& b) {
  const bool letters = a.kind == Kind::symbol && b.kind == Kind::symbol && a.name.size() == 1 && b.name.size() == 1;
  return letters && (a.name[0] | 0x20) == (b.name[0] | 0x20);
}

// f(t) = 2t^2 with the variable of f(x) = …
Expr with_variable_of(const Expr& gold, const Expr& answer) {
  const Expr &f = gold.args[0], &g = answer.args[0];
  const auto shaped = [](const Expr& e) {
    return e.kind == Kind::product && is_function_name(e) && !is_inverse_function(e);
  };
  if (!shaped(f) || !shaped(g) || f.args[0].name != g.args[0].name || f.args[1].name == g.args[1].name) return answer;
  const auto taken = with_symbol(answer, f.args[1].name, make_number(0));
  return identical(taken, answer) ? with_symbol(answer, g.args[1].name, f.args[1]) : answer;
}

bool is_coordinate(const Expr& expr) {
  return expr.kind == Kind::symbol && (expr.name == "x" || expr.name == "y");
}
bool is_parameter(const Expr& expr) {
  return expr.kind == Kind::symbol && expr.name != "x" && expr.name != "y" && expr.name != "z";
}

Expr difference(const Expr& relation) {
  return make_two(Kind::sum, relation.args[0], make_one(Kind::negate, relation.args[1]));
}

// Flips < and > so that every inequality reads upwards.
Expr upward(const Expr& relation) {
  Expr out = relation;
  const bool down = std::all_of(out.operators.begin(), out.operators.end(),
                                [](const std::string& o) { return o == ">" || o == ">="; });
  if (!down) return out;
  std::reverse(out.args.begin(), out.args.end());
  std::reverse(out.operators.begin(), out.operators.end());
  for (std::string& op : out.operators) op = op == ">" ? "<" : "<=";
  return out;
}

}  // namespace

namespace {

// a < b < c as a < b and b < c.
Expr links_of(const Expr& chain) {
  Expr links = make(Kind::list, {}, "and");
  for (size_t i = 0; i < chain.operators.size(); ++i) {
    links.args.push_back(make_two(Kind::relation, chain.args[i], chain.args[i + 1]));
    links.args.back().operators = {chain.operators[i]};
  }
  return links;
}

// x = 7/8 ≈ 0.875 as x = 7/8.
Expr without_rounded_end(const Expr& expr) {
  Expr out = expr;
  if (expr.kind != Kind::relation || expr.operators.size() < 2 || expr.operators.back() != "~" ||
      expr.operators[expr.operators.size() - 2] != "=")
    return out;
  out.operators.pop_back();
  out.args.pop_back();
  return out;
}

bool is_chain(const Expr& expr) {
  return expr.kind == Kind::relation && expr.operators.size() > 1 && !is_equation(expr);
}

}  // namespace

bool Comparer::relations(const Expr& written_gold, const Expr& written_answer) {
  const Expr gold = without_rounded_end(written_gold), answer = without_rounded_end(written_answer);
  if (is_chain(gold) && answer.kind == Kind::list) return collections(links_of(gold), answer);
  if (is_chain(answer) && gold.kind == Kind::list) return collections(gold, links_of(answer));
  if (gold.kind != Kind::relation) return relation_with_value(answer, gold, false);
  if (answer.kind != Kind::relation) return relation_with_value(gold, answer, true);
  if (all_operators(answer, "to") && !all_operators(gold, "to")) return same(gold, answer.args.back());
  if (is_equation(gold) && is_equation(answer)) return equations(gold, answer);
  if (gold.operators == answer.operators && ordered(gold.args, answer.args)) return true;
  return inequalities(gold, answer);
}

bool Comparer::equations(const Expr& gold, const Expr& written_answer) {
  const Expr answer = with_variable_of(gold, written_answer);
  if (gold.args.size() == answer.args.size() && ordered(gold.args, answer.args)) return true;
  if (gold.args.size() != 2)  // of a chain both ends count
    return same(gold.args.back(), answer.args.back()) && same(gold.args[0], answer.args[0]);
  if (answer.args.size() > 2) return same(gold.args[0], answer.args[0]) && same(gold.args[1], answer.args.back());
  if (same(gold.args[0], answer.args[1]) && same(gold.args[1], answer.args[0])) return true;
  const bool both_named = is_name(gold.args[0]) && is_name(answer.args[0]);
  const bool both_functions = is_function_name(gold.args[0]) && is_function_name(answer.args[0]);
  const bool both_lengths = identical(without_length_bars(gold.args[0]), without_length_bars(answer.args[0]));
  const bool both_derivatives = is_derivative_name(gold.args[0]) && is_derivative_name(answer.args[0]);
  const bool one_name = both_functions || both_derivatives || both_lengths ||
                        (!options_.match_case && differ_by_case(gold.args[0], answer.args[0])) ||
                        differ_by_index(gold.args[0], answer.args[0]) ||
                        differ_by_argument(gold.args[0], answer.args[0]);
  if (both_named && (!options_.strict_names || one_name) && same(gold.args[1], answer.args[1])) return true;
  const Expr left = difference(gold), right = difference(answer);
  if (!has_symbols(left) || !has_symbols(right)) return false;
  if ((any_of(left, divides_by_symbol) || any_of(right, divides_by_symbol)) &&
      compare_proportional(numerator_of(left), numerator_of(right), false, Domain::complex, seed_, budget_) ==
          Relation::same)
    return true;  // xy = 1 and y = 1/x
  const Domain domain = domain_of(left, right);
  if (any_of(left, is_coordinate) && any_of(left, is_parameter) && any_of(right, is_parameter) &&
      compare_proportional(left, right, false, Domain::positive, seed_, budget_, true) == Relation::same &&
      compare_proportional(left, right, false, domain, seed_ + 1, budget_, true) == Relation::same)
    return true;
  if (domain != Domain::positive &&
      compare_proportional(left, right, false, Domain::positive, seed_, budget_) != Relation::same)
    return false;
  return compare_proportional(left, right, false, domain, seed_, budget_) == Relation::same;
}

bool Comparer::inequalities(const Expr& gold, const Expr& answer) {
  const Expr a = upward(gold), b = upward(answer);
  if (a.operators != b.operators) return false;
  if (ordered(a.args, b.args)) return true;
  if (a.args.size() != 2 || (a.operators[0] != "<" && a.operators[0] != "<=" && a.operators[0] != "!=")) return false;
  const Expr left = difference(a), right = difference(b);
  if (!has_symbols(left) || !has_symbols(right)) return false;
  return compare_proportional(left, right, a.operators[0] != "!=", Domain::real, seed_, budget_) == Relation::same;
}

// A relation against something that is none: the value it gives to a name, or the end of a chain that holds.
bool Comparer::relation_with_value(const Expr& relation, const Expr& value, bool relation_is_gold) {
  if (options_.relations == Relations::strict) return false;
  const auto equals = [&](const Expr& side) { return relation_is_gold ? same(side, value) : same(value, side); };
  const Expr& first = relation.args.front();
  const Expr& last = relation.args.back();
  if (all_operators(relation, "in")) return relation.args.size() == 2 && equals(last);
  if (all_operators(relation, "to")) return equals(last);
  if (!std::all_of(relation.operators.begin(), relation.operators.end(),
                   [](const std::string& o) { return o == "=" || o == "~"; }))
    return false;
  if (relation.operators.back() ==
      "~") {  // 7/8 ≈ 0.875: the exact side counts, the rounded one where a name stands first
    if (!is_name(first)) return equals(first);
    return equals(relation.args.size() > 2 ? relation.args[1] : last) || equals(last);
  }
  if (is_name(first)) return equals(last);
  if (is_name(last) && relation.args.size() == 2) return equals(first);
  return same(first, last) && equals(last);
}

}  // namespace cohort::math
