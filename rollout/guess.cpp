#include "rollout/guess.h"

#include <algorithm>
#include <cstdlib>

namespace cohort {
namespace {

constexpr size_t kLongest = 4, kShortest = 2;  // tokens that must match

/// A prompt and what stands behind it, as one text.
struct Text {
  std::span<const int32_t> prompt, completion;
  size_t size() const { return prompt.size() + completion.size(); }
  int32_t operator[](size_t i) const { return i < prompt.size() ? prompt[i] : completion[i - prompt.size()]; }
};

/// Whether the n tokens before `end` are the last n of `text`.
bool matches(const Text& in, size_t end, const Text& text, size_t n) {
  for (size_t i = 1; i <= n; ++i)
    if (in[end - i] != text[text.size() - i]) return false;
  return true;
}

std::vector<int32_t> tokens_from(const Text& in, size_t begin, size_t count) {
  std::vector<int32_t> tokens;
  for (size_t i = begin; i < std::min(in.size(), begin + count); ++i) tokens.push_back(in[i]);
  return tokens;
}

/// Where in the earlier completion the match nearest to the text's own end ends; 0: none.
size_t nearest_match(const Text& earlier, const Text& text, size_t n) {
  size_t best = 0;
  const auto distance = [&](size_t end) { return std::llabs(int64_t(end) - int64_t(text.size())); };
  for (size_t end = std::max(n, earlier.prompt.size()); end < earlier.size(); ++end)
    if (matches(earlier, end, text, n) && (!best || distance(end) < distance(best))) best = end;
  return best;
}

/// The same in the text itself: the latest one.
size_t latest_match(const Text& text, size_t n) {
  for (size_t end = text.size() - 1; end >= n; --end)
    if (matches(text, end, text, n)) return end;
  return 0;
}

}  // namespace

std::vector<int32_t> guess_next(std::span<const int32_t> prompt, std::span<const int32_t> completion,
                                std::span<const std::vector<int32_t>> earlier, size_t member, size_t count) {
  const Text text{prompt, completion};
  for (size_t n = std::min(kLongest, text.size() - 1); n >= kShortest; --n) {
    for (size_t i = 0; i < earlier.size(); ++i) {
      const Text other{prompt, earlier[(member + i) % earlier.size()]};
      if (const size_t end = nearest_match(other, text, n)) return tokens_from(other, end, count);
    }
    if (const size_t end = latest_match(text, n)) return tokens_from(text, end, count);
  }
  return {};
}

}  // namespace cohort
