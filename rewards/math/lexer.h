// Normalised text into tokens. Every token is made once, in one pass; nothing is judged here.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace cohort::math {

enum class TokenKind {
  number,   // digits, with thousands commas removed and at most one point
  letter,   // one letter that is a symbol by itself
  command,  // LaTeX command or a name that means one: text without the backslash
  word,     // prose: \text{…} contents, or a run of letters that is no product of symbols
  op,       // one or two characters of punctuation: + - * / ^ _ ( ) [ ] { } | , ; : = < > <= >= != ! % & ' \\ \{ \} \|
  end
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;
  bool spaced = false;   // white space stood before it
  bool grouped = false;  // number: thousands commas or spaces were removed
  bool bare = false;     // word: a run of letters, not \text{…}; may still be a product of symbols
  bool split = false;    // number: an argument of its own, no index of the letter before it
};

struct LexOptions {
  bool decimal_comma = false;  // 3,14 is 3.14 and 1.000 stays a decimal
};

std::vector<Token> lex(std::string_view text, LexOptions options);

}  // namespace cohort::math
