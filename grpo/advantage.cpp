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

/// Adds weight · (component − mean) / (std + 1e-4) to the advantages of the rollouts that have both it and a value.
void add_normalized(Group& group, const std::string& component, double weight, std::span<double> sums) {
  const auto value_of = [&](const Rollout& r) -> std::optional<double> {
    const auto found = r.score.components.find(component);
    if (!r.score.value || found == r.score.components.end()) return std::nullopt;
    return found->second;
  };
  std::vector<double> values;
  for (const Rollout& r : group.rollouts)
    if (auto value = value_of(r)) values.push_back(*value);
  const Moments m = moments(values);
  for (size_t i = 0; i < group.rollouts.size(); ++i)
    if (auto value = value_of(group.rollouts[i])) sums[i] += weight * (*value - m.mean) / (m.std + 1e-4);
}

void normalize_then_sum(std::span<Group> groups, const std::map<std::string, double>& weights) {
  std::vector<std::vector<double>> sums;  // [group][rollout]
  std::vector<double> all;
  for (Group& group : groups) {
    sums.emplace_back(group.rollouts.size(), 0.0);
    for (const auto& [component, weight] : weights) add_normalized(group, component, weight, sums.back());
    for (size_t i = 0; i < group.rollouts.size(); ++i)
      if (group.rollouts[i].score.value) all.push_back(sums.back()[i]);
  }
  const double divisor = moments(all).std + 1e-4;
  // The mean of the batch is 0: each component's terms sum to 0 in each group.
  for (size_t g = 0; g < groups.size(); ++g)
    for (size_t i = 0; i < groups[g].rollouts.size(); ++i) {
      Rollout& r = groups[g].rollouts[i];
      r.advantage = r.score.value ? float(sums[g][i] / divisor) : 0.0f;
    }
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

void compute_advantages(std::span<Group> groups, const AdvantageConfig& config,
                        const std::map<std::string, double>& weights) {
  if (config.multi_objective_aggregation == "normalize_then_sum") return normalize_then_sum(groups, weights);
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
