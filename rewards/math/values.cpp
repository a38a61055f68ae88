// Values: numbers, expressions, and the marks on them.
#include <algorithm>

#include "rewards/math/comparer.h"
#include "rewards/math/normalize.h"

namespace cohort::math {
namespace {

// Letters that stand for a unit when a plain number was asked for: "5 m", "9.8 m/s^2".
constexpr std::string_view kUnitLetters = "mshgLlJNWVAKCF";

bool is_unit(const Expr& expr) {
  if (expr.kind == Kind::symbol && expr.name == "\\Omega") return true;
  if (expr.kind == Kind::symbol)
    return expr.name.size() == 1 && kUnitLetters.find(expr.name[0]) != std::string_view::npos;
  if (expr.kind == Kind::power) return is_unit(expr.args[0]) && !has_symbols(expr.args[1]);
  return (expr.kind == Kind::divide || expr.kind == Kind::product) &&
         std::all_of(expr.args.begin(), expr.args.end(), is_unit);
}

// The number of "9.8 m/s^2"; none for what is no number with a unit.
std::optional<Expr> without_unit_letters(const Expr& expr) {
  if (expr.kind == Kind::negate) {
    auto number = without_unit_letters(expr.args[0]);
    return number ? std::optional<Expr>(make_one(Kind::negate, std::move(*number))) : std::nullopt;
  }
  if (expr.kind == Kind::divide && is_unit(expr.args[1])) return without_unit_letters(expr.args[0]);
  if (expr.kind != Kind::product) return std::nullopt;
  size_t numbers = 0;
  while (numbers < expr.args.size() && !has_symbols(expr.args[numbers])) ++numbers;
  if (numbers == 0 || numbers == expr.args.size() ||
      !std::all_of(expr.args.begin() + static_cast<ptrdiff_t>(numbers), expr.args.end(), is_unit))
    return std::nullopt;
  if (numbers == 1) return expr.args[0];
  return make(Kind::product, {expr.args.begin(), expr.args.begin() + static_cast<ptrdiff_t>(numbers)});
}

bool is_bare_log(const Expr& expr) {
  return expr.kind == Kind::call && expr.name == "log" && expr.args.size() == 1;
}

// log without a base as the decimal one.
Expr with_common_logs(const Expr& expr) {
  Expr out = expr;
  if (is_bare_log(expr)) out.name = "lg";
  for (Expr& arg : out.args) arg = with_common_logs(arg);
  return out;
}

// The number as it was written, under signs and marks; null for what is no single number.
const Expr* written_number(const Expr& expr) {
  if (expr.kind == Kind::number) return &expr;
  if (expr.kind == Kind::negate || expr.kind == Kind::percent || expr.kind == Kind::degree)
    return written_number(expr.args[0]);
  return nullptr;
}

// The expression without a percent or degree mark on the outside, and whether there was one.
std::pair<Expr, bool> without_mark(const Expr& expr, Kind mark) {
  if (expr.kind == mark) return {expr.args[0], true};
  if (expr.kind == Kind::negate && expr.args[0].kind == mark)
    return {make_one(Kind::negate, expr.args[0].args[0]), true};
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

}  // namespace

// The terms of a sum that `other` does not have as well; zero where none is left.
Expr without_shared_terms(const Expr& sum, const Expr& other) {
  const auto terms = [](const Expr& e) { return e.kind == Kind::sum ? e.args : std::vector<Expr>{e}; };
  std::vector<Expr> theirs = terms(other), left;
  for (const Expr& term : terms(sum)) {
    const auto shared = std::find_if(theirs.begin(), theirs.end(), [&](const Expr& e) { return identical(e, term); });
    if (shared == theirs.end())
      left.push_back(term);
    else
      theirs.erase(shared);
  }
  if (left.empty()) return make_number(0);
  return left.size() == 1 ? left[0] : make(Kind::sum, std::move(left));
}

Domain Comparer::domain_of(const Expr& a, const Expr& b) const {
  if (options_.domain == SymbolDomain::positive) return Domain::positive;
  if (options_.domain == SymbolDomain::real) return Domain::real;
  const auto counts = [](const Expr& e) {
    return e.kind == Kind::call &&
           (e.name == "!" || e.name == "binom" || e.name == "mod" || e.name == "gcd" || e.name == "lcm" ||
            e.name == "!!") &&
           has_symbols(e);
  };
  const auto steps = [](const Expr& e) { return e.kind == Kind::call && (e.name == "floor" || e.name == "ceil"); };
  const auto no_index = [](const Expr& e) {
    return e.kind == Kind::symbol && e.name != "n" && e.name != "k" && e.name != "m";
  };
  if ((any_of(a, steps) || any_of(b, steps)) && !any_of(a, no_index) && !any_of(b, no_index)) return Domain::integer;
  const auto runs = [](const Expr& e) {  // a sum up to n
    return e.kind == Kind::big && (has_symbols(e.args[1]) || has_symbols(e.args[2]));
  };
  const auto alternates = [](const Expr& e) {  // (-1)^n is about whole n
    return e.kind == Kind::power && e.args[0].kind == Kind::negate && !has_symbols(e.args[0]) && has_symbols(e.args[1]);
  };
  const auto branches = [](const Expr& e) {
    const bool whole = e.kind == Kind::power && e.args[1].kind == Kind::number && denominator(e.args[1].value) == 1;
    const bool branching = e.kind == Kind::root || (e.kind == Kind::power && !whole) ||
                           (e.kind == Kind::call && (e.name == "log" || e.name == "ln" || e.name == "lg"));
    return branching && has_symbols(e);
  };
  const auto real_only = [](const Expr& e) {
    return e.kind == Kind::call && (e.name == "abs" || e.name == "floor" || e.name == "ceil" || e.name == "max" ||
                                    e.name == "min" || e.name == "round" || e.name == "sgn");
  };
  if (any_of(a, counts) || any_of(b, counts) || any_of(a, alternates) || any_of(b, alternates) || any_of(a, runs) ||
      any_of(b, runs))
    return Domain::integer;
  if (any_of(a, branches) || any_of(b, branches)) return Domain::positive;
  return any_of(a, real_only) || any_of(b, real_only) ? Domain::real : Domain::complex;
}

// 4:30, 20:34:00: seconds since midnight of the time of day that a ratio may be; none for what can be none.
std::optional<Rational> time_of_day(const Expr& ratio) {
  Rational seconds = 0;
  for (size_t i = 0; i < ratio.args.size(); ++i) {
    const Expr& part = ratio.args[i];
    if (part.kind != Kind::number || (i > 0 && part.name.size() != 2) || part.value >= (i > 0 ? 60 : 25))
      return std::nullopt;
    seconds = seconds * 60 + part.value;
  }
  if (ratio.args.size() == 2) seconds *= 60;
  const std::string half = folded_words(ratio.unit);
  const Rational noon = 12 * 3600;
  if (half == "pm" && seconds < noon) seconds += noon;
  if (half == "am" && seconds >= noon) seconds -= noon;
  return seconds;
}

// 1:2:3 by its parts; 4:30 as the time of day that it may be, so that 2:15 is another.
bool Comparer::ratios(const Expr& gold, const Expr& answer) {
  const auto clock = [](const Expr& ratio) {
    return ratio.args.size() == 2 && ratio.args[1].kind == Kind::number && ratio.args[1].name.size() == 2 &&
           ratio.args[1].value < 60;
  };
  const bool other_form = gold.args.size() != answer.args.size() || gold.unit.empty() != answer.unit.empty();
  if (const auto time = time_of_day(gold); time && other_form && time == time_of_day(answer)) return true;
  if (gold.args.size() != answer.args.size()) return false;
  if (clock(gold) && clock(answer)) return ordered(gold.args, answer.args);
  for (size_t i = 1; i < gold.args.size(); ++i) {
    if (!plain_values(make_two(Kind::divide, gold.args[i], gold.args[0]),
                      make_two(Kind::divide, answer.args[i], answer.args[0])))
      return false;
  }
  return true;
}

// 4210_5 beside 4210: the digits alone, where the base is understood.
bool same_digits(const Expr& gold, const Expr& answer) {
  if (gold.kind != answer.kind) return false;
  if (gold.kind == Kind::negate) return same_digits(gold.args[0], answer.args[0]);
  const size_t i = gold.name.find('_'), j = answer.name.find('_');
  return gold.kind == Kind::number && (i == std::string::npos) != (j == std::string::npos) &&
         gold.name.substr(0, i) == answer.name.substr(0, j);
}

namespace {

// 6 PM
bool is_full_hour(const Expr& expr) {
  const std::string half = expr.unit.empty() ? "" : folded_words(expr.unit);
  return expr.kind == Kind::number && (half == "am" || half == "pm");
}

Expr with_minutes(const Expr& hour) {
  Expr minutes = make_number(0);
  minutes.name = "00";
  Expr time = make_two(Kind::ratio, hour, std::move(minutes));
  time.args[0].unit.clear();
  time.unit = hour.unit;
  return time;
}

bool is_c(const Expr& expr) {
  return expr.kind == Kind::symbol && expr.name[0] == 'C';
}

}  // namespace

bool Comparer::values(const Expr& written_gold, const Expr& written_answer) {
  const bool gold_names = any_of(written_gold, is_c), answer_names = any_of(written_answer, is_c);
  const Expr gold = gold_names ? as_choices(written_gold, answer_names) : written_gold,
             answer = answer_names ? as_choices(written_answer, gold_names) : written_answer;
  if (!options_.strict_bases && same_digits(gold, answer)) return true;
  if (gold.kind == Kind::ratio && answer.kind == Kind::ratio) return ratios(gold, answer);
  if (gold.kind == Kind::ratio && is_full_hour(answer)) return ratios(gold, with_minutes(answer));
  if (answer.kind == Kind::ratio && is_full_hour(gold)) return ratios(with_minutes(gold), answer);
  for (const Kind mark : {Kind::percent, Kind::degree}) {
    const auto [gold_value, gold_marked] = without_mark(gold, mark);
    const auto [answer_value, answer_marked] = without_mark(answer, mark);
    if (!gold_marked && !answer_marked) continue;
    if (gold_marked && answer_marked) return plain_values(gold_value, answer_value);
    const Mark reading = mark == Kind::degree ? options_.degrees : options_.percent;
    const bool rounded_angle = mark == Kind::degree && !gold_marked && gold.kind == Kind::number && gold.decimals >= 0;
    const bool as_written = reading != Mark::scales,
               as_scaled = reading == Mark::scales || (reading == Mark::either && !rounded_angle);  // 1.17 is not 67°
    return (as_written && plain_values(gold_value, answer_value)) || (as_scaled && plain_values(gold, answer));
  }
  if (options_.log_base == LogBase::ten) return plain_values(with_common_logs(gold), with_common_logs(answer));
  if (plain_values(gold, answer)) return true;
  if (options_.log_base == LogBase::either && (any_of(gold, is_bare_log) || any_of(answer, is_bare_log)) &&
      plain_values(with_common_logs(gold), with_common_logs(answer)))
    return true;
  const auto marked = [](const Expr& e) { return e.kind == Kind::degree; };
  if (options_.degrees == Mark::scales) return false;
  if (any_of(gold, marked) == any_of(answer, marked)) return false;
  return plain_values(without_degrees(gold), without_degrees(answer));
}

bool Comparer::plain_values(const Expr& gold, const Expr& answer) {
  if (gold.kind == Kind::sum && answer.kind == Kind::sum && gold.args.size() == answer.args.size() &&
      gold.args.size() <= 20 && std::is_permutation(gold.args.begin(), gold.args.end(), answer.args.begin(), identical))
    return true;
  const auto exact_gold = exact_value(gold, budget_);
  const auto exact_answer = exact_gold ? exact_value(answer, budget_) : std::nullopt;
  if (exact_gold && exact_answer) return close_enough(gold, *exact_gold, answer, *exact_answer);
  if (has_symbols(gold) || has_symbols(answer)) return free_values(gold, answer);
  switch (compare_numeric(gold, answer, Domain::positive, seed_, budget_)) {
    case Relation::same:
      return differ_alike(gold, answer, Domain::positive);
    case Relation::undefined:
    case Relation::unknown:
      return false;
    case Relation::different:
      break;
  }
  const Expr* gold_number = written_number(gold);
  const Expr* answer_number = written_number(answer);
  const bool rounded = (gold_number && gold_number->decimals >= 0) || (answer_number && answer_number->decimals >= 0) ||
                       options_.tolerance > 0;
  if (!rounded) return false;
  const auto gold_value = exact_gold ? exact_gold : approximate(gold, budget_),
             answer_value = approximate(answer, budget_);
  return gold_value && answer_value && close_enough(gold, *gold_value, answer, *answer_value);
}

// Whether the decimal reference is the answer rounded. One of two digits may as well be exact: 2.5 is not 2.54, while
// 0.33 is 1/3 and 0.2902435.
bool Comparer::is_rounded_to(const Expr& gold, const Rational& gold_value, const Expr* answer,
                             const Rational& answer_value) const {
  if (gold.decimals < 0 || gold.decimals > 1000 || gold.significant < 2) return false;
  if (gold.significant == 2) {
    const bool unrounded = answer && answer->decimals >= 0
                               ? answer->significant >= options_.digits
                               : denominator(Rational(answer_value * *power(Rational(10), 6))) != 1;
    if (!unrounded) return false;
  }
  const Rational twice = abs(gold_value - answer_value) * 2, last = Rational(1) / *power(Rational(10), gold.decimals);
  return twice < last || (twice == last && abs(gold_value) > abs(answer_value));  // 0.125 as 0.13, not as 0.12
}

// The rule of digits, in exact arithmetic.
bool Comparer::close_enough(const Expr& gold, const Rational& gold_value, const Expr& answer,
                            const Rational& answer_value) const {
  if (gold_value == answer_value) return true;
  const Rational difference = abs(gold_value - answer_value);
  const bool cut_off = abs(answer_value) < abs(gold_value) && (answer_value < 0) == (gold_value < 0);
  if (options_.tolerance > 0) return difference <= Rational(options_.tolerance) * abs(gold_value);
  const Expr* gold_number = written_number(gold);
  const Expr* answer_number = written_number(answer);
  const auto unit = [](const Expr& number) { return Rational(1) / *power(Rational(10), number.decimals); };
  if (gold_number && is_rounded_to(*gold_number, gold_value, answer_number, answer_value)) return true;
  if (!answer_number || answer_number->decimals < 0 || answer_number->decimals > 1000) return false;
  const bool gold_is_exact = !gold_number || gold_number->decimals < 0;
  if (gold_is_exact && denominator(gold_value) != 1 && answer_number->significant >= options_.digits) {
    const Rational last = unit(*answer_number);  // past the digits asked for, the last may be off by one
    const bool spare = answer_number->significant > options_.digits;
    if (difference * 2 <= last || ((cut_off || spare) && difference < last)) return true;
  }
  // Noise of binary arithmetic: 0.30000000000000004.
  return answer_number->significant >= 15 && difference * *power(Rational(10), 14) < abs(gold_value);
}

// Values too large for their difference to show, X and X + 1, are told apart by what is left without the terms that
// both have.
bool Comparer::differ_alike(const Expr& gold, const Expr& answer, Domain domain) {
  if (gold.kind != Kind::sum && answer.kind != Kind::sum) return true;
  if (gold.args.size() > 50 || answer.args.size() > 50) return true;
  const Expr left = without_shared_terms(gold, answer), right = without_shared_terms(answer, gold);
  return compare_numeric(left, right, domain, seed_, budget_) == Relation::same;
}

bool Comparer::free_values(const Expr& gold, const Expr& answer) {
  if (!has_symbols(gold) && !options_.match_units) {
    if (const auto number = without_unit_letters(answer)) return values(gold, *number);
  }
  const Domain domain = domain_of(gold, answer);
  if (domain == Domain::complex) {  // cheap, and enough to tell most apart
    if (compare_numeric(gold, answer, Domain::real, seed_, budget_) == Relation::different) return false;
  }
  return compare_numeric(gold, answer, domain, seed_, budget_) == Relation::same;
}

}  // namespace cohort::math
