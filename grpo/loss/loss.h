// Losses that see log-probabilities of the chosen tokens: the GRPO family, and cross-entropy. A loss returns its value
// and its gradient with respect to each log-probability; divisors come from the whole optimizer step, so neither
// micro-batches nor packing change the result.
#pragma once
#include <span>
#include <vector>

#include "grpo/loss/loss_types.h"

namespace cohort {

/// Sequences of one micro-batch; token arrays run over all of them, [N].
struct TokenBatch {
  std::vector<int64_t> sequence_begin;  // [S+1]
  std::vector<float> advantages;        // [S]
  std::vector<float> logprobs, entropies, old_logprobs, mask;
  std::vector<uint8_t> is_top1;          // [N] whether the model finds no token more likely; may be empty
  std::vector<float> ref_logprobs;       // empty without a KL term
  std::vector<float> sampling_logprobs;  // of the policy that sampled, where old_logprobs are another's; else empty
};

/// What a loss adds up for the metrics.
struct LossSums {
  double loss = 0, policy_loss = 0, kl = 0, entropy = 0, tokens = 0, entropy_tokens = 0;
  double top1 = 0;  // of the tokens of cross_entropy_loss, those that are the model's first choice
  double clipped_low = 0, clipped_high = 0, clip_terms = 0;  // ratios held back by clipping, of clip_terms
  double clipped_low_min = 1e30, clipped_high_max = 0;       // least and largest share of a sequence
  double ratio_sum = 0, ratio_min = 1e30, ratio_max = -1e30;
  double phi = 0, phi_terms = 0;  // vespo's weight of each sequence
  double top_entropy = 0;         // of the tokens that the entropy bonus acts on
  double correction_sum = 0, correction_terms = 0, correction_min = 1e30, correction_max = -1e30;
  void add(const LossSums& other);
};

/// Of a loss with respect to what the batch holds, [N] each.
struct TokenGradient {
  std::span<float> logprobs, entropies;
};

/// Fills the gradient; `entropies` may be empty where there is no entropy bonus. The sequence's ratio is GSPO's
/// (2507.18071).
LossSums grpo_loss(const LossConfig& config, const TokenBatch& batch, const LossScale& scale,
                   const TokenGradient& gradient);

/// Of the tokens that the entropy bonus acts on, the sums being those of the whole step.
double mean_top_entropy(const LossSums& sums, const LossScale& scale);

/// −Σ mask · log p / num_tokens.
LossSums cross_entropy_loss(const TokenBatch& batch, const LossScale& scale, std::span<float> d_logprobs);

/// Σ mask · stopped(d) · log p / num_tokens, d = log p − log p of the teacher, which ref_logprobs holds: its gradient
/// is, over what the policy samples, that of the reverse KL (sampled_token of TRL's SDPO). `kl` sums the d.
LossSums sampled_kl_loss(const TokenBatch& batch, const LossScale& scale, std::span<float> d_logprobs);

}  // namespace cohort
