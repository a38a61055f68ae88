// Recursive descent over the tags of a template, with Jinja2's precedence: conditional, or, and, not, comparison, + −,
// ~, * / // %, unary, **, postfix, filters and tests.
#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <utility>

#include "policy/text/jinja_syntax.h"

namespace cohort::jinja {
namespace {

using Kind = ExpressionKind;

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize(source)) {}

  Block parse_template() {
    Block block = parse_block({});
    if (now().kind != TokenKind::end) fail("{% " + now().text + " %} without its beginning");
    return block;
  }

 private:
  struct Deeper {  // guards the C++ stack
    explicit Deeper(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > Budget::most_depth) parser_.fail("nesting deeper than " + std::to_string(Budget::most_depth));
    }
    ~Deeper() { --parser_.depth_; }
    Parser& parser_;
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
      case TokenKind::end: return "the end of the template";
      case TokenKind::block_end: return "%}";
      case TokenKind::print_end: return "}}";
      default: return "'" + now().text + "'";
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

  // Statements

  /// Up to a tag that begins with one of `ends`, which stays; its {% is taken.
  Block parse_block(std::initializer_list<std::string_view> ends) {
    const Deeper deeper(*this);
    Block block;
    while (now().kind != TokenKind::end) {
      if (now().kind == TokenKind::text) {
        Statement text{StatementKind::text, now().line};
        text.text = take().text;
        block.push_back(std::move(text));
      } else if (now().kind == TokenKind::print_begin) {
        block.push_back(parse_print());
      } else {
        take();
        if (std::ranges::any_of(ends, [&](std::string_view end) { return is_name(end); })) return block;
        if (now().text.starts_with("end") || is_name("else") || is_name("elif")) fail("{% " + now().text + " %} in the wrong place");
        block.push_back(parse_statement());
      }
    }
    if (ends.size() > 0) fail("the template ends inside a block, expected {% " + std::string(*(ends.end() - 1)) + " %}");
    return block;
  }

  Statement parse_print() {
    take();
    Statement print{StatementKind::print, now().line};
    print.expressions.push_back(parse_tuple());
    if (now().kind != TokenKind::print_end) fail("expected }}, found " + shown());
    take();
    return print;
  }

  Block parse_body(std::initializer_list<std::string_view> ends) {
    end_tag();
    return parse_block(ends);
  }

  /// The body of a tag that only `end` closes.
  Block parse_body_to(std::string_view end) {
    Block body = parse_body({end});
    take();
    end_tag();
    return body;
  }

  Statement parse_statement() {
    Statement statement{StatementKind::text, now().line};
    const std::string tag = expect_name("the name of a tag");
    if (tag == "if") return parse_if(std::move(statement));
    if (tag == "for") return parse_for(std::move(statement));
    if (tag == "set") return parse_set(std::move(statement));
    if (tag == "macro") return parse_macro(std::move(statement));
    if (tag == "call") return parse_call_block(std::move(statement));
    if (tag == "with") return parse_with(std::move(statement));
    if (tag == "filter") {
      statement.kind = StatementKind::filter;
      statement.expressions.push_back(parse_filters(make(Kind::name, {}, body_name), true));
      statement.bodies.push_back(parse_body_to("endfilter"));
    } else if (tag == "generation") {
      statement.kind = StatementKind::scope;
      statement.bodies.push_back(parse_body_to("endgeneration"));
    } else if (tag == "break" || tag == "continue") {
      if (loops_ == 0) fail("{% " + tag + " %} outside a loop");
      statement.kind = tag == "break" ? StatementKind::leave_loop : StatementKind::next_loop;
      end_tag();
    } else if (tag == "include" || tag == "import" || tag == "from" || tag == "extends") {
      fail("{% " + tag + " %}: a chat template cannot read other files");
    } else {
      fail("{% " + tag + " %} is not supported");
    }
    return statement;
  }

  Statement parse_if(Statement branch) {
    branch.kind = StatementKind::branch;
    branch.expressions.push_back(parse_tuple(false));
    branch.bodies.push_back(parse_body({"elif", "else", "endif"}));
    while (take_name("elif")) {
      branch.expressions.push_back(parse_tuple(false));
      branch.bodies.push_back(parse_body({"elif", "else", "endif"}));
    }
    if (take_name("else")) branch.bodies.push_back(parse_body({"endif"}));
    take();
    end_tag();
    return branch;
  }

  Statement parse_for(Statement loop) {
    loop.kind = StatementKind::loop;
    loop.targets.push_back(parse_target());
    expect_word("in");
    loop.expressions.push_back(parse_tuple(false));
    if (take_name("if")) loop.expressions.push_back(parse_expression());
    if (is_name("recursive")) fail("{% for … recursive %} is not supported");
    ++loops_;
    loop.bodies.push_back(parse_body({"else", "endfor"}));
    --loops_;
    if (take_name("else")) loop.bodies.push_back(parse_body({"endfor"}));
    take();
    end_tag();
    return loop;
  }

  /// `name`, `a, b`, `(a, b)`.
  Expression parse_target() {
    std::vector<Expression> names;
    const bool parentheses = take_op("(");
    bool comma = false;
    do {
      if (is_op(")") || is_name("in") || is_op("=")) break;
      names.push_back(is_op("(") ? parse_target() : make(Kind::name, {}, expect_name("the name of a variable")));
      comma = is_op(",");
    } while (take_op(","));
    if (parentheses) expect_op(")");
    if (names.size() == 1 && !comma) return std::move(names[0]);
    return make(Kind::tuple, std::move(names));
  }

  Statement parse_set(Statement set) {
    if (now().kind == TokenKind::name && ahead().text == "." && ahead().kind == TokenKind::op) {
      Expression owner = make(Kind::name, {}, take().text);
      take();
      const std::string attribute = expect_name("an attribute");
      set.targets.push_back(make(Kind::attribute, {std::move(owner)}, attribute));
    } else {
      set.targets.push_back(parse_target());
    }
    set.kind = StatementKind::set;
    if (take_op("=")) {
      set.expressions.push_back(parse_tuple());
      end_tag();
      return set;
    }
    set.kind = StatementKind::set_block;
    if (is_op("|")) set.expressions.push_back(parse_filters(make(Kind::name, {}, body_name), false));
    const int loops = std::exchange(loops_, 0);
    set.bodies.push_back(parse_body_to("endset"));
    loops_ = loops;
    return set;
  }

  std::vector<NamedExpression> parse_parameters() {
    std::vector<NamedExpression> parameters;
    expect_op("(");
    while (!take_op(")")) {
      if (!parameters.empty()) expect_op(",");
      if (take_op(")")) break;
      const std::string name = expect_name("the name of a parameter");
      Expression otherwise = constant(Value::make_undefined(name));
      if (take_op("=")) otherwise = parse_expression();
      parameters.push_back({name, std::move(otherwise)});
    }
    return parameters;
  }

  Statement parse_macro(Statement macro) {
    macro.kind = StatementKind::macro;
    macro.text = expect_name("the name of the macro");
    macro.parameters = parse_parameters();
    const int loops = std::exchange(loops_, 0);
    macro.bodies.push_back(parse_body_to("endmacro"));
    loops_ = loops;
    return macro;
  }

  Statement parse_call_block(Statement call) {
    call.kind = StatementKind::call;
    if (is_op("(")) call.parameters = parse_parameters();
    call.expressions.push_back(parse_expression());
    if (call.expressions[0].kind != Kind::call) fail("{% call %} without a call");
    const int loops = std::exchange(loops_, 0);
    call.bodies.push_back(parse_body_to("endcall"));
    loops_ = loops;
    return call;
  }

  Statement parse_with(Statement with) {
    with.kind = StatementKind::with;
    while (now().kind != TokenKind::block_end) {
      if (!with.parameters.empty()) expect_op(",");
      const std::string name = expect_name("the name of a variable");
      expect_op("=");
      with.parameters.push_back({name, parse_expression()});
    }
    with.bodies.push_back(parse_body_to("endwith"));
    return with;
  }

  // Expressions

  bool at_tuple_end() const {
    return now().kind == TokenKind::block_end || now().kind == TokenKind::print_end || now().kind == TokenKind::end || is_op(")") ||
           is_name("if") || is_name("recursive") || is_op("=");
  }

  /// One expression, or several with commas between. `conditions`: `a if b else c` may stand without parentheses.
  Expression parse_tuple(bool conditions = true) {
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

  Expression parse_expression() {
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
  Expression parse_or() {
    return parse_chain(Kind::logical_or, "or", [this] { return parse_and(); });
  }
  Expression parse_and() {
    return parse_chain(Kind::logical_and, "and", [this] { return parse_not(); });
  }
  Expression parse_not() {
    const Deeper deeper(*this);
    if (take_name("not")) return make(Kind::logical_not, {parse_not()});
    return parse_compare();
  }

  /// Empty when no comparison follows.
  std::string take_comparison() {
    for (const char* op : {"==", "!=", "<=", ">=", "<", ">"})
      if (take_op(op)) return op;
    if (take_name("in")) return "in";
    if (is_name("not") && ahead().kind == TokenKind::name && ahead().text == "in") return take(), take(), "not in";
    return {};
  }

  Expression parse_compare() {
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

  /// Levels 0: + −, 1: ~, 2: * / // %, 3: **.
  Expression parse_binary(std::initializer_list<const char*> operators, int level) {
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

  Expression parse_concatenation() {
    std::vector<Expression> parts;
    parts.push_back(parse_binary({"*", "/", "//", "%"}, 2));
    while (take_op("~")) parts.push_back(parse_binary({"*", "/", "//", "%"}, 2));
    if (parts.size() == 1) return std::move(parts[0]);
    return make(Kind::concatenate, std::move(parts));
  }

  Expression parse_unary(bool filters) {
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

  Expression parse_primary() {
    const Token token = now();
    switch (token.kind) {
      case TokenKind::name: take(); return parse_name(token.text);
      case TokenKind::string: return parse_strings();
      case TokenKind::integer: {
        take();
        int64_t value = 0;
        if (std::from_chars(token.text.data(), token.text.data() + token.text.size(), value).ec != std::errc()) fail("the integer " + token.text + ", which is beyond 64 bits");
        return constant(value);
      }
      case TokenKind::floating: take(); return constant(std::stod(token.text));
      default: break;
    }
    if (take_op("(")) return parse_parentheses();
    if (take_op("[")) return make(Kind::list, parse_elements("]"));
    if (take_op("{")) return parse_dict();
    fail("expected a value, found " + shown());
  }

  Expression parse_name(const std::string& name) {
    if (name == "true" || name == "True") return constant(true);
    if (name == "false" || name == "False") return constant(false);
    if (name == "none" || name == "None") return constant(None{});
    return make(Kind::name, {}, name);
  }

  Expression parse_strings() {
    std::string text = take().text;
    while (now().kind == TokenKind::string) text += take().text;
    return constant(std::move(text));
  }

  Expression parse_parentheses() {
    if (take_op(")")) return make(Kind::tuple);
    Expression inside = parse_tuple();
    expect_op(")");
    return inside;
  }

  std::vector<Expression> parse_elements(std::string_view close) {
    std::vector<Expression> elements;
    while (!take_op(close)) {
      if (!elements.empty()) expect_op(",");
      if (take_op(close)) break;
      elements.push_back(parse_expression());
    }
    return elements;
  }

  Expression parse_dict() {
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

  Expression parse_postfix(Expression expression) {
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

  Expression parse_attribute(Expression owner) {
    if (now().kind == TokenKind::integer) {
      std::vector<Expression> parts;
      parts.push_back(std::move(owner));
      parts.push_back(parse_primary());
      return make(Kind::subscript, std::move(parts));
    }
    const std::string name = expect_name("an attribute");
    return make(Kind::attribute, {std::move(owner)}, name);
  }

  Expression parse_subscript(Expression owner) {
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

  /// Arguments in parentheses are added to an expression.
  void parse_arguments(Expression& call) {
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
  }

  Expression parse_call(Expression callee) {
    Expression call = make(Kind::call, {std::move(callee)});
    parse_arguments(call);
    return call;
  }

  /// `| filter`, `is test` and calls of their results. `at_once`: the first filter's bar is left out.
  Expression parse_filters(Expression expression, bool at_once) {
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

  Expression parse_test(Expression subject) {
    const bool negated = take_name("not");
    const std::string name = expect_name("the name of a test");
    Expression test = make(Kind::test, {std::move(subject)}, name);
    const bool word = now().kind == TokenKind::name;
    if (is_op("(")) {
      parse_arguments(test);
    } else if ((word && !is_name("else") && !is_name("or") && !is_name("and") && !is_name("is") && !is_name("if") && !is_name("in") && !is_name("not")) ||
               now().kind == TokenKind::string || now().kind == TokenKind::integer || now().kind == TokenKind::floating || is_op("[") || is_op("{")) {
      test.parts.push_back(parse_postfix(parse_primary()));
    }
    return negated ? make(Kind::logical_not, {std::move(test)}) : test;
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;
};

}  // namespace

Block parse(std::string_view source) { return Parser(source).parse_template(); }

}  // namespace cohort::jinja
