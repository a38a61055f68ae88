// Matrices, with the little algebra that answers are written in: multiples, sums, transposes.
#include <algorithm>

#include "rewards/math/comparer.h"

namespace cohort::math {
namespace {

// Every entry replaced by what `change` makes of it.
template <class F>
Expr entrywise(Expr matrix, F change) {
  for (Expr& row : matrix.args) {
    for (Expr& cell : row.args) cell = change(std::move(cell));
  }
  return matrix;
}

bool same_shape(const Expr& a, const Expr& b) {
  return std::equal(a.args.begin(), a.args.end(), b.args.begin(), b.args.end(),
                    [](const Expr& x, const Expr& y) { return x.args.size() == y.args.size(); });
}

// [[1, 2], [3, 4]]
std::optional<Expr> nested_rows(const Expr& expr) {
  const bool shaped = expr.args.size() > 1 && std::all_of(expr.args.begin(), expr.args.end(), [&](const Expr& row) {
                        return row.kind == Kind::tuple && row.args.size() == expr.args[0].args.size();
                      });
  if (!shaped) return std::nullopt;
  Expr matrix = make(Kind::matrix, expr.args);
  for (Expr& row : matrix.args) row.kind = Kind::list;
  return matrix;
}

std::optional<Expr> transposed(const Expr& matrix) {
  if (matrix.args.empty() || !same_shape(matrix, make(Kind::matrix, {matrix.args.size(), matrix.args[0]})))
    return std::nullopt;
  Expr out = make(Kind::matrix, {matrix.args[0].args.size(), make(Kind::list, {}, ",")});
  for (const Expr& row : matrix.args) {
    for (size_t c = 0; c < row.args.size(); ++c) out.args[c].args.push_back(row.args[c]);
  }
  return out;
}

std::optional<Expr> matrix_value(const Expr& expr);

// A number times a matrix, in any order.
std::optional<Expr> multiple(const Expr& product) {
  std::optional<Expr> matrix;
  std::vector<Expr> factors;
  for (const Expr& arg : product.args) {
    auto value = matrix_value(arg);
    if (value && matrix) return std::nullopt;  // a product of matrices
    if (value)
      matrix = std::move(value);
    else
      factors.push_back(arg);
  }
  if (!matrix || factors.empty()) return matrix;
  return entrywise(*matrix, [&](Expr cell) {
    std::vector<Expr> all = factors;
    all.push_back(std::move(cell));
    return make(Kind::product, std::move(all));
  });
}

std::optional<Expr> total(const Expr& sum) {
  std::optional<Expr> result;
  for (const Expr& arg : sum.args) {
    auto next = matrix_value(arg);
    if (!next || (result && !same_shape(*result, *next))) return std::nullopt;
    if (!result) {
      result = std::move(next);
      continue;
    }
    for (size_t r = 0; r < next->args.size(); ++r) {
      for (size_t c = 0; c < next->args[r].args.size(); ++c)
        result->args[r].args[c] = make_two(Kind::sum, result->args[r].args[c], next->args[r].args[c]);
    }
  }
  return result;
}

// An expression that holds a matrix as one matrix; none where it is no matrix.
std::optional<Expr> matrix_value(const Expr& expr) {
  if (expr.kind == Kind::matrix) return expr;
  if (expr.kind == Kind::negate || expr.kind == Kind::divide) {
    const auto matrix = matrix_value(expr.args[0]);
    if (!matrix) return std::nullopt;
    return entrywise(*matrix, [&](Expr cell) {
      return expr.kind == Kind::negate ? make_one(Kind::negate, std::move(cell))
                                       : make_two(Kind::divide, std::move(cell), expr.args[1]);
    });
  }
  if (expr.kind == Kind::product) return multiple(expr);
  if (expr.kind == Kind::sum) return total(expr);
  if (expr.kind == Kind::power && expr.args[1].kind == Kind::symbol &&
      (expr.args[1].name == "T" || expr.args[1].name == "\\top" || expr.args[1].name == "t")) {
    const auto matrix = matrix_value(expr.args[0]);
    return matrix ? transposed(*matrix) : std::nullopt;
  }
  return std::nullopt;
}

// The entries of a single column or row, or of a point.
std::optional<std::vector<Expr>> entries(const Expr& expr) {
  if (expr.kind == Kind::tuple && (expr.name == "()" || expr.name == "[]")) return expr.args;
  if (expr.kind == Kind::call && expr.name == "binom") return expr.args;  // a column written as \\binom{1}{2}
  if (expr.kind != Kind::matrix) return std::nullopt;
  if (expr.args.size() == 1) return expr.args[0].args;
  std::vector<Expr> column;
  for (const Expr& row : expr.args) {
    if (row.args.size() != 1) return std::nullopt;
    column.push_back(row.args[0]);
  }
  return column;
}

}  // namespace

bool holds_matrix(const Expr& expr) {
  return any_of(expr, [](const Expr& e) { return e.kind == Kind::matrix; });
}

bool Comparer::matrices(const Expr& gold, const Expr& answer) {
  if (!budget_.take(200)) return false;
  const auto read = [](const Expr& expr) {
    auto value = matrix_value(expr);
    return value || !is_bracketed(expr) ? value : nested_rows(expr);
  };
  const auto a = read(gold), b = read(answer);
  if (a && b) {
    return std::equal(a->args.begin(), a->args.end(), b->args.begin(), b->args.end(),
                      [&](const Expr& x, const Expr& y) { return ordered(x.args, y.args); });
  }
  if (!options_.loose_brackets) return false;
  const auto left = entries(a ? *a : gold), right = entries(b ? *b : answer);
  return left && right && ordered(*left, *right);
}

}  // namespace cohort::math
