// Syntax trees of chat templates.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "policy/text/jinja_value.h"

namespace cohort::jinja {

struct NamedExpression;
inline constexpr const char* body_name = " body";  // no template can write it

enum class ExpressionKind {
  constant,     // value
  name,         // text
  list,         // parts
  tuple,        // parts
  dict,         // parts: key, value, key, value…
  negate,       // parts[0]
  positive,     // parts[0]
  logical_not,  // parts[0]
  logical_and,  // parts
  logical_or,   // parts
  compare,      // parts; ops between them, joined by spaces in `operators`
  binary,       // text is the operator; parts[0], parts[1]
  concatenate,  // ~ of parts
  conditional,  // parts: then, condition, [else]
  attribute,    // parts[0].text
  subscript,    // parts[0][parts[1]]
  slice,        // parts[0][parts[1]:parts[2]:parts[3]], absent ones are the constant none
  call,         // parts[0](parts[1]…, named…)
  filter,       // parts[0] | text(parts[1]…, named…); of a filter block parts[0] is the variable body_name
  test,         // parts[0] is text(parts[1]…)
};

struct Expression {
  ExpressionKind kind = ExpressionKind::constant;
  int line = 0;
  int height = 1;  // of the tree below, bounded so that recursion over it is
  std::string text;
  Value value;
  std::vector<Expression> parts;
  std::vector<NamedExpression> named;
  std::vector<std::string> operators;
};

struct NamedExpression {
  std::string name;
  Expression expression;
};

enum class StatementKind {
  text,    // text
  print,   // expressions[0]
  branch,  // branches: expressions[i] guards bodies[i]; one body more is the else
  loop,    // for targets in expressions[0] if expressions[1]: bodies[0], else bodies[1]; text is "loop" if that is used
  set,     // targets = expressions[0]
  set_block,   // targets[0] = bodies[0] through the filter expressions[0], if any
  macro,       // text is the name; parameters; bodies[0]
  call,        // expressions[0] is the call; parameters of the caller; bodies[0]
  filter,      // bodies[0] through expressions[0]
  with,        // parameters: name = value; bodies[0]
  scope,       // bodies[0] as it stands ({% generation %})
  leave_loop,  // break
  next_loop,   // continue
};

struct Statement {
  StatementKind kind = StatementKind::text;
  int line = 0;
  std::string text;
  std::vector<Expression> targets;  // names, tuples of names, or namespace attributes
  std::vector<Expression> expressions;
  std::vector<NamedExpression> parameters;  // of a macro: with defaults; the constant undefined where there is none
  std::vector<std::vector<Statement>> bodies;
};
using Block = std::vector<Statement>;

enum class TokenKind { text, print_begin, print_end, block_begin, block_end, name, integer, floating, string, op, end };

struct Token {
  TokenKind kind;
  std::string text;  // of a string: its value
  int line;
};

/// With trim_blocks and lstrip_blocks on, as transformers renders chat templates.
std::vector<Token> tokenize(std::string_view source);
/// Throws TemplateError "line N: …" naming what is not understood.
Block parse(std::string_view source);

}  // namespace cohort::jinja
