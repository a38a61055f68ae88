// Lists, sets, tuples and matrices.
#include <algorithm>

#include "rewards/math/comparer.h"

namespace cohort::math {

bool is_bracketed(const Expr& expr) {
  return expr.kind == Kind::list || expr.kind == Kind::tuple || expr.kind == Kind::set;
}

namespace {

// P(1, 2): a point with its name.
bool is_named_point(const Expr& expr) {
  return expr.kind == Kind::product && expr.args.size() == 2 && expr.args[0].kind == Kind::symbol &&
         expr.args[0].name[0] >= 'A' && expr.args[0].name[0] <= 'Z' && expr.args[1].kind == Kind::tuple;
}

bool holds_set(const Expr& expr) {
  return std::any_of(expr.args.begin(), expr.args.end(),
                     [](const Expr& arg) { return arg.kind == Kind::named_set || arg.kind == Kind::set; });
}

// What only says which numbers a letter stands for: k ∈ Z, "k is an integer".
bool says_where(const Expr& expr) {
  if (expr.kind == Kind::symbol) return expr.unit.find("integer") != std::string::npos;
  if (expr.kind != Kind::relation || expr.operators.size() != 1 || expr.operators[0] != "in") return false;
  const Expr& set = expr.args[1];
  return (set.kind == Kind::named_set && set.name != "empty") ||
         (set.kind == Kind::symbol && (set.name == "Z" || set.name == "N"));
}

// What a formula leaves out of its domain, x ≠ 2, or where its index starts, n >= 1.
bool bounds_domain(const Expr& expr) {
  if (expr.kind != Kind::relation || expr.operators.size() != 1 || expr.args[0].kind != Kind::symbol ||
      has_symbols(expr.args[1]))
    return false;
  const bool index = expr.args[0].name == "n" || expr.args[0].name == "k" || expr.args[0].name == "m";
  return expr.operators[0] == "!=" || (index && (expr.operators[0] == ">=" || expr.operators[0] == ">"));
}

// A formula in a symbol, which conditions beside it are about.
bool is_formula(const Expr& expr) {
  if (expr.kind == Kind::relation) return expr.operators == std::vector<std::string>{"="} && is_formula(expr.args[1]);
  return expr.kind < Kind::list && expr.kind != Kind::symbol && has_symbols(expr);
}

}  // namespace

// x = k, k ∈ Z as x = k. A list of nothing else stays.
Expr without_memberships(Expr expr) {
  if (expr.kind != Kind::list || std::all_of(expr.args.begin(), expr.args.end(), says_where)) return expr;
  std::erase_if(expr.args, says_where);
  return expr.args.size() == 1 ? Expr(expr.args[0]) : expr;
}

// 2/(x - 1), x ≠ 1 as 2/(x - 1).
Expr without_domain(Expr expr) {
  const bool shaped = expr.kind == Kind::list && expr.args.size() == 2;
  return shaped && is_formula(expr.args[0]) && bounds_domain(expr.args[1]) ? Expr(expr.args[0]) : expr;
}

// (1, 2, 3) and [1, 2, 3], (5, 2) and [5, 2]: what cannot be an interval is a vector in either bracket.
bool Comparer::are_vectors(const Expr& gold, const Expr& answer) {
  const auto whole = [](const Expr& e) { return e.name == "()" || e.name == "[]"; };
  if (!options_.loose_brackets || !whole(gold) || !whole(answer)) return false;
  if (gold.args.size() != 2) return true;
  const auto first = approximate(gold.args[0], budget_), last = approximate(gold.args[1], budget_);
  return first && last && *first > *last;
}

bool Comparer::ordered(const std::vector<Expr>& gold, const std::vector<Expr>& answer) {
  if (gold.size() != answer.size()) return false;
  for (size_t i = 0; i < gold.size(); ++i) {
    if (!same(gold[i], answer[i])) return false;
  }
  return true;
}

// Whether every one of `some` has its equal in `all`.
bool Comparer::covers(const std::vector<Expr>& some, const std::vector<Expr>& all, bool swapped) {
  return std::all_of(some.begin(), some.end(), [&](const Expr& one) {
    return std::any_of(all.begin(), all.end(),
                       [&](const Expr& other) { return swapped ? same(other, one) : same(one, other); });
  });
}

bool Comparer::is_distinct(const std::vector<Expr>& some) {
  for (size_t i = 0; i < some.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (same(some[i], some[j])) return false;
    }
  }
  return true;
}

bool Comparer::unordered(const std::vector<Expr>& gold, const std::vector<Expr>& answer, bool distinct) {
  if (distinct) return covers(gold, answer, false) && covers(answer, gold, true);
  if (gold.size() < answer.size() && gold.size() > 1)  // a solution may be said twice where none of them is double
    return is_distinct(gold) && covers(gold, answer, false) && covers(answer, gold, true);
  if (gold.size() != answer.size()) return false;
  std::vector<bool> used(answer.size(), false);
  for (const Expr& one : gold) {
    size_t found = answer.size();
    for (size_t i = 0; i < answer.size() && found == answer.size(); ++i) {
      if (!used[i] && same(one, answer[i])) found = i;
    }
    if (found == answer.size()) return false;
    used[found] = true;
  }
  return true;
}

// (4, 0, -1) beside 4i - k.
std::optional<bool> Comparer::vectors(const Expr& gold, const Expr& answer) {
  const auto size = [](const Expr& e) -> size_t {
    return e.kind == Kind::tuple || e.kind == Kind::matrix ? e.args.size() : 0;
  };
  if (const auto point = components(answer, size(gold))) return same(gold, *point);
  if (const auto point = components(gold, size(answer))) return same(*point, answer);
  return std::nullopt;
}

namespace {

// y = 2, x = 1 as x = 1, y = 2: values of single letters by their names, as in a point.
std::vector<Expr> by_name(const Expr& list) {
  std::vector<Expr> sorted = list.args;
  const auto gives = [](const Expr& e) {
    return e.kind == Kind::relation && e.args.size() == 2 && e.operators[0] == "=" && e.args[0].kind == Kind::symbol &&
           e.args[0].name.size() == 1;
  };
  if (list.kind != Kind::list || !std::all_of(sorted.begin(), sorted.end(), gives)) return sorted;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Expr& a, const Expr& b) { return a.args[0].name < b.args[0].name; });
  return sorted;
}

}  // namespace

// 2 and 3/8 for the mixed number.
bool Comparer::is_mixed_number(const Expr& gold, const Expr& answer) {
  if (answer.kind != Kind::list || answer.name != "and" || answer.args.size() != 2) return false;
  const Expr &whole = answer.args[0], &part = answer.args[1];
  const bool mixed = whole.kind == Kind::number && denominator(whole.value) == 1 && part.kind == Kind::divide &&
                     part.args[0].kind == Kind::number && part.args[1].kind == Kind::number &&
                     part.args[0].value < part.args[1].value;
  return mixed && same(gold, make_two(Kind::sum, whole, part));
}

bool Comparer::collections(const Expr& gold, const Expr& answer) {
  const bool list_like = gold.kind != Kind::tuple && answer.kind != Kind::tuple;
  if (!is_bracketed(gold) || !is_bracketed(answer)) {  // {5} for 5; the same value written twice
    const Expr& many = is_bracketed(gold) ? gold : answer;
    const Expr& one = is_bracketed(gold) ? answer : gold;
    if (is_named_point(one)) return is_bracketed(gold) ? same(gold, one.args[1]) : same(one.args[1], answer);
    if (choices(many, one) || (!is_bracketed(gold) && is_mixed_number(gold, answer))) return true;
    if (holds_set(many)) return false;
    if (!options_.loose_brackets || many.args.empty() || (many.args.size() > 1 && many.kind != Kind::list))
      return false;
    return std::all_of(many.args.begin(), many.args.end(),
                       [&](const Expr& one) { return is_bracketed(gold) ? same(one, answer) : same(gold, one); });
  }
  if (gold.kind == Kind::tuple && answer.kind == Kind::tuple)
    return (gold.name == answer.name || options_.any_brackets || are_vectors(gold, answer)) &&
           ordered(gold.args, answer.args);
  if (gold.kind != answer.kind && !options_.loose_brackets) return false;
  if (list_like) {
    const bool sets = gold.kind == Kind::set && answer.kind == Kind::set;
    if (options_.ordered_lists && !sets) return ordered(gold.args, answer.args);
    return unordered(gold.args, answer.args, sets);
  }
  const auto holds_point = [](const Expr& e) { return e.kind == Kind::set && e.args.size() == 1; };  // {(1, 2)}
  if (holds_point(gold) && options_.loose_brackets) return same(gold.args[0], answer);
  if (holds_point(answer) && options_.loose_brackets) return same(gold, answer.args[0]);
  if (gold.kind == Kind::set || answer.kind == Kind::set) return false;  // order matters in one, not in the other
  const Expr& tuple = gold.kind == Kind::tuple ? gold : answer;
  if (tuple.name == "[]" && !options_.ordered_lists) return unordered(gold.args, answer.args, false);
  return (tuple.name == "()" || tuple.name == "[]") && ordered(by_name(gold), by_name(answer));
}

}  // namespace cohort::math
