#include "grpo/advantage.h"

#include <cmath>

namespace cohort {
namespace {

struct Moments {
  double mean = 0, std = 0;
  int64_t count = 0;
};

/// Mean and unbiased standard deviation; std 0 for fewer than two values. The sum comes before the division: so the
/// mean of equal fp32 rewards is that reward to the bit, and their advantage is exactly 0.
Moments moments(const std::vector<double>& values) {
  Moments m{.count = int64_t(values.size())};
  for (double v : values) m.mean += v;
  if (m.count) m.mean /= double(m.count);
  for (double v : values) m.std += (v - m.mean) * (v - m.mean);
  m.std = values.size() > 1 ? std::sqrt(m.std / double(values.size() - 1)) : 0;
  return m;
}

std::vector<double> rewards_of(const Group& group) {
  std::vector<double> values;
  for (const Rollout& r : group.rollouts)
    if (r.score.value) values.push_back(*r.score.value);
  return values;
}

}  // namespace

bool has_zero_std(const Group& group) {
  return moments(rewards_of(group)).std < 1e-6;
}

void penalize_length(std::span<Group> groups, const OverlongConfig& config, int64_t max_completion_length) {
  if (config.soft_cache == 0) return;
  const double cache = double(config.soft_cache), free = double(max_completion_length) - cache;
  for (Group& group : groups)
    for (Rollout& r : group.rollouts) {
      const double penalty = config.penalty * std::clamp((double(r.completion.tokens.size()) - free) / cache, 0.0, 1.0);
      r.score.components["overlong"] = -penalty;
      if (r.score.value) r.score.value = float(*r.score.value - penalty);
    }
}

void compute_advantages(std::span<Group> groups, const AdvantageConfig& config) {
  std::vector<double> all;
  for (const Group& group : groups)
    for (double value : rewards_of(group)) all.push_back(value);
  double batch_std = moments(all).std;
  for (Group& group : groups) {
    Moments m = moments(rewards_of(group));
    double divisor =
        config.scale_rewards == "none" ? 1.0 : (config.scale_rewards == "batch" ? batch_std : m.std) + 1e-4;
    for (Rollout& r : group.rollouts) r.advantage = r.score.value ? float((*r.score.value - m.mean) / divisor) : 0.0f;
  }
}

}  // namespace cohort
