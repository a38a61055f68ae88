// Statements of a template, by recursive descent.
#include <algorithm>
#include <initializer_list>
#include <utility>

#include "policy/text/jinja_expressions.h"

namespace cohort::jinja {
namespace {

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Block parse_template() {
    Block block = parse_block({});
    if (now().kind != TokenKind::end) fail("{% " + now().text + " %} without its beginning");
    return block;
  }

 private:
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
        if (now().text.starts_with("end") || is_name("else") || is_name("elif"))
          fail("{% " + now().text + " %} in the wrong place");
        block.push_back(parse_statement());
      }
    }
    if (ends.size() > 0)
      fail("the template ends inside a block, expected {% " + std::string(*(ends.end() - 1)) + " %}");
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
    const size_t begin = at_;
    loop.bodies.push_back(parse_body({"else", "endfor"}));
    --loops_;
    const auto is_loop = [](const Token& token) { return token.kind == TokenKind::name && token.text == "loop"; };
    if (std::any_of(tokens_.begin() + begin, tokens_.begin() + at_, is_loop)) loop.text = "loop";
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

  int loops_ = 0;
};

}  // namespace

Block parse(std::string_view source) {
  return Parser(source).parse_template();
}

}  // namespace cohort::jinja
