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

bool is_rectangular(const Expr& matrix) {
  return !matrix.args.empty() && std::all_of(matrix.args.begin(), matrix.args.end(), [&](const Expr& row) {
    return row.args.size() == matrix.args[0].args.size();
  });
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
  if (!is_rectangular(matrix)) return std::nullopt;
  Expr out = make(Kind::matrix, {matrix.args[0].args.size(), make(Kind::list, {}, ",")});
  for (const Expr& row : matrix.args) {
    for (size_t c = 0; c < row.args.size(); ++c) out.args[c].args.push_back(row.args[c]);
  }
  return out;
}

std::optional<Expr> matrix_value(const Expr& expr);

constexpr size_t kMaxSide = 6;       // of matrices that are multiplied
constexpr size_t kMaxNodes = 4'000;  // of what the algebra writes out

std::optional<Expr> matrix_product(const Expr& a, const Expr& b) {
  const size_t inner = a.args[0].args.size();
  if (inner != b.args.size() || inner > kMaxSide || a.args.size() > kMaxSide || b.args[0].args.size() > kMaxSide ||
      !is_rectangular(a) || !is_rectangular(b) ||
      num_nodes(a) * b.args[0].args.size() + num_nodes(b) * a.args.size() > kMaxNodes)
    return std::nullopt;
  Expr out = make(Kind::matrix, {a.args.size(), make(Kind::list, {}, ",")});
  for (size_t r = 0; r < a.args.size(); ++r) {
    for (size_t c = 0; c < b.args[0].args.size(); ++c) {
      Expr cell = make(Kind::sum, {});
      for (size_t k = 0; k < inner; ++k)
        cell.args.push_back(make_two(Kind::product, a.args[r].args[k], b.args[k].args[c]));
      out.args[r].args.push_back(std::move(cell));
    }
  }
  return out;
}

// The product of numbers and matrices, these in their order.
std::optional<Expr> product_of(const Expr& product) {
  std::optional<Expr> matrix;
  std::vector<Expr> factors;
  for (const Expr& arg : product.args) {
    auto value = matrix_value(arg);
    if (!value) {
      factors.push_back(arg);
      continue;
    }
    matrix = matrix ? matrix_product(*matrix, *value) : std::move(value);
    if (!matrix) return std::nullopt;
  }
  if (!matrix || factors.empty()) return matrix;
  if (num_nodes(make(Kind::product, factors)) * num_nodes(*matrix) > kMaxNodes) return std::nullopt;
  return entrywise(*matrix, [&](Expr cell) {
    std::vector<Expr> all = factors;
    all.push_back(std::move(cell));
    return make(Kind::product, std::move(all));
  });
}

// The inverse of a 2 by 2 matrix.
std::optional<Expr> inverse(const Expr& matrix) {
  if (matrix.args.size() != 2 || matrix.args[0].args.size() != 2 || !is_rectangular(matrix) ||
      num_nodes(matrix) > kMaxNodes / 10)
    return std::nullopt;
  const auto cell = [&](size_t r, size_t c) { return matrix.args[r].args[c]; };
  const Expr determinant = make_two(Kind::sum, make_two(Kind::product, cell(0, 0), cell(1, 1)),
                                    make_one(Kind::negate, make_two(Kind::product, cell(0, 1), cell(1, 0))));
  Expr adjoint = matrix;
  adjoint.args[0].args = {cell(1, 1), make_one(Kind::negate, cell(0, 1))};
  adjoint.args[1].args = {make_one(Kind::negate, cell(1, 0)), cell(0, 0)};
  return entrywise(adjoint, [&](Expr entry) { return make_two(Kind::divide, std::move(entry), determinant); });
}

// A transpose, an inverse, a square or a cube.
std::optional<Expr> power_of(const Expr& power) {
  const Expr& top = power.args[1];
  const auto matrix = matrix_value(power.args[0]);
  if (!matrix) return std::nullopt;
  if (top.kind == Kind::symbol)
    return top.name == "T" || top.name == "\\top" || top.name == "t" ? transposed(*matrix) : std::nullopt;
  if (top.kind == Kind::negate && top.args[0].kind == Kind::number && top.args[0].value == 1) return inverse(*matrix);
  if (top.kind != Kind::number || (top.value != 2 && top.value != 3)) return std::nullopt;
  const auto square = matrix_product(*matrix, *matrix);
  return square && top.value == 3 ? matrix_product(*square, *matrix) : square;
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
    if (!matrix || (expr.kind == Kind::divide && num_nodes(*matrix) * num_nodes(expr.args[1]) > kMaxNodes))
      return std::nullopt;
    return entrywise(*matrix, [&](Expr cell) {
      return expr.kind == Kind::negate ? make_one(Kind::negate, std::move(cell))
                                       : make_two(Kind::divide, std::move(cell), expr.args[1]);
    });
  }
  if (expr.kind == Kind::product) return product_of(expr);
  if (expr.kind == Kind::sum) return total(expr);
  if (expr.kind == Kind::power) return power_of(expr);
  return std::nullopt;
}

bool is_symbol_t(const Expr& expr) {
  return expr.kind == Kind::symbol && (expr.name == "T" || expr.name == "t");
}

// Whether `name`, I or I_3, stands for the matrix of that size.
bool is_identity(const Expr& name, const Expr& matrix) {
  const size_t size = matrix.args.size();
  if (name.kind != Kind::symbol || (name.name != "I" && name.name != "I_" + std::to_string(size))) return false;
  for (size_t r = 0; r < size; ++r) {
    if (matrix.args[r].args.size() != size) return false;
    for (size_t c = 0; c < size; ++c) {
      const Expr& cell = matrix.args[r].args[c];
      if (cell.kind != Kind::number || cell.value != (r == c ? 1 : 0)) return false;
    }
  }
  return true;
}

// The entries of a single column or row, or of a point.
std::optional<std::vector<Expr>> entries(const Expr& expr) {
  if (expr.kind == Kind::tuple && (expr.name == "()" || expr.name == "[]")) return expr.args;
  if (expr.kind == Kind::power && expr.args[0].kind == Kind::tuple && is_symbol_t(expr.args[1]))
    return expr.args[0].args;                                             // (1, 2)^T
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
  if ((a && is_identity(answer, *a)) || (b && is_identity(gold, *b))) return true;
  if (a && b) {
    return std::equal(a->args.begin(), a->args.end(), b->args.begin(), b->args.end(),
                      [&](const Expr& x, const Expr& y) { return ordered(x.args, y.args); });
  }
  if (!options_.loose_brackets) return false;
  const auto left = entries(a ? *a : gold), right = entries(b ? *b : answer);
  return left && right && ordered(*left, *right);
}

}  // namespace cohort::math
