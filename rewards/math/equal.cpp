#include "rewards/math/equal.h"

#include <algorithm>
#include <array>

#include "rewards/math/comparer.h"
#include "rewards/math/normalize.h"

namespace cohort::math {
namespace {

bool is_plus_minus(const Expr& expr) {
  return expr.kind == Kind::plus_minus;
}

// Every choice of signs at the ± of an expression: all upper or all lower.
Expr with_signs(const Expr& expr, bool upper) {
  Expr out = expr;
  for (Expr& arg : out.args) arg = with_signs(arg, upper);
  if (expr.kind != Kind::plus_minus) return out;
  const bool plus = (expr.name == "+-") == upper;
  Expr last = std::move(out.args.back());
  if (!plus) last = make_one(Kind::negate, std::move(last));
  return out.args.size() == 1 ? last : make_two(Kind::sum, std::move(out.args[0]), std::move(last));
}

// x ≠ 1, 2 as x ≠ 1, x ≠ 2; k ∈ 1, 2 as k = 1, 2.
Expr with_relations_repeated(const Expr& expr) {
  if (expr.kind != Kind::list || expr.args[0].kind != Kind::relation || expr.args[0].operators.size() != 1) return expr;
  if (expr.args[0].operators[0] == "in" && expr.args[0].args[1].kind < Kind::list) {
    Expr out = expr;
    out.args[0].operators = {"="};
    return out;
  }
  if (expr.args[0].operators[0] != "!=") return expr;
  Expr out = expr;
  for (Expr& arg : out.args) {
    if (arg.kind == Kind::relation) continue;
    Expr whole = out.args[0];
    whole.args[1] = std::move(arg);
    arg = std::move(whole);
  }
  return out;
}

// ± becomes a list of both; lists and sets that hold one become longer.
Expr expanded(const Expr& expr) {
  if (!any_of(expr, is_plus_minus)) return expr;
  if (expr.kind == Kind::list || expr.kind == Kind::set) {
    Expr out = expr;
    out.args.clear();
    for (const Expr& arg : expr.args) {
      Expr part = expanded(arg);
      if (part.kind == Kind::list && part.name == "+-")
        std::move(part.args.begin(), part.args.end(), std::back_inserter(out.args));
      else
        out.args.push_back(std::move(part));
    }
    return out;
  }
  return make_two(Kind::list, with_signs(expr, true), with_signs(expr, false), "+-");
}

// A hash of the tree, so that the points a comparison uses depend on what is compared.
uint64_t tree_hash(const Expr& expr) {
  uint64_t hash = static_cast<uint64_t>(expr.kind) * 0x9E3779B97F4A7C15ULL + std::hash<std::string>()(expr.name);
  for (const Expr& arg : expr.args) hash = (hash ^ tree_hash(arg)) * 0x100000001B3ULL;
  return hash;
}

}  // namespace

namespace {

Expr with_small_letters(Expr expr) {
  if (expr.kind == Kind::symbol && expr.name[0] >= 'A' && expr.name[0] <= 'Z') expr.name[0] += 'a' - 'A';
  for (Expr& arg : expr.args) arg = with_small_letters(std::move(arg));
  return expr;
}

bool is_large_i(const Expr& expr) {
  return expr.kind == Kind::symbol && expr.name == "I";
}
bool is_small_i(const Expr& expr) {
  return expr.kind == Kind::constant && expr.name == "i";
}

Expr with_small_i(Expr expr) {
  if (is_large_i(expr)) return {.kind = Kind::constant, .name = "i"};
  for (Expr& arg : expr.args) arg = with_small_i(std::move(arg));
  return expr;
}

// a + bI as a + bi, where the other side knows no I.
Expr with_imaginary_unit(const Expr& expr, const Expr& other) {
  const bool meant = any_of(expr, is_large_i) && !any_of(expr, is_small_i) && !any_of(other, is_large_i) &&
                     expr.kind != Kind::symbol && other.kind != Kind::text;  // II and III
  return meant ? with_small_i(expr) : expr;
}

Expr prepared(const Expr& expr, const EqualOptions& options) {
  Expr told = without_memberships(expanded(expr));
  if (options.relations != Relations::strict) told = without_domain(std::move(told));
  Expr ready = with_relations_repeated(told);
  return options.fold_symbols ? with_small_letters(std::move(ready)) : ready;
}

}  // namespace

bool any_of(const Expr& expr, bool (*holds)(const Expr&)) {
  return holds(expr) ||
         std::any_of(expr.args.begin(), expr.args.end(), [&](const Expr& arg) { return any_of(arg, holds); });
}

bool identical(const Expr& a, const Expr& b) {
  if (a.kind != b.kind || a.args.size() != b.args.size() || a.operators != b.operators) return false;
  if (a.kind == Kind::number) return a.value == b.value;
  if (a.name != b.name) return false;
  return std::equal(a.args.begin(), a.args.end(), b.args.begin(), identical);
}

bool equal(const Expr& gold, const Expr& answer, const EqualOptions& options, Budget& budget) {
  if (options.simplified && !is_simplified(answer)) return identical(gold, answer);
  const Expr left = with_builders_opened(with_imaginary_unit(gold, answer));
  const Expr right = with_names_of(left, with_builders_opened(with_imaginary_unit(answer, gold)));
  return Comparer(options, tree_hash(gold) ^ (tree_hash(answer) << 1), budget)
      .same(prepared(left, options), prepared(right, options));
}

bool equal(const Expr& gold, const Expr& answer, const EqualOptions& options) {
  Budget budget;
  return equal(gold, answer, options, budget);
}

bool Comparer::same(const Expr& gold, const Expr& answer) {
  if (!budget_.take(20) || depth_ > 20) return false;
  ++depth_;
  const auto judged = [&] {
    if (!same_units(gold, answer)) return false;
    if (identical(gold, answer)) return true;
    if (gold.kind == Kind::big && answer.kind == Kind::big && gold.name == answer.name &&
        ordered(gold.args, answer.args))
      return true;
    if (gold.kind == Kind::text || answer.kind == Kind::text) return words(gold, answer);
    if (gold.kind == Kind::builder) {
      if (const auto elements = enumerated(gold, budget_)) return same(*elements, answer);
    }
    if (answer.kind == Kind::builder && gold.kind != Kind::builder) {
      if (const auto elements = enumerated(answer, budget_)) return same(gold, *elements);
    }
    if (const auto sets = real_sets(gold, answer)) {
      if (*sets) return true;
    }
    if (gold.kind == Kind::relation || answer.kind == Kind::relation) return relations(gold, answer);
    if (const auto same_vectors = vectors(gold, answer)) return *same_vectors;
    if (gold.kind == Kind::matrix || answer.kind == Kind::matrix) return matrices(gold, answer);
    if (gold.kind == Kind::set_op && answer.kind == Kind::set_op && gold.name == answer.name &&
        gold.name != "difference" && unordered(gold.args, answer.args, false))
      return true;
    if (same_names(gold, answer)) return true;
    if (is_bracketed(gold) || is_bracketed(answer)) return collections(gold, answer);
    if (holds_matrix(gold) || holds_matrix(answer)) return matrices(gold, answer);
    return values(gold, answer);
  }();
  --depth_;
  return judged;
}

// ℝ written as R, ∅ written as φ.
bool Comparer::same_names(const Expr& gold, const Expr& answer) const {
  const Expr& set = gold.kind == Kind::named_set ? gold : answer;
  const Expr& other = gold.kind == Kind::named_set ? answer : gold;
  if (set.kind != Kind::named_set || other.kind != Kind::symbol) return false;
  return set.name == other.name || (set.name == "empty" && other.name == "\\phi" && gold.kind == Kind::named_set);
}

bool Comparer::same_units(const Expr& gold, const Expr& answer) const {
  if (gold.unit.empty() && answer.unit.empty()) return true;
  const std::string gold_unit = folded_words(gold.unit), answer_unit = folded_words(answer.unit);
  if (options_.match_units) return gold_unit == answer_unit;
  const auto half_day = [](const std::string& unit) { return unit == "am" || unit == "pm"; };
  return !(half_day(gold_unit) && half_day(answer_unit)) || gold_unit == answer_unit;
}

}  // namespace cohort::math
