// Losses that see log-probabilities of the chosen tokens: the GRPO family, and cross-entropy. A loss returns its value
// and its gradient with respect to each log-probability; divisors come from the whole optimizer step, so neither
// micro-batches nor packing change the result.
#pragma once
#include <map>
#include <span>
#include <string>
#include <vector>

#include "configs/config.h"

namespace cohort {

struct LossConfig {
  std::string loss_type = "dapo";
  std::string importance_sampling_level = "token";
  double epsilon = 0.2;
  std::optional<double> epsilon_high;
  std::optional<double> delta;
  double beta = 0.0;
  bool use_bias_correction_kl = true;
};
template <class V>
void visit_fields(V& v, LossConfig& c) {
  v.field(
      "loss_type", c.loss_type,
      "how token losses are summed: grpo (mean of means), bnpo and dapo (mean over tokens), dr_grpo (constant divisor)",
      one_of({"grpo", "bnpo", "dr_grpo", "dapo"}));
  v.field("importance_sampling_level", c.importance_sampling_level, "ratio of each token, or of the sequence (GSPO)",
          one_of({"token", "sequence"}));
  v.field("epsilon", c.epsilon, "the ratio is clipped below 1 - epsilon", between(open(0), closed(1)));
  v.field("epsilon_high", c.epsilon_high, "the ratio is clipped above 1 + epsilon_high; null: epsilon", above(0));
  v.field("delta", c.delta, "upper bound of the unclipped ratio (two-sided clipping); null: none", above(0));
  v.field("beta", c.beta, "weight of the KL penalty against the reference model; 0 loads none", at_least(0));
  v.field("use_bias_correction_kl", c.use_bias_correction_kl, "multiply the KL estimate by the importance ratio");
}

/// Sequences of one micro-batch; token arrays run over all of them, [N].
struct TokenBatch {
  std::vector<int64_t> sequence_begin;  // [S+1]
  std::vector<float> advantages;        // [S]
  std::vector<float> logprobs, entropies, old_logprobs, mask;
  std::vector<float> ref_logprobs;  // empty without a reference model
};

/// Divisors: sums over the whole optimizer step.
struct LossScale {
  double num_sequences = 0, num_tokens = 0;  // tokens: those whose mask is 1
  double max_completion_length = 0;
};

/// What a loss adds up for the metrics.
struct LossSums {
  double loss = 0, policy_loss = 0, kl = 0, entropy = 0, tokens = 0, entropy_tokens = 0;
  double clipped_low = 0, clipped_high = 0, clip_terms = 0;  // ratios held back by clipping, of clip_terms
  double clipped_low_min = 1e30, clipped_high_max = 0;       // least and largest share of a sequence
  double ratio_sum = 0, ratio_min = 1e30, ratio_max = -1e30;
  void add(const LossSums& other);
};

/// d_logprobs [N]: gradient of the loss. Formulas: DAPO 2503.14476 eq. 8, Dr. GRPO 2503.20783, GSPO 2507.18071.
LossSums grpo_loss(const LossConfig& config, const TokenBatch& batch, const LossScale& scale,
                   std::span<float> d_logprobs);

/// −Σ mask · log p / num_tokens.
LossSums cross_entropy_loss(const TokenBatch& batch, const LossScale& scale, std::span<float> d_logprobs);

}  // namespace cohort
