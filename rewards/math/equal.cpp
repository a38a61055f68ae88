#include "rewards/math/equal.h"

#include <algorithm>
#include <array>

#include "rewards/math/comparer.h"
#include "rewards/math/normalize.h"

namespace cohort::math {
namespace {

// Letters that stand for a unit when a plain number was asked for: "5 m", "3 h".
constexpr std::string_view kUnitLetters = "mshgLlJNWVAKCF";

bool is_bracketed(const Expr& expr) { return expr.kind == Kind::list || expr.kind == Kind::tuple || expr.kind == Kind::set; }
bool is_plus_minus(const Expr& expr) { return expr.kind == Kind::plus_minus; }

// The number as it was written, under signs and marks; null for what is no single number.
const Expr* written_number(const Expr& expr) {
  if (expr.kind == Kind::number) return &expr;
  if (expr.kind == Kind::negate || expr.kind == Kind::percent || expr.kind == Kind::degree) return written_number(expr.args[0]);
  return nullptr;
}

// The expression without a percent or degree mark on the outside, and whether there was one.
std::pair<Expr, bool> without_mark(const Expr& expr, Kind mark) {
  if (expr.kind == mark) return {expr.args[0], true};
  if (expr.kind == Kind::negate && expr.args[0].kind == mark) return {make_one(Kind::negate, expr.args[0].args[0]), true};
  return {expr, false};
}

// The expression with no degree mark outside of functions: 180° - x as 180 - x.
Expr without_degrees(const Expr& expr) {
  if (expr.kind == Kind::degree) return expr.args[0];
  Expr out = expr;
  if (expr.kind == Kind::call) return out;
  for (Expr& arg : out.args) arg = without_degrees(arg);
  return out;
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

// ± becomes a list of both; lists and sets that hold one become longer.
Expr expanded(const Expr& expr) {
  if (!any_of(expr, is_plus_minus)) return expr;
  if (expr.kind == Kind::list || expr.kind == Kind::set) {
    Expr out = expr;
    out.args.clear();
    for (const Expr& arg : expr.args) {
      Expr part = expanded(arg);
      if (part.kind == Kind::list && part.name == "+-") std::move(part.args.begin(), part.args.end(), std::back_inserter(out.args));
      else out.args.push_back(std::move(part));
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

bool any_of(const Expr& expr, bool (*holds)(const Expr&)) {
  return holds(expr) || std::any_of(expr.args.begin(), expr.args.end(), [&](const Expr& arg) { return any_of(arg, holds); });
}

bool has_symbols(const Expr& expr) {
  return any_of(expr, [](const Expr& e) { return e.kind == Kind::symbol; });
}

bool identical(const Expr& a, const Expr& b) {
  if (a.kind != b.kind || a.args.size() != b.args.size() || a.operators != b.operators) return false;
  if (a.kind == Kind::number) return a.value == b.value;
  if (a.name != b.name) return false;
  return std::equal(a.args.begin(), a.args.end(), b.args.begin(), identical);
}

bool equal(const Expr& gold, const Expr& answer, const EqualOptions& options) {
  return Comparer(options, tree_hash(gold) ^ (tree_hash(answer) << 1)).same(expanded(gold), expanded(answer));
}

bool Comparer::same(const Expr& gold, const Expr& answer) {
  if (!budget_.take(20) || depth_ > 20) return false;
  ++depth_;
  const auto judged = [&] {
    if (!same_units(gold, answer)) return false;
    if (identical(gold, answer)) return true;
    if (gold.kind == Kind::text || answer.kind == Kind::text) return words(gold, answer);
    if (const auto sets = real_sets(gold, answer)) {
      if (*sets) return true;
    }
    if (gold.kind == Kind::relation || answer.kind == Kind::relation) return relations(gold, answer);
    if (gold.kind == Kind::matrix || answer.kind == Kind::matrix) return matrices(gold, answer);
    if (is_bracketed(gold) || is_bracketed(answer)) return collections(gold, answer);
    return values(gold, answer);
  }();
  --depth_;
  return judged;
}

bool Comparer::same_units(const Expr& gold, const Expr& answer) const {
  return !options_.match_units || folded_words(gold.unit) == folded_words(answer.unit);
}

// Prose: the same words. A run of letters on one side may be a product of symbols on the other.
bool Comparer::words(const Expr& gold, const Expr& answer) {
  if (gold.kind == Kind::text && answer.kind == Kind::text) return folded_words(gold.name) == folded_words(answer.name);
  const auto letters = [](const Expr& text) {
    Expr product = make(Kind::product, {});
    for (char c : text.name) product.args.push_back({.kind = Kind::symbol, .name = std::string(1, c)});
    return product;
  };
  const Expr& text = gold.kind == Kind::text ? gold : answer;
  const Expr& other = gold.kind == Kind::text ? answer : gold;
  if (other.kind == Kind::relation) return relation_with_value(other, text, gold.kind != Kind::text);
  const bool symbols = other.kind == Kind::product || other.kind == Kind::symbol || other.kind == Kind::power;
  const bool plain = text.name.size() <= 12 && std::all_of(text.name.begin(), text.name.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
  if (other.kind == Kind::symbol) {  // \text{(A)} for A
    std::string name = text.name;
    std::erase_if(name, [](char c) { return c == '(' || c == ')' || c == '.' || c == ' '; });
    return name == other.name;
  }
  if (!symbols || !plain || text.name.size() < 2) return false;
  const Expr product = letters(text);
  if (other.kind == Kind::product && other.args.size() == product.args.size()) {  // letters in order: ABC, not an anagram
    return std::equal(product.args.begin(), product.args.end(), other.args.begin(), [](const Expr& a, const Expr& b) { return a.name == b.name; });
  }
  return false;
}

Domain Comparer::domain_of(const Expr& a, const Expr& b) const {
  if (options_.domain == SymbolDomain::positive) return Domain::positive;
  if (options_.domain == SymbolDomain::real) return Domain::real;
  const auto counts = [](const Expr& e) {
    return e.kind == Kind::call && (e.name == "!" || e.name == "binom" || e.name == "mod" || e.name == "gcd" || e.name == "lcm" || e.name == "!!") && has_symbols(e);
  };
  const auto alternates = [](const Expr& e) {  // (-1)^n is about whole n
    return e.kind == Kind::power && e.args[0].kind == Kind::negate && !has_symbols(e.args[0]) && has_symbols(e.args[1]);
  };
  const auto branches = [](const Expr& e) {
    const bool whole = e.kind == Kind::power && e.args[1].kind == Kind::number && denominator(e.args[1].value) == 1;
    const bool branching = e.kind == Kind::root || (e.kind == Kind::power && !whole) || (e.kind == Kind::call && (e.name == "log" || e.name == "ln" || e.name == "lg"));
    return branching && has_symbols(e);
  };
  const auto real_only = [](const Expr& e) { return e.kind == Kind::call && (e.name == "abs" || e.name == "floor" || e.name == "ceil" || e.name == "max" || e.name == "min" || e.name == "round" || e.name == "sgn"); };
  if (any_of(a, counts) || any_of(b, counts) || any_of(a, alternates) || any_of(b, alternates)) return Domain::integer;
  if (any_of(a, branches) || any_of(b, branches)) return Domain::positive;
  return any_of(a, real_only) || any_of(b, real_only) ? Domain::real : Domain::complex;
}

// 1:2:3 by its parts; 4:30 as the time of day that it may be, so that 2:15 is another.
bool Comparer::ratios(const Expr& gold, const Expr& answer) {
  const auto clock = [](const Expr& ratio) { return ratio.args.size() == 2 && ratio.args[1].kind == Kind::number && ratio.args[1].name.size() == 2 && ratio.args[1].value < 60; };
  if (gold.args.size() != answer.args.size()) return false;
  if (clock(gold) && clock(answer)) return ordered(gold.args, answer.args);
  for (size_t i = 1; i < gold.args.size(); ++i) {
    if (!plain_values(make_two(Kind::divide, gold.args[i], gold.args[0]), make_two(Kind::divide, answer.args[i], answer.args[0]))) return false;
  }
  return true;
}

bool Comparer::values(const Expr& gold, const Expr& answer) {
  if (gold.kind == Kind::ratio && answer.kind == Kind::ratio) return ratios(gold, answer);
  for (const Kind mark : {Kind::percent, Kind::degree}) {
    const auto [gold_value, gold_marked] = without_mark(gold, mark);
    const auto [answer_value, answer_marked] = without_mark(answer, mark);
    if (!gold_marked && !answer_marked) continue;
    if (gold_marked && answer_marked) return plain_values(gold_value, answer_value);
    const bool as_written = mark == Kind::degree || options_.percent != Percent::hundredth;
    const bool as_scaled = mark == Kind::degree || options_.percent != Percent::sign;
    return (as_written && plain_values(gold_value, answer_value)) || (as_scaled && plain_values(gold, answer));
  }
  if (plain_values(gold, answer)) return true;
  const auto marked = [](const Expr& e) { return e.kind == Kind::degree; };
  if (any_of(gold, marked) == any_of(answer, marked)) return false;
  return plain_values(without_degrees(gold), without_degrees(answer));
}

bool Comparer::plain_values(const Expr& gold, const Expr& answer) {
  const auto exact_gold = exact_value(gold, budget_);
  const auto exact_answer = exact_gold ? exact_value(answer, budget_) : std::nullopt;
  if (exact_gold && exact_answer) return close_enough(gold, *exact_gold, answer, *exact_answer);
  if (has_symbols(gold) || has_symbols(answer)) return free_values(gold, answer);
  switch (compare_numeric(gold, answer, Domain::positive, seed_, budget_)) {
    case Relation::same: return true;
    case Relation::undefined:
    case Relation::unknown: return false;
    case Relation::different: break;
  }
  const Expr* gold_number = written_number(gold);
  const Expr* answer_number = written_number(answer);
  const bool rounded = (gold_number && gold_number->decimals >= 0) || (answer_number && answer_number->decimals >= 0) || options_.tolerance > 0;
  if (!rounded) return false;
  const auto gold_value = exact_gold ? exact_gold : approximate(gold, budget_), answer_value = approximate(answer, budget_);
  return gold_value && answer_value && close_enough(gold, *gold_value, answer, *answer_value);
}

// The rule of digits, in exact arithmetic.
bool Comparer::close_enough(const Expr& gold, const Rational& gold_value, const Expr& answer, const Rational& answer_value) const {
  if (gold_value == answer_value) return true;
  const Rational difference = abs(gold_value - answer_value);
  const bool cut_off = abs(answer_value) < abs(gold_value) && (answer_value < 0) == (gold_value < 0);
  if (options_.tolerance > 0) return difference <= Rational(options_.tolerance) * abs(gold_value);
  const Expr* gold_number = written_number(gold);
  const Expr* answer_number = written_number(answer);
  const auto unit = [](const Expr& number) { return Rational(1) / *power(Rational(10), number.decimals); };
  if (gold_number && gold_number->decimals >= 0) {
    const bool enough = gold_number->significant >= 3 && gold_number->decimals < 1000;
    if (enough && difference * 2 <= unit(*gold_number)) return true;
  }
  if (!answer_number || answer_number->decimals < 0 || answer_number->decimals > 1000) return false;
  const bool gold_is_exact = !gold_number || gold_number->decimals < 0;
  if (gold_is_exact && denominator(gold_value) != 1 && answer_number->significant >= options_.digits) {
    if (difference * 2 <= unit(*answer_number) || (cut_off && difference < unit(*answer_number))) return true;
  }
  // Noise of binary arithmetic: 0.30000000000000004.
  return answer_number->significant >= 15 && difference * *power(Rational(10), 14) < abs(gold_value);
}

bool Comparer::free_values(const Expr& gold, const Expr& answer) {
  const bool unit_like = !has_symbols(gold) && answer.kind == Kind::product && answer.args.size() == 2 && answer.args[1].kind == Kind::symbol && !has_symbols(answer.args[0]);
  if (unit_like && !options_.match_units && answer.args[1].name.size() == 1 && kUnitLetters.find(answer.args[1].name[0]) != std::string_view::npos) {
    return values(gold, answer.args[0]);
  }
  const Domain domain = domain_of(gold, answer);
  if (domain == Domain::complex) {  // cheap, and enough to tell most apart
    if (compare_numeric(gold, answer, Domain::real, seed_, budget_) == Relation::different) return false;
  }
  return compare_numeric(gold, answer, domain, seed_, budget_) == Relation::same;
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
    return std::any_of(all.begin(), all.end(), [&](const Expr& other) { return swapped ? same(other, one) : same(one, other); });
  });
}

bool Comparer::unordered(const std::vector<Expr>& gold, const std::vector<Expr>& answer, bool distinct) {
  if (distinct) return covers(gold, answer, false) && covers(answer, gold, true);
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

bool Comparer::collections(const Expr& gold, const Expr& answer) {
  const bool list_like = gold.kind != Kind::tuple && answer.kind != Kind::tuple;
  if (!is_bracketed(gold) || !is_bracketed(answer)) {  // {5} for 5; the same value written twice
    const Expr& many = is_bracketed(gold) ? gold : answer;
    if (!options_.loose_brackets || many.args.empty() || (many.args.size() > 1 && many.kind != Kind::list)) return false;
    return std::all_of(many.args.begin(), many.args.end(), [&](const Expr& one) { return is_bracketed(gold) ? same(one, answer) : same(gold, one); });
  }
  if (gold.kind == Kind::tuple && answer.kind == Kind::tuple) return gold.name == answer.name && ordered(gold.args, answer.args);
  if (gold.kind != answer.kind && !options_.loose_brackets) return false;
  if (list_like) {
    const bool sets = gold.kind == Kind::set && answer.kind == Kind::set;
    if (options_.ordered_lists && !sets) return ordered(gold.args, answer.args);
    return unordered(gold.args, answer.args, sets);
  }
  if (gold.kind == Kind::set || answer.kind == Kind::set) return false;  // order matters in one, not in the other
  const Expr& tuple = gold.kind == Kind::tuple ? gold : answer;
  if (tuple.name == "[]" && !options_.ordered_lists) return unordered(gold.args, answer.args, false);
  return (tuple.name == "()" || tuple.name == "[]") && ordered(gold.args, answer.args);
}

bool Comparer::matrices(const Expr& gold, const Expr& answer) {
  const auto entries = [](const Expr& expr) -> std::optional<std::vector<Expr>> {  // of a single column or row
    if (expr.kind == Kind::tuple && expr.name == "()") return expr.args;
    if (expr.kind != Kind::matrix) return std::nullopt;
    std::vector<Expr> column;
    for (const Expr& row : expr.args) {
      if (row.args.size() != 1) return std::nullopt;
      column.push_back(row.args[0]);
    }
    return column;
  };
  if (gold.kind == Kind::matrix && answer.kind == Kind::matrix) {
    if (gold.args.size() != answer.args.size()) return false;
    for (size_t r = 0; r < gold.args.size(); ++r) {
      if (!ordered(gold.args[r].args, answer.args[r].args)) return false;
    }
    return true;
  }
  if (!options_.loose_brackets) return false;
  const auto a = entries(gold), b = entries(answer);
  return a && b && ordered(*a, *b);
}

}  // namespace cohort::math
