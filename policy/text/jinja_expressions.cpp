#include "policy/text/jinja_expressions.h"

#include <charconv>

namespace cohort::jinja {

bool ExpressionParser::at_tuple_end() const {
  return now().kind == TokenKind::block_end || now().kind == TokenKind::print_end || now().kind == TokenKind::end ||
         is_op(")") || is_name("if") || is_name("recursive") || is_op("=");
}

Expression ExpressionParser::parse_tuple(bool conditions) {
  std::vector<Expression> parts;
  bool comma = false;
  while (!at_tuple_end() || parts.empty()) {
    parts.push_back(conditions ? parse_expression() : parse_or());
    comma = take_op(",");
    if (!comma) break;
  }
  if (parts.size() == 1 && !comma) return std::move(parts[0]);
  return make(Kind::tuple, std::move(parts));
}

Expression ExpressionParser::parse_expression() {
  const Deeper deeper(*this);
  Expression expression = parse_or();
  while (take_name("if")) {
    Expression condition = parse_or();
    std::vector<Expression> parts;
    parts.push_back(std::move(expression));
    parts.push_back(std::move(condition));
    if (take_name("else")) parts.push_back(parse_expression());
    expression = make(Kind::conditional, std::move(parts));
  }
  return expression;
}

Expression ExpressionParser::parse_or() {
  return parse_chain(Kind::logical_or, "or", [this] { return parse_and(); });
}

Expression ExpressionParser::parse_and() {
  return parse_chain(Kind::logical_and, "and", [this] { return parse_not(); });
}

Expression ExpressionParser::parse_not() {
  const Deeper deeper(*this);
  if (take_name("not")) return make(Kind::logical_not, {parse_not()});
  return parse_compare();
}

std::string ExpressionParser::take_comparison() {
  for (const char* op : {"==", "!=", "<=", ">=", "<", ">"})
    if (take_op(op)) return op;
  if (take_name("in")) return "in";
  if (is_name("not") && ahead().kind == TokenKind::name && ahead().text == "in") return take(), take(), "not in";
  return {};
}

Expression ExpressionParser::parse_compare() {
  Expression first = parse_binary({"+", "-"}, 0);
  std::vector<Expression> parts;
  std::vector<std::string> operators;
  for (std::string op = take_comparison(); !op.empty(); op = take_comparison()) {
    if (parts.empty()) parts.push_back(std::move(first));
    operators.push_back(op);
    parts.push_back(parse_binary({"+", "-"}, 0));
  }
  if (parts.empty()) return first;
  Expression compare = make(Kind::compare, std::move(parts));
  compare.operators = std::move(operators);
  return compare;
}

Expression ExpressionParser::parse_binary(std::initializer_list<const char*> operators, int level) {
  const auto next = [&] {
    return level == 0 ? parse_concatenation() : level == 2 ? parse_binary({"**"}, 3) : parse_unary(true);
  };
  Expression expression = next();
  while (true) {
    const auto op = std::ranges::find_if(operators, [&](const char* each) { return is_op(each); });
    if (op == operators.end()) return expression;
    take();
    std::vector<Expression> parts;
    parts.push_back(std::move(expression));
    parts.push_back(next());
    expression = make(Kind::binary, std::move(parts), *op);
  }
}

Expression ExpressionParser::parse_concatenation() {
  std::vector<Expression> parts;
  parts.push_back(parse_binary({"*", "/", "//", "%"}, 2));
  while (take_op("~")) parts.push_back(parse_binary({"*", "/", "//", "%"}, 2));
  if (parts.size() == 1) return std::move(parts[0]);
  return make(Kind::concatenate, std::move(parts));
}

Expression ExpressionParser::parse_unary(bool filters) {
  const Deeper deeper(*this);
  Expression expression;
  if (take_op("-")) {
    expression = make(Kind::negate, {parse_unary(false)});
  } else if (take_op("+")) {
    expression = make(Kind::positive, {parse_unary(false)});
  } else {
    expression = parse_primary();
  }
  expression = parse_postfix(std::move(expression));
  return filters ? parse_filters(std::move(expression), false) : expression;
}

Expression ExpressionParser::parse_primary() {
  const Token token = now();
  switch (token.kind) {
    case TokenKind::name:
      take();
      return parse_name(token.text);
    case TokenKind::string:
      return parse_strings();
    case TokenKind::integer: {
      take();
      int64_t value = 0;
      if (std::from_chars(token.text.data(), token.text.data() + token.text.size(), value).ec != std::errc())
        fail("the integer " + token.text + ", which is beyond 64 bits");
      return constant(value);
    }
    case TokenKind::floating:
      take();
      return constant(std::strtod(token.text.c_str(), nullptr));  // what is too large is infinite
    default:
      break;
  }
  if (take_op("(")) return parse_parentheses();
  if (take_op("[")) return make(Kind::list, parse_elements("]"));
  if (take_op("{")) return parse_dict();
  fail("expected a value, found " + shown());
}

Expression ExpressionParser::parse_name(const std::string& name) {
  if (name == "true" || name == "True") return constant(true);
  if (name == "false" || name == "False") return constant(false);
  if (name == "none" || name == "None") return constant(None{});
  return make(Kind::name, {}, name);
}

Expression ExpressionParser::parse_strings() {
  std::string text = take().text;
  while (now().kind == TokenKind::string) text += take().text;
  return constant(std::move(text));
}

Expression ExpressionParser::parse_parentheses() {
  if (take_op(")")) return make(Kind::tuple);
  Expression inside = parse_tuple();
  expect_op(")");
  return inside;
}

std::vector<Expression> ExpressionParser::parse_elements(std::string_view close) {
  std::vector<Expression> elements;
  while (!take_op(close)) {
    if (!elements.empty()) expect_op(",");
    if (take_op(close)) break;
    elements.push_back(parse_expression());
  }
  return elements;
}

Expression ExpressionParser::parse_dict() {
  std::vector<Expression> parts;
  while (!take_op("}")) {
    if (!parts.empty()) expect_op(",");
    if (take_op("}")) break;
    parts.push_back(parse_expression());
    expect_op(":");
    parts.push_back(parse_expression());
  }
  return make(Kind::dict, std::move(parts));
}

Expression ExpressionParser::parse_postfix(Expression expression) {
  while (true) {
    if (take_op(".")) {
      expression = parse_attribute(std::move(expression));
    } else if (take_op("[")) {
      expression = parse_subscript(std::move(expression));
    } else if (is_op("(")) {
      expression = parse_call(std::move(expression));
    } else {
      return expression;
    }
  }
}

Expression ExpressionParser::parse_attribute(Expression owner) {
  if (now().kind == TokenKind::integer) {
    std::vector<Expression> parts;
    parts.push_back(std::move(owner));
    parts.push_back(parse_primary());
    return make(Kind::subscript, std::move(parts));
  }
  const std::string name = expect_name("an attribute");
  return make(Kind::attribute, {std::move(owner)}, name);
}

Expression ExpressionParser::parse_subscript(Expression owner) {
  std::vector<Expression> parts;
  parts.push_back(std::move(owner));
  const auto bound = [&] { return is_op(":") || is_op("]") ? constant(None{}) : parse_expression(); };
  parts.push_back(bound());
  if (!is_op(":")) {
    if (is_op(",")) fail("a subscript of several values, which is not supported");
    expect_op("]");
    return make(Kind::subscript, std::move(parts));
  }
  while (take_op(":")) parts.push_back(bound());
  if (parts.size() > 4) fail("a slice of more than three parts");
  while (parts.size() < 4) parts.push_back(constant(None{}));
  expect_op("]");
  return make(Kind::slice, std::move(parts));
}

void ExpressionParser::parse_arguments(Expression& call) {
  expect_op("(");
  bool first = true;
  while (!take_op(")")) {
    if (!std::exchange(first, false)) expect_op(",");
    if (take_op(")")) break;
    if (is_op("*") || is_op("**")) fail("an argument list with " + now().text + ", which is not supported");
    if (now().kind == TokenKind::name && ahead().kind == TokenKind::op && ahead().text == "=") {
      const std::string name = take().text;
      take();
      call.named.push_back({name, parse_expression()});
    } else {
      call.parts.push_back(parse_expression());
    }
  }
  for (const Expression& part : call.parts) call.height = std::max(call.height, part.height + 1);
  for (const NamedExpression& named : call.named) call.height = std::max(call.height, named.expression.height + 1);
  if (call.height > Budget::most_depth) fail("an expression deeper than " + std::to_string(Budget::most_depth));
}

Expression ExpressionParser::parse_call(Expression callee) {
  Expression call = make(Kind::call, {std::move(callee)});
  parse_arguments(call);
  return call;
}

Expression ExpressionParser::parse_filters(Expression expression, bool at_once) {
  while (true) {
    if (std::exchange(at_once, false) || take_op("|")) {
      const std::string name = expect_name("the name of a filter");
      expression = make(Kind::filter, {std::move(expression)}, name);
      if (is_op("(")) parse_arguments(expression);
    } else if (take_name("is")) {
      expression = parse_test(std::move(expression));
    } else if (is_op("(")) {
      expression = parse_call(std::move(expression));
    } else {
      return expression;
    }
  }
}

Expression ExpressionParser::parse_test(Expression subject) {
  const bool negated = take_name("not");
  const std::string name = expect_name("the name of a test");
  Expression test = make(Kind::test, {std::move(subject)}, name);
  const bool word = now().kind == TokenKind::name;
  if (is_op("(")) {
    parse_arguments(test);
  } else if ((word && !is_name("else") && !is_name("or") && !is_name("and") && !is_name("is") && !is_name("if") &&
              !is_name("in") && !is_name("not")) ||
             now().kind == TokenKind::string || now().kind == TokenKind::integer || now().kind == TokenKind::floating ||
             is_op("[") || is_op("{")) {
    test.parts.push_back(parse_postfix(parse_primary()));
  }
  return negated ? make(Kind::logical_not, {std::move(test)}) : test;
}

}  // namespace cohort::jinja
