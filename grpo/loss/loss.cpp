#include "grpo/loss/loss.h"

#include <algorithm>
#include <cmath>

namespace cohort {
namespace {

/// Truncated or masked.
double bounded_ratio(const LossConfig& c, double ratio) {
  const double low = c.importance_sampling_clip_min.value_or(0), high = c.importance_sampling_clip_max.value_or(1e300);
  if (c.importance_sampling_correction.ends_with("truncate")) return std::clamp(ratio, low, high);
  return ratio < low || ratio > high ? 0 : ratio;
}

/// p of old_logprobs over p of the sampler, bounded; 1 without a correction by token.
double token_correction(const LossConfig& c, const TokenBatch& b, size_t n) {
  if (b.sampling_logprobs.empty() || !c.importance_sampling_correction.starts_with("token")) return 1;
  return bounded_ratio(c, std::exp(double(b.old_logprobs[n] - b.sampling_logprobs[n])));
}

bool is_top(const LossScale& scale, float entropy) {
  return !scale.entropy_threshold || entropy >= *scale.entropy_threshold;
}

struct Sequence {
  int64_t begin, end;
  double tokens = 0;  // whose mask is 1
  double advantage;
  double log_ratio = 0;   // mean over its tokens (GSPO)
  double product = 1;     // the ratio of the whole, as VESPO takes it
  double correction = 1;  // of importance_sampling_correction, where it is the sequence's
  bool keep = true;       // false: off_policy_mask_threshold drops it
};

/// The sequence's ratio as VESPO takes it: a product with the correction, its logarithms within [log 1e-8, 20].
double ratio_product(const LossConfig& c, const TokenBatch& b, const Sequence& s) {
  const double least = std::log(1e-8);
  double total = 0;
  for (int64_t n = s.begin; n < s.end; ++n) {
    const size_t t = size_t(n);
    if (b.mask[t] == 0) continue;
    total += std::clamp(double(b.logprobs[t]) - b.old_logprobs[t], -20.0, 20.0) +
             std::clamp(std::log(token_correction(c, b, t)), least, 20.0);
  }
  return std::exp(std::clamp(total, least, 20.0));
}

Sequence sequence_of(const LossConfig& c, const TokenBatch& b, size_t i) {
  Sequence s{.begin = b.sequence_begin[i], .end = b.sequence_begin[i + 1], .advantage = b.advantages[i]};
  const std::vector<float>& sampled = b.sampling_logprobs.empty() ? b.old_logprobs : b.sampling_logprobs;
  double fallen = 0, log_correction = 0;
  for (size_t n = size_t(s.begin); n < size_t(s.end); ++n) {
    s.tokens += b.mask[n];
    s.log_ratio += double(b.mask[n]) * (double(b.logprobs[n]) - b.old_logprobs[n]);
    fallen += double(b.mask[n]) * (double(sampled[n]) - b.logprobs[n]);
    log_correction += double(b.mask[n]) * (double(b.old_logprobs[n]) - sampled[n]);
  }
  s.log_ratio /= std::max(1.0, s.tokens);
  if (c.off_policy_mask_threshold && s.advantage < 0)
    s.keep = fallen / std::max(1.0, s.tokens) <= *c.off_policy_mask_threshold;
  if (c.importance_sampling_correction.starts_with("sequence"))
    s.correction = bounded_ratio(c, std::exp(log_correction));
  if (c.loss_type == "vespo") s.product = ratio_product(c, b, s);
  return s;
}

/// What a token adds: value, KL estimate, and derivatives with respect to its own log p and to the logarithm of its
/// ratio, which may be the sequence's.
struct TokenTerms {
  double ratio, policy, kl, logprob_slope, ratio_slope, correction;
  bool low, high, is_top;
};
TokenTerms token_terms(const LossConfig& c, const LossType& type, const TokenBatch& b, const LossScale& scale,
                       const Sequence& s, size_t n) {
  TokenTerms t{};
  // fp32 difference: on-policy it is exactly 0 and the ratio exactly 1
  t.ratio =
      std::exp(c.importance_sampling_level == "sequence" ? s.log_ratio : double(b.logprobs[n] - b.old_logprobs[n]));
  const Surrogate of_token = type.surrogate(c, {t.ratio, s.product, double(b.logprobs[n]), s.advantage});
  t.low = of_token.low, t.high = of_token.high;
  t.is_top = is_top(scale, b.entropies[n]);
  t.correction = s.correction * token_correction(c, b, n);
  const double factor = s.keep && t.is_top ? (c.loss_type == "vespo" ? 1 : t.correction) : 0;
  if (factor != 0)  // a ratio that is masked may be infinite
    t.policy = factor * of_token.value, t.logprob_slope = factor * of_token.logprob_slope,
    t.ratio_slope = factor * of_token.ratio_slope;
  if (b.ref_logprobs.empty()) return t;
  Kl kl = kl_estimate(c.kl_estimator, double(b.ref_logprobs[n]) - b.logprobs[n]);
  if (c.use_bias_correction_kl) t.ratio_slope += c.beta * t.ratio * kl.value, kl.slope *= t.ratio, kl.value *= t.ratio;
  t.logprob_slope += c.beta * kl.slope, t.kl = kl.value;
  return t;
}

void count(const TokenTerms& t, double entropy, LossSums& sums) {
  sums.kl += t.kl, sums.entropy += entropy, sums.tokens += 1, sums.entropy_tokens += 1;
  if (t.is_top) sums.top_entropy += entropy;
  sums.ratio_sum += t.ratio, sums.ratio_min = std::min(sums.ratio_min, t.ratio),
                             sums.ratio_max = std::max(sums.ratio_max, t.ratio);
}

void count_correction(double correction, LossSums& sums) {
  sums.correction_sum += correction, sums.correction_terms += 1;
  sums.correction_min = std::min(sums.correction_min, correction),
  sums.correction_max = std::max(sums.correction_max, correction);
}

/// `low` and `high`: its tokens whose ratio is held back.
void count_sequence(const LossConfig& c, const Sequence& s, double low, double high, LossSums& sums) {
  const bool by_sequence = c.importance_sampling_level == "sequence";
  if (s.tokens == 0) {  // a masked sequence has its one ratio all the same
    if (by_sequence) sums.clip_terms += 1, sums.clipped_low_min = 0;
    return;
  }
  const double terms = by_sequence ? 1 : s.tokens;  // a sequence has one ratio, or one for each token
  sums.clipped_low += low / s.tokens * terms, sums.clipped_high += high / s.tokens * terms, sums.clip_terms += terms;
  sums.clipped_low_min = std::min(sums.clipped_low_min, low / s.tokens),
  sums.clipped_high_max = std::max(sums.clipped_high_max, high / s.tokens);
  if (c.loss_type == "vespo" && s.advantage != 0)
    sums.phi += gamma_weight(c, s.product, s.advantage), sums.phi_terms += 1;
  if (c.importance_sampling_correction.starts_with("sequence")) count_correction(s.correction, sums);
}

void add_sequence(const LossConfig& c, const TokenBatch& b, const LossScale& scale, const Sequence& s,
                  std::span<float> d_logprobs, LossSums& sums) {
  const LossType& type = loss_type(c.loss_type);
  const bool by_sequence = c.importance_sampling_level == "sequence",
             by_token_correction = c.importance_sampling_correction.starts_with("token");
  const double weight = type.weight(scale, s.tokens);
  double sequence_slope = 0, low = 0, high = 0;
  for (size_t n = size_t(s.begin); n < size_t(s.end); ++n) {
    if (b.mask[n] == 0) continue;
    const TokenTerms t = token_terms(c, type, b, scale, s, n);
    if (by_sequence)
      sequence_slope += weight * t.ratio_slope, d_logprobs[n] = float(weight * t.logprob_slope);
    else
      d_logprobs[n] = float(weight * (t.logprob_slope + t.ratio_slope));
    sums.policy_loss += weight * t.policy, sums.loss += weight * (t.policy + c.beta * t.kl);
    count(t, b.entropies[n], sums);
    if (by_token_correction) count_correction(t.correction, sums);
    low += t.low, high += t.high;
  }
  count_sequence(c, s, low, high, sums);
  for (size_t n = size_t(s.begin); by_sequence && n < size_t(s.end); ++n)
    d_logprobs[n] += float(sequence_slope * b.mask[n] / std::max(1.0, s.tokens));
}

double num_top_tokens(const LossScale& scale) {
  return std::max(1.0, scale.entropy_threshold ? scale.num_top_tokens : scale.num_tokens);
}

/// −coef · mean entropy of the tokens that are learned from.
void add_entropy_bonus(const TokenBatch& b, const LossScale& scale, std::span<float> d_entropies, LossSums& sums) {
  if (scale.entropy_coef == 0) return;
  const double weight = scale.entropy_coef / num_top_tokens(scale);
  sums.loss -= weight * sums.top_entropy;
  for (size_t n = 0; n < d_entropies.size(); ++n)
    if (b.mask[n] != 0 && is_top(scale, b.entropies[n])) d_entropies[n] = float(-weight);
}

}  // namespace

void LossSums::add(const LossSums& o) {
  loss += o.loss, policy_loss += o.policy_loss, kl += o.kl, entropy += o.entropy, tokens += o.tokens,
      entropy_tokens += o.entropy_tokens, top1 += o.top1, top_entropy += o.top_entropy;
  clipped_low += o.clipped_low, clipped_high += o.clipped_high, clip_terms += o.clip_terms, ratio_sum += o.ratio_sum;
  clipped_low_min = std::min(clipped_low_min, o.clipped_low_min),
  clipped_high_max = std::max(clipped_high_max, o.clipped_high_max);
  ratio_min = std::min(ratio_min, o.ratio_min), ratio_max = std::max(ratio_max, o.ratio_max);
  phi += o.phi, phi_terms += o.phi_terms;
  correction_sum += o.correction_sum, correction_terms += o.correction_terms;
  correction_min = std::min(correction_min, o.correction_min),
  correction_max = std::max(correction_max, o.correction_max);
}

LossSums grpo_loss(const LossConfig& c, const TokenBatch& b, const LossScale& scale, const TokenGradient& gradient) {
  LossSums sums;
  std::ranges::fill(gradient.logprobs, 0.0f);
  std::ranges::fill(gradient.entropies, 0.0f);
  for (size_t i = 0; i + 1 < b.sequence_begin.size(); ++i)
    add_sequence(c, b, scale, sequence_of(c, b, i), gradient.logprobs, sums);
  add_entropy_bonus(b, scale, gradient.entropies, sums);
  return sums;
}

double mean_top_entropy(const LossSums& sums, const LossScale& scale) {
  return sums.top_entropy / num_top_tokens(scale);
}

LossSums cross_entropy_loss(const TokenBatch& b, const LossScale& scale, std::span<float> d_logprobs) {
  LossSums sums;
  double weight = 1.0 / std::max(1.0, scale.num_tokens);
  for (size_t n = 0; n < b.logprobs.size(); ++n) {
    d_logprobs[n] = float(-weight * b.mask[n]);
    sums.loss += -weight * b.mask[n] * b.logprobs[n];
    if (!b.is_top1.empty()) sums.top1 += double(b.mask[n]) * b.is_top1[n];
    sums.entropy += double(b.mask[n]) * b.entropies[n], sums.tokens += b.mask[n], sums.entropy_tokens += b.mask[n];
  }
  sums.policy_loss = sums.loss;
  return sums;
}

LossSums sampled_kl_loss(const TokenBatch& b, const LossScale& scale, std::span<float> d_logprobs) {
  LossSums sums;
  const double weight = 1.0 / std::max(1.0, scale.num_tokens);
  for (size_t n = 0; n < b.logprobs.size(); ++n) {
    const double d = double(b.mask[n]) * (double(b.logprobs[n]) - b.ref_logprobs[n]);
    d_logprobs[n] = float(weight * d);
    sums.loss += weight * d * b.logprobs[n], sums.kl += d;
    sums.entropy += double(b.mask[n]) * b.entropies[n], sums.tokens += b.mask[n], sums.entropy_tokens += b.mask[n];
  }
  return sums;
}

}  // namespace cohort
