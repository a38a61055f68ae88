// Ways of writing one answer, brought to one form before it is compared: sets by a rule, parameters that only count
// solutions, constants of integration, unit vectors, choices as C(n, k).
#include <algorithm>
#include <array>

#include "rewards/math/comparer.h"

namespace cohort::math {
namespace {

bool is_symbol(const Expr& expr, const std::string& name) {
  return expr.kind == Kind::symbol && expr.name == name;
}

size_t count_symbol(const Expr& expr, const std::string& name) {
  size_t count = is_symbol(expr, name) ? 1 : 0;
  for (const Expr& arg : expr.args) count += count_symbol(arg, name);
  return count;
}

Expr symbol(const std::string& name) {
  return {.kind = Kind::symbol, .name = name};
}

bool is_membership(const Expr& expr) {
  return expr.kind == Kind::relation && expr.operators == std::vector<std::string>{"in"} &&
         expr.args[0].kind == Kind::symbol;
}

bool is_whole_set(const Expr& expr) {
  return expr.kind == Kind::named_set && (expr.name[0] == 'Z' || expr.name[0] == 'N');
}

// The conditions of a builder, those of its variable first.
std::vector<Expr> conditions_of(const Expr& builder) {
  std::vector<Expr> all;
  if (is_membership(builder.args[0])) all.push_back(builder.args[0]);
  const Expr& condition = builder.args[1];
  if (condition.kind == Kind::list && condition.name != "or")
    all.insert(all.end(), condition.args.begin(), condition.args.end());
  else
    all.push_back(condition);
  return all;
}

// {x | x = 2k, k in Z} as 2k, k in Z; {x | x in Z} as Z.
Expr opened(const Expr& builder) {
  const Expr& written = builder.args[0];
  const std::vector<Expr> conditions = conditions_of(builder);
  if (written.kind == Kind::symbol && conditions.size() == 1 && is_membership(conditions[0]) &&
      identical(conditions[0].args[0], written))
    return conditions[0].args[1];
  const auto gives_value = [&](const Expr& e) {
    return written.kind == Kind::symbol && e.kind == Kind::relation && e.operators == std::vector<std::string>{"="} &&
           identical(e.args[0], written);
  };
  std::optional<Expr> value;
  if (written.kind != Kind::symbol && written.kind < Kind::list) value = written;
  Expr list = make(Kind::list, {}, ",");
  for (const Expr& condition : conditions) {
    if (gives_value(condition) && !value)
      value = condition.args[1];
    else if (is_membership(condition) && is_whole_set(condition.args[1]))
      list.args.push_back(condition);
    else
      return builder;
  }
  if (!value || list.args.empty()) return builder;
  list.args.insert(list.args.begin(), std::move(*value));
  return list;
}

// The k of k in Z beside a value; empty where there is none or more than one.
std::string parameter_of(const Expr& expr) {
  if (expr.kind != Kind::list) return {};
  std::string name;
  for (const Expr& arg : expr.args) {
    if (!is_membership(arg) || !is_whole_set(arg.args[1])) continue;
    if (!name.empty()) return {};
    name = arg.args[0].name;
  }
  return name;
}

// The C of F(x) + C; empty where there is none.
std::string constant_of(const Expr& expr) {
  static constexpr std::array<std::string_view, 9> kNames = {"C",   "c",   "K",        "k",    "C_1",
                                                             "c_1", "C_0", "constant", "const"};
  if (expr.kind == Kind::relation) return constant_of(expr.args.back());
  if (expr.kind != Kind::sum) return {};
  std::string name;
  for (const Expr& arg : expr.args) {
    const bool named = (arg.kind == Kind::symbol || arg.kind == Kind::text) &&
                       std::find(kNames.begin(), kNames.end(), arg.name) != kNames.end();
    if (!named) continue;
    if (!name.empty()) return {};
    name = arg.name;
  }
  return count_symbol(expr, name) <= 1 ? name : std::string();
}

Expr with_text_as_symbol(Expr expr, const std::string& name) {
  if (expr.kind == Kind::text && expr.name == name) return symbol(name);
  for (Expr& arg : expr.args) arg = with_text_as_symbol(std::move(arg), name);
  return expr;
}

// Whether a relation of numbers holds, as far as exact arithmetic can tell.
std::optional<bool> holds(const Expr& relation, Budget& budget) {
  for (size_t i = 0; i < relation.operators.size(); ++i) {
    const auto left = exact_value(relation.args[i], budget), right = exact_value(relation.args[i + 1], budget);
    if (!left || !right) return std::nullopt;
    const std::string& op = relation.operators[i];
    const bool fits = op == "<"    ? *left < *right
                      : op == ">"  ? *left > *right
                      : op == "<=" ? *left <= *right
                      : op == ">=" ? *left >= *right
                      : op == "!=" ? *left != *right
                                   : op == "=" && *left == *right;
    if (!fits) return false;
  }
  return true;
}

}  // namespace

Expr with_symbol(const Expr& expr, const std::string& name, const Expr& value) {
  if (is_symbol(expr, name)) return value;
  Expr out = expr;
  for (Expr& arg : out.args) arg = with_symbol(arg, name, value);
  return out;
}

Expr with_builders_opened(const Expr& expr) {
  if (expr.kind == Kind::builder) return opened(expr);
  if (expr.kind != Kind::relation && expr.kind != Kind::list) return expr;
  Expr out = expr;
  for (Expr& arg : out.args) arg = with_builders_opened(arg);
  return out;
}

// π/4 + nπ, n in Z with the k of the reference; F(x) + K with its C.
Expr with_names_of(const Expr& gold, Expr answer) {
  const std::string mine = parameter_of(gold), theirs = parameter_of(answer);
  if (!mine.empty() && !theirs.empty() && mine != theirs && count_symbol(answer, mine) == 0)
    return with_symbol(answer, theirs, symbol(mine));
  const std::string constant = constant_of(gold), other = constant_of(answer);
  const auto is_capital = [](const Expr& e) {
    return e.kind == Kind::symbol && e.name[0] >= 'A' && e.name[0] <= 'Z' && e.name[0] != 'C';
  };
  const bool renames = !any_of(gold, is_capital) && !constant.empty() && constant[0] == 'C' && !other.empty() &&
                       other != constant && count_symbol(answer, constant) == 0 && count_symbol(gold, other) == 0;
  if (!renames) return answer;
  return with_symbol(with_text_as_symbol(std::move(answer), other), other, symbol(constant));
}

// The whole numbers of {x in Z | 1 <= x <= 4}; none where they are not few, or the conditions say more.
std::optional<Expr> enumerated(const Expr& builder, Budget& budget) {
  constexpr int kReach = 200;
  std::vector<Expr> conditions = conditions_of(builder);
  const Expr& written = builder.args[0];
  const std::string name = is_membership(written) ? written.args[0].name : written.name;
  const auto in_whole = [&](const Expr& e) {
    return is_membership(e) && e.args[0].name == name && is_whole_set(e.args[1]);
  };
  const auto membership = std::find_if(conditions.begin(), conditions.end(), in_whole);
  if (membership == conditions.end()) return std::nullopt;
  const std::string set = membership->args[1].name;
  conditions.erase(membership);
  Expr elements = make(Kind::set, {});
  for (int value = set[0] == 'N' ? 0 : set == "Z+" ? 1 : -kReach; value <= kReach; ++value) {
    bool all = !conditions.empty();
    for (size_t i = 0; all && i < conditions.size(); ++i) {
      if (conditions[i].kind != Kind::relation || !budget.take(2)) return std::nullopt;
      const auto fits = holds(without_bars(with_symbol(conditions[i], name, make_number(value))), budget);
      if (!fits) return std::nullopt;
      all = *fits;
    }
    if (all && (std::abs(value) == kReach || (value == 0 && set == "N"))) return std::nullopt;  // whether 0 is in N
    if (all) elements.args.push_back(make_number(value));
  }
  return elements;
}

// The components of 4i - k beside a vector of that many; none for what names no j or k.
std::optional<Expr> components(const Expr& expr, size_t size) {
  const auto names_axis = [](const Expr& e) { return is_symbol(e, "j") || is_symbol(e, "k"); };
  if (size < 2 || size > 3 || expr.kind >= Kind::list || !any_of(expr, names_axis)) return std::nullopt;
  const std::array<std::string, 3> axes = {"i", "j", "k"};
  const auto along = [&](size_t which) {
    Expr out = expr;
    for (size_t axis = 0; axis < 3; ++axis) out = with_symbol(out, axes[axis], make_number(axis == which ? 1 : 0));
    return out;
  };
  Expr point = make(Kind::tuple, {}, "()");
  Budget budget{.steps = 2000};
  const Expr constant = with_imaginary_as_axis(along(3), 0);
  if (const auto rest = exact_value(constant, budget); rest && !rest->is_zero()) return std::nullopt;
  for (size_t axis = 0; axis < size; ++axis)
    point.args.push_back(with_imaginary_as_axis(along(axis), axis == 0 ? 1 : 0));
  return point;
}

Expr with_imaginary_as_axis(const Expr& expr, int value) {
  if (expr.kind == Kind::constant && expr.name == "i") return make_number(value);
  Expr out = expr;
  for (Expr& arg : out.args) arg = with_imaginary_as_axis(arg, value);
  return out;
}

bool divides_by_symbol(const Expr& expr) {
  return expr.kind == Kind::divide && has_symbols(expr.args[1]);
}

namespace {

struct Fraction {
  Expr top, bottom;
};

Fraction as_fraction(const Expr& expr) {
  Fraction out{expr, make_number(1)};
  if (!any_of(expr, divides_by_symbol)) return out;
  if (expr.kind == Kind::negate) {
    out = as_fraction(expr.args[0]);
    out.top = make_one(Kind::negate, std::move(out.top));
  } else if (expr.kind == Kind::divide) {
    Fraction above = as_fraction(expr.args[0]), below = as_fraction(expr.args[1]);
    out = {make_two(Kind::product, std::move(above.top), std::move(below.bottom)),
           make_two(Kind::product, std::move(above.bottom), std::move(below.top))};
  } else if (expr.kind == Kind::sum || expr.kind == Kind::product) {
    out = as_fraction(expr.args[0]);
    for (size_t i = 1; i < expr.args.size() && num_nodes(out.top) < 2000; ++i) {
      Fraction next = as_fraction(expr.args[i]);
      if (expr.kind == Kind::product)
        out.top = make_two(Kind::product, std::move(out.top), std::move(next.top));
      else
        out.top = make_two(Kind::sum, make_two(Kind::product, std::move(out.top), next.bottom),
                           make_two(Kind::product, std::move(next.top), out.bottom));
      out.bottom = make_two(Kind::product, std::move(out.bottom), std::move(next.bottom));
    }
  }
  return out;
}

}  // namespace

Expr numerator_of(const Expr& expr) {
  return num_nodes(expr) > 200 ? expr : as_fraction(expr).top;
}

// C(n, k), C_n^k and 9C4: the number of choices. `names_c` tells that C stands for something else.
Expr as_choices(const Expr& expr, bool names_c) {
  const bool two = expr.args.size() == 2;
  if (expr.kind == Kind::power && !names_c && expr.args[0].kind == Kind::symbol &&
      expr.args[0].name.starts_with("C_") && expr.args[0].name.size() == 3)  // C_n^2
    return make_two(Kind::call, symbol(expr.args[0].name.substr(2)), expr.args[1], "binom");
  if (expr.kind == Kind::product && two && !names_c && expr.args[0].kind == Kind::number &&
      expr.args[1].kind == Kind::symbol && expr.args[1].name.starts_with("C_")) {  // 9C4
    const std::string digits = expr.args[1].name.substr(2);
    if (!digits.empty() && digits.size() < 5 && digits.find_first_not_of("0123456789") == std::string::npos)
      return make_two(Kind::call, expr.args[0], make_number(from_decimal(digits)), "binom");
  }
  Expr out = expr;
  if (expr.kind == Kind::product) {
    out.args.clear();
    for (size_t i = 0; i < expr.args.size(); ++i) {
      const bool choice = is_symbol(expr.args[i], "C") && i + 1 < expr.args.size() &&
                          expr.args[i + 1].kind == Kind::tuple && expr.args[i + 1].args.size() == 2;
      if (choice)
        out.args.push_back(make(Kind::call, expr.args[++i].args, "binom"));
      else
        out.args.push_back(expr.args[i]);
    }
    if (out.args.size() == 1) return as_choices(Expr(out.args[0]), names_c);
  }
  for (Expr& arg : out.args) arg = as_choices(arg, names_c);
  return out;
}

}  // namespace cohort::math
