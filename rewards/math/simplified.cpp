// Whether nothing is left to compute in an answer, for those who take 2/4 or 1 + 1 for wrong.
#include <algorithm>

#include "rewards/math/comparer.h"

namespace cohort::math {
namespace {

bool is_whole(const Expr& expr) {
  return expr.kind == Kind::number && denominator(expr.value) == 1;
}

// A number, a fraction of two, or either with a sign.
bool is_rational(const Expr& expr) {
  if (expr.kind == Kind::negate) return is_rational(expr.args[0]);
  if (expr.kind == Kind::divide) return is_rational(expr.args[0]) && is_rational(expr.args[1]);
  return expr.kind == Kind::number;
}

bool at_most_one_rational(const std::vector<Expr>& args) {
  return std::count_if(args.begin(), args.end(), is_rational) <= 1;
}

bool in_lowest_terms(const Expr& fraction) {
  const Expr &top = fraction.args[0], &bottom = fraction.args[1];
  if (!is_rational(top) || !is_rational(bottom)) return true;
  const Expr& whole = top.kind == Kind::negate ? top.args[0] : top;
  return is_whole(whole) && is_whole(bottom) && bottom.value != 1 &&
         boost::multiprecision::gcd(numerator(whole.value), numerator(bottom.value)) == 1;
}

}  // namespace

bool is_simplified(const Expr& expr) {
  Budget budget{.steps = 2000};
  const bool here = expr.kind == Kind::sum || expr.kind == Kind::product ? at_most_one_rational(expr.args)
                    : expr.kind == Kind::divide                          ? in_lowest_terms(expr)
                    : expr.kind == Kind::power ? !(is_rational(expr.args[0]) && is_whole(expr.args[1]))
                    : expr.kind == Kind::root || expr.kind == Kind::call ? !exact_value(expr, budget)
                                                                         : true;
  return here && std::all_of(expr.args.begin(), expr.args.end(), is_simplified);
}

}  // namespace cohort::math
