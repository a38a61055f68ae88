// Code points and their classes, as Oniguruma sees them (Unicode 16), which the `tokenizers` package splits with.
// PCRE2 10.42 knows Unicode 14 and utf8proc 2.6 Unicode 13, so ids would differ if either were asked.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cohort::unicode {

enum Category : uint8_t {
  Lu,
  Ll,
  Lt,
  Lm,
  Lo,
  Mn,
  Mc,
  Me,
  Nd,
  Nl,
  No,
  Pc,
  Pd,
  Ps,
  Pe,
  Pi,
  Pf,
  Po,
  Sm,
  Sc,
  Sk,
  So,
  Zs,
  Zl,
  Zp,
  Cc,
  Cf,
  Co,
  Cn
};

/// A set of categories, one bit each.
using Categories = uint32_t;
constexpr Categories bit(Category c) {
  return 1u << c;
}
constexpr Categories letters = bit(Lu) | bit(Ll) | bit(Lt) | bit(Lm) | bit(Lo);
constexpr Categories marks = bit(Mn) | bit(Mc) | bit(Me);
constexpr Categories numbers = bit(Nd) | bit(Nl) | bit(No);
constexpr Categories punctuation = bit(Pc) | bit(Pd) | bit(Ps) | bit(Pe) | bit(Pi) | bit(Pf) | bit(Po);
constexpr Categories symbols = bit(Sm) | bit(Sc) | bit(Sk) | bit(So);
constexpr Categories separators = bit(Zs) | bit(Zl) | bit(Zp);

constexpr char32_t replacement = 0xFFFD;
constexpr char32_t last_code_point = 0x10FFFF;

/// One byte for each code point, built on first use.
const uint8_t* category_table();

inline Category category(char32_t code) {
  return static_cast<Category>(category_table()[code]);
}
inline bool is_in(char32_t code, Categories set) {
  return (set >> category_table()[code]) & 1;
}
/// The White_Space property: `\s`.
inline bool is_space(char32_t code) {
  return code == ' ' || (code >= 9 && code <= 13) || code == 0x85 || (code > 127 && is_in(code, separators));
}
/// Numeric to the Digits pre-tokenizer, which follows Unicode 17.
bool is_numeric(char32_t code);

struct Char {
  char32_t code;
  uint32_t length;  // bytes
};

/// The character at byte `at` < text.size() of valid UTF-8.
inline Char char_at(std::string_view text, size_t at) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data()) + at;
  if (p[0] < 0x80) return {p[0], 1};
  if (p[0] < 0xE0) return {static_cast<char32_t>((p[0] & 0x1F) << 6 | (p[1] & 0x3F)), 2};
  if (p[0] < 0xF0) return {static_cast<char32_t>((p[0] & 0x0F) << 12 | (p[1] & 0x3F) << 6 | (p[2] & 0x3F)), 3};
  return {static_cast<char32_t>((p[0] & 0x07) << 18 | (p[1] & 0x3F) << 12 | (p[2] & 0x3F) << 6 | (p[3] & 0x3F)), 4};
}

void append(std::string& text, char32_t code);
std::string encode(char32_t code);
size_t count(std::string_view text);  // code points in valid UTF-8

/// Length of the valid UTF-8 at the start; `incomplete` tells whether what follows is a character cut short by the end.
size_t valid_prefix(std::string_view bytes, bool* incomplete = nullptr);
/// Ill-formed stretches replaced by U+FFFD, one for each maximal subpart (Unicode 16, section 3.9), as Rust and Python
/// do.
std::string repaired(std::string_view bytes);
/// Bytes of the ill-formed stretch at the start of `bytes` that one U+FFFD stands for; at least 1.
size_t ill_formed_length(std::string_view bytes);

}  // namespace cohort::unicode
