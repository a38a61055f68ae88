// Functions and their arguments, fractions and roots.
#include <algorithm>
#include <array>

#include "rewards/math/parser_state.h"

namespace cohort::math {
namespace {

template <size_t N>
bool among(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr std::array<std::string_view, 43> kFunctions = {
    "sin",    "cos",  "tan",  "cot",  "sec",       "csc",  "arcsin", "arccos",  "arctan",  "arccot",  "arcsec",
    "arccsc", "sinh", "cosh", "tanh", "coth",      "sech", "csch",   "arcsinh", "arccosh", "arctanh", "ln",
    "log",    "lg",   "exp",  "asin", "acos",      "atan", "arsinh", "arcosh",  "artanh",  "Re",      "Im",
    "arg",    "sgn",  "det",  "cis",  "factorial", "tr",   "trace",  "tg",      "ctg",     "arctg"};
constexpr std::array<std::string_view, 9> kArgumentLists = {"max",   "min",  "gcd",     "lcm",  "abs",
                                                            "floor", "ceil", "ceiling", "round"};

}  // namespace

std::optional<Expr> Parser::function_command(std::string_view name) {
  if (among(kArgumentLists, name) && (is_op("(") || is_op("\\{")))
    return arguments(std::string(name == "ceiling" ? "ceil" : name));
  if (among(kFunctions, name)) return function(std::string(name));
  return std::nullopt;
}

// sin x, sin^2 x, sin^{-1} x, log_2 8, \exp(x).
Expr Parser::function(std::string name) {
  const Level level(*this);
  if (name == "asin" || name == "acos" || name == "atan") name = "arc" + name.substr(1);
  if (name.starts_with("ar") && name.ends_with("h") && name.size() == 6) name = "arc" + name.substr(2);  // arcosh
  if (name == "factorial") name = "!";
  if (name == "tg" || name == "ctg" || name == "arctg") name = name == "tg" ? "tan" : name == "ctg" ? "cot" : "arctan";
  if (name == "trace") name = "tr";
  std::optional<Expr> base, top;
  if (take_op("_")) base = is_op("{") ? braces() : primary();
  if (take_op("^")) top = exponent();
  if (!base && take_op("_")) base = is_op("{") ? braces() : primary();
  const bool inverse = top && top->kind == Kind::negate && is_whole(top->args[0]) && top->args[0].value == 1;
  Expr argument = function_argument();
  if (name == "log" && !base && argument.kind == Kind::tuple && argument.args.size() == 2)
    return make(Kind::call, std::move(argument.args), "log");  // log(8, 2)
  if (name == "tr" && argument.kind == Kind::matrix && !top) return trace(argument);
  if (name == "det" && argument.kind == Kind::matrix && !top) return determinant(std::move(argument));
  Expr call = make_one(Kind::call, std::move(argument), inverse && !name.starts_with("arc") ? "arc" + name : name);
  if (base) call.args.push_back(std::move(*base));
  if (top && !inverse) return make_two(Kind::power, std::move(call), std::move(*top));
  return call;
}

// A bracket, or the product that follows up to the next operator or function.
Expr Parser::function_argument() {
  if (is_op("(")) return bracket("(");
  if (take_op("-")) return make_one(Kind::negate, function_argument());
  Expr argument = factor();
  while (
      starts_factor() && !is_op("(") && !is_op("[") && !(peek().text == "e" && is_op("^", 1)) &&
      !(peek().kind == TokenKind::command && (among(kFunctions, peek().text) || among(kArgumentLists, peek().text)))) {
    argument = make_two(Kind::product, std::move(argument), factor());
  }
  return argument;
}

Expr Parser::arguments(std::string name) {
  const bool braces = take_op("\\{");
  if (!braces) expect("(");
  Expr inside = list(true);
  expect(braces ? "\\}" : ")");
  Expr call = make(Kind::call, {}, std::move(name));
  if (inside.kind == Kind::list)
    call.args = std::move(inside.args);
  else
    call.args.push_back(std::move(inside));
  return call;
}

// One LaTeX argument: braces, a bracket, or one token, which of a number is one digit.
Expr Parser::latex_argument() {
  const Level level(*this);
  if (is_op("{")) return braces();
  if (is_op("(")) return bracket("(");
  if (peek().kind == TokenKind::number && peek().text.size() > 1) {
    Token& token = tokens_[at_];
    const char digit = token.text[0];
    token.text.erase(0, 1);
    token.spaced = false;
    if (digit == '.') throw ParseFailure{};
    return make_number(Rational(digit - '0'));
  }
  if (peek().kind == TokenKind::number) return ++at_, read_token(tokens_[at_ - 1].text);
  if (peek().kind == TokenKind::letter && peek(1).kind == TokenKind::number) tokens_[at_ + 1].split = true;  // \frac n2
  if (take_op("-")) return make_one(Kind::negate, latex_argument());
  return primary();
}

Expr Parser::fraction() {
  const Level level(*this);
  if (auto derived = derivative()) return *derived;
  ++at_;
  Expr top = latex_argument();
  take_unit(top);
  Expr bottom = latex_argument();
  return make_two(Kind::divide, std::move(top), std::move(bottom));
}

Expr Parser::root() {
  const Level level(*this);
  Expr degree = make_number(2);
  if (take_op("[")) {
    degree = sum();
    expect("]");
  }
  Expr inside = is_op("{")                         ? braces()
                : is_op("(")                       ? bracket("(")
                : peek().kind == TokenKind::number ? (++at_, read_token(tokens_[at_ - 1].text))
                                                   : primary();
  return make_two(Kind::root, std::move(inside), std::move(degree));
}

}  // namespace cohort::math
