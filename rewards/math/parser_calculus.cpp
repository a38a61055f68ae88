// Sums and products over a range, integrals, limits and derivatives.
#include <algorithm>

#include "rewards/math/parser_state.h"

namespace cohort::math {
namespace {

bool is_arrow(const Token& token) {
  return token.kind == TokenKind::command &&
         (token.text == "to" || token.text == "Rightarrow" || token.text == "Longrightarrow" ||
          token.text == "rightarrow" || token.text == "longrightarrow");
}

bool is_infinite(const Expr& expr) {
  return expr.kind == Kind::constant && expr.name == "inf";
}

}  // namespace

// What stands behind ^ or _ of an operator: braces, or one letter or number without scripts of its own.
Expr Parser::range_end() {
  if (is_op("{")) return braces();
  if (take_op("-")) return make_one(Kind::negate, range_end());
  if (peek().kind == TokenKind::letter) return ++at_, named(tokens_[at_ - 1].text);
  if (peek().kind == TokenKind::number) return ++at_, read_token(tokens_[at_ - 1].text);
  return primary();
}

// A variable that only the operator's body knows, by its depth: whatever it is called.
Expr Parser::bind(const std::string& variable) {
  bound_.push_back(variable);
  return {.kind = Kind::symbol, .name = "#" + std::to_string(bound_.size() - 1)};
}

// \sum_{k=1}^{n} body, with its scripts in either order.
Expr Parser::big_operator(std::string name) {
  const Level level(*this);
  std::optional<Expr> high;
  if (take_op("^")) high = range_end();
  expect("_");
  expect("{");
  if (peek().kind != TokenKind::letter) throw ParseFailure{};
  const std::string variable = peek().text;
  ++at_;
  expect("=");
  Expr low = sum();
  expect("}");
  if (!high) {
    expect("^");
    high = range_end();
  }
  std::vector<Expr> args;
  args.push_back(bind(variable));
  args.push_back(std::move(low));
  args.push_back(std::move(*high));
  args.push_back(product());
  bound_.pop_back();
  return make(Kind::big, std::move(args), std::move(name));
}

// d or \partial before a variable.
bool Parser::is_differential(size_t ahead) const {
  const bool d = (peek(ahead).kind == TokenKind::letter && peek(ahead).text == "d") ||
                 (peek(ahead).kind == TokenKind::command && peek(ahead).text == "partial");
  const Token& variable = peek(ahead + 1);
  return d &&
         (variable.kind == TokenKind::letter || (variable.kind == TokenKind::command && variable.text != "cdot")) &&
         variable.text != "d";
}

// Tokens to the differential that belongs to the integral at the cursor; those of integrals inside come first. None
// where there is none in the same bracket.
std::optional<size_t> Parser::differential() const {
  size_t inner = 0;
  int depth = 0;
  constexpr size_t kReach = 500;  // tokens of an integrand
  for (size_t ahead = 0; ahead < kReach && at_ + ahead + 1 < tokens_.size(); ++ahead) {
    const Token& token = peek(ahead);
    if (token.kind == TokenKind::op) {
      depth += token.text == "{" || token.text == "(" || token.text == "[" ? 1 : 0;
      depth -= token.text == "}" || token.text == ")" || token.text == "]" ? 1 : 0;
      if (depth < 0 || (depth == 0 && (token.text == "=" || token.text == ","))) return std::nullopt;
    }
    if (token.kind == TokenKind::command && token.text == "int") ++inner;
    const bool script = ahead > 0 && (is_op("^", ahead - 1) || is_op("_", ahead - 1));
    if (depth > 0 || script || !is_differential(ahead)) continue;
    if (inner == 0) return ahead;
    --inner;
    ++ahead;
  }
  return std::nullopt;
}

// \int \frac{3 dz}{z}: moves the differential of the numerator behind the fraction.
void Parser::free_differential() {
  if (peek().kind != TokenKind::command || !is_fraction(peek().text) || !is_op("{", 1)) return;
  size_t end = 2, at = 0;
  for (int depth = 1; depth > 0; ++end) {
    if (peek(end).kind == TokenKind::end) return;
    depth += is_op("{", end) ? 1 : is_op("}", end) ? -1 : 0;
    if (depth == 1 && at == 0 && is_differential(end)) at = end;
  }
  if (at == 0) return;
  for (int depth = 0; depth > 0 || is_op("{", end); ++end) {  // the denominator
    if (peek(end).kind == TokenKind::end) return;
    depth += is_op("{", end) ? 1 : is_op("}", end) ? -1 : 0;
    if (depth == 0) {
      ++end;
      break;
    }
  }
  const auto from = tokens_.begin() + static_cast<ptrdiff_t>(at_);
  std::vector<Token> moved(from + static_cast<ptrdiff_t>(at), from + static_cast<ptrdiff_t>(at) + 2);
  tokens_.insert(from + static_cast<ptrdiff_t>(end), moved.begin(), moved.end());
  const auto gone = tokens_.begin() + static_cast<ptrdiff_t>(at_ + at);
  tokens_.erase(gone, gone + 2);
  const size_t before = at_ + at - 1;  // what led up to it: nothing, or a sign of multiplication
  if (tokens_[before].text == "{")
    tokens_.insert(tokens_.begin() + static_cast<ptrdiff_t>(before + 1), {.kind = TokenKind::number, .text = "1"});
  else if (tokens_[before].text == "cdot" || tokens_[before].text == "*")
    tokens_.erase(tokens_.begin() + static_cast<ptrdiff_t>(before));
}

// \int_a^b body dx; without bounds the family of antiderivatives.
std::optional<Expr> Parser::integral() {
  const Level level(*this);
  const size_t start = at_;
  std::optional<Expr> low, high;
  while (is_op("_") || is_op("^")) {
    std::optional<Expr>& end = is_op("_") ? low : high;
    ++at_;
    if (is_op("{") && is_op("}", 1))
      at_ += 2;
    else
      end = range_end();
  }
  free_differential();
  const auto ahead = differential();
  if (!ahead || low.has_value() != high.has_value()) return at_ = start, std::nullopt;
  const size_t end = at_ + *ahead;
  const Token variable = tokens_[end + 1];
  const std::string name = (variable.kind == TokenKind::command ? "\\" : "") + variable.text;
  const size_t outer = std::exchange(stop_, end);
  std::vector<Expr> args;
  args.push_back(low ? bind(name) : Expr{.kind = Kind::symbol, .name = name});
  if (low) args.push_back(std::move(*low));
  if (high) args.push_back(std::move(*high));
  args.push_back(at_ == end ? make_number(1) : sum());
  if (args.size() == 4) bound_.pop_back();
  stop_ = outer;
  if (at_ != end) throw ParseFailure{};
  at_ += 2;
  const bool definite = args.size() == 4;
  return make(Kind::big, std::move(args), definite ? "integral" : "antiderivative");
}

// \lim_{x \to a} body, from one side with a^+ or a^-.
std::optional<Expr> Parser::limit() {
  const Level level(*this);
  if (!is_op("_") || !is_op("{", 1) || peek(2).kind != TokenKind::letter || !is_arrow(peek(3))) return std::nullopt;
  const std::string variable = peek(2).text;
  at_ += 4;
  size_t end = at_;
  for (int depth = 1; depth > 0; ++end) {
    if (tokens_[end].kind == TokenKind::end) throw ParseFailure{};
    depth += tokens_[end].text == "{" ? 1 : tokens_[end].text == "}" ? -1 : 0;
  }
  size_t sign = end - 2;  // of a^+, a^{+}
  if (tokens_[sign].text == "}") --sign;
  const bool sided = (tokens_[sign].text == "+" || tokens_[sign].text == "-") && sign > at_ + 1;
  const int side = !sided ? 0 : tokens_[sign].text == "+" ? 1 : -1;
  if (sided) {
    const size_t hat = sign - (tokens_[sign - 1].text == "{" ? 2 : 1);
    if (tokens_[hat].text != "^") throw ParseFailure{};
    tokens_.erase(tokens_.begin() + static_cast<ptrdiff_t>(hat), tokens_.begin() + static_cast<ptrdiff_t>(end - 1));
  }
  Expr point = sum();
  expect("}");
  std::vector<Expr> args;
  args.push_back(bind(variable));
  args.push_back(std::move(point));
  args.push_back(make_number(side));
  args.push_back(product());
  bound_.pop_back();
  if (is_infinite(args[1])) args[2] = make_number(0);
  return make(Kind::big, std::move(args), "limit");
}

// \frac{d}{dx} body, \frac{d^2}{dx^2} body, with \partial as well. None for \frac{dy}{dx}, which is a name.
std::optional<Expr> Parser::derivative() {
  const size_t start = at_;
  const auto d = [&] { return take_command("partial") || (peek().text == "d" && ++at_ > 0); };
  const auto order = [&] {
    if (!take_op("^")) return 1;
    const bool braced = take_op("{");
    const std::string digits = peek().kind == TokenKind::number ? peek().text : "";
    ++at_;
    const bool closed = !braced || take_op("}");
    return closed && (digits == "2" || digits == "3") ? digits[0] - '0' : 0;
  };
  const auto none = [&]() -> std::optional<Expr> { return at_ = start, std::nullopt; };
  ++at_;
  if (!take_op("{") || !d()) return none();
  const int above = order();
  if (above == 0 || !take_op("}") || !take_op("{") || !is_differential(0)) return none();
  ++at_;
  const std::string name = (peek().kind == TokenKind::command ? "\\" : "") + peek().text;
  ++at_;
  if (order() != above || !take_op("}") || !starts_operand(0)) return none();
  Expr body = product();
  for (int i = 0; i < above; ++i)
    body = make_two(Kind::big, {.kind = Kind::symbol, .name = name}, std::move(body), "derivative");
  return body;
}

}  // namespace cohort::math
