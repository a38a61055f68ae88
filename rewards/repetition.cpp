// Penalty for repeated n-grams. A word is what stands between white space, case folded, or one ideograph; characters
// that show nothing (joiners, marks of direction) are dropped first, so that they cannot make copies look different.
#include <utf8proc.h>

#include <bit>

#include "configs/error.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

bool is_ideograph(utf8proc_int32_t c) {
  return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x20000 && c <= 0x3FFFF);
}

bool is_invisible(utf8proc_int32_t c) {
  const auto category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_CC;
}

// Hash of each word in order. Broken UTF-8 counts byte by byte.
std::vector<uint64_t> word_hashes(std::string_view text) {
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
    const bool space = c == ' ' || (c >= '\t' && c <= '\r') || c == 0xA0 || c == 0x3000 || (c >= 0x2000 && c <= 0x200A);
    if (space) {
      close();
      continue;
    }
    if (c < 0x110000 && is_invisible(c)) continue;
    if (is_ideograph(c)) close();
    hash = (hash ^ static_cast<uint64_t>(c < 0x110000 ? utf8proc_tolower(c) : c)) * kPrime;
    open = true;
    if (is_ideograph(c)) close();
  }
  close();
  return words;
}

// An open table of hashes, half full at most: a set of half a million entries in a few milliseconds.
size_t num_distinct_ngrams(const std::vector<uint64_t>& words, size_t n) {
  const size_t total = words.size() - n + 1;
  std::vector<uint64_t> table(std::bit_ceil(2 * total), 0);
  size_t distinct = 0;
  for (size_t i = 0; i < total; ++i) {
    uint64_t hash = 0;
    for (size_t k = 0; k < n; ++k) hash = (std::rotl(hash, 23) ^ words[i + k]) * 0x9E3779B97F4A7C15ULL;
    hash = (hash ^ (hash >> 32)) | 1;  // 0 marks an empty slot
    size_t slot = (hash >> 7) & (table.size() - 1);
    while (table[slot] != 0 && table[slot] != hash) slot = (slot + 1) & (table.size() - 1);
    if (table[slot] == 0) ++distinct;
    table[slot] = hash;
  }
  return distinct;
}

}  // namespace

RewardFn make_repetition(const Json& options) {
  const auto ngram = options.at("ngram").get<double>();
  const auto max_penalty = options.at("max_penalty").get<double>();
  if (!(ngram >= 1 && ngram <= 20)) throw UsageError("reward repetition: ngram must be in [1, 20]");
  if (max_penalty > 0) throw UsageError("reward repetition: max_penalty must not be above 0");
  return each([n = static_cast<size_t>(ngram), max_penalty](const Judged& judged) {
    const std::vector<uint64_t> words = word_hashes(judged.completion);
    if (words.size() < n) return graded(0, max_penalty, 0, "too short to repeat");
    const size_t total = words.size() - n + 1;
    const double distinct = static_cast<double>(num_distinct_ngrams(words, n));
    const double repeated = 1.0 - distinct / static_cast<double>(total);
    return graded(repeated * max_penalty, max_penalty, 0);
  });
}

}  // namespace cohort
