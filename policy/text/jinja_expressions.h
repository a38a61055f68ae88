// The part of the parser that knows expressions, with Jinja2's precedence: conditional, or, and, not, comparison, + −,
// ~,
// * / // %, **, unary, postfix, filters and tests.
#pragma once
#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/text/jinja_syntax.h"

namespace cohort::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(std::string_view source) : tokens_(tokenize(source)) {}

 protected:
  using Kind = ExpressionKind;
  struct Deeper {  // guards the C++ stack
    explicit Deeper(ExpressionParser& parser) : parser_(parser) {
      if (++parser_.depth_ > Budget::most_depth)
        parser_.fail("nesting deeper than " + std::to_string(Budget::most_depth));
    }
    ~Deeper() { --parser_.depth_; }
    ExpressionParser& parser_;
  };

  [[noreturn]] void fail(const std::string& what) const {
    throw TemplateError("line " + std::to_string(now().line) + ": " + what);
  }

  const Token& now() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool is_op(std::string_view op) const { return now().kind == TokenKind::op && now().text == op; }
  bool is_name(std::string_view name) const { return now().kind == TokenKind::name && now().text == name; }
  bool take_op(std::string_view op) { return is_op(op) && (take(), true); }
  bool take_name(std::string_view name) { return is_name(name) && (take(), true); }
  std::string shown() const {
    switch (now().kind) {
      case TokenKind::end:
        return "the end of the template";
      case TokenKind::block_end:
        return "%}";
      case TokenKind::print_end:
        return "}}";
      default:
        return "'" + now().text + "'";
    }
  }
  void expect_op(std::string_view op) {
    if (!take_op(op)) fail("expected '" + std::string(op) + "', found " + shown());
  }
  std::string expect_name(const char* what) {
    if (now().kind != TokenKind::name) fail(std::string("expected ") + what + ", found " + shown());
    return take().text;
  }
  void expect_word(const char* word) {
    if (!take_name(word)) fail(std::string("expected '") + word + "', found " + shown());
  }
  void end_tag() {
    if (now().kind != TokenKind::block_end) fail("expected %}, found " + shown());
    take();
  }

  Expression make(Kind kind, std::vector<Expression> parts = {}, std::string text = {}) const {
    Expression expression{kind, now().line};
    for (const Expression& part : parts) expression.height = std::max(expression.height, part.height + 1);
    if (expression.height > Budget::most_depth) fail("an expression deeper than " + std::to_string(Budget::most_depth));
    expression.text = std::move(text);
    expression.parts = std::move(parts);
    return expression;
  }
  Expression constant(Value value) const {
    Expression expression = make(Kind::constant);
    expression.value = std::move(value);
    return expression;
  }

  bool at_tuple_end() const;
  /// One expression, or several with commas between. `conditions`: `a if b else c` may stand without parentheses.
  Expression parse_tuple(bool conditions = true);
  Expression parse_expression();
  /// Left-associative chains of one level.
  template <class Next>
  Expression parse_chain(Kind kind, std::string_view word, Next next) {
    Expression expression = next();
    while (take_name(word)) {
      std::vector<Expression> parts;
      parts.push_back(std::move(expression));
      parts.push_back(next());
      expression = make(kind, std::move(parts));
    }
    return expression;
  }
  Expression parse_or();
  Expression parse_and();
  Expression parse_not();
  /// Empty when no comparison follows.
  std::string take_comparison();
  Expression parse_compare();
  /// Levels 0: + −, 1: ~, 2: * / // %, 3: **.
  Expression parse_binary(std::initializer_list<const char*> operators, int level);
  Expression parse_concatenation();
  Expression parse_unary(bool filters);
  Expression parse_primary();
  Expression parse_name(const std::string& name);
  Expression parse_strings();
  Expression parse_parentheses();
  std::vector<Expression> parse_elements(std::string_view close);
  Expression parse_dict();
  Expression parse_postfix(Expression expression);
  Expression parse_attribute(Expression owner);
  Expression parse_subscript(Expression owner);
  /// Arguments in parentheses are added to an expression.
  void parse_arguments(Expression& call);
  Expression parse_call(Expression callee);
  /// `| filter`, `is test` and calls of their results. `at_once`: the first filter's bar is left out.
  Expression parse_filters(Expression expression, bool at_once);
  Expression parse_test(Expression subject);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace cohort::jinja
