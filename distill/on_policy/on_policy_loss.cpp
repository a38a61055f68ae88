#include "distill/on_policy/on_policy_loss.h"

#include <algorithm>

namespace cohort {
namespace {

void count_entropy(const TokenBatch& batch, LossSums& sums) {
  sums.entropy = sums.tokens = 0;
  for (size_t n = 0; n < batch.mask.size(); ++n)
    sums.entropy += double(batch.mask[n]) * batch.entropies[n], sums.tokens += batch.mask[n];
}

}  // namespace

LossSums on_policy_loss(double weight, bool sampled_token, const TokenBatch& batch, const LossScale& scale,
                        const TokenGradient& gradient) {
  LossSums sums;
  std::ranges::fill(gradient.logprobs, 0.0f);
  if (weight < 1) {
    sums = grpo_loss({}, batch, scale, gradient);
    sums.loss *= 1 - weight;
    for (float& d : gradient.logprobs) d = float((1 - weight) * d);
  }
  if (sampled_token) {
    std::vector<float> d_logprobs(batch.logprobs.size());
    const LossSums kl = sampled_kl_loss(batch, scale, d_logprobs);
    sums.loss += weight * kl.loss, sums.kl = kl.kl;
    for (size_t n = 0; n < d_logprobs.size(); ++n) gradient.logprobs[n] += float(weight * d_logprobs[n]);
  }
  count_entropy(batch, sums);
  return sums;
}

}  // namespace cohort
