// Sets of real numbers, however they are written: intervals, unions, inequalities, finite sets, R without points.
// The end points of both sides cut the line into points and gaps; two sets are the same when they agree on all of them.
#include <algorithm>

#include "rewards/math/comparer.h"

namespace cohort::math {
namespace {

struct Bound {
  int infinite = 0;  // -1 or 1: the end of the line
  Rational value;    // otherwise
};

bool less(const Bound& a, const Bound& b) {
  return a.infinite != b.infinite ? a.infinite < b.infinite : a.infinite == 0 && a.value < b.value;
}

bool is_infinity(const Expr& expr) {
  return expr.kind == Kind::constant && expr.name == "inf";
}

bool is_infinite(const Expr& expr) {
  return is_infinity(expr) || (expr.kind == Kind::negate && is_infinity(expr.args[0]));
}

// [2, ∞] is no set of reals.
bool closes_at_infinity(const Expr& interval) {
  return (interval.name[0] == '[' && is_infinite(interval.args[0])) ||
         (interval.name[1] == ']' && is_infinite(interval.args[1]));
}

// Intervals side by side, which together are their union: one of them at least is no point.
bool is_list_of_intervals(const Expr& expr) {
  const auto is_pair = [](const Expr& e) { return e.kind == Kind::tuple && e.args.size() == 2; };
  const auto is_interval = [](const Expr& e) { return e.name == "(]" || e.name == "[)" || any_of(e, is_infinity); };
  return expr.kind == Kind::list && std::all_of(expr.args.begin(), expr.args.end(), is_pair) &&
         std::any_of(expr.args.begin(), expr.args.end(), is_interval);
}

bool is_set_kind(const Expr& expr) {
  return is_list_of_intervals(expr) || expr.kind == Kind::set_op || expr.kind == Kind::set ||
         expr.kind == Kind::builder || (expr.kind == Kind::named_set && (expr.name == "R" || expr.name == "empty")) ||
         (expr.kind == Kind::tuple && expr.args.size() == 2);
}

// Conditions side by side are alternatives unless "and" or a point left out says otherwise: x < -1, x > 1 but x > 0, x
// != 2.
bool joins_by_or(const Expr& list) {
  const auto leaves_out = [](const Expr& e) {
    return e.kind == Kind::relation && (e.operators[0] == "!=" || e.operators[0] == "notin");
  };
  return list.name == "or" || (list.name == "," && std::none_of(list.args.begin(), list.args.end(), leaves_out));
}

// One description of a set of reals as a predicate over cells. Cell 2k+1 is end point k, cell 2k the gap before it.
class RealSet {
 public:
  explicit RealSet(Budget& budget) : budget_(budget) {}

  // Collects the end points of `expr`; false where it describes no set of reals.
  bool collect(const Expr& expr) {
    switch (expr.kind) {
      case Kind::named_set:
        return expr.name == "R" || expr.name == "empty";
      case Kind::tuple:
        return expr.args.size() == 2 && bound(expr.args[0]) && bound(expr.args[1]) && !closes_at_infinity(expr);
      case Kind::set:
        return std::all_of(expr.args.begin(), expr.args.end(), [&](const Expr& arg) { return bound(arg); });
      case Kind::set_op:
        return std::all_of(expr.args.begin(), expr.args.end(), [&](const Expr& arg) { return collect(arg); });
      case Kind::builder:
        return variable(expr.args[0]) && collect(expr.args[1]);
      case Kind::relation:
        return collect_relation(expr);
      case Kind::list:
        return std::all_of(expr.args.begin(), expr.args.end(), [&](const Expr& arg) {
          return (arg.kind == Kind::relation || arg.kind == Kind::tuple || arg.kind == Kind::list) && collect(arg);
        });
      default:
        return false;
    }
  }

  void sort_points() {
    std::sort(points_.begin(), points_.end(), less);
    const auto same = [](const Bound& a, const Bound& b) { return !less(a, b) && !less(b, a); };
    points_.erase(std::unique(points_.begin(), points_.end(), same), points_.end());
  }

  size_t num_cells() const { return 2 * points_.size() + 1; }
  // An infinite end point and what lies beyond it are no part of the line.
  size_t first_cell() const { return !points_.empty() && points_.front().infinite == -1 ? 2 : 0; }
  size_t last_cell() const {
    return !points_.empty() && points_.back().infinite == 1 ? num_cells() - 3 : num_cells() - 1;
  }

  bool contains(const Expr& expr, size_t cell) {
    switch (expr.kind) {
      case Kind::named_set:
        return expr.name == "R";
      case Kind::tuple:
        return above(expr.args[0], expr.name[0] == '[', cell) && below(expr.args[1], expr.name[1] == ']', cell);
      case Kind::set:
        return std::any_of(expr.args.begin(), expr.args.end(), [&](const Expr& arg) { return position(arg) == cell; });
      case Kind::builder:
        return contains(expr.args[1], cell);
      case Kind::relation:
        return satisfies(expr, cell);
      case Kind::list: {
        const auto holds = [&](const Expr& arg) { return contains(arg, cell); };
        return joins_by_or(expr) || is_list_of_intervals(expr) ? std::any_of(expr.args.begin(), expr.args.end(), holds)
                                                               : std::all_of(expr.args.begin(), expr.args.end(), holds);
      }
      case Kind::set_op:
        break;
      default:
        return false;
    }
    bool inside = contains(expr.args[0], cell);
    for (size_t i = 1; i < expr.args.size(); ++i) {
      const bool next = contains(expr.args[i], cell);
      inside = expr.name == "union" ? inside || next : expr.name == "intersection" ? inside && next : inside && !next;
    }
    return inside;
  }

  void forget_variable() { variable_.clear(); }

  // x > 0, x < 1 as alternatives would leave nothing out: then both are meant.
  Expr with_meant_commas(const Expr& expr) {
    Expr out = expr;
    if (expr.kind != Kind::list || expr.name != ",") return out;
    for (size_t cell = first_cell(); cell <= last_cell(); ++cell) {
      if (!contains(expr, cell)) return out;
    }
    out.name = "and";
    return out;
  }

 private:
  std::optional<Bound> value_of(const Expr& expr) {
    if (is_infinity(expr)) return Bound{.infinite = 1};
    if (expr.kind == Kind::negate && is_infinity(expr.args[0])) return Bound{.infinite = -1};
    if (has_symbols(expr)) return std::nullopt;
    auto value = exact_value(expr, budget_);
    if (!value) {
      value = approximate(expr, budget_);
      if (value) {  // equal irrationals written differently agree to 150 bits
        const Integer scale = Integer(1) << 150;
        value = Rational(Integer(numerator(*value) * scale / denominator(*value)) / 1024, scale / 1024);
      }
    }
    return value ? std::optional<Bound>(Bound{.value = *value}) : std::nullopt;
  }

  bool bound(const Expr& expr) {
    const auto value = value_of(expr);
    if (!value || points_.size() > 200) return false;
    points_.push_back(*value);
    return true;
  }

  bool variable(const Expr& expr) {
    if (expr.kind == Kind::relation && expr.args.size() == 2 && expr.operators[0] == "in")
      return variable(expr.args[0]) && collect(expr.args[1]);
    if (expr.kind != Kind::symbol || (!variable_.empty() && variable_ != expr.name)) return false;
    variable_ = expr.name;
    return true;
  }

  // A chain of comparisons of one variable with numbers, or membership in a set.
  bool collect_relation(const Expr& expr) {
    if (expr.operators.size() == 1 && (expr.operators[0] == "in" || expr.operators[0] == "notin"))
      return variable(expr.args[0]) && collect(expr.args[1]);
    size_t variables = 0;
    for (const Expr& arg : expr.args) {
      if (arg.kind == Kind::symbol ? !variable(arg) : !bound(arg)) return false;
      variables += arg.kind == Kind::symbol ? 1 : 0;
    }
    const bool ordered = std::all_of(expr.operators.begin(), expr.operators.end(), [](const std::string& o) {
      return o == "<" || o == ">" || o == "<=" || o == ">=" || o == "!=" || o == "=";
    });
    return ordered && variables == 1;
  }

  size_t position(const Expr& expr) {
    const auto value = value_of(expr);
    const auto at = std::lower_bound(points_.begin(), points_.end(), *value, less);
    return 2 * static_cast<size_t>(at - points_.begin()) + 1;
  }

  bool above(const Expr& end, bool closed, size_t cell) {
    return closed ? cell >= position(end) : cell > position(end);
  }
  bool below(const Expr& end, bool closed, size_t cell) {
    return closed ? cell <= position(end) : cell < position(end);
  }

  bool satisfies(const Expr& relation, size_t cell) {
    if (relation.operators[0] == "in") return contains(relation.args[1], cell);
    if (relation.operators[0] == "notin") return !contains(relation.args[1], cell);
    for (size_t i = 0; i < relation.operators.size(); ++i) {
      const Expr& left = relation.args[i];
      const Expr& right = relation.args[i + 1];
      if (left.kind != Kind::symbol && right.kind != Kind::symbol) continue;
      const std::string& op = relation.operators[i];
      const bool flipped = left.kind != Kind::symbol;
      const Expr& end = flipped ? left : right;
      const bool closed = op == "<=" || op == ">=";
      if (op == "!="  ? position(end) == cell
          : op == "=" ? position(end) != cell
                      : ((op[0] == '<') != flipped ? !below(end, closed, cell) : !above(end, closed, cell)))
        return false;
    }
    return true;
  }

  Budget& budget_;
  std::vector<Bound> points_;
  std::string variable_;
};

bool is_real_set_relation(const Expr& expr) {
  if (expr.kind == Kind::relation)
    return expr.operators[0] != "=" && expr.operators[0] != "~" && expr.operators[0] != "to";
  const auto is_relation = [](const Expr& e) {  // x < 1 or x = 3
    return e.kind == Kind::relation || (e.kind == Kind::list && is_real_set_relation(e));
  };
  return expr.kind == Kind::list && std::all_of(expr.args.begin(), expr.args.end(), is_relation) &&
         std::any_of(expr.args.begin(), expr.args.end(), is_real_set_relation);
}

}  // namespace

namespace {

// 0 < f(x) < 1: the value of a function as one variable.
Expr with_named_values(const Expr& relation) {
  Expr out = relation;
  for (Expr& arg : out.args) {
    const bool named = arg.kind == Kind::product && arg.args.size() == 2 && arg.args[0].kind == Kind::symbol &&
                       arg.args[1].kind == Kind::symbol && arg.args[0].name.size() == 1 &&
                       std::string_view("fghpFGP").find(arg.args[0].name[0]) != std::string_view::npos;
    if (named) arg = {.kind = Kind::symbol, .name = arg.args[0].name + "(" + arg.args[1].name + ")"};
  }
  return out;
}

// What a side says as a set of reals: |x| < 3 as a chain, 2x + 1 < 5 as x < 2, the list 1, 2 as a set beside a union.
Expr as_set(const Expr& expr, const Expr& other, Budget& budget) {
  const auto plain = [](const Expr& e) { return !has_symbols(e) && e.kind < Kind::list; };
  if (expr.kind == Kind::list && other.kind == Kind::set_op && std::all_of(expr.args.begin(), expr.args.end(), plain)) {
    Expr set = expr;
    set.kind = Kind::set;
    return set;
  }
  if (expr.kind == Kind::relation) return solved(without_bars(with_named_values(expr)), budget);
  Expr out = expr;
  if (expr.kind == Kind::list || expr.kind == Kind::builder) {
    for (Expr& arg : out.args) {
      if (arg.kind == Kind::relation) arg = solved(without_bars(arg), budget);
    }
  }
  return out;
}

}  // namespace

std::optional<bool> Comparer::real_sets(const Expr& written_gold, const Expr& written_answer) {
  const bool worth = is_set_kind(written_gold) || is_set_kind(written_answer) || is_real_set_relation(written_gold) ||
                     is_real_set_relation(written_answer);
  if (!worth) return std::nullopt;
  const Expr gold = as_set(written_gold, written_answer, budget_),
             answer = as_set(written_answer, written_gold, budget_);
  const bool gold_relation = is_real_set_relation(gold), answer_relation = is_real_set_relation(answer);
  if (!(gold_relation || is_set_kind(gold)) || !(answer_relation || is_set_kind(answer))) return std::nullopt;
  if (options_.relations == Relations::strict && gold_relation != answer_relation) return std::nullopt;
  if (options_.relations == Relations::asked && gold_relation && !answer_relation) return std::nullopt;
  if (gold.kind == Kind::tuple && answer.kind == Kind::tuple)
    return std::nullopt;  // a point as well as an interval: by its entries
  if (gold.kind == Kind::set && answer.kind == Kind::set) return std::nullopt;
  RealSet sets(budget_);
  const bool renames = gold.kind == Kind::builder || answer.kind == Kind::builder;
  if (!sets.collect(gold)) return std::nullopt;
  if (renames) sets.forget_variable();  // that of {x | …} is bound
  if (!sets.collect(answer)) return std::nullopt;
  sets.sort_points();
  if (!budget_.take(static_cast<int64_t>(sets.num_cells()) * 20)) return std::nullopt;
  const Expr one = sets.with_meant_commas(gold), other = sets.with_meant_commas(answer);
  for (size_t cell = sets.first_cell(); cell <= sets.last_cell(); ++cell) {
    if (sets.contains(one, cell) != sets.contains(other, cell)) return false;
  }
  return true;
}

}  // namespace cohort::math
