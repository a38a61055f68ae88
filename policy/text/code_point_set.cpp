#include "policy/text/code_point_set.h"

#include <algorithm>

#include "configs/error.h"

namespace cohort {
namespace {

constexpr std::string_view names[] = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl",
                                      "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc",
                                      "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn"};

/// Script=Han of Unicode 16.
const CodePointSet han = {{0x2E80, 0x2E99},   {0x2E9B, 0x2EF3},   {0x2F00, 0x2FD5},   {0x3005, 0x3005},
                          {0x3007, 0x3007},   {0x3021, 0x3029},   {0x3038, 0x303B},   {0x3400, 0x4DBF},
                          {0x4E00, 0x9FFF},   {0xF900, 0xFA6D},   {0xFA70, 0xFAD9},   {0x16FE2, 0x16FE3},
                          {0x16FF0, 0x16FF1}, {0x20000, 0x2A6DF}, {0x2A700, 0x2B739}, {0x2B740, 0x2B81D},
                          {0x2B820, 0x2CEA1}, {0x2CEB0, 0x2EBE0}, {0x2EBF0, 0x2EE5D}, {0x2F800, 0x2FA1D},
                          {0x30000, 0x3134A}, {0x31350, 0x323AF}};

}  // namespace

CodePointSet set_of(unicode::Categories categories) {
  CodePointSet set;
  for (char32_t code = 0; code <= unicode::last_code_point; ++code) {
    if (!unicode::is_in(code, categories)) continue;
    if (!set.empty() && set.back().second + 1 == code) {
      set.back().second = code;
    } else {
      set.emplace_back(code, code);
    }
  }
  return set;
}

CodePointSet set_of_property(std::string_view name) {
  if (name == "Han") return han;
  unicode::Categories categories = 0;
  for (int i = 0; i <= unicode::Cn; ++i)
    if (names[i] == name || (name.size() == 1 && names[i][0] == name[0]))
      categories |= unicode::bit(static_cast<unicode::Category>(i));
  if (categories == 0)
    throw UsageError("the property \\p{" + std::string(name) +
                     "} of a tokenizer's split pattern is not known; general categories and Han are");
  return set_of(categories);
}

CodePointSet space_set() {
  return merged({{9, 13}, {0x85, 0x85}}, set_of(unicode::separators));
}

CodePointSet word_set() {
  // Oniguruma's \w has superscripts and fractions of Latin-1 and the circled and squared letters besides the
  // categories.
  const CodePointSet extra = {{0xB2, 0xB3},       {0xB9, 0xB9},       {0xBC, 0xBE},      {0x24B6, 0x24E9},
                              {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};
  return merged(extra, set_of(unicode::letters | unicode::marks | unicode::bit(unicode::Nd) |
                              unicode::bit(unicode::Nl) | unicode::bit(unicode::Pc)));
}

CodePointSet complement(const CodePointSet& set) {
  CodePointSet rest;
  char32_t next = 0;
  for (const auto& [first, last] : set) {
    if (first > next) rest.emplace_back(next, first - 1);
    next = last + 1;
  }
  if (next <= unicode::last_code_point) rest.emplace_back(next, unicode::last_code_point);
  return rest;
}

CodePointSet merged(CodePointSet a, const CodePointSet& b) {
  a.insert(a.end(), b.begin(), b.end());
  std::ranges::sort(a);
  CodePointSet set;
  for (const auto& [first, last] : a) {
    if (!set.empty() && first <= set.back().second + 1) {
      set.back().second = std::max(set.back().second, last);
    } else {
      set.emplace_back(first, last);
    }
  }
  return set;
}

CodePointSet intersection(const CodePointSet& a, const CodePointSet& b) {
  return complement(merged(complement(a), complement(b)));
}

}  // namespace cohort
