// Every loss against its formula in LibTorch, in double: the value, and the gradient that autograd finds.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "grpo/loss/entropy.h"
#include "grpo/loss/loss.h"
#include "tests/grpo/token_batch.h"

namespace cohort {
namespace {

at::Tensor doubles(const std::vector<float>& values) {
  return at::tensor(values, at::kDouble);
}

/// What TRL calls coef_1: [n], or [1] for a sequence.
at::Tensor ratio_of(const LossConfig& c, const at::Tensor& log_ratio, const at::Tensor& mask) {
  if (c.importance_sampling_level == "token") return log_ratio.exp();
  return ((log_ratio * mask).sum() / mask.sum().clamp_min(1)).exp().unsqueeze(0);
}

/// Of importance_sampling_correction: [n], or [1] for a sequence.
at::Tensor correction_of(const LossConfig& c, const at::Tensor& log_ratio, const at::Tensor& mask) {
  const std::string& mode = c.importance_sampling_correction;
  if (mode == "none") return at::ones({1}, at::kDouble);
  const at::Tensor ratio = (mode.starts_with("token") ? log_ratio : (log_ratio * mask).sum().unsqueeze(0)).exp();
  const double low = c.importance_sampling_clip_min.value_or(0), high = c.importance_sampling_clip_max.value_or(1e9);
  if (mode.ends_with("truncate")) return ratio.clamp(low, high);
  return ratio * ratio.ge(low) * ratio.le(high);
}

at::Tensor surrogate(const LossConfig& c, const at::Tensor& logprobs, const at::Tensor& log_ratio,
                     const at::Tensor& correction, const at::Tensor& mask, double A) {
  const at::Tensor r = ratio_of(c, log_ratio, mask);
  const double high = c.epsilon_high.value_or(c.epsilon);
  if (c.loss_type == "cispo") {
    const bool band = c.cispo_clip == "band";
    return -r.clamp(band ? 1 - c.epsilon : 0, band ? 1 + high : high).detach() * A * logprobs;
  }
  if (c.loss_type == "sapo") {
    const double temperature = A > 0 ? c.sapo_temperature_pos : c.sapo_temperature_neg;
    return -at::sigmoid(temperature * (r - 1)) * (4 / temperature) * A;
  }
  if (c.loss_type == "vespo") {
    const double k = A >= 0 ? c.vespo_k_pos : c.vespo_k_neg, lambda = A >= 0 ? c.vespo_lambda_pos : c.vespo_lambda_neg;
    const at::Tensor w = ((log_ratio + correction.clamp_min(1e-8).log()) * mask).sum().clamp_min(std::log(1e-8)).exp();
    return -(std::exp(lambda) * w.pow(k) * (-lambda * w).exp()).detach() * A * logprobs;
  }
  const at::Tensor free = c.delta ? r.clamp_max(*c.delta) : r,
                   plain = -at::min(free * A, r.clamp(1 - c.epsilon, 1 + high) * A);
  return c.dual_clip && A < 0 ? plain.clamp_max(-A * *c.dual_clip) : plain;
}

double divisor(const LossConfig& c, const LossScale& scale, double tokens) {
  if (c.loss_type == "grpo" || c.loss_type == "sapo") return scale.num_sequences * std::max(1.0, tokens);
  if (c.loss_type == "luspo") return scale.num_sequences;
  if (c.loss_type == "dr_grpo") return scale.num_sequences * scale.max_completion_length;
  return scale.num_tokens;
}

at::Tensor kl_of(const LossConfig& c, const at::Tensor& d) {
  if (c.kl_estimator == "k1") return -d;
  return c.kl_estimator == "k2" ? d.square() / 2 : d.exp() - d - 1;
}

at::Tensor formula(const LossConfig& c, const TokenBatch& b, const LossScale& scale, const at::Tensor& all_logprobs,
                   const at::Tensor& all_entropies) {
  at::Tensor total = at::zeros({}, at::kDouble);
  for (size_t s = 0; s + 1 < b.sequence_begin.size(); ++s) {
    const int64_t begin = b.sequence_begin[s], end = b.sequence_begin[s + 1];
    const auto cut = [&](const std::vector<float>& values) { return doubles(values).slice(0, begin, end); };
    const at::Tensor logprobs = all_logprobs.slice(0, begin, end), mask = cut(b.mask),
                     old_logprobs = cut(b.old_logprobs), log_ratio = logprobs - old_logprobs,
                     sampled = cut(b.sampling_logprobs), correction = correction_of(c, old_logprobs - sampled, mask),
                     top = cut(b.entropies).ge(scale.entropy_threshold.value_or(-1)).to(at::kDouble);
    const double tokens = mask.sum().item<double>(),
                 fallen = ((sampled - logprobs) * mask).sum().item<double>() / std::max(1.0, tokens);
    at::Tensor loss = surrogate(c, logprobs, log_ratio, correction, mask, b.advantages[s]) * top;
    if (c.loss_type != "vespo") loss = loss * correction;
    if (b.advantages[s] < 0 && fallen > c.off_policy_mask_threshold.value_or(1e9)) loss = loss * 0;
    if (c.beta > 0) {
      const at::Tensor kl = kl_of(c, cut(b.ref_logprobs) - logprobs);
      loss = loss + c.beta * (c.use_bias_correction_kl ? kl * ratio_of(c, log_ratio, mask) : kl);
    }
    total = total + (loss * mask).sum() / divisor(c, scale, tokens) -
            scale.entropy_coef * (all_entropies.slice(0, begin, end) * mask * top).sum() / scale.num_top_tokens;
  }
  return total;
}

/// Settings of each loss, besides its level and its KL term.
std::vector<LossConfig> settings() {
  std::vector<LossConfig> all;
  for (const char* type : {"grpo", "bnpo", "dr_grpo", "dapo", "luspo"}) {
    all.push_back({.loss_type = type, .epsilon_high = 0.28});
    all.push_back({.loss_type = type, .delta = 1.35});
    all.push_back({.loss_type = type, .dual_clip = 1.3});
  }
  all.push_back({.loss_type = "cispo", .epsilon_high = 1.1});
  all.push_back({.loss_type = "cispo", .epsilon_high = 0.15, .cispo_clip = "band"});
  all.push_back({.loss_type = "sapo"});
  all.push_back({.loss_type = "sapo", .sapo_temperature_pos = 3, .sapo_temperature_neg = 0.5});
  for (const char* mode : {"token_truncate", "token_mask", "sequence_truncate", "sequence_mask"})
    for (const char* type : {"dapo", "grpo", "cispo"})
      all.push_back({.loss_type = type,
                     .epsilon_high = 1.1,
                     .importance_sampling_correction = mode,
                     .importance_sampling_clip_min = 0.8,
                     .importance_sampling_clip_max = 1.2});
  all.push_back(
      {.loss_type = "vespo", .importance_sampling_correction = "token_mask", .importance_sampling_clip_max = 1.2});
  for (const char* type : {"dapo", "sapo", "luspo", "cispo"}) {
    all.push_back({.loss_type = type, .epsilon_high = 1.1, .entropy_coef = 0.3});
    all.push_back({.loss_type = type, .epsilon_high = 1.1, .entropy_coef = -0.3, .top_entropy_quantile = 0.4});
    all.push_back({.loss_type = type, .epsilon_high = 1.1, .off_policy_mask_threshold = 0.02});
    all.push_back({.loss_type = type, .epsilon_high = 1.1, .kl_estimator = "k2"});
    all.push_back({.loss_type = type, .epsilon_high = 1.1, .kl_estimator = "k1"});
  }
  all.push_back({.loss_type = "vespo"});
  all.push_back({.loss_type = "vespo", .vespo_k_pos = 1, .vespo_lambda_pos = 0.5, .vespo_k_neg = 2});
  return all;
}

int64_t expect_near(const std::vector<float>& ours, const at::Tensor& theirs) {
  int64_t learned = 0;
  for (size_t n = 0; n < ours.size(); ++n) {
    EXPECT_NEAR(ours[n], theirs[int64_t(n)].item<double>(), 1e-6) << "token " << n;
    learned += ours[n] != 0;
  }
  return learned;
}

/// The number of gradients that are not 0.
int64_t expect_formula(const LossConfig& config, const TokenBatch& batch) {
  LossScale scale = scale_of(batch, 7);
  keep_top_entropies(config.top_entropy_quantile, learned_entropies(batch), scale);
  scale.entropy_coef = config.entropy_coef;
  std::vector<float> gradient(batch.logprobs.size(), NAN), d_entropies(gradient);
  const LossSums sums = grpo_loss(config, batch, scale, {gradient, d_entropies});
  const at::Tensor logprobs = doubles(batch.logprobs).set_requires_grad(true),
                   entropies = doubles(batch.entropies).set_requires_grad(true),
                   expected = formula(config, batch, scale, logprobs, entropies);
  expected.backward();
  EXPECT_NEAR(sums.loss, expected.item<double>(), 1e-6);
  return expect_near(gradient, logprobs.grad()) + expect_near(d_entropies, entropies.grad());
}

TEST(LossAutograd, EveryLossHasTheValueAndGradientOfItsFormula) {
  std::map<std::string, int64_t> learned;
  for (LossConfig config : settings())
    for (const char* level : {"token", "sequence"})
      for (uint32_t seed = 0; seed < 9; ++seed) {
        if (config.loss_type == "vespo" && level == std::string("sequence")) continue;
        config.importance_sampling_level = level;
        config.beta = seed % 3 ? 0.2 : 0, config.use_bias_correction_kl = seed % 3 == 1;
        SCOPED_TRACE(dump_config(config).dump() + " seed " + std::to_string(seed));
        learned[config.loss_type] += expect_formula(config, random_batch(seed));
      }
  ASSERT_EQ(learned.size(), loss_types().size());
  for (const auto& [type, count] : learned) EXPECT_GT(count, 250) << type;
}

}  // namespace
}  // namespace cohort
