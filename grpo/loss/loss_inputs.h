// What some losses need beside the learner's own pass: forwards of the policy before the step, and of the reference.
#pragma once
#include <span>
#include <vector>

#include "grpo/learner.h"

namespace cohort {

/// Lowers each score by beta · Σ of the KL estimates of its tokens, as sampled, and notes that as the component "kl"
/// (verl's apply_kl_penalty). Tokens that the policy did not choose do not count; truncated completions do, whatever
/// mask_truncated_completions says.
void penalize_kl(std::span<Group> groups, Learner& learner, const CausalLM& reference, const LossConfig& loss,
                 const PackConfig& pack);

/// Log-probabilities under the learner's weights, in the order that pack() gives them.
std::vector<float> policy_logprobs(std::span<const Group> groups, Learner& learner, const PackConfig& pack, Keep keep);

/// The stored log-probabilities become those of the sampler, and `logprobs` (of policy_logprobs) the ones that ratios
/// are taken to.
void set_old_logprobs(std::span<MicroBatch> batches, std::span<const float> logprobs);

/// keep_top_entropies over the learned tokens of a step.
void keep_top_entropies(double share, std::span<MicroBatch> batches, Learner& learner, LossScale& scale);

}  // namespace cohort
