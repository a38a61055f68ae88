// Batches of stored log-probabilities, for tests of the losses.
#pragma once
#include <algorithm>
#include <vector>

#include "grpo/loss.h"

namespace cohort {

/// Divisors as loss_scale() takes them from whole groups.
inline LossScale scale_of(const TokenBatch& batch, double max_completion_length) {
  LossScale scale{.num_sequences = double(batch.advantages.size()), .max_completion_length = max_completion_length};
  for (float m : batch.mask) scale.num_tokens += m;
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
      .ref_logprobs = cut(batch.ref_logprobs)};
  for (size_t s = first; s <= last; ++s) part.sequence_begin.push_back(batch.sequence_begin[s] - begin);
  return part;
}

}  // namespace cohort
