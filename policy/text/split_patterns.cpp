#include "policy/text/split_patterns.h"

#include <utility>

#include "policy/text/unicode.h"

namespace cohort {
namespace {

using namespace unicode;

constexpr Categories letters_or_marks = letters | marks;
constexpr Categories punctuation_or_symbols = punctuation | symbols;

bool is_letter(char32_t c) {
  return c < 128 ? (c | 32) - 'a' < 26u : is_in(c, letters);
}
bool is_number(char32_t c) {
  return c < 128 ? c - '0' < 10u : is_in(c, numbers);
}
bool is_other(char32_t c) {
  return !is_letter(c) && !is_number(c) && !is_space(c);
}
bool is_newline(char32_t c) {
  return c == '\r' || c == '\n';
}

template <class Test>
size_t skip(std::string_view text, size_t at, Test test, size_t most = SIZE_MAX) {
  for (; at < text.size() && most > 0; --most) {
    const Char c = char_at(text, at);
    if (!test(c.code)) break;
    at += c.length;
  }
  return at;
}

/// 's 't 're 've 'm 'll 'd at an apostrophe; 0 when there is none. U+017F is a caseless s.
size_t contraction_length(std::string_view text, size_t at, bool caseless) {
  const std::string_view rest = text.substr(at + 1);
  if (rest.empty()) return 0;
  const auto lower = [&](size_t i) -> char {
    if (i >= rest.size()) return 0;
    return caseless && rest[i] >= 'A' && rest[i] <= 'Z' ? static_cast<char>(rest[i] + 32) : rest[i];
  };
  const char first = lower(0), second = lower(1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l')) return 3;
  return caseless && rest.starts_with("\u017F") ? 3 : 0;
}

/// `\s+(?!\S)|\s+`: all of a run of whitespace at the end of the text, else all but its last character, else that one.
size_t whitespace_end(std::string_view text, size_t at) {
  size_t last = at, end = at;
  while (end < text.size()) {
    const Char c = char_at(text, end);
    if (!is_space(c.code)) break;
    last = end;
    end += c.length;
  }
  return end == text.size() || last == at ? end : last;
}

/// `\s*[\r\n]+`: up to the last line break of a run of whitespace; `at` when the run has none.
size_t lines_end(std::string_view text, size_t at) {
  size_t lines = at;
  for (size_t end = at; end < text.size();) {
    const Char c = char_at(text, end);
    if (!is_space(c.code)) break;
    end += c.length;
    if (is_newline(c.code)) lines = end;
  }
  return lines;
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
size_t gpt2_end(std::string_view text, size_t at) {
  if (text[at] == '\'')
    if (const size_t length = contraction_length(text, at, false)) return at + length;
  const size_t word = at + (text[at] == ' ' && at + 1 < text.size());
  const char32_t first = char_at(text, word).code;
  if (is_letter(first)) return skip(text, word, is_letter);
  if (is_number(first)) return skip(text, word, is_number);
  if (!is_space(first)) return skip(text, word, is_other);
  return whitespace_end(text, at);
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}|
/// ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
template <size_t digits>
size_t llama3_end(std::string_view text, size_t at) {
  if (text[at] == '\'')
    if (const size_t length = contraction_length(text, at, true)) return at + length;
  const Char first = char_at(text, at);
  if (is_letter(first.code)) return skip(text, at, is_letter);
  if (is_number(first.code)) return skip(text, at, is_number, digits);
  const size_t second = at + first.length;
  if (!is_newline(first.code))
    if (const size_t end = skip(text, second, is_letter); end > second) return end;
  const size_t word = first.code == ' ' ? second : at;
  if (const size_t end = skip(text, word, is_other); end > word) return skip(text, end, is_newline);
  if (const size_t end = lines_end(text, at); end > at) return end;
  return whitespace_end(text, at);
}

bool is_ascii_punctuation(char32_t c) {
  return c < 128 && is_in(c, punctuation_or_symbols);
}
bool is_ascii_letter(char32_t c) {
  return (c | 32) - 'a' < 26u;
}
bool is_letter_or_mark(char32_t c) {
  return c < 128 ? is_ascii_letter(c) : is_in(c, letters_or_marks);
}
bool is_punctuation_or_symbol(char32_t c) {
  return is_in(c, punctuation_or_symbols);
}

/// DeepSeek-V3's third split; `at` when nothing matches there (digits and controls that no letter follows).
size_t deepseek_end(std::string_view text, size_t at) {
  const Char first = char_at(text, at);
  const size_t second = at + first.length;
  if (is_ascii_punctuation(first.code))
    if (const size_t end = skip(text, second, is_ascii_letter); end > second) return end;
  if (is_letter_or_mark(first.code)) return skip(text, at, is_letter_or_mark);
  if (!is_newline(first.code) && !is_punctuation_or_symbol(first.code))
    if (const size_t end = skip(text, second, is_letter_or_mark); end > second) return end;
  const size_t word = first.code == ' ' ? second : at;
  if (const size_t end = skip(text, word, is_punctuation_or_symbol); end > word) return skip(text, end, is_newline);
  if (const size_t end = lines_end(text, at); end > at) return end;
  return whitespace_end(text, at);
}

bool find_deepseek(std::string_view text, size_t from, Span& match) {
  for (; from < text.size(); from += char_at(text, from).length)
    if (const size_t end = deepseek_end(text, from); end > from) {
      match = {from, end};
      return true;
    }
  return false;
}

constexpr Categories caseless = bit(Lm) | bit(Lo) | marks;
constexpr Categories upper = bit(Lu) | bit(Lt) | caseless, lower = bit(Ll) | caseless;
bool is_upper(char32_t c) {
  return c < 128 ? c - 'A' < 26u : is_in(c, upper);
}
bool is_lower(char32_t c) {
  return c < 128 ? c - 'a' < 26u : is_in(c, lower);
}

/// `[upper]*[lower]+`, where the caseless are in both sets; `at` when nothing matches.
size_t lower_word_end(std::string_view text, size_t at) {
  size_t last_caseless = at, end = at;  // what the first run gives back to the second
  while (end < text.size()) {
    const Char c = char_at(text, end);
    if (!is_upper(c.code)) break;
    end += c.length;
    if (c.code >= 128 && is_in(c.code, caseless)) last_caseless = end;
  }
  const size_t word = skip(text, end, is_lower);
  return word > end ? word : last_caseless;
}
/// `[upper]+[lower]*` where lower_word_end found nothing.
size_t upper_word_end(std::string_view text, size_t at) {
  return skip(text, at, is_upper);
}

/// `[^\r\n\p{L}\p{N}]?[upper]*[lower]+|[^\r\n\p{L}\p{N}]?[upper]+[lower]*`; `at` when nothing matches.
size_t cased_word_end(std::string_view text, size_t at) {
  const Char first = char_at(text, at);
  const bool prefix = !is_newline(first.code) && !is_letter(first.code) && !is_number(first.code);
  const size_t second = at + first.length;
  for (const auto word_end : {lower_word_end, upper_word_end}) {
    if (prefix)
      if (const size_t end = word_end(text, second); end > second) return end;
    if (const size_t end = word_end(text, at); end > at) return end;
  }
  return at;
}

/// `[^\r\n\p{L}\p{N}]?[upper]*[lower]+|[^\r\n\p{L}\p{N}]?[upper]+[lower]*|\p{N}{1,digits}|
/// ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`, words with their contractions
template <size_t digits, bool contractions>
size_t cased_end(std::string_view text, size_t at) {
  if (const size_t end = cased_word_end(text, at); end > at) {
    if (!contractions || end == text.size() || text[end] != '\'') return end;
    return end + contraction_length(text, end, true);
  }
  const Char first = char_at(text, at);
  if (is_number(first.code)) return skip(text, at, is_number, digits);
  const size_t word = first.code == ' ' ? at + 1 : at;
  if (const size_t end = skip(text, word, is_other); end > word)
    return skip(text, end, [](char32_t c) { return is_newline(c) || c == '/'; });
  if (const size_t end = lines_end(text, at); end > at) return end;
  return whitespace_end(text, at);
}

template <size_t (*end)(std::string_view, size_t)>
bool find_everywhere(std::string_view text, size_t from, Span& match) {
  if (from >= text.size()) return false;
  match = {from, end(text, from)};
  return true;
}

template <class Test>
bool find_run(std::string_view text, size_t from, Span& match, Test test, size_t most) {
  const size_t begin = skip(text, from, [&](char32_t c) { return !test(c); });
  if (begin == text.size()) return false;
  match = {begin, skip(text, begin, test, most)};
  return true;
}

bool find_up_to_three_numbers(std::string_view text, size_t from, Span& match) {
  return find_run(text, from, match, is_number, 3);
}

bool is_cjk_or_kana(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF);
}
bool find_cjk_or_kana(std::string_view text, size_t from, Span& match) {
  return find_run(text, from, match, is_cjk_or_kana, SIZE_MAX);
}

const std::pair<std::string_view, FindMatch> patterns[] = {
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", find_gpt2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     find_everywhere<llama3_end<3>>},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     find_everywhere<llama3_end<1>>},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     find_everywhere<cased_end<1, false>>},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     find_everywhere<cased_end<3, true>>},
    {R"(\p{N}{1,3})", find_up_to_three_numbers},
    {"[一-龥\u3040-ゟ゠-ヿ]+", find_cjk_or_kana},
    {R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     find_deepseek},
};

}  // namespace

bool find_gpt2(std::string_view text, size_t from, Span& match) {
  return find_everywhere<gpt2_end>(text, from, match);
}
bool find_numeric(std::string_view text, size_t from, Span& match) {
  return find_run(text, from, match, is_numeric, 1);
}
bool find_numerics(std::string_view text, size_t from, Span& match) {
  return find_run(text, from, match, is_numeric, SIZE_MAX);
}

FindMatch known_pattern(std::string_view regex) {
  std::string escaped;  // files hold line breaks as such or as \r and \n
  for (const char c : regex) c == '\r' ? escaped += "\\r" : c == '\n' ? escaped += "\\n" : escaped += c;
  for (const auto& [known, find] : patterns)
    if (known == escaped) return find;
  return {};
}

}  // namespace cohort
