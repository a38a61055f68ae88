#include "grpo/loss/loss_types.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace cohort {
namespace {

/// −min(min(r, δ) A, clip(r) A): PPO, and DAPO's two bounds (2503.14476 eq. 8); dual clip (1912.09729 eq. 5).
Surrogate clipped(const LossConfig& c, const PolicyToken& t) {
  double low = 1 - c.epsilon, high = 1 + c.epsilon_high.value_or(c.epsilon);
  bool capped = c.delta && t.ratio > *c.delta;
  double free = (capped ? *c.delta : t.ratio) * t.advantage, bounded = std::clamp(t.ratio, low, high) * t.advantage;
  bool inside = t.ratio >= low && t.ratio <= high;
  double slope = free <= bounded ? (capped ? 0 : t.ratio * t.advantage) : inside ? t.ratio * t.advantage : 0;
  const double counted = capped ? *c.delta : t.ratio;  // TRL counts after the cap
  Surrogate s{.value = -std::min(free, bounded),
              .ratio_slope = -slope,
              .logprob_slope = 0,
              .low = counted < low && t.advantage<0, .high = counted> high && t.advantage > 0};
  if (c.dual_clip && t.advantage < 0 && s.value > -t.advantage * *c.dual_clip)
    s.value = -t.advantage * *c.dual_clip, s.ratio_slope = 0;
  return s;
}

/// −stop(clip(r)) A log p (MiniMax-M1, 2506.13585 eq. 4–5).
Surrogate stopped_ratio(const LossConfig& c, const PolicyToken& t) {
  const bool band = c.cispo_clip == "band";
  const double low = band ? 1 - c.epsilon : 0, high = (band ? 1 : 0) + c.epsilon_high.value_or(c.epsilon),
               slope = -std::clamp(t.ratio, low, high) * t.advantage;
  return {.value = slope * t.logprob,
          .ratio_slope = 0,
          .logprob_slope = slope,
          .low = t.ratio < low && t.advantage != 0,
          .high = t.ratio > high && (band ? t.advantage != 0 : t.advantage > 0)};  // as verl and TRL count
}

/// −(4/τ) σ(τ (r − 1)) A (SAPO, 2511.20347).
Surrogate soft_gate(const LossConfig& c, const PolicyToken& t) {
  const double temperature = t.advantage > 0 ? c.sapo_temperature_pos : c.sapo_temperature_neg,
               gate = 1 / (1 + std::exp(-temperature * (t.ratio - 1)));
  return {.value = -gate * 4 / temperature * t.advantage,
          .ratio_slope = -4 * gate * (1 - gate) * t.ratio * t.advantage,
          .logprob_slope = 0,
          .low = false,
          .high = false};
}

/// −stop(φ(w)) A log p (VESPO, 2602.10693).
Surrogate stopped_gamma(const LossConfig& c, const PolicyToken& t) {
  const double slope = -gamma_weight(c, t.sequence_ratio, t.advantage) * t.advantage;
  return {.value = slope * t.logprob, .ratio_slope = 0, .logprob_slope = slope, .low = false, .high = false};
}

double mean_of_means(const LossScale& s, double tokens) {
  return 1.0 / (s.num_sequences * std::max(1.0, tokens));
}
double mean_of_sums(const LossScale& s, double) {
  return 1.0 / s.num_sequences;
}
double mean_of_tokens(const LossScale& s, double) {
  return 1.0 / std::max(1.0, s.num_tokens);
}
double constant_divisor(const LossScale& s, double) {
  return 1.0 / (s.num_sequences * s.max_completion_length);
}

constexpr LossType kLossTypes[] = {
    {"grpo", clipped, mean_of_means},          // DeepSeekMath, 2402.03300
    {"bnpo", clipped, mean_of_tokens},         //
    {"dr_grpo", clipped, constant_divisor},    // 2503.20783
    {"dapo", clipped, mean_of_tokens},         // 2503.14476
    {"luspo", clipped, mean_of_sums},          // 2602.05261
    {"cispo", stopped_ratio, mean_of_tokens},  //
    {"sapo", soft_gate, mean_of_means},        //
    {"vespo", stopped_gamma, mean_of_tokens},
};

}  // namespace

const LossType& loss_type(std::string_view name) {
  const auto* found = std::ranges::find(kLossTypes, name, &LossType::name);
  if (found == std::end(kLossTypes)) throw std::out_of_range("no loss_type " + std::string(name));
  return *found;
}

std::vector<std::string> loss_types() {
  std::vector<std::string> names;
  for (const LossType& type : kLossTypes) names.emplace_back(type.name);
  return names;
}

bool is_clipped(const LossType& type) {
  return type.surrogate == clipped;
}

bool is_mean_of_tokens(const LossType& type) {
  return type.weight == mean_of_tokens;
}

double gamma_weight(const LossConfig& c, double sequence_ratio, double advantage) {
  const bool positive = advantage >= 0;
  const double k = positive ? c.vespo_k_pos : c.vespo_k_neg,
               lambda = std::max(1e-4, positive ? c.vespo_lambda_pos : c.vespo_lambda_neg);
  return std::exp(lambda + k * std::log(sequence_ratio) - lambda * sequence_ratio);
}

Kl kl_estimate(std::string_view estimator, double d) {
  if (estimator == "k1") return {-d, 1};
  if (estimator == "k2") return {0.5 * d * d, -d};
  return {std::exp(d) - d - 1, 1 - std::exp(d)};  // k3
}

}  // namespace cohort
