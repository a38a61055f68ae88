// What a factor starts with: symbols, brackets, commands.
#include <algorithm>
#include <array>

#include "rewards/math/parser_state.h"

namespace cohort::math {
namespace {

template <size_t N>
bool among(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr std::array<std::string_view, 12> kAccents = {
    "overline",           "vec",    "hat", "bar", "tilde", "widehat", "overrightarrow", "dot", "ddot", "widetilde",
    "overleftrightarrow", "overset"};
// Commands that are symbols, so that braces behind them are a factor.
constexpr std::array<std::string_view, 40> kSymbols = {
    "alpha",  "beta",  "gamma",   "delta", "epsilon", "zeta",   "eta", "theta",   "iota",  "kappa",
    "lambda", "mu",    "nu",      "xi",    "rho",     "sigma",  "tau", "upsilon", "phi",   "chi",
    "psi",    "omega", "Gamma",   "Delta", "Theta",   "Lambda", "Xi",  "Pi",      "Sigma", "Phi",
    "Psi",    "Omega", "partial", "nabla", "int",     "varphi", "ell", "hbar",    "angle", "lim"};
constexpr std::array<std::string_view, 8> kSkippedArgument = {"phantom",   "hspace",   "vspace", "color",
                                                              "textcolor", "hphantom", "tag",    "label"};

// The index n+1 however its terms stand.
std::string with_sorted_terms(const std::string& index) {
  if (index.find('+') == std::string::npos || index.find_first_of("-*/^(_=") != std::string::npos) return index;
  std::vector<std::string> terms(1);
  for (char c : index) {
    if (c == '+')
      terms.emplace_back();
    else
      terms.back() += c;
  }
  std::sort(terms.begin(), terms.end());
  std::string sorted;
  for (const std::string& term : terms) sorted += (sorted.empty() ? "" : "+") + term;
  return sorted;
}

}  // namespace

Expr Parser::primary() {
  const Level level(*this);
  const Token& token = peek();
  switch (token.kind) {
    case TokenKind::number:
      return number();
    case TokenKind::letter:
    case TokenKind::word:
      if (auto based = based_letters()) return *based;
      if (auto chosen = combination()) return *chosen;
      if (auto event = probability()) return *event;
      return token.kind == TokenKind::word ? word() : (++at_, symbol(tokens_[at_ - 1].text));
    case TokenKind::command:
      return command();
    case TokenKind::end:
      throw ParseFailure{};
    case TokenKind::op:
      break;
  }
  if (auto chosen = combination()) return *chosen;
  if (auto based = bracketed_in_base()) return *based;
  if (token.text == "(" || token.text == "[" || token.text == "]") return bracket(token.text);
  if (token.text == "{") return braces();
  if (token.text == "\\{") return set();
  if (token.text == "|" || token.text == "\\|" || token.text == "\\mid") return bars(token.text);
  if (token.text == "...") return ++at_, Expr{.kind = Kind::symbol, .name = "..."};
  throw ParseFailure{};
}

// Subscript behind a symbol, as part of its name.
std::string Parser::subscript() {
  std::string name;
  while (true) {
    if (is_op("^") && is_op("'", 1)) ++at_;  // x^\prime
    if (is_op("^") && is_op("{", 1) && is_op("'", 2)) {
      for (at_ += 2; take_op("'");) name += "'";
      expect("}");
      continue;
    }
    if (is_op("'")) {
      name += "'";
      ++at_;
    } else if (take_op("_")) {
      name += "_";
      if (!take_op("{")) {
        name += as_bound(peek().text);
        ++at_;
        continue;
      }
      std::string index;
      for (int depth = 1; depth > 0; ++at_) {
        if (peek().kind == TokenKind::end) throw ParseFailure{};
        depth += is_op("{") ? 1 : is_op("}") ? -1 : 0;
        if (depth > 0 && !is_op("{") && !is_op("}")) index += as_bound(peek().text);
      }
      name += with_sorted_terms(index);
    } else {
      return name;
    }
  }
}

Expr Parser::symbol(std::string name) {
  const size_t sign = is_op("{", 1) ? 2 : 1;
  const bool half = is_op("^") && (is_op("*", sign) || is_op("+", sign)) && (sign == 1 || is_op("}", 3));
  if (half && (name == "R" || name == "Z" || name == "N" || name == "Q")) return half_set(name);
  std::string tail = subscript();
  if (name == "\\top" || name == "\\intercal") name = "T";
  if (name == "\\varphi" || name == "\\varepsilon" || name == "\\vartheta" || name == "\\varrho") name.erase(1, 3);
  const std::string bound = as_bound(name);
  if (tail.empty() && name.size() == 1 && name != "e" && name != "i" && peek().kind == TokenKind::number &&
      !peek().spaced && !peek().split) {
    tail = "_" + peek().text;  // x1 is x_1
    ++at_;
  }
  return tail.empty() ? named(name) : Expr{.kind = Kind::symbol, .name = bound + tail};
}

// P(X = 2), P(A | B): the name of a probability, which no reading of its brackets would help.
std::optional<Expr> Parser::probability() {
  if (peek().text != "P" || !is_op("(", 1) || peek(1).spaced) return std::nullopt;
  static constexpr std::string_view kEvents = " = | < > <= >= \\mid mid le leq ge geq cap cup ne neq in ";
  std::string name = "P";
  bool event = false;
  size_t end = 1;
  for (int depth = 0; end < 40; ++end) {
    const Token& token = peek(end);
    if (token.kind == TokenKind::end) return std::nullopt;
    name += token.text == "\\mid" ? "|" : token.text;
    depth += is_op("(", end) ? 1 : is_op(")", end) ? -1 : 0;
    event = event || (token.kind != TokenKind::word && kEvents.find(" " + token.text + " ") != std::string_view::npos);
    if (depth == 0) break;
  }
  if (!event || end == 40) return std::nullopt;
  at_ += end + 1;
  return Expr{.kind = Kind::symbol, .name = name};
}

// The variable of a sum or an integral around by its depth, #0, #1, …: whatever it is called. Other names as they are.
std::string Parser::as_bound(const std::string& name) const {
  const auto found = std::find(bound_.rbegin(), bound_.rend(), name);
  return found == bound_.rend() ? name : "#" + std::to_string(bound_.rend() - found - 1);
}

Expr Parser::named(const std::string& name) const {
  const std::string bound = as_bound(name);
  const bool constant = bound == "e" || bound == "i";
  return {.kind = constant ? Kind::constant : Kind::symbol, .name = bound};
}

Expr Parser::bracket(std::string_view open_text) {
  const std::string open(open_text);
  ++at_;
  const int bars = std::exchange(bars_, 0);
  if (open == "(" && take_op(")")) return bars_ = bars, make(Kind::tuple, {}, "()");
  if (open == "[" && take_op("]")) return bars_ = bars, make(Kind::tuple, {}, "[]");
  Expr inside = list(true);
  bars_ = bars;
  std::string close = peek().text;
  const bool outward = open == "]" || is_op("[");  // ]a, b[
  if (!is_op(")") && !is_op("]") && !is_op("[")) throw ParseFailure{};
  ++at_;
  if (inside.kind == Kind::list && inside.name == ",") {
    inside.kind = Kind::tuple;
    const std::string left = open == "]" ? "(" : open, right = close == "[" ? ")" : close;
    inside.name = left + right;
    return inside;
  }
  if (outward || (open == "(") != (close == ")")) throw ParseFailure{};
  return inside;
}

// LaTeX braces: a group; with commas, a set written without its backslashes.
Expr Parser::braces() {
  const Level level(*this);
  expect("{");
  const int bars = std::exchange(bars_, 0);
  if (take_op("}")) return bars_ = bars, primary();
  Expr inside = list(true);
  if (take_command("choose"))
    inside = make_two(Kind::call, std::move(inside), sum(), "binom");
  else if (take_command("over"))
    inside = make_two(Kind::divide, std::move(inside), sum());
  bars_ = bars;
  if (is_op(".") && is_op("}", 1)) ++at_;
  expect("}");
  if (inside.kind == Kind::list && inside.name == ",") inside.kind = Kind::set, inside.name = "";
  return inside;
}

Expr Parser::set() {
  const Level level(*this);
  expect("\\{");
  if (take_op("\\}")) return {.kind = Kind::named_set, .name = "empty"};
  if (take_command("begin")) {
    const bool closed = closes_set();
    Expr rows = environment(!closed);
    if (closed) expect("\\}");
    return rows;
  }
  const int bars = std::exchange(bars_, 1);  // a | here is "such that"
  const bool in_set = std::exchange(in_set_, true);
  Expr inside = list(true);
  bars_ = bars;
  in_set_ = in_set;
  if (take_op("\\mid") || take_op("|") || take_op(":")) {
    Expr condition = list(true);
    expect("\\}");
    return make_two(Kind::builder, std::move(inside), std::move(condition));
  }
  expect("\\}");
  if (inside.kind != Kind::list) return make_one(Kind::set, std::move(inside));
  inside.kind = Kind::set;
  inside.name = "";
  return inside;
}

Expr Parser::bars(std::string_view bar_text) {
  const std::string bar(bar_text);
  ++at_;
  ++bars_;
  Expr inside = sum();
  --bars_;
  expect(bar);
  if (inside.kind == Kind::matrix) return determinant(std::move(inside));
  return make_one(Kind::call, std::move(inside), "abs");
}

Expr Parser::command() {
  const std::string name = peek().text;
  if (is_fraction(name)) return fraction();
  ++at_;
  if (auto structure = structure_command(name)) return *structure;
  if (auto call = function_command(name)) return *call;
  if (among(kAccents, name)) {
    Expr marked = accented(name);
    if (marked.kind == Kind::symbol && is_op("_")) marked.name += subscript();
    return marked;
  }
  if (name == "triangle" && peek().kind == TokenKind::letter) return primary();  // \triangle ABC
  if ((name == "Set" || name == "set") && is_op("{")) {
    Expr inside = braces();
    return inside.kind == Kind::set ? inside : make_one(Kind::set, std::move(inside));
  }
  const bool unknown = is_op("{") && !among(kSymbols, name);
  if (unknown || name == "end" || name == "over" || name == "choose") throw ParseFailure{};
  return symbol("\\" + name);
}

// \overline{AB}, \hat{x}, \vec v, \overline{3+4i}: a name, or the conjugate of a value.
Expr Parser::accented(const std::string& accent) {
  const bool bar = accent == "overline" || accent == "bar";
  const std::string mark = bar ? "overline" : accent;
  const bool silent = accent == "vec" || accent == "hat" || accent == "overrightarrow" || accent == "widehat" ||
                      accent == "overleftrightarrow";
  std::string inside;
  size_t end = at_ + 1;
  bool letters = is_op("{"), upper = true;
  for (; letters && tokens_[end].kind == TokenKind::letter; ++end) {
    inside += tokens_[end].text;
    upper = upper && tokens_[end].text[0] >= 'A' && tokens_[end].text[0] <= 'Z';
  }
  letters = letters && tokens_[end].text == "}" && !inside.empty();
  if (upper && letters && inside.size() > 1) return braces();  // \overline{AB} is the length AB
  if (letters) {
    at_ = end + 1;
    if (inside.size() == 1 && silent) return symbol(inside);
    return {.kind = Kind::symbol, .name = accent == "vec" ? inside : mark + inside};
  }
  if (bar && is_op("{")) return make_one(Kind::call, braces(), "conj");
  if (is_op("{")) {
    const Expr marked = braces();
    return marked.kind == Kind::symbol && silent ? marked : Expr{.kind = Kind::symbol, .name = accent + marked.name};
  }
  Expr marked = latex_argument();
  if (marked.kind != Kind::symbol) throw ParseFailure{};
  if (!silent) marked.name = mark + marked.name;
  return marked;
}

std::optional<Expr> Parser::structure_command(std::string_view name) {
  if (name == "sqrt") return root();
  if (name == "abs" || name == "norm" || name == "absolutevalue") return make_one(Kind::call, latex_argument(), "abs");
  if (name == "cbrt") return make_two(Kind::root, latex_argument(), make_number(3));
  if (name == "begin") return environment();
  if (name == "mathbb" || name == "Bbb") return blackboard();
  if (name == "R" || name == "Z" || name == "Q" || name == "N" || name == "C" || name == "reals")
    return Expr{.kind = Kind::named_set, .name = name == "reals" ? "R" : std::string(name)};
  if (name == "emptyset" || name == "varnothing" || name == "O") return Expr{.kind = Kind::named_set, .name = "empty"};
  if (name == "pi") return Expr{.kind = Kind::constant, .name = "pi"};
  if (name == "infty" || name == "inf" || name == "infinity" || name == "Infinity" || name == "oo")
    return Expr{.kind = Kind::constant, .name = "inf"};
  if (name == "ldots" || name == "cdots" || name == "dots" || name == "dotsc")
    return Expr{.kind = Kind::symbol, .name = "..."};
  if (name == "int") return integral();
  if (name == "lim") return limit();
  if (name == "sum" || name == "prod") return big_operator(name == "sum" ? "sum" : "product");
  if (name == "binom" || name == "binomial" || name == "dbinom" || name == "tbinom") {
    if (is_op("(")) return arguments("binom");
    Expr top = latex_argument();
    return make_two(Kind::call, std::move(top), latex_argument(), "binom");
  }
  if (name == "lfloor" || name == "lceil") {
    Expr inside = sum();
    if (!take_command(name == "lfloor" ? "rfloor" : "rceil")) throw ParseFailure{};
    return make_one(Kind::call, std::move(inside), name == "lfloor" ? "floor" : "ceil");
  }
  if (name == "langle") {
    Expr inside = list(true);
    if (!take_command("rangle")) throw ParseFailure{};
    if (inside.kind != Kind::list) return inside;
    inside.kind = Kind::tuple;
    inside.name = "()";
    return inside;
  }
  if (among(kSkippedArgument, name)) {
    if (take_op("{")) {
      while (!is_op("}")) {
        if (peek().kind == TokenKind::end) throw ParseFailure{};
        ++at_;
      }
      ++at_;
    } else {
      ++at_;
    }
    return primary();
  }
  return std::nullopt;
}

Expr Parser::blackboard() {
  const bool braced = take_op("{");
  const std::string name = peek().text;
  ++at_;
  if (braced) expect("}");
  if (name.size() != 1 || std::string_view("RZQNC").find(name[0]) == std::string_view::npos) return symbol(name);
  return half_set(name);
}

// R^+, R_{>0}, Z^{+}: the positive part; with - or < the negative one.
Expr Parser::half_set(const std::string& name) {
  const size_t script = is_op("^") || is_op("_") ? 1 : 0;
  const size_t mark = script + (is_op("{", script) ? 1 : 0);
  const std::string& sign = peek(mark).text;
  const bool positive = sign == "+" || sign == ">" || sign == ">=" || sign == "ge" || sign == "geq";
  const bool negative = sign == "-" || sign == "<" || sign == "<=" || sign == "le" || sign == "leq";
  if (script == 0 || !(positive || negative || sign == "*" || sign == "ast"))
    return {.kind = Kind::named_set, .name = name};
  if (sign == "*" || sign == "ast") {  // without zero
    at_ += mark + 1;
    if (mark > script) expect("}");
    if (name == "N") return {.kind = Kind::named_set, .name = "Z+"};
    return make_two(Kind::set_op, {.kind = Kind::named_set, .name = name}, make_one(Kind::set, make_number(0)),
                    "difference");
  }
  const bool closed = sign.size() > 1;
  at_ += mark + 1;
  if (peek().kind == TokenKind::number && peek().text == "0") ++at_;
  if (mark > script) expect("}");
  if (name != "R")
    return {.kind = Kind::named_set,
            .name = (name == "N" && positive && !closed ? "Z" : name) + (positive ? "+" : "-") + (closed ? "0" : "")};
  const Expr infinity{.kind = Kind::constant, .name = "inf"};
  if (positive) return make_two(Kind::tuple, make_number(0), infinity, closed ? "[)" : "()");
  return make_two(Kind::tuple, make_one(Kind::negate, infinity), make_number(0), closed ? "(]" : "()");
}

}  // namespace cohort::math
