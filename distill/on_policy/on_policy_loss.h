// What on-policy distillation adds to the teacher's divergence: GRPO's loss from rewards, or the divergence itself
// where only log p of the sampled tokens is known.
#pragma once
#include "grpo/loss/loss.h"

namespace cohort {

/// (1 − weight) · GRPO's loss, and with `sampled_token` weight · sampled_kl_loss. Entropies and tokens are counted in
/// any case.
LossSums on_policy_loss(double weight, bool sampled_token, const TokenBatch& batch, const LossScale& scale,
                        const TokenGradient& gradient);

}  // namespace cohort
