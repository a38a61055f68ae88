// Batches of stored log-probabilities, for tests of the losses.
#pragma once
#include <algorithm>
#include <vector>

#include "grpo/loss/entropy.h"
#include "grpo/loss/loss.h"
#include "policy/kernels/philox.h"

namespace cohort {

/// Divisors as loss_scale() takes them from whole groups.
inline LossScale scale_of(const TokenBatch& batch, double max_completion_length) {
  LossScale scale{.num_sequences = double(batch.advantages.size()), .max_completion_length = max_completion_length};
  for (float m : batch.mask) scale.num_tokens += m;
  return scale;
}

inline std::vector<float> learned_entropies(const TokenBatch& batch) {
  std::vector<float> learned;
  for (size_t n = 0; n < batch.entropies.size(); ++n)
    if (batch.mask[n] != 0) learned.push_back(batch.entropies[n]);
  return learned;
}

/// With what the config takes from the whole step.
inline LossScale scale_of(const TokenBatch& batch, const LossConfig& config, double max_completion_length) {
  LossScale scale = scale_of(batch, max_completion_length);
  scale.entropy_coef = config.entropy_coef;
  if (config.top_entropy_quantile < 1) keep_top_entropies(config.top_entropy_quantile, learned_entropies(batch), scale);
  return scale;
}

/// Sequences [first, last) of a batch.
inline TokenBatch part_of(const TokenBatch& batch, size_t first, size_t last) {
  auto begin = std::ptrdiff_t(batch.sequence_begin[first]), end = std::ptrdiff_t(batch.sequence_begin[last]);
  auto cut = [&](const std::vector<float>& all) {
    return all.empty() ? all : std::vector<float>(all.begin() + begin, all.begin() + end);
  };
  TokenBatch part{
      .advantages = {batch.advantages.begin() + std::ptrdiff_t(first), batch.advantages.begin() + std::ptrdiff_t(last)},
      .logprobs = cut(batch.logprobs),
      .entropies = cut(batch.entropies),
      .old_logprobs = cut(batch.old_logprobs),
      .mask = cut(batch.mask),
      .ref_logprobs = cut(batch.ref_logprobs),
      .sampling_logprobs = cut(batch.sampling_logprobs)};
  for (size_t s = first; s <= last; ++s) part.sequence_begin.push_back(batch.sequence_begin[s] - begin);
  return part;
}

inline void append(TokenBatch& batch, const TokenBatch& more) {
  const auto add = [](std::vector<float>& all, const std::vector<float>& some) {
    all.insert(all.end(), some.begin(), some.end());
  };
  for (size_t s = 1; s < more.sequence_begin.size(); ++s)
    batch.sequence_begin.push_back(int64_t(batch.logprobs.size()) + more.sequence_begin[s]);
  add(batch.advantages, more.advantages), add(batch.logprobs, more.logprobs), add(batch.entropies, more.entropies);
  add(batch.old_logprobs, more.old_logprobs), add(batch.mask, more.mask), add(batch.ref_logprobs, more.ref_logprobs);
  add(batch.sampling_logprobs, more.sampling_logprobs);
}

/// Four sequences, one of five tokens masked, ratios within e^±0.5.
inline TokenBatch random_batch(uint32_t seed) {
  TokenBatch b{.sequence_begin = {0}};
  uint32_t count = 0;
  auto draw = [&] { return uniform(philox({count++, seed, 0, 0}, {5, 6})[0]); };
  for (int64_t length : {3, 1, 6, 4}) {
    b.sequence_begin.push_back(b.sequence_begin.back() + length);
    b.advantages.push_back(4 * draw() - 2);
    for (int64_t n = 0; n < length; ++n) {
      b.old_logprobs.push_back(-3 * draw()), b.logprobs.push_back(b.old_logprobs.back() + draw() - 0.5f),
          b.ref_logprobs.push_back(b.logprobs.back() + draw() - 0.5f);
      b.sampling_logprobs.push_back(b.old_logprobs.back() + 0.6f * draw() - 0.3f);
      b.mask.push_back(draw() < 0.8f ? 1.0f : 0.0f), b.entropies.push_back(draw());
    }
  }
  return b;
}

}  // namespace cohort
