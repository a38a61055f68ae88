// The recursive-descent parser's state, shared by parser.cpp (lists, relations, sets),
// parser_arithmetic.cpp (sums, products, powers), parser_primary.cpp (symbols, brackets, commands),
// parser_function.cpp, parser_calculus.cpp, parser_number.cpp, parser_environment.cpp and parser_words.cpp. Failure is
// an exception that parse() turns into none.
#pragma once
#include <optional>
#include <vector>

#include "rewards/math/expression.h"
#include "rewards/math/lexer.h"
#include "rewards/math/parser.h"

namespace cohort::math {

struct ParseFailure {};

bool is_fraction(std::string_view command);                               // frac and its sizes
bool is_rounding_word(const Token& token);                                // "approximately"
bool is_whole(const Expr& expr);                                          // an integer written without a point
Expr read_token(const std::string& text);                                 // a number token: mantissa and exponent
std::optional<Expr> scientific(const Expr& mantissa, const Expr& scale);  // 2.5 and 10^{-3} as one written number
Expr determinant(Expr matrix);
Expr trace(const Expr& matrix);
Expr system_of(const Expr& matrix);  // rows of equations or of branches

class Parser {
 public:
  Parser(std::vector<Token> tokens, ParseOptions options) : tokens_(std::move(tokens)), options_(options) {}
  Expr whole();  // everything up to the end

 private:
  // parser.cpp
  Expr list(bool bracketed);
  Expr element();
  Expr relation();
  Expr set_expression();
  std::optional<std::string> take_separator(bool bracketed);
  std::optional<std::string> take_relation();

  // parser_arithmetic.cpp
  Expr sum();
  Expr product();
  Expr signed_factor();
  Expr factor();
  Expr postfix(Expr left);
  Expr exponent();
  bool starts_factor() const;
  bool starts_operand(size_t ahead) const;
  bool is_letter_ratio(const Expr& left) const;
  bool goes_on_with_number(const Expr& left) const;
  bool take_degree_letter();
  bool take_temperature(Expr& left);

  // parser_words.cpp
  void take_unit(Expr& expr);
  bool take_unit_part(std::string& unit);
  size_t leading_phrase() const;
  void skip_leading_words();
  bool is_joining_word(size_t ahead = 0) const;
  bool is_condition_word() const;
  bool is_bracketed_condition() const;
  bool take_magnitude(Expr& left);
  static bool number_word(std::string_view text);
  std::optional<Expr> spelled_number();
  bool is_reckoned_with() const;
  bool is_linking_verb() const;
  Expr word();

  // parser_number.cpp
  Expr number();
  Expr repeating(const Token& token);
  std::optional<Expr> based_letters();
  std::optional<Expr> in_named_base(const std::string& digits);
  Expr bracketed_period(const Token& token);
  std::optional<Expr> mixed_fraction(const Expr& whole);
  std::optional<Expr> combination();
  std::optional<Expr> bracketed_in_base();

  // parser_primary.cpp
  Expr primary();
  Expr symbol(std::string name);
  std::optional<Expr> probability();
  Expr named(const std::string& name) const;
  std::string as_bound(const std::string& name) const;
  std::string subscript();
  Expr accented(const std::string& accent);
  Expr bracket(std::string_view open);
  Expr braces();
  Expr set();
  Expr bars(std::string_view bar);
  Expr command();
  std::optional<Expr> structure_command(std::string_view name);
  Expr blackboard();
  Expr half_set(const std::string& name);

  // parser_function.cpp
  std::optional<Expr> function_command(std::string_view name);
  Expr function(std::string name);
  Expr function_argument();
  Expr arguments(std::string name);
  Expr latex_argument();
  Expr fraction();
  Expr root();

  // parser_calculus.cpp
  Expr range_end();
  Expr bind(const std::string& variable);
  Expr big_operator(std::string name);
  bool is_differential(size_t ahead) const;
  std::optional<size_t> differential() const;
  void free_differential();
  std::optional<Expr> integral();
  std::optional<Expr> limit();
  std::optional<Expr> derivative();

  // parser_environment.cpp
  Expr environment(bool branches = false);
  bool closes_set() const;
  std::string environment_name();
  Expr rows(bool matrix);
  Expr condition();
  void drop_alignment(bool all);

  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  bool is_op(std::string_view text, size_t ahead = 0) const {
    return peek(ahead).kind == TokenKind::op && peek(ahead).text == text;
  }
  bool is_command(std::string_view text, size_t ahead = 0) const {
    return peek(ahead).kind == TokenKind::command && peek(ahead).text == text;
  }
  bool take_op(std::string_view text) { return is_op(text) ? (++at_, true) : false; }
  bool take_command(std::string_view text) { return is_command(text) ? (++at_, true) : false; }
  void expect(std::string_view text) {
    if (!take_op(text)) throw ParseFailure{};
  }

  // Counts a level of nesting and a node for as long as it lives.
  struct Level {
    explicit Level(Parser& parser) : parser(parser) {
      if (++parser.depth_ > kMaxDepth || ++parser.nodes_ > kMaxNodes) throw ParseFailure{};
    }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    ~Level() { --parser.depth_; }
    Parser& parser;
  };

  std::vector<Token> tokens_;
  ParseOptions options_;
  size_t at_ = 0;
  int depth_ = 0;
  size_t nodes_ = 0;
  size_t stop_ = std::string::npos;  // the differential that ends the integrand being read
  int bars_ = 0;                     // open absolute values: a | closes the innermost
  bool prose_ = false;               // several words outside \text{…} were read
  bool in_matrix_ = false;
  bool in_set_ = false;             // a colon is "such that", not a ratio
  std::vector<std::string> bound_;  // variables of the sums and products around
};

}  // namespace cohort::math
