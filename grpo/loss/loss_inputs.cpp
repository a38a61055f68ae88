#include "grpo/loss/loss_inputs.h"

#include "grpo/loss/entropy.h"

namespace cohort {

void penalize_kl(std::span<Group> groups, Learner& learner, const CausalLM& reference, const LossConfig& loss,
                 const PackConfig& config) {
  std::vector<Rollout*> packed;  // in the order of pack()
  for (Group& group : groups)
    for (Rollout& r : group.rollouts)
      if (!r.completion.tokens.empty()) packed.push_back(&r);
  PackConfig all = config;
  all.mask_truncated_completions = false;
  auto next = packed.begin();
  for (MicroBatch& batch : pack(groups, all, Keep::all)) {
    learner.fill_logprobs(reference, batch, batch.loss.ref_logprobs);
    const TokenBatch& b = batch.loss;
    for (size_t s = 0; s + 1 < b.sequence_begin.size(); ++s) {
      double kl = 0;
      for (size_t n = size_t(b.sequence_begin[s]); n < size_t(b.sequence_begin[s + 1]); ++n)
        if (b.mask[n] != 0) kl += kl_estimate(loss.kl_estimator, double(b.ref_logprobs[n]) - b.old_logprobs[n]).value;
      Score& score = (*next++)->score;
      score.components["kl"] = -loss.beta * kl;
      if (score.value) score.value = float(*score.value - loss.beta * kl);
    }
  }
}

std::vector<float> policy_logprobs(std::span<const Group> groups, Learner& learner, const PackConfig& config,
                                   Keep keep) {
  std::vector<float> all;
  for (MicroBatch& batch : pack(groups, config, keep)) {
    learner.fill_logprobs(learner.model(), batch, batch.loss.logprobs);
    all.insert(all.end(), batch.loss.logprobs.begin(), batch.loss.logprobs.end());
  }
  return all;
}

void set_old_logprobs(std::span<MicroBatch> batches, std::span<const float> logprobs) {
  for (MicroBatch& batch : batches) {
    const size_t N = batch.loss.old_logprobs.size();
    batch.loss.sampling_logprobs = std::move(batch.loss.old_logprobs);
    batch.loss.old_logprobs.assign(logprobs.begin(), logprobs.begin() + std::ptrdiff_t(N));
    logprobs = logprobs.subspan(N);
  }
}

void keep_top_entropies(double share, std::span<MicroBatch> batches, Learner& learner, LossScale& scale) {
  std::vector<float> learned, of_batch;
  for (MicroBatch& batch : batches) {
    learner.fill_logprobs(learner.model(), batch, batch.loss.logprobs, &of_batch);
    for (size_t n = 0; n < of_batch.size(); ++n)
      if (batch.loss.mask[n] != 0) learned.push_back(of_batch[n]);
  }
  keep_top_entropies(share, std::move(learned), scale);
}

}  // namespace cohort
