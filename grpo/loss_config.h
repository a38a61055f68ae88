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
  bool use_bias_correction_kl = true;
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
  v.field("use_bias_correction_kl", c.use_bias_correction_kl, "multiply the KL estimate by the importance ratio");
}

/// Throws UsageError naming the keys that do not go together.
void expect_consistent(const LossConfig& config);

}  // namespace cohort
