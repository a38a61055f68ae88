// Sums, products, powers, and what stands behind a factor.
#include <algorithm>
#include <array>

#include "rewards/math/parser_state.h"

namespace cohort::math {
namespace {

template <size_t N>
bool among(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Commands that begin something a product can go on with.
constexpr std::array<std::string_view, 63> kNoFactor = {"cdot",
                                                        "times",
                                                        "div",
                                                        "pm",
                                                        "mp",
                                                        "le",
                                                        "leq",
                                                        "ge",
                                                        "geq",
                                                        "ne",
                                                        "neq",
                                                        "in",
                                                        "notin",
                                                        "cup",
                                                        "cap",
                                                        "setminus",
                                                        "approx",
                                                        "sim",
                                                        "equiv",
                                                        "to",
                                                        "implies",
                                                        "lt",
                                                        "gt",
                                                        "rfloor",
                                                        "rceil",
                                                        "rangle",
                                                        "backslash",
                                                        "end",
                                                        "subset",
                                                        "choose",
                                                        "over",
                                                        "lor",
                                                        "land",
                                                        "vee",
                                                        "wedge",
                                                        "leqslant",
                                                        "geqslant",
                                                        "leqq",
                                                        "geqq",
                                                        "doteq",
                                                        "subseteq",
                                                        "bigcup",
                                                        "bigcap",
                                                        "smallsetminus",
                                                        "ast",
                                                        "not",
                                                        "bmod",
                                                        "pmod",
                                                        "mod",
                                                        "degree",
                                                        "degrees",
                                                        "Rightarrow",
                                                        "Longrightarrow",
                                                        "iff",
                                                        "Leftrightarrow",
                                                        "therefore",
                                                        "because",
                                                        "hline",
                                                        "mapsto",
                                                        "rightarrow",
                                                        "supset",
                                                        "supseteq",
                                                        "longrightarrow"};

}  // namespace

Expr Parser::sum() {
  const Level level(*this);
  std::vector<Expr> terms;
  terms.push_back(product());
  while (true) {
    if (take_op("+")) {
      terms.push_back(product());
    } else if (is_op("-")) {
      if ((terms.back().kind == Kind::named_set || terms.back().kind == Kind::tuple) && is_op("\\{", 1)) {  // R - {2}
        ++at_;
        Expr left = std::move(terms.back());
        terms.back() = make_two(Kind::set_op, std::move(left), product(), "difference");
        continue;
      }
      ++at_;
      terms.push_back(make_one(Kind::negate, product()));
    } else if (is_command("pm") || is_command("mp")) {
      const std::string name = is_command("pm") ? "+-" : "-+";
      ++at_;
      Expr left = terms.size() == 1 ? std::move(terms[0]) : make(Kind::sum, std::move(terms));
      Expr right = product();
      terms.clear();
      terms.push_back(make_two(Kind::plus_minus, std::move(left), std::move(right), name));
    } else {
      return terms.size() == 1 ? std::move(terms[0]) : make(Kind::sum, std::move(terms));
    }
  }
}

// Whether something that has a value may start `ahead` tokens on.
bool Parser::starts_operand(size_t ahead) const {
  const Token& token = peek(ahead);
  if (token.kind == TokenKind::end) return false;
  if (token.kind == TokenKind::command) return !among(kNoFactor, token.text) || token.text == "pm";
  return token.kind != TokenKind::op ||
         (token.text.size() <= 2 &&
          std::string_view("( [ { \\{ | - + \\| . ] ").find(token.text + " ") != std::string_view::npos);
}

bool Parser::starts_factor() const {
  if (at_ == stop_) return false;
  const Token& token = peek();
  if (token.kind == TokenKind::letter) return true;
  if (token.kind == TokenKind::number) return false;
  if (token.kind == TokenKind::command) return !among(kNoFactor, token.text);
  if (token.text == "(" && token.kind == TokenKind::op && (peek(1).kind == TokenKind::word || is_bracketed_condition()))
    return false;                                                                            // "5 (five)"
  if (token.text == "[" && token.kind == TokenKind::op && !starts_operand(1)) return false;  // [2, 5[
  if (token.kind == TokenKind::op) {
    return token.text == "(" || token.text == "[" || token.text == "{" || (token.text == "|" && bars_ == 0);
  }
  return false;
}

Expr Parser::product() {
  const Level level(*this);
  Expr left = signed_factor();
  while (true) {
    const auto multiply = [&](Expr right) {
      if (left.kind == Kind::product)
        left.args.push_back(std::move(right));
      else {
        left = make_two(Kind::product, std::move(left), std::move(right));
      }
    };
    if (++nodes_ > kMaxNodes) throw ParseFailure{};
    if (take_op("*") || take_command("cdot") || take_command("times") || take_command("ast")) {
      Expr right = signed_factor();
      if (auto number = scientific(left, right))
        left = std::move(*number);
      else
        multiply(std::move(right));
    } else if (is_op("/") && peek(1).kind == TokenKind::word) {
      return left;  // "dollars / hour" is a unit
    } else if (take_op("/") || take_command("div")) {
      left = make_two(Kind::divide, std::move(left), signed_factor());
    } else if (is_op(":") && !in_set_ && (left.kind != Kind::symbol || is_letter_ratio(left)) &&
               left.kind != Kind::named_set &&
               (peek(1).kind == TokenKind::number || peek(1).kind == TokenKind::letter ||
                peek(1).kind == TokenKind::command || is_op("(", 1))) {
      ++at_;
      Expr right = signed_factor();
      if (left.kind == Kind::ratio)
        left.args.push_back(std::move(right));
      else {
        left = make_two(Kind::ratio, std::move(left), std::move(right));
      }
    } else if (peek().kind == TokenKind::word && peek().text == "to" && peek(1).kind == TokenKind::number &&
               left.kind == Kind::number) {  // 3 to 4
      ++at_;
      left = make_two(Kind::ratio, std::move(left), signed_factor());
    } else if (is_op("(") && (is_command("mod", 1) || is_command("bmod", 1))) {  // 3 (mod 7)
      at_ += 2;
      left = make_two(Kind::call, std::move(left), signed_factor(), "mod");
      expect(")");
    } else if (is_command("bmod") || is_command("mod") || is_command("pmod")) {
      ++at_;
      left = make_two(Kind::call, std::move(left), signed_factor(), "mod");
    } else if (take_magnitude(left)) {
      continue;
    } else if (left.kind == Kind::tuple && peek().text == "U" && (is_op("(", 1) || is_op("[", 1))) {
      return left;  // a union
    } else if (peek().kind == TokenKind::command && is_fraction(peek().text) && is_op("{", 1) &&
               peek(2).kind == TokenKind::word && !number_word(peek(2).text)) {
      return left;  // \frac{\text{km}}{\text{h}} is a unit
    } else if (starts_factor() || goes_on_with_number(left)) {
      multiply(factor());
    } else if (peek().kind == TokenKind::number && tokens_[at_ - 1].kind == TokenKind::op &&
               (left.kind == Kind::tuple || std::string_view(")}!").find(tokens_[at_ - 1].text) < 3)) {
      multiply(factor());
    } else {
      return left;
    }
  }
}

// A number as the next factor: 2^6 3^5, i2\pi.
bool Parser::goes_on_with_number(const Expr& left) const {
  if (peek().kind != TokenKind::number) return false;
  const Expr& last = left.kind == Kind::product ? left.args.back() : left;
  const Token& before = tokens_[at_ - 1];
  if (last.kind == Kind::constant && is_op("^", 1) && last.name == "pi") return true;  // \pi 6^2
  if (last.kind == Kind::constant) return before.kind == TokenKind::letter && before.text == "i" && !peek().spaced;
  if (last.kind == Kind::power && peek().split) return true;
  return last.kind == Kind::power && before.kind == TokenKind::number && peek().spaced && is_op("^", 1);
}

Expr Parser::signed_factor() {
  const Level level(*this);
  if (take_op("-")) return make_one(Kind::negate, signed_factor());
  if (take_op("+")) return signed_factor();
  if (peek().kind == TokenKind::word && peek().text == "positive" && starts_operand(1)) return ++at_, signed_factor();
  if (peek().text == "plus" && peek(1).text == "or" && peek(2).text == "minus")
    return at_ += 3, make_one(Kind::plus_minus, signed_factor(), "+-");
  if (peek().kind == TokenKind::word && (peek().text == "negative" || peek().text == "minus"))
    return ++at_, make_one(Kind::negate, signed_factor());
  if (take_command("neg")) return make_one(Kind::negate, signed_factor());
  if (is_command("pm") || is_command("mp")) {
    const std::string name = is_command("pm") ? "+-" : "-+";
    ++at_;
    return make_one(Kind::plus_minus, signed_factor(), name);
  }
  return factor();
}

Expr Parser::factor() {
  const Level level(*this);
  return postfix(primary());
}

Expr Parser::exponent() {
  const Level level(*this);
  if (take_op("-")) return make_one(Kind::negate, exponent());
  if (take_op("+")) return exponent();
  if (peek().kind == TokenKind::letter && peek(1).kind == TokenKind::number && !peek(1).spaced)
    tokens_[at_ + 1].split = true;  // 2^x3^x
  Expr base = is_op("{") ? braces() : primary();
  if (take_op("^")) {  // right-associative
    return make_two(Kind::power, std::move(base), exponent());
  }
  return base;
}

// a:b of two letters; "x: 5" is no ratio.
bool Parser::is_letter_ratio(const Expr& left) const {
  const bool named = tokens_[at_ - 1].kind == TokenKind::letter || left.name.find('_') != std::string::npos;
  return named && peek(1).kind == TokenKind::letter && peek(2).kind != TokenKind::word;
}

// The o of 90^o and 90^{\text{o}}.
bool Parser::take_degree_letter() {
  const size_t braced = is_op("{") ? 1 : 0;
  const Token& token = peek(braced);
  const bool is_o = (token.kind == TokenKind::letter || token.kind == TokenKind::word) && token.text == "o";
  if (!is_o || (braced == 1 && !is_op("}", 2))) return false;
  at_ += 1 + 2 * braced;
  return true;
}

// The C of 20 °C, which makes the number one with a unit and no angle.
bool Parser::take_temperature(Expr& left) {
  static constexpr std::array<std::string_view, 6> kScales = {"C",          "F",       "Celsius",
                                                              "Fahrenheit", "celsius", "fahrenheit"};
  const Token& token = peek();
  const bool scale = (token.kind == TokenKind::letter || token.kind == TokenKind::word) && among(kScales, token.text);
  const bool goes_on = peek(1).kind == TokenKind::letter || is_op("^", 1) || is_op("_", 1) || is_op("(", 1);
  if (!scale || goes_on || left.kind != Kind::number) return false;
  left.unit = "degree " + token.text.substr(0, 1);
  ++at_;
  return true;
}

Expr Parser::postfix(Expr left) {
  while (true) {
    if (++nodes_ > kMaxNodes) throw ParseFailure{};
    if (take_op("^")) {
      if (is_op("'")) continue;
      if (left.kind == Kind::number && take_degree_letter()) {
        left = make_one(Kind::degree, std::move(left));
        continue;
      }
      Expr top = exponent();
      if (left.kind == Kind::symbol && is_op("_")) left.name += subscript();  // x^2_1
      left = make_two(Kind::power, std::move(left), std::move(top));
    } else if (is_op("!=") && is_whole(left)) {  // 5!=120
      tokens_[at_].text = "=";
      left = make_one(Kind::call, std::move(left), "!");
    } else if (is_op("!") && !(is_op("=", 1) && !peek(1).spaced)) {
      ++at_;
      const bool twice = !peek().spaced && take_op("!");
      left = make_one(Kind::call, std::move(left), twice ? "!!" : "!");
    } else if (take_op("%")) {
      const bool infinite = left.kind == Kind::constant && left.name == "inf";
      if (!infinite) left = make_one(Kind::percent, std::move(left));
    } else if (is_op("'") && left.kind == Kind::matrix) {
      ++at_;
      left = make_two(Kind::power, std::move(left), {.kind = Kind::symbol, .name = "T"});
    } else if (take_command("degree") || take_command("degrees")) {
      if (!take_temperature(left)) left = make_one(Kind::degree, std::move(left));
    } else if (peek().kind == TokenKind::word &&
               (peek().text == "degrees" || peek().text == "degree" || peek().text == "度")) {
      ++at_;
      if (!take_temperature(left)) left = make_one(Kind::degree, std::move(left));
    } else if (peek().kind == TokenKind::word &&
               (peek().text == "percent" || peek().text == "per cent" || peek().text == "pct")) {
      ++at_;
      left = make_one(Kind::percent, std::move(left));
    } else {
      return left;
    }
  }
}

}  // namespace cohort::math
