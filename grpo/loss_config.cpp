#include "grpo/loss_config.h"

#include "configs/error.h"
#include "grpo/loss_types.h"

namespace cohort {

void expect_consistent(const LossConfig& c) {
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

}  // namespace cohort
