// Every loss against its formula in LibTorch, in double: the value, and the gradient that autograd finds.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "grpo/loss.h"
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

at::Tensor surrogate(const LossConfig& c, const at::Tensor& logprobs, const at::Tensor& log_ratio,
                     const at::Tensor& mask, double A) {
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
    const at::Tensor w = (log_ratio * mask).sum().exp();
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

at::Tensor formula(const LossConfig& c, const TokenBatch& b, const LossScale& scale, const at::Tensor& all_logprobs) {
  at::Tensor total = at::zeros({}, at::kDouble);
  for (size_t s = 0; s + 1 < b.sequence_begin.size(); ++s) {
    const int64_t begin = b.sequence_begin[s], end = b.sequence_begin[s + 1];
    const auto cut = [&](const std::vector<float>& values) { return doubles(values).slice(0, begin, end); };
    const at::Tensor logprobs = all_logprobs.slice(0, begin, end), mask = cut(b.mask),
                     log_ratio = logprobs - cut(b.old_logprobs);
    at::Tensor loss = surrogate(c, logprobs, log_ratio, mask, b.advantages[s]);
    if (c.beta > 0) {
      const at::Tensor d = cut(b.ref_logprobs) - logprobs, k3 = d.exp() - d - 1;
      loss = loss + c.beta * (c.use_bias_correction_kl ? k3 * ratio_of(c, log_ratio, mask) : k3);
    }
    total = total + (loss * mask).sum() / divisor(c, scale, mask.sum().item<double>());
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
  all.push_back({.loss_type = "vespo"});
  all.push_back({.loss_type = "vespo", .vespo_k_pos = 1, .vespo_lambda_pos = 0.5, .vespo_k_neg = 2});
  return all;
}

/// The number of gradients that are not 0.
int64_t expect_formula(const LossConfig& config, const TokenBatch& batch) {
  const LossScale scale = scale_of(batch, 7);
  std::vector<float> gradient(batch.logprobs.size(), NAN);
  const LossSums sums = grpo_loss(config, batch, scale, gradient);
  at::Tensor logprobs = doubles(batch.logprobs).set_requires_grad(true);
  const at::Tensor expected = formula(config, batch, scale, logprobs);
  expected.backward();
  EXPECT_NEAR(sums.loss, expected.item<double>(), 1e-6);
  int64_t learned = 0;
  for (size_t n = 0; n < gradient.size(); ++n) {
    EXPECT_NEAR(gradient[n], logprobs.grad()[int64_t(n)].item<double>(), 1e-6) << "token " << n;
    learned += gradient[n] != 0;
  }
  return learned;
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
  for (const auto& [type, count] : learned) EXPECT_GT(count, 200) << type;
}

}  // namespace
}  // namespace cohort
