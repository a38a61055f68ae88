#include "grpo/loss/loss_config.h"

#include "configs/error.h"
#include "grpo/loss/loss_types.h"

namespace cohort {

bool has_kl_term(const LossConfig& c) {
  return c.beta > 0 && !c.kl_in_reward;
}

bool has_entropy_bonus(const LossConfig& c) {
  return c.entropy_coef != 0 || c.use_adaptive_entropy;
}

bool learns_without_advantage(const LossConfig& c) {
  return has_kl_term(c) || has_entropy_bonus(c) || c.top_entropy_quantile < 1;
}

namespace {

void expect_consistent_type(const LossConfig& c) {
  const std::string type = "loss_type is " + c.loss_type;
  if (!is_clipped(loss_type(c.loss_type)) && (c.delta || c.dual_clip))
    throw UsageError(type + ": " + (c.delta ? "delta" : "dual_clip") +
                     " bounds clipped losses alone (grpo, bnpo, dr_grpo, dapo, luspo); leave it out");
  if (c.loss_type == "cispo" && c.cispo_clip == "cap" && c.epsilon_high.value_or(c.epsilon) < 1)
    throw UsageError(type + " with cispo_clip cap, which bounds the ratio itself by epsilon_high, here " +
                     Json(c.epsilon_high.value_or(c.epsilon)).dump() +
                     ": less than the 1 of a ratio on-policy. Set epsilon_high to 1 or more (ScaleRL: 5), or "
                     "cispo_clip to band for the range 1 - epsilon to 1 + epsilon_high");
  if (c.loss_type == "vespo" && c.importance_sampling_level != "token")
    throw UsageError(type + ", which weighs whole sequences by itself: set importance_sampling_level to token");
}

void expect_consistent_kl(const LossConfig& c) {
  if (c.kl_in_reward && c.beta == 0) throw UsageError("kl_in_reward is true but beta, the weight of the KL, is 0");
  if (has_kl_term(c) && c.kl_estimator == "k1" && !c.use_bias_correction_kl)
    throw UsageError(
        "kl_estimator is k1 in the loss without use_bias_correction_kl: on-policy the expected gradient of log p is "
        "0, "
        "so this KL term would do nothing but add noise; set use_bias_correction_kl or kl_in_reward, or take k2 or "
        "k3");
}

void expect_consistent_correction(const LossConfig& c) {
  const std::string mode = c.importance_sampling_correction;
  const auto &low = c.importance_sampling_clip_min, &high = c.importance_sampling_clip_max;
  if (mode == "none") return;
  if (low && high && *low >= *high)
    throw UsageError("importance_sampling_clip_min is " + Json(*low).dump() + ", importance_sampling_clip_max " +
                     Json(*high).dump() + ": it must be larger");
  if (mode.ends_with("truncate") && !low && !high)
    throw UsageError("importance_sampling_correction is " + mode +
                     " without importance_sampling_clip_min or importance_sampling_clip_max: set one");
  if (c.loss_type == "vespo" && mode.starts_with("sequence"))
    throw UsageError("importance_sampling_correction is " + mode +
                     ", but vespo takes it into its weight token by token: set token_truncate or token_mask");
}

}  // namespace

void expect_consistent(const LossConfig& config) {
  expect_consistent_type(config);
  expect_consistent_kl(config);
  expect_consistent_correction(config);
}

}  // namespace cohort
