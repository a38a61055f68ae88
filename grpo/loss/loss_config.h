// What a GRPO loss is made of: its knobs under TRL's names, and which of them go together.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "configs/config.h"

namespace cohort {

struct LossConfig {
  std::string loss_type = "dapo";
  std::string importance_sampling_level = "token";
  double epsilon = 0.2;
  std::optional<double> epsilon_high;
  std::optional<double> delta, dual_clip;
  std::string cispo_clip = "cap";
  double sapo_temperature_pos = 1.0, sapo_temperature_neg = 1.05;
  double vespo_k_pos = 2.0, vespo_lambda_pos = 3.0, vespo_k_neg = 3.0, vespo_lambda_neg = 2.0;
  double beta = 0.0;
  std::string kl_estimator = "k3";
  bool use_bias_correction_kl = true, kl_in_reward = false;
  double entropy_coef = 0.0;
  bool use_adaptive_entropy = false;
  double entropy_coef_min = 0.0, entropy_coef_max = 1.0, entropy_coef_delta = 0.005, entropy_target = 0.2;
  double top_entropy_quantile = 1.0;
  std::optional<double> off_policy_mask_threshold;
  std::string importance_sampling_correction = "none";
  std::optional<double> importance_sampling_clip_min, importance_sampling_clip_max = 3.0;
};

/// Names of the losses, for loss_type.
std::vector<std::string> loss_types();

template <class V>
void visit_fields(V& v, LossConfig& c) {
  v.field("loss_type", c.loss_type,
          "clipped ratios, summed as grpo (mean of the sequences' means), bnpo and dapo (mean over tokens), dr_grpo "
          "(constant divisor) or luspo (mean of the sequences' sums); cispo: clipped, stopped ratio times log p; sapo: "
          "soft gate of the ratio; vespo: stopped weight of the whole sequence's ratio times log p",
          one_of(loss_types()));
  v.field("importance_sampling_level", c.importance_sampling_level, "ratio of each token, or of the sequence (GSPO)",
          one_of({"token", "sequence"}));
  v.field("epsilon", c.epsilon, "the ratio is clipped below 1 - epsilon", between(open(0), closed(1)));
  v.field("epsilon_high", c.epsilon_high,
          "the ratio is clipped above 1 + epsilon_high; null: epsilon. Of cispo the bound of the ratio itself, see "
          "cispo_clip",
          above(0));
  v.field("delta", c.delta, "upper bound of the unclipped ratio (two-sided clipping); null: none", above(0));
  v.field("dual_clip", c.dual_clip,
          "where the advantage is negative, a clipped loss is at most dual_clip times its size (verl's clip_ratio_c, "
          "there 3); null: no bound",
          above(1));
  v.field("cispo_clip", c.cispo_clip,
          "what cispo clips the ratio to: cap, as TRL does: at most epsilon_high (ScaleRL: 5); band, as verl and slime "
          "do: from 1 - epsilon to 1 + epsilon_high",
          one_of({"cap", "band"}));
  v.field("sapo_temperature_pos", c.sapo_temperature_pos, "of sapo's gate where the advantage is positive", above(0));
  v.field("sapo_temperature_neg", c.sapo_temperature_neg, "of sapo's gate elsewhere", above(0));
  v.field("vespo_k_pos", c.vespo_k_pos, "power of vespo's weight where the advantage is not negative", at_least(0));
  v.field("vespo_lambda_pos", c.vespo_lambda_pos, "decay of vespo's weight where the advantage is not negative",
          at_least(0));
  v.field("vespo_k_neg", c.vespo_k_neg, "power of vespo's weight where the advantage is negative", at_least(0));
  v.field("vespo_lambda_neg", c.vespo_lambda_neg, "decay of vespo's weight where the advantage is negative",
          at_least(0));
  v.field("beta", c.beta, "weight of the KL penalty against the reference model; 0 loads none", at_least(0));
  v.field("kl_estimator", c.kl_estimator,
          "of each token, with d = log p of the reference - log p: k1 is -d, k2 is d^2 / 2, k3 is e^d - d - 1",
          one_of({"k1", "k2", "k3"}));
  v.field("use_bias_correction_kl", c.use_bias_correction_kl, "multiply the KL estimate by the importance ratio");
  v.field("kl_in_reward", c.kl_in_reward,
          "subtract beta times the KL estimates of a completion's tokens, summed, from its score before the advantage, "
          "and leave the loss without a KL term (verl's use_kl_in_reward; logged as rewards/kl)");
  v.field("entropy_coef", c.entropy_coef,
          "weight of the mean entropy per token, subtracted from the loss; with use_adaptive_entropy its start");
  v.field(
      "use_adaptive_entropy", c.use_adaptive_entropy,
      "after each step raise entropy_coef where the entropy was at most entropy_target, else lower it; it acts only "
      "while the last step's entropy was at most that (Skywork-OR1)");
  v.field("entropy_coef_min", c.entropy_coef_min, "least entropy_coef of use_adaptive_entropy");
  v.field("entropy_coef_max", c.entropy_coef_max, "largest entropy_coef of use_adaptive_entropy");
  v.field("entropy_coef_delta", c.entropy_coef_delta, "step of entropy_coef with use_adaptive_entropy", at_least(0));
  v.field("entropy_target", c.entropy_target, "nats per token, for use_adaptive_entropy", at_least(0));
  v.field("top_entropy_quantile", c.top_entropy_quantile,
          "share of the step's tokens, those of highest entropy, that the loss is made of (0.2 in 2506.01939; the KL "
          "term keeps all); below 1 costs one more forward",
          between(0, 1));
  v.field(
      "off_policy_mask_threshold", c.off_policy_mask_threshold,
      "drop a completion with a negative advantage where its tokens' log p fell by more than this in the mean since "
      "they were sampled (DeepSeek-V3.2); null: none",
      above(0));
  v.field("importance_sampling_correction", c.importance_sampling_correction,
          "for completions that another policy sampled: the loss times p at the start of the rollout over p of the "
          "sampler, of each token or of the whole completion, truncated to importance_sampling_clip_min and _max, or 0 "
          "outside of them; ratios are then taken to the start of the rollout, which costs one more forward",
          one_of({"none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"}));
  v.field("importance_sampling_clip_min", c.importance_sampling_clip_min,
          "least factor of importance_sampling_correction; null: no bound", above(0));
  v.field("importance_sampling_clip_max", c.importance_sampling_clip_max,
          "largest factor of importance_sampling_correction; null: no bound", above(0));
}

/// True where the KL penalty is a term of the loss.
bool has_kl_term(const LossConfig& config);
bool has_entropy_bonus(const LossConfig& config);
/// True where completions without advantage move the gradient: by the KL term, by the entropy bonus, or by their share
/// in what counts as high entropy. Elsewhere they may be dropped.
bool learns_without_advantage(const LossConfig& config);

/// Throws UsageError naming the keys that do not go together.
void expect_consistent(const LossConfig& config);

}  // namespace cohort
