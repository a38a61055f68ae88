// Lists, relations and sets: what stands around the values.
#include "rewards/math/parser.h"

#include <algorithm>
#include <array>

#include "rewards/math/normalize.h"
#include "rewards/math/parser_state.h"

namespace cohort::math {

// "," between elements; "and" and "or" in their spellings. A comma before "and" belongs to it.
std::optional<std::string> Parser::take_separator(bool bracketed) {
  std::optional<std::string> found;
  if (is_op(",") || is_op(";")) {
    found = peek().text;
    ++at_;
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

namespace {

// 1, 2; 3, 4 as (1, 2), (3, 4): groups of one size between semicolons. Anything else stays one list.
void group_at(Expr& list, const std::vector<size_t>& ends) {
  const size_t size = ends.empty() ? 0 : ends[0];
  if (size < 2 || list.args.size() != size * (ends.size() + 1)) return;
  for (size_t i = 0; i < ends.size(); ++i) {
    if (ends[i] != size * (i + 1)) return;
  }
  std::vector<Expr> groups;
  for (size_t i = 0; i < list.args.size(); ++i) {
    if (i % size == 0) groups.push_back(make(Kind::tuple, {}, "()"));
    groups.back().args.push_back(std::move(list.args[i]));
  }
  list.args = std::move(groups);
}

}  // namespace

// "approximately", before a rounded value that stands beside the exact one.
bool is_rounding_word(const Token& token) {
  return token.kind == TokenKind::word && (token.text == "approximately" || token.text == "about" ||
                                           token.text == "or about" || token.text == "roughly");
}

Expr Parser::list(bool bracketed) {
  const Level level(*this);
  Expr first = element();
  auto separator = take_separator(bracketed);
  if (!separator) return first;
  Expr list = make_one(Kind::list, std::move(first), *separator == ";" ? "," : *separator);
  std::vector<size_t> semicolons;
  while (separator) {
    const bool mark = *separator == "," || *separator == ";";
    const bool row_ends = in_matrix_ && (is_op("\\\\") || is_command("end"));
    if ((peek().kind == TokenKind::end || row_ends) && mark) break;               // a trailing comma
    if (mark && is_rounding_word(peek()) && peek(1).kind == TokenKind::number) {  // 7/9, approximately 0.778
      element();
      separator = take_separator(bracketed);
      continue;
    }
    if (!mark) list.name = *separator;
    if (*separator == ";") semicolons.push_back(list.args.size());
    list.args.push_back(element());
    separator = take_separator(bracketed);
  }
  const bool values =
      std::any_of(list.args.begin(), list.args.end(), [](const Expr& e) { return e.kind != Kind::text; });
  if (prose_ && values) throw ParseFailure{};  // "In conclusion, 5" is no list
  if (!bracketed) group_at(list, semicolons);
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
  static constexpr std::array<Spelling, 26> kCommands = {{{"le", "<="},
                                                          {"leq", "<="},
                                                          {"leqslant", "<="},
                                                          {"leqq", "<="},
                                                          {"ge", ">="},
                                                          {"geq", ">="},
                                                          {"geqslant", ">="},
                                                          {"geqq", ">="},
                                                          {"lt", "<"},
                                                          {"gt", ">"},
                                                          {"ne", "!="},
                                                          {"neq", "!="},
                                                          {"in", "in"},
                                                          {"notin", "notin"},
                                                          {"approx", "~"},
                                                          {"sim", "~"},
                                                          {"equiv", "="},
                                                          {"subset", "subset"},
                                                          {"subseteq", "subset"},
                                                          {"supset", "supset"},
                                                          {"supseteq", "supset"},
                                                          {"to", "to"},
                                                          {"implies", "to"},
                                                          {"doteq", "~"},
                                                          {"mapsto", "to"},
                                                          {"rightarrow", "to"}}};
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
    if (is_command("not") && is_op("<", 1)) return at_ += 2, ">=";
    if (is_command("not") && is_op(">", 1)) return at_ += 2, "<=";
    for (const Spelling& s : kCommands) {
      if (is_command(s.text)) return ++at_, std::string(s.meaning);
    }
  }
  return std::nullopt;
}

namespace {

// {2} beside a set operator is the set, not the group.
Expr braced_set(Expr operand, bool braced) {
  const bool value = operand.kind < Kind::list;
  return braced && value ? make_one(Kind::set, std::move(operand)) : operand;
}

}  // namespace

Expr Parser::relation() {
  const Level level(*this);
  const bool braced = is_op("{");
  Expr first = set_expression();
  take_unit(first);
  auto op = take_relation();
  if (!op) return first;
  const auto about_sets = [&] { return *op == "subset" || *op == "supset" || *op == "in" || *op == "notin"; };
  Expr relation =
      make_one(Kind::relation, braced_set(std::move(first), braced && (*op == "subset" || *op == "supset")));
  while (op) {
    relation.operators.push_back(*op);
    const bool set = about_sets() && is_op("{");
    relation.args.push_back(braced_set(set_expression(), set));
    Expr& last = relation.args.back();
    if ((*op == "in" || *op == "notin") && last.kind == Kind::symbol &&
        (last.name == "R" || last.name == "Z" || last.name == "N" || last.name == "Q"))
      last.kind = Kind::named_set;
    take_unit(relation.args.back());
    op = take_relation();
  }
  if (relation.operators == std::vector<std::string>{"supset"}) {
    std::swap(relation.args[0], relation.args[1]);
    relation.operators = {"subset"};
  }
  return relation;
}

Expr Parser::set_expression() {
  const bool braced = is_op("{");
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
    left = braced_set(std::move(left), braced);
    const bool right_braced = is_op("{");
    Expr right = braced_set(sum(), right_braced);
    if (left.kind == Kind::set_op && left.name == name && name != "difference")
      left.args.push_back(std::move(right));
    else {
      left = make_two(Kind::set_op, std::move(left), std::move(right), name);
    }
  }
}

Expr Parser::whole() {
  Expr expr = list(false);
  if (take_command("over")) expr = make_two(Kind::divide, std::move(expr), list(false));
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
