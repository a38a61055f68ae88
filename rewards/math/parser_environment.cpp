// \begin{…} … \end{…}: matrices, systems of equations, functions given by branches.
#include <utility>

#include "rewards/math/parser_state.h"

namespace cohort::math {
namespace {

bool is_relation(const Token& token) {
  static constexpr std::string_view kCommands = " le leq ge geq lt gt ne neq approx equiv in sim ";
  if (token.kind == TokenKind::op)
    return !token.text.empty() && std::string_view("=<>!").find(token.text[0]) != std::string_view::npos;
  return token.kind == TokenKind::command && kCommands.find(" " + token.text + " ") != std::string_view::npos;
}

Expr product_of(std::vector<Expr> factors) {
  return make(Kind::product, std::move(factors));
}

}  // namespace

// The determinant of a small square matrix written out; for others the call.
Expr determinant(Expr matrix) {
  const auto& rows = matrix.args;
  const size_t n = rows.size();
  if (num_nodes(matrix) > 300) return make_one(Kind::call, std::move(matrix), "det");  // written out it would double
  for (const Expr& row : rows) {
    if (row.args.size() != n || n < 2 || n > 3) return make_one(Kind::call, std::move(matrix), "det");
  }
  const auto cell = [&](size_t r, size_t c) { return rows[r].args[c]; };
  Expr total = make(Kind::sum, {});
  if (n == 2) {
    total.args.push_back(product_of({cell(0, 0), cell(1, 1)}));
    total.args.push_back(make_one(Kind::negate, product_of({cell(0, 1), cell(1, 0)})));
    return total;
  }
  for (size_t c = 0; c < 3; ++c) {
    total.args.push_back(product_of({cell(0, c), cell(1, (c + 1) % 3), cell(2, (c + 2) % 3)}));
    total.args.push_back(make_one(Kind::negate, product_of({cell(0, c), cell(1, (c + 2) % 3), cell(2, (c + 1) % 3)})));
  }
  return total;
}

Expr trace(const Expr& matrix) {
  Expr total = make(Kind::sum, {});
  for (size_t i = 0; i < matrix.args.size(); ++i) {
    if (matrix.args[i].args.size() != matrix.args.size()) throw ParseFailure{};
    total.args.push_back(matrix.args[i].args[i]);
  }
  return total;
}

// A brace with an environment behind it: a system, or branches; two columns are value and condition.
Expr system_of(const Expr& matrix) {
  if (matrix.kind != Kind::matrix) return matrix;
  Expr list = make(Kind::list, {}, "and");
  for (const Expr& row : matrix.args) {
    if (row.args.size() > 2) throw ParseFailure{};
    if (row.args.size() == 1) {
      list.args.push_back(row.args[0]);
      continue;
    }
    list.name = "cases";
    list.args.push_back(make(Kind::tuple, row.args, "()"));
  }
  return list;
}

// The & of an environment of equations only align them; in one of branches those beside a relation do.
void Parser::drop_alignment(bool all) {
  size_t kept = at_, end = at_;
  for (; end < tokens_.size() && !(tokens_[end].kind == TokenKind::command && tokens_[end].text == "end"); ++end) {
    const bool ampersand = tokens_[end].kind == TokenKind::op && tokens_[end].text == "&";
    const bool aligns = all || (end + 1 < tokens_.size() && is_relation(tokens_[end + 1])) ||
                        (kept > at_ && is_relation(tokens_[kept - 1]));
    if (ampersand && aligns) continue;
    if (kept != end) tokens_[kept] = std::move(tokens_[end]);
    ++kept;
  }
  tokens_.erase(tokens_.begin() + static_cast<ptrdiff_t>(kept), tokens_.begin() + static_cast<ptrdiff_t>(end));
}

// {name}, and the columns of an array; the cursor stands behind them.
std::string Parser::environment_name() {
  expect("{");
  std::string name;
  for (; !is_op("}"); ++at_) {
    if (peek().kind == TokenKind::end) throw ParseFailure{};
    name += peek().text;
  }
  ++at_;
  if (name != "array" || !is_op("{")) return name;
  int depth = 0;
  do {
    if (peek().kind == TokenKind::end) throw ParseFailure{};
    depth += is_op("{") ? 1 : is_op("}") ? -1 : 0;
    ++at_;
  } while (depth > 0);
  return name;
}

// "x + 1 & x > 0": a value and when it holds.
Expr Parser::condition() {
  while (peek().kind == TokenKind::word && (peek().text == "if" || peek().text == "for" || peek().text == "when" ||
                                            peek().text == "where" || peek().text == "If" || peek().text == "for all"))
    ++at_;
  return list(true);
}

// Rows up to \end, each of one cell or of more between &. `matrix`: cells are entries, else values and conditions.
Expr Parser::rows(bool matrix) {
  Expr all = make(Kind::matrix, {});
  while (!is_command("end")) {
    if (take_command("hline")) continue;
    Expr row = make(Kind::list, {}, ",");
    do {
      row.args.push_back(row.args.empty() || matrix ? element() : condition());
      if (!matrix && is_op(",") && (is_op("&", 1) || is_op("\\\\", 1) || is_command("end", 1))) ++at_;
    } while (take_op("&") || (matrix && take_op(",")) || (!matrix && row.args.size() == 1 && is_op(",") && ++at_));
    all.args.push_back(std::move(row));
    if (!matrix && is_op(".")) ++at_;
    if (!take_op("\\\\") && !is_command("end")) throw ParseFailure{};
  }
  if (all.args.empty()) throw ParseFailure{};
  return all;
}

// Whether the environment that begins at the cursor stands in a brace that closes behind it: \{ … \}.
bool Parser::closes_set() const {
  int depth = 1;
  size_t end = 0;
  for (; depth > 0; ++end) {
    if (peek(end).kind == TokenKind::end) return false;
    depth += is_command("begin", end) ? 1 : is_command("end", end) ? -1 : 0;
  }
  while (peek(end).kind != TokenKind::end && !is_op("}", end)) ++end;
  return is_op("\\}", end + 1);
}

// Matrices stay matrices; environments of equations become a list joined by "and", those of branches one of pairs.
Expr Parser::environment(bool branches) {
  const Level level(*this);
  const std::string name = environment_name();
  const bool is_matrix = !branches && (name.find("matrix") != std::string::npos || name == "array");
  const bool outer = std::exchange(in_matrix_, true);
  if (!is_matrix) drop_alignment(!branches && name.find("cases") == std::string::npos);
  Expr read = rows(is_matrix);
  in_matrix_ = outer;
  ++at_;
  expect("{");
  while (!is_op("}")) {
    if (peek().kind == TokenKind::end) throw ParseFailure{};
    ++at_;
  }
  ++at_;
  if (name == "vmatrix") return determinant(std::move(read));
  return is_matrix ? read : system_of(read);
}

}  // namespace cohort::math
