#include "grpo/loss.h"

#include <algorithm>
#include <cmath>

namespace cohort {
namespace {

struct Sequence {
  int64_t begin, end;
  double tokens;  // whose mask is 1
};

/// Mean log ratio of a sequence (GSPO).
double sequence_log_ratio(const TokenBatch& b, const Sequence& s) {
  double total = 0;
  for (int64_t n = s.begin; n < s.end; ++n)
    total += double(b.mask[size_t(n)]) * (double(b.logprobs[size_t(n)]) - b.old_logprobs[size_t(n)]);
  return total / std::max(1.0, s.tokens);
}

/// The sequence's ratio as VESPO takes it: a product, its logarithms within [log 1e-8, 20].
double sequence_ratio(const TokenBatch& b, const Sequence& s) {
  double total = 0;
  for (int64_t n = s.begin; n < s.end; ++n)
    total +=
        double(b.mask[size_t(n)]) * std::clamp(double(b.logprobs[size_t(n)]) - b.old_logprobs[size_t(n)], -20.0, 20.0);
  return std::exp(std::clamp(total, std::log(1e-8), 20.0));
}

}  // namespace

void LossSums::add(const LossSums& o) {
  loss += o.loss, policy_loss += o.policy_loss, kl += o.kl, entropy += o.entropy, tokens += o.tokens,
      entropy_tokens += o.entropy_tokens;
  clipped_low += o.clipped_low, clipped_high += o.clipped_high, clip_terms += o.clip_terms, ratio_sum += o.ratio_sum;
  clipped_low_min = std::min(clipped_low_min, o.clipped_low_min),
  clipped_high_max = std::max(clipped_high_max, o.clipped_high_max);
  phi += o.phi, phi_terms += o.phi_terms;
  ratio_min = std::min(ratio_min, o.ratio_min), ratio_max = std::max(ratio_max, o.ratio_max);
}

LossSums grpo_loss(const LossConfig& c, const TokenBatch& b, const LossScale& scale, std::span<float> d_logprobs) {
  LossSums sums;
  std::fill(d_logprobs.begin(), d_logprobs.end(), 0.0f);
  const LossType& type = loss_type(c.loss_type);
  const bool by_sequence = c.importance_sampling_level == "sequence", has_phi = c.loss_type == "vespo";
  for (size_t i = 0; i + 1 < b.sequence_begin.size(); ++i) {
    Sequence s{b.sequence_begin[i], b.sequence_begin[i + 1], 0};
    for (int64_t n = s.begin; n < s.end; ++n) s.tokens += b.mask[size_t(n)];
    double weight = type.weight(scale, s.tokens), advantage = b.advantages[i],
           of_sequence = by_sequence ? sequence_log_ratio(b, s) : 0, product = has_phi ? sequence_ratio(b, s) : 1;
    double sequence_slope = 0, low = 0, high = 0;
    for (int64_t n = s.begin; n < s.end; ++n) {
      size_t t = size_t(n);
      if (b.mask[t] == 0) continue;
      // fp32 difference: on-policy it is exactly 0 and the ratio exactly 1
      double ratio = std::exp(by_sequence ? of_sequence : double(b.logprobs[t] - b.old_logprobs[t]));
      Surrogate token = type.surrogate(c, {ratio, product, double(b.logprobs[t]), advantage});
      double kl = 0, d_kl = 0, kl_ratio_slope = 0;
      if (!b.ref_logprobs.empty()) {
        double d = double(b.ref_logprobs[t]) - b.logprobs[t];
        kl = std::exp(d) - d - 1, d_kl = 1 - std::exp(d);
        if (c.use_bias_correction_kl) kl_ratio_slope = ratio * kl, d_kl *= ratio, kl *= ratio;
      }
      double slope = c.beta * d_kl + token.logprob_slope;
      if (by_sequence)
        sequence_slope += weight * (token.ratio_slope + c.beta * kl_ratio_slope);
      else
        slope += token.ratio_slope + c.beta * kl_ratio_slope;
      d_logprobs[t] = float(weight * slope);
      sums.policy_loss += weight * token.value, sums.loss += weight * (token.value + c.beta * kl);
      sums.kl += kl, sums.entropy += b.entropies[t], sums.tokens += 1, sums.entropy_tokens += 1, low += token.low,
          high += token.high;
      sums.ratio_sum += ratio, sums.ratio_min = std::min(sums.ratio_min, ratio),
                               sums.ratio_max = std::max(sums.ratio_max, ratio);
    }
    if (s.tokens == 0) {  // a masked sequence has its one ratio all the same
      if (by_sequence) sums.clip_terms += 1, sums.clipped_low_min = 0;
      continue;
    }
    if (has_phi && advantage != 0) sums.phi += gamma_weight(c, product, advantage), sums.phi_terms += 1;
    double terms = by_sequence ? 1 : s.tokens;  // a sequence has one ratio, or one for each token
    sums.clipped_low += low / s.tokens * terms, sums.clipped_high += high / s.tokens * terms, sums.clip_terms += terms;
    sums.clipped_low_min = std::min(sums.clipped_low_min, low / s.tokens),
    sums.clipped_high_max = std::max(sums.clipped_high_max, high / s.tokens);
    for (int64_t n = s.begin; by_sequence && n < s.end; ++n)
      d_logprobs[size_t(n)] += float(sequence_slope * b.mask[size_t(n)] / std::max(1.0, s.tokens));
  }
  return sums;
}

LossSums cross_entropy_loss(const TokenBatch& b, const LossScale& scale, std::span<float> d_logprobs) {
  LossSums sums;
  double weight = 1.0 / std::max(1.0, scale.num_tokens);
  for (size_t n = 0; n < b.logprobs.size(); ++n) {
    d_logprobs[n] = float(-weight * b.mask[n]);
    sums.loss += -weight * b.mask[n] * b.logprobs[n];
    sums.entropy += double(b.mask[n]) * b.entropies[n], sums.tokens += b.mask[n], sums.entropy_tokens += b.mask[n];
  }
  sums.policy_loss = sums.loss;
  return sums;
}

}  // namespace cohort
