// Many spellings, one form: what the lexer reads is ASCII and LaTeX commands.
#pragma once
#include <string>
#include <string_view>

namespace cohort::math {

/// The first step of what follows: every character beyond ASCII that has a meaning in mathematics, spelled out.
std::string to_ascii_math(std::string_view text);

/// Unicode mathematics to LaTeX or ASCII (full-width forms, super- and subscripts, fractions, signs, Greek, brackets),
/// sizes and spacing commands, $ signs and invisible characters dropped, commas between digit groups marked by \! or
/// {,} removed. Letters of other scripts stay as they are; broken UTF-8 becomes '?'. Linear.
std::string normalize(std::string_view text);

/// For comparing words: lower case unless the case is kept, no articles, no LaTeX text commands, no white space, no
/// quotes, brackets around the whole or closing punctuation.
std::string folded_words(std::string_view text, bool keep_case = false);

}  // namespace cohort::math
