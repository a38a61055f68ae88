// Penalty for repeated n-grams of words.
#include "configs/error.h"
#include "rewards/rules.h"
#include "rewards/words.h"

namespace cohort {

RewardFn make_repetition(const Json& options) {
  const auto ngram = options.at("ngram").get<double>();
  const auto max_penalty = options.at("max_penalty").get<double>();
  if (!(ngram >= 1 && ngram <= 20)) throw UsageError("reward repetition: ngram must be in [1, 20]");
  if (max_penalty > 0) throw UsageError("reward repetition: max_penalty must not be above 0");
  return each([n = static_cast<size_t>(ngram), max_penalty](const Judged& judged) {
    const std::vector<uint64_t> words = word_hashes(judged.completion);
    if (words.size() < n) return graded(0, max_penalty, 0, "too short to repeat");
    return graded(repeated_share(words, n) * max_penalty, max_penalty, 0);
  });
}

}  // namespace cohort
