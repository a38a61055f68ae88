// Rows of logits over the sets that tokens were chosen from (keep_sampling_mask; DeepSeek-V3.2, arXiv 2512.02556 §3.1):
// probabilities of the policy and of a reference are renormalised over what top_k, top_p and min_p left when the token
// was sampled, so that ratios and KL compare distributions over the same tokens. As in the sampler, the kept logits
// stand together in the order of their ids, a row of their own.
#pragma once
#include <cstdint>
#include <span>

namespace cohort {

/// Moves the logits of `kept` (ids, ascending) to the beginning of the row; the others are lost.
void gather_kept(std::span<const int32_t> kept, float* row);
/// The reverse, in a row of V: value i goes to kept[i], the others become 0.
void scatter_kept(std::span<const int32_t> kept, std::span<float> row);

}  // namespace cohort
