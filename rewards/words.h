// Text as words and their n-grams, by hash: what repeats, what is alike, what two texts share. Case folded; characters
// that show nothing (joiners, marks of direction) are dropped, so that they cannot make copies look different.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace cohort {

/// What a word is: what stands between white space, or a run of letters and digits alone. One ideograph is one word.
enum class Words { written, bare };

/// In order. Broken UTF-8 counts byte by byte, as letters.
std::vector<uint64_t> word_hashes(std::string_view text, Words words = Words::written);

/// Of each n words that follow one another: words − n + 1 of them, none where there are fewer words.
std::vector<uint64_t> ngram_hashes(std::span<const uint64_t> words, size_t n);

/// 1 − distinct n-grams / n-grams; 0 where there are fewer than n words.
double repeated_share(std::span<const uint64_t> words, size_t n);

}  // namespace cohort
