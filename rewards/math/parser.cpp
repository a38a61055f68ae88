#include "rewards/math/parser.h"

#include <algorithm>
#include <array>

#include "rewards/math/normalize.h"
#include "rewards/math/parser_state.h"

namespace cohort::math {
namespace {

template <size_t N>
bool among(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Commands that begin something a product can go on with.
constexpr std::array<std::string_view, 60> kNoFactor = {"cdot",
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
                                                        "rightarrow"};

}  // namespace

// "," between elements; "and" and "or" in their spellings. A comma before "and" belongs to it.
std::optional<std::string> Parser::take_separator(bool bracketed) {
  std::optional<std::string> found;
  if (is_op(",") || is_op(";")) {
    ++at_;
    found = ",";
  } else if (!bracketed && is_op("\\\\")) {
    ++at_;
    found = ",";
  }
  if (is_joining_word()) {
    const std::string& word = peek().text;
    ++at_;
    return word == "or" || word == "Or" || word == "或" || word == "或者" ? "or" : "and";
  }
  if (is_condition_word()) return ++at_, ",";
  if (is_command("lor") || is_command("vee")) return ++at_, "or";
  if (is_command("land") || is_command("wedge")) return ++at_, "and";
  if (is_op("&") && !in_matrix_ && !bracketed) return ++at_, "and";
  return found;
}

Expr Parser::list(bool bracketed) {
  const Level level(*this);
  Expr first = element();
  auto separator = take_separator(bracketed);
  if (!separator) return first;
  Expr list = make_one(Kind::list, std::move(first), *separator);
  while (separator) {
    const bool ended = peek().kind == TokenKind::end && *separator == ",";
    if (ended) break;  // a trailing comma
    if (*separator != ",") list.name = *separator;
    list.args.push_back(element());
    separator = take_separator(bracketed);
  }
  const bool values =
      std::any_of(list.args.begin(), list.args.end(), [](const Expr& e) { return e.kind != Kind::text; });
  if (prose_ && values) throw ParseFailure{};  // "In conclusion, 5" is no list
  return list.args.size() == 1 ? std::move(list.args[0]) : list;
}

Expr Parser::element() {
  skip_leading_words();
  Expr expr = relation();
  take_unit(expr);
  if (is_bracketed_condition()) bracket("(");
  return expr;
}

std::optional<std::string> Parser::take_relation() {
  struct Spelling {
    std::string_view text, meaning;
  };
  static constexpr std::array<Spelling, 7> kOps = {
      {{"=", "="}, {"<", "<"}, {">", ">"}, {"<=", "<="}, {">=", ">="}, {"!=", "!="}, {"\\mid", ""}}};
  static constexpr std::array<Spelling, 24> kCommands = {
      {{"le", "<="},      {"leq", "<="},        {"leqslant", "<="},     {"leqq", "<="},
       {"ge", ">="},      {"geq", ">="},        {"geqslant", ">="},     {"geqq", ">="},
       {"lt", "<"},       {"gt", ">"},          {"ne", "!="},           {"neq", "!="},
       {"in", "in"},      {"notin", "notin"},   {"approx", "~"},        {"sim", "~"},
       {"equiv", "="},    {"subset", "subset"}, {"subseteq", "subset"}, {"to", "to"},
       {"implies", "to"}, {"doteq", "~"},       {"mapsto", "to"},       {"rightarrow", "to"}}};
  if (is_linking_verb() && peek(1).kind != TokenKind::word) return ++at_, "=";
  if (peek().kind == TokenKind::op) {
    if (is_op("=") && peek(1).kind == TokenKind::end) return std::nullopt;
    for (const Spelling& s : kOps) {
      if (is_op(s.text) && !s.meaning.empty()) return ++at_, std::string(s.meaning);
    }
  }
  if (peek().kind == TokenKind::command) {
    if (is_command("not") && is_command("in", 1)) return at_ += 2, "notin";
    if (is_command("not") && is_op("=", 1)) return at_ += 2, "!=";
    for (const Spelling& s : kCommands) {
      if (is_command(s.text)) return ++at_, std::string(s.meaning);
    }
  }
  return std::nullopt;
}

Expr Parser::relation() {
  const Level level(*this);
  Expr first = set_expression();
  take_unit(first);
  auto op = take_relation();
  if (!op) return first;
  Expr relation = make_one(Kind::relation, std::move(first));
  while (op) {
    relation.operators.push_back(*op);
    relation.args.push_back(set_expression());
    take_unit(relation.args.back());
    op = take_relation();
  }
  return relation;
}

Expr Parser::set_expression() {
  Expr left = sum();
  while (true) {
    std::string name;
    if (take_command("cup") || take_command("bigcup"))
      name = "union";
    else if (take_command("cap") || take_command("bigcap"))
      name = "intersection";
    else if (take_command("setminus") || take_command("backslash") || take_command("smallsetminus"))
      name = "difference";
    else if (is_op("\\\\") && is_op("\\{", 1) && left.kind == Kind::named_set)
      ++at_, name = "difference";
    else if (peek().kind == TokenKind::letter && peek().text == "U" && left.kind == Kind::tuple &&
             (is_op("(", 1) || is_op("[", 1)))
      ++at_, name = "union";
    else
      return left;
    Expr right = sum();
    if (left.kind == Kind::set_op && left.name == name && name != "difference")
      left.args.push_back(std::move(right));
    else {
      left = make_two(Kind::set_op, std::move(left), std::move(right), name);
    }
  }
}

Expr Parser::sum() {
  const Level level(*this);
  std::vector<Expr> terms;
  terms.push_back(product());
  while (true) {
    if (take_op("+")) {
      terms.push_back(product());
    } else if (is_op("-")) {
      if (terms.back().kind == Kind::named_set && is_op("\\{", 1)) {  // R - {2}
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
      multiply(signed_factor());
    } else if (is_op("/") && peek(1).kind == TokenKind::word) {
      return left;  // "dollars / hour" is a unit
    } else if (take_op("/") || take_command("div")) {
      left = make_two(Kind::divide, std::move(left), signed_factor());
    } else if (is_op(":") && !in_set_ && (left.kind != Kind::symbol || is_letter_ratio()) &&
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
    } else if (starts_factor()) {
      multiply(factor());
    } else if (peek().kind == TokenKind::number && tokens_[at_ - 1].kind == TokenKind::op &&
               (left.kind == Kind::tuple || std::string_view(")}!").find(tokens_[at_ - 1].text) < 3)) {
      multiply(factor());
    } else {
      return left;
    }
  }
}

Expr Parser::signed_factor() {
  const Level level(*this);
  if (take_op("-")) return make_one(Kind::negate, signed_factor());
  if (take_op("+")) return signed_factor();
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
  Expr base = is_op("{") ? braces() : primary();
  if (take_op("^")) {  // right-associative
    return make_two(Kind::power, std::move(base), exponent());
  }
  return base;
}

// a:b of two letters; "x: 5" is no ratio.
bool Parser::is_letter_ratio() const {
  return tokens_[at_ - 1].kind == TokenKind::letter && peek(1).kind == TokenKind::letter &&
         peek(2).kind != TokenKind::word;
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
    } else if (is_op("!") && !is_op("=", 1)) {
      ++at_;
      const bool twice = take_op("!");
      left = make_one(Kind::call, std::move(left), twice ? "!!" : "!");
    } else if (take_op("%")) {
      left = make_one(Kind::percent, std::move(left));
    } else if (take_command("degree") || take_command("degrees")) {
      left = make_one(Kind::degree, std::move(left));
    } else if (peek().kind == TokenKind::word &&
               (peek().text == "degrees" || peek().text == "degree" || peek().text == "度")) {
      ++at_;
      left = make_one(Kind::degree, std::move(left));
    } else if (peek().kind == TokenKind::word && (peek().text == "percent" || peek().text == "per cent")) {
      ++at_;
      left = make_one(Kind::percent, std::move(left));
    } else {
      return left;
    }
  }
}

Expr Parser::whole() {
  Expr expr = list(false);
  while (is_op(".") || is_op(",") || is_op("。") || is_op("!") || is_op("?") || is_op(":") || is_op("*")) ++at_;
  if (peek().kind != TokenKind::end) throw ParseFailure{};
  return expr;
}

std::optional<Expr> parse(std::string_view text, ParseOptions options) {
  if (text.size() > kMaxLength) return std::nullopt;
  const std::string normal = normalize(text);
  if (normal.empty()) return std::nullopt;
  try {
    return Parser(lex(normal, {.decimal_comma = options.decimal_comma}), options).whole();
  } catch (const ParseFailure&) {
    return std::nullopt;
  }
}

}  // namespace cohort::math
