#include "rewards/words.h"

#include <utf8proc.h>

#include <bit>

namespace cohort {
namespace {

bool is_ideograph(utf8proc_int32_t c) {
  return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x20000 && c <= 0x3FFFF);
}

bool is_space(utf8proc_int32_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xA0 || c == 0x3000 || (c >= 0x2000 && c <= 0x200A);
}

bool is_invisible(utf8proc_int32_t c) {
  const auto category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_CC;
}

bool is_letter_or_digit(utf8proc_int32_t c) {
  const auto category = utf8proc_category(c);
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
         (category >= UTF8PROC_CATEGORY_MC && category <= UTF8PROC_CATEGORY_NO);
}

/// An open table of hashes, half full at most: a set of half a million entries in a few milliseconds.
size_t num_distinct(std::span<const uint64_t> hashes) {
  std::vector<uint64_t> table(std::bit_ceil(2 * hashes.size()), 0);
  size_t distinct = 0;
  for (uint64_t hash : hashes) {
    hash = (hash ^ (hash >> 32)) | 1;  // 0 marks an empty slot
    size_t slot = (hash >> 7) & (table.size() - 1);
    while (table[slot] != 0 && table[slot] != hash) slot = (slot + 1) & (table.size() - 1);
    if (table[slot] == 0) ++distinct;
    table[slot] = hash;
  }
  return distinct;
}

}  // namespace

std::vector<uint64_t> word_hashes(std::string_view text, Words words_are) {
  constexpr uint64_t kOffset = 1469598103934665603ULL, kPrime = 1099511628211ULL;  // FNV-1a
  std::vector<uint64_t> words;
  uint64_t hash = kOffset;
  bool open = false;
  const auto close = [&] {
    if (open) words.push_back(hash);
    hash = kOffset;
    open = false;
  };
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t c = 0;
    utf8proc_ssize_t length = utf8proc_iterate(at, left, &c);
    if (length <= 0) {
      c = 0x110000 + *at;
      length = 1;
    }
    at += length;
    left -= length;
    const bool is_character = c < 0x110000;
    if (is_space(c)) {
      close();
      continue;
    }
    if (is_character && is_invisible(c)) continue;
    if (words_are == Words::bare && is_character && !is_letter_or_digit(c)) {
      close();
      continue;
    }
    if (is_ideograph(c)) close();
    hash = (hash ^ static_cast<uint64_t>(is_character ? utf8proc_tolower(c) : c)) * kPrime;
    open = true;
    if (is_ideograph(c)) close();
  }
  close();
  return words;
}

std::vector<uint64_t> ngram_hashes(std::span<const uint64_t> words, size_t n) {
  std::vector<uint64_t> hashes;
  for (size_t i = 0; i + n <= words.size(); ++i) {
    uint64_t hash = 0;
    for (size_t k = 0; k < n; ++k) hash = (std::rotl(hash, 23) ^ words[i + k]) * 0x9E3779B97F4A7C15ULL;
    hashes.push_back(hash);
  }
  return hashes;
}

double repeated_share(std::span<const uint64_t> words, size_t n) {
  const std::vector<uint64_t> ngrams = ngram_hashes(words, n);
  if (ngrams.empty()) return 0;
  return 1.0 - static_cast<double>(num_distinct(ngrams)) / static_cast<double>(ngrams.size());
}

}  // namespace cohort
