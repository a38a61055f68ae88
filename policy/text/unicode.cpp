#include "policy/text/unicode.h"

#include <iterator>
#include <vector>

namespace cohort::unicode {
namespace {

struct Run {
  char32_t first;
  Category category;
};
constexpr Run runs[] = {
#include "policy/text/unicode_table.inc"
};

std::vector<uint8_t> expand_runs() {
  std::vector<uint8_t> table(last_code_point + 1);
  for (size_t i = 0; i < std::size(runs); ++i) {
    const size_t end = i + 1 < std::size(runs) ? runs[i + 1].first : table.size();
    for (size_t code = runs[i].first; code < end; ++code) table[code] = runs[i].category;
  }
  return table;
}

struct Form {
  unsigned length;          // bytes of the whole character, 0 for a byte that starts none
  unsigned char low, high;  // bounds of the second byte
};

/// Table 3-7 of the Unicode standard: well-formed UTF-8 by its first byte.
Form form_of(unsigned char first) {
  if (first < 0x80) return {1, 0, 0};
  if (first < 0xC2 || first > 0xF4) return {0, 0, 0};
  if (first < 0xE0) return {2, 0x80, 0xBF};
  if (first < 0xF0)
    return {3, static_cast<unsigned char>(first == 0xE0 ? 0xA0 : 0x80),
            static_cast<unsigned char>(first == 0xED ? 0x9F : 0xBF)};
  return {4, static_cast<unsigned char>(first == 0xF0 ? 0x90 : 0x80),
          static_cast<unsigned char>(first == 0xF4 ? 0x8F : 0xBF)};
}

struct Scan {
  size_t length;  // bytes that fit the form
  bool whole;     // they are a character
};

Scan scan(std::string_view bytes) {
  const Form form = form_of(static_cast<unsigned char>(bytes[0]));
  if (form.length < 2) return {form.length, form.length == 1};
  for (unsigned i = 1; i < form.length; ++i) {
    if (i == bytes.size()) return {i, false};
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if (byte < (i == 1 ? form.low : 0x80) || byte > (i == 1 ? form.high : 0xBF)) return {i, false};
  }
  return {form.length, true};
}

}  // namespace

const uint8_t* category_table() {
  static const std::vector<uint8_t> table = expand_runs();
  return table.data();
}

bool is_numeric(char32_t code) {
  return is_in(code, numbers) || (code >= 0x11DE0 && code <= 0x11DE9) || (code >= 0x16FF4 && code <= 0x16FF6);
}

void append(std::string& text, char32_t code) {
  const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) return put(0xC0 | code >> 6), put(0x80 | (code & 0x3F));
  if (code < 0x10000) return put(0xE0 | code >> 12), put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F));
  put(0xF0 | code >> 18), put(0x80 | (code >> 12 & 0x3F)), put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F));
}

std::string encode(char32_t code) {
  std::string text;
  append(text, code);
  return text;
}

size_t count(std::string_view text) {
  size_t n = 0;
  for (const char c : text) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return n;
}

size_t valid_prefix(std::string_view bytes, bool* incomplete) {
  size_t at = 0;
  if (incomplete) *incomplete = false;
  while (at < bytes.size()) {
    if (static_cast<unsigned char>(bytes[at]) < 0x80) {
      ++at;
      continue;
    }
    const Scan next = scan(bytes.substr(at));
    if (!next.whole) {
      if (incomplete) *incomplete = next.length > 0 && at + next.length == bytes.size();
      return at;
    }
    at += next.length;
  }
  return at;
}

size_t ill_formed_length(std::string_view bytes) {
  const size_t length = scan(bytes).length;
  return length == 0 ? 1 : length;
}

std::string repaired(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    const size_t valid = valid_prefix(bytes);
    text.append(bytes.substr(0, valid));
    bytes.remove_prefix(valid);
    if (bytes.empty()) break;
    append(text, replacement);
    bytes.remove_prefix(ill_formed_length(bytes));
  }
  return text;
}

}  // namespace cohort::unicode
