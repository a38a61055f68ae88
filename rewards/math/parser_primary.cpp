// What a factor starts with: numbers, symbols, brackets, commands.
#include <algorithm>
#include <array>
#include <charconv>

#include "rewards/math/parser_state.h"

namespace cohort::math {
namespace {

template <size_t N>
bool among(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr std::array<std::string_view, 36> kFunctions = {
    "sin",    "cos",    "tan",    "cot",    "sec",    "csc",     "arcsin",  "arccos",  "arctan", "arccot", "arcsec", "arccsc",
    "sinh",   "cosh",   "tanh",   "coth",   "sech",   "csch",    "arcsinh", "arccosh", "arctanh", "ln",    "log",    "lg",
    "exp",    "asin",   "acos",   "atan",   "arsinh", "arcosh",  "artanh",  "Re",      "Im",     "arg",    "sgn",    "det"};
constexpr std::array<std::string_view, 9> kArgumentLists = {"max", "min", "gcd", "lcm", "abs", "floor", "ceil", "ceiling", "round"};
constexpr std::array<std::string_view, 13> kNumberWords = {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"};
constexpr std::array<std::string_view, 12> kAccents = {"overline", "vec", "hat", "bar", "tilde", "widehat", "overrightarrow", "dot", "ddot", "widetilde", "overleftrightarrow", "overset"};
constexpr std::array<std::string_view, 8> kSkippedArgument = {"phantom", "hspace", "vspace", "color", "textcolor", "hphantom", "tag", "label"};

bool is_fraction(std::string_view name) { return name == "frac" || name == "dfrac" || name == "tfrac" || name == "cfrac" || name == "sfrac"; }

int to_int(std::string_view digits) {
  int value = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc() && end == digits.data() + digits.size() ? value : -1;
}

// Digits, with at most one point, in a base from 2 to 36.
Rational in_base(std::string_view digits, int base) {
  Integer value = 0, scale = 1;
  bool fraction = false;
  for (char c : digits) {
    if (c == '.') {
      if (fraction) throw ParseFailure{};
      fraction = true;
      continue;
    }
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'Z' ? c - 'A' + 10 : c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
    if (digit >= base) throw ParseFailure{};
    value = value * base + digit;
    if (fraction) scale *= base;
  }
  return Rational(value, scale);
}

bool is_whole(const Expr& expr) { return expr.kind == Kind::number && expr.decimals < 0 && denominator(expr.value) == 1; }

// A number token as written: mantissa and exponent.
Expr read_token(const std::string& text) {
  const size_t e = text.find_first_of("eE");
  const std::string mantissa = text.substr(0, e);
  if (mantissa.size() > kMaxDigits) throw ParseFailure{};
  Expr expr = make_number(from_decimal(mantissa));
  expr.name = text;
  const size_t point = mantissa.find('.');
  if (point != std::string::npos) expr.decimals = static_cast<int>(mantissa.size() - point - 1);
  const size_t first = mantissa.find_first_not_of("0.");
  if (first != std::string::npos) expr.significant = static_cast<int>(mantissa.size() - first - (point != std::string::npos && point > first ? 1 : 0));
  if (e != std::string::npos) {
    const int exponent = std::stoi(text.substr(e + 1));
    const auto scale = power(Rational(10), exponent);
    if (!scale) throw ParseFailure{};
    expr.value *= *scale;
    if (expr.decimals >= 0 || exponent < 0) expr.decimals = std::max(expr.decimals, 0) - exponent;
    if (expr.decimals <= 0) expr.decimals = -1;
  }
  return expr;
}

// Digits up to the point and a few behind it, then a period that repeats for ever.
Expr with_period(std::string digits, const std::string& period) {
  const size_t decimals = digits.size() - digits.find('.') - 1;
  if (digits.back() == '.') digits.pop_back();
  if (period.find_first_not_of("0123456789") != std::string::npos || period.size() > 100 || digits.size() > kMaxDigits || decimals > 1000) throw ParseFailure{};
  const Rational nines = *power(Rational(10), Integer(period.size())) - 1;
  return make_number(from_decimal(digits.empty() ? "0" : digits) + from_decimal(period) / nines / *power(Rational(10), Integer(decimals)));
}

}  // namespace

Expr Parser::primary() {
  const Level level(*this);
  const Token& token = peek();
  switch (token.kind) {
    case TokenKind::number: return number();
    case TokenKind::letter:
    case TokenKind::word:
      if (auto based = based_letters()) return *based;
      return token.kind == TokenKind::word ? word() : (++at_, symbol(tokens_[at_ - 1].text));
    case TokenKind::command: return command();
    case TokenKind::end: throw ParseFailure{};
    case TokenKind::op: break;
  }
  if (token.text == "(" || token.text == "[" || token.text == "]") return bracket(token.text);
  if (token.text == "{") return braces();
  if (token.text == "\\{") return set();
  if (token.text == "|" || token.text == "\\|") return bars(token.text);
  if (token.text == "...") return ++at_, Expr{.kind = Kind::symbol, .name = "..."};
  throw ParseFailure{};
}

// 0.\overline{3}, 0.1\dot{2}\dot{3}: the digits under the bar repeat for ever. The token holds those before it.
Expr Parser::repeating(const Token& token) {
  const std::string digits = token.text;
  std::string period;
  while (is_command("overline") || is_command("bar") || is_command("dot") || is_command("overset")) {
    ++at_;
    const bool braced = take_op("{");
    if (peek().kind != TokenKind::number) throw ParseFailure{};
    period += peek().text;
    ++at_;
    if (braced) expect("}");
    if (peek().kind == TokenKind::number && !peek().spaced && is_command("dot", 1)) period += peek().text, ++at_;
  }
  return with_period(digits, period);
}

// 0.(3), 0.1(6)
Expr Parser::bracketed_period(const Token& token) {
  const std::string period = peek(1).text;
  at_ += 3;
  return with_period(token.text, period);
}

std::optional<Expr> Parser::mixed_fraction(const Expr& whole) {
  const auto proper = [](const Expr& top, const Expr& bottom) {
    return is_whole(top) && is_whole(bottom) && top.value > 0 && top.value < bottom.value;
  };
  if (!is_whole(whole)) return std::nullopt;
  if (peek().kind == TokenKind::command && is_fraction(peek().text)) {
    Expr part = fraction();
    if (part.kind == Kind::divide && proper(part.args[0], part.args[1])) return make_number(whole.value + part.args[0].value / part.args[1].value);
    return make_two(Kind::product, whole, std::move(part));
  }
  if (peek().kind == TokenKind::number && peek().spaced && is_op("/", 1) && peek(2).kind == TokenKind::number) {
    const Expr top = read_token(peek().text), bottom = read_token(peek(2).text);
    if (!proper(top, bottom)) return std::nullopt;
    at_ += 3;
    return make_number(whole.value + top.value / bottom.value);
  }
  return std::nullopt;
}

// The base behind a number: 1011_2, 1011_{2}. Zero when none stands there.
int base_at(const Token& under, const Token& a, const Token& b) {
  if (under.text != "_") return 0;
  const int base = to_int(a.text == "{" ? b.text : a.text);
  return base >= 2 && base <= 36 ? base : 0;
}

// A1_{16}: digits that start with a letter, in a base above ten.
std::optional<Expr> Parser::based_letters() {
  std::string digits;
  size_t end = at_;
  for (; end == at_ || !tokens_[end].spaced; ++end) {
    if (tokens_[end].kind != TokenKind::letter && tokens_[end].kind != TokenKind::number && tokens_[end].kind != TokenKind::word) break;
    digits += tokens_[end].text;
    if (end > at_ + 40) return std::nullopt;
  }
  const bool shaped = digits.find_first_of("0123456789") != std::string::npos && digits.find_first_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos;
  if (!shaped || tokens_.size() - end < 3 || base_at(tokens_[end], tokens_[end + 1], tokens_[end + 2]) <= 10) return std::nullopt;
  const int base = base_at(tokens_[end], tokens_[end + 1], tokens_[end + 2]);
  at_ = end + (tokens_[end + 1].text == "{" ? 4 : 2);
  return make_number(in_base(digits, base));
}

Expr Parser::number() {
  const Token token = peek();
  ++at_;
  const bool pointed = token.text.find('.') != std::string::npos;
  if (pointed && peek().kind == TokenKind::command && (is_command("overline") || is_command("bar") || is_command("dot"))) return repeating(token);
  if (pointed && is_op("(") && peek(1).kind == TokenKind::number && is_op(")", 2) && !peek().spaced && (token.text.back() == '.' || peek(3).kind == TokenKind::end)) {
    return bracketed_period(token);
  }
  std::string digits = token.text;
  size_t end = at_;
  while (!tokens_[end].spaced && (tokens_[end].kind == TokenKind::letter || tokens_[end].kind == TokenKind::number) && end < at_ + 40) digits += tokens_[end++].text;
  const size_t left = tokens_.size() - end;
  const int base = left >= 3 ? base_at(tokens_[end], tokens_[end + 1], tokens_[end + 2]) : 0;
  if (base > 0 && (end == at_ || base > 10)) {
    at_ = end + (tokens_[end + 1].text == "{" ? 4 : 2);
    if (tokens_[end + 1].text == "{" && tokens_[at_ - 1].text != "}") throw ParseFailure{};
    Expr expr = make_number(in_base(digits, base));
    expr.name = digits + "_" + std::to_string(base);
    return expr;
  }
  Expr expr = read_token(token.text);
  if (pointed && (is_op("...") || is_command("ldots") || is_command("dots") || is_command("cdots"))) {  // 0.333... repeats its last digit when that stands three times
    ++at_;
    const size_t size = token.text.size();
    if (expr.decimals >= 3 && token.text[size - 1] == token.text[size - 2] && token.text[size - 2] == token.text[size - 3]) {
      return make_number(expr.value + Rational(token.text[size - 1] - '0') / 9 / *power(Rational(10), expr.decimals));
    }
  }
  if (auto mixed = mixed_fraction(expr)) return *mixed;
  return expr;
}

// Subscript behind a symbol, as part of its name.
std::string Parser::subscript() {
  std::string name;
  while (true) {
    if (is_op("'")) {
      name += "'";
      ++at_;
    } else if (take_op("_")) {
      name += "_";
      if (!take_op("{")) {
        name += peek().text;
        ++at_;
        continue;
      }
      for (int depth = 1; depth > 0; ++at_) {
        if (peek().kind == TokenKind::end) throw ParseFailure{};
        depth += is_op("{") ? 1 : is_op("}") ? -1 : 0;
        if (depth > 0) name += peek().text;
      }
    } else {
      return name;
    }
  }
}

Expr Parser::symbol(std::string name) {
  std::string tail = subscript();
  if (tail.empty() && name.size() == 1 && name != "e" && name != "i" && peek().kind == TokenKind::number && !peek().spaced) {
    tail = "_" + peek().text;  // x1 is x_1
    ++at_;
  }
  if (tail.empty() && (name == "e" || name == "i")) return {.kind = Kind::constant, .name = name};
  return {.kind = Kind::symbol, .name = name + tail};
}

Expr Parser::word() {
  std::string text = peek().text;
  ++at_;
  const auto* number = std::find(kNumberWords.begin(), kNumberWords.end(), text);
  if (number != kNumberWords.end()) return make_number(Rational(number - kNumberWords.begin()));
  if (is_op("_")) return {.kind = Kind::symbol, .name = text + subscript()};
  if (is_op("(") && !tokens_[at_ - 1].bare && !peek().spaced) return {.kind = Kind::symbol, .name = text};
  while (peek().kind == TokenKind::word && peek().text != "and" && peek().text != "or") {
    text += " " + peek().text;
    ++at_;
  }
  if (text == "all real numbers" || text == "all reals" || text == "real numbers") return {.kind = Kind::named_set, .name = "R"};
  if (text == "empty set" || text == "the empty set") return {.kind = Kind::named_set, .name = "empty"};
  return {.kind = Kind::text, .name = text};
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
  if (take_command("choose")) inside = make_two(Kind::call, std::move(inside), sum(), "binom");
  else if (take_command("over")) inside = make_two(Kind::divide, std::move(inside), sum());
  bars_ = bars;
  expect("}");
  if (inside.kind == Kind::list && inside.name == ",") inside.kind = Kind::set, inside.name = "";
  return inside;
}

Expr Parser::set() {
  const Level level(*this);
  expect("\\{");
  if (take_op("\\}")) return {.kind = Kind::named_set, .name = "empty"};
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
  return make_one(Kind::call, std::move(inside), "abs");
}

Expr Parser::command() {
  const std::string name = peek().text;
  if (is_fraction(name)) return fraction();
  ++at_;
  if (auto structure = structure_command(name)) return *structure;
  if (auto call = function_command(name)) return *call;
  if (among(kAccents, name) && is_op("{")) {
    std::string inside;
    ++at_;
    for (int depth = 1; depth > 0; ++at_) {
      if (peek().kind == TokenKind::end) throw ParseFailure{};
      depth += is_op("{") ? 1 : is_op("}") ? -1 : 0;
      if (depth > 0) inside += peek().text;
    }
    if (inside.size() == 1) return symbol(inside);
    return {.kind = Kind::symbol, .name = name == "vec" ? inside : name + inside};
  }
  if (is_op("{") || name == "end" || name == "int" || name == "lim" || name == "over" || name == "choose") throw ParseFailure{};
  return symbol("\\" + name);
}

std::optional<Expr> Parser::structure_command(std::string_view name) {
  if (name == "sqrt") return root();
  if (name == "cbrt") return make_two(Kind::root, latex_argument(), make_number(3));
  if (name == "begin") return matrix();
  if (name == "mathbb" || name == "Bbb") return blackboard();
  if (name == "R" || name == "Z" || name == "Q" || name == "N" || name == "C" || name == "reals") return Expr{.kind = Kind::named_set, .name = name == "reals" ? "R" : std::string(name)};
  if (name == "emptyset" || name == "varnothing" || name == "O") return Expr{.kind = Kind::named_set, .name = "empty"};
  if (name == "pi") return Expr{.kind = Kind::constant, .name = "pi"};
  if (name == "infty" || name == "inf" || name == "infinity" || name == "Infinity" || name == "oo") return Expr{.kind = Kind::constant, .name = "inf"};
  if (name == "ldots" || name == "cdots" || name == "dots" || name == "dotsc") return Expr{.kind = Kind::symbol, .name = "..."};
  if (name == "sum" || name == "prod") return big_operator(name == "sum" ? "sum" : "product");
  if (name == "binom" || name == "dbinom" || name == "tbinom") {
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

std::optional<Expr> Parser::function_command(std::string_view name) {
  if (among(kArgumentLists, name) && (is_op("(") || is_op("\\{"))) return arguments(std::string(name == "ceiling" ? "ceil" : name));
  if (among(kFunctions, name)) return function(std::string(name));
  return std::nullopt;
}

// sin x, sin^2 x, sin^{-1} x, log_2 8, \exp(x).
Expr Parser::function(std::string name) {
  const Level level(*this);
  if (name == "asin" || name == "acos" || name == "atan") name = "arc" + name.substr(1);
  if (name.starts_with("ar") && name.ends_with("h") && !name.starts_with("arc")) name = "arc" + name.substr(2);
  std::optional<Expr> base, top;
  if (take_op("_")) base = is_op("{") ? braces() : primary();
  if (take_op("^")) top = exponent();
  if (!base && take_op("_")) base = is_op("{") ? braces() : primary();
  const bool inverse = top && top->kind == Kind::negate && is_whole(top->args[0]) && top->args[0].value == 1;
  Expr call = make_one(Kind::call, function_argument(), inverse && !name.starts_with("arc") ? "arc" + name : name);
  if (base) call.args.push_back(std::move(*base));
  if (top && !inverse) return make_two(Kind::power, std::move(call), std::move(*top));
  return call;
}

// A bracket, or the product that follows up to the next operator or function.
Expr Parser::function_argument() {
  if (is_op("(")) return bracket("(");
  if (take_op("-")) return make_one(Kind::negate, function_argument());
  Expr argument = factor();
  while (starts_factor() && !is_op("(") && !is_op("[") && !(peek().kind == TokenKind::command && (among(kFunctions, peek().text) || among(kArgumentLists, peek().text)))) {
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
  if (inside.kind == Kind::list) call.args = std::move(inside.args);
  else call.args.push_back(std::move(inside));
  return call;
}

// \sum_{k=1}^{n} body
Expr Parser::big_operator(std::string name) {
  const Level level(*this);
  expect("_");
  expect("{");
  if (peek().kind != TokenKind::letter) throw ParseFailure{};
  Expr big = make_one(Kind::big, {.kind = Kind::symbol, .name = peek().text}, std::move(name));
  ++at_;
  expect("=");
  big.args.push_back(sum());
  expect("}");
  expect("^");
  big.args.push_back(exponent());
  big.args.push_back(product());
  return big;
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
  if (take_op("-")) return make_one(Kind::negate, latex_argument());
  return primary();
}

Expr Parser::fraction() {
  const Level level(*this);
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
  Expr inside = is_op("{") ? braces() : is_op("(") ? bracket("(") : peek().kind == TokenKind::number ? (++at_, read_token(tokens_[at_ - 1].text)) : primary();
  return make_two(Kind::root, std::move(inside), std::move(degree));
}

// The & of an environment of equations only align them.
void Parser::drop_alignment() {
  for (size_t i = at_; i < tokens_.size() && !(tokens_[i].kind == TokenKind::command && tokens_[i].text == "end");) {
    if (tokens_[i].kind == TokenKind::op && tokens_[i].text == "&") tokens_.erase(tokens_.begin() + static_cast<ptrdiff_t>(i));
    else ++i;
  }
}

// \begin{…} … \end{…}: cells between &, rows between \\. Environments of equations become a list joined by "and".
Expr Parser::matrix() {
  const Level level(*this);
  expect("{");
  std::string environment;
  for (; !is_op("}"); ++at_) {
    if (peek().kind == TokenKind::end) throw ParseFailure{};
    environment += peek().text;
  }
  ++at_;
  if (environment == "array" && is_op("{")) {
    while (!is_op("}") && peek().kind != TokenKind::end) ++at_;
    expect("}");
  }
  const bool cells = environment.find("matrix") != std::string::npos || environment == "array";
  const bool outer = std::exchange(in_matrix_, cells);
  if (!cells) drop_alignment();
  Expr rows = make(cells ? Kind::matrix : Kind::list, {}, cells ? "" : "and");
  while (!is_command("end")) {
    Expr row = make(Kind::list, {}, ",");
    do {
      row.args.push_back(element());
    } while (cells ? take_op("&") : (take_op(",") && !is_op("\\\\") && !is_command("end")));
    for (Expr& cell : row.args) {
      if (!cells) rows.args.push_back(std::move(cell));
    }
    if (cells) rows.args.push_back(std::move(row));
    if (!take_op("\\\\") && !is_command("end")) throw ParseFailure{};
  }
  in_matrix_ = outer;
  ++at_;
  expect("{");
  while (!is_op("}")) {
    if (peek().kind == TokenKind::end) throw ParseFailure{};
    ++at_;
  }
  ++at_;
  if (environment == "vmatrix") return make_one(Kind::call, std::move(rows), "det");
  return rows;
}

Expr Parser::blackboard() {
  const bool braced = take_op("{");
  const std::string name = peek().text;
  ++at_;
  if (braced) expect("}");
  if (name.size() != 1 || std::string_view("RZQNC").find(name[0]) == std::string_view::npos) return symbol(name);
  return {.kind = Kind::named_set, .name = name};
}

}  // namespace cohort::math
