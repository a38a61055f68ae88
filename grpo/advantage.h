// Group-relative advantages (DeepSeekMath, arXiv 2402.03300, eq. 3; Dr. GRPO 2503.20783 for scale "none"), and what
// shapes the rewards before.
#pragma once
#include <map>
#include <span>
#include <string>

#include "configs/config.h"
#include "rollout/completion.h"

namespace cohort {

struct AdvantageConfig {
  std::string scale_rewards = "group", multi_objective_aggregation = "sum_then_normalize";
};
template <class V>
void visit_fields(V& v, AdvantageConfig& c) {
  v.field("scale_rewards", c.scale_rewards,
          "divide rewards minus their group's mean by the std of the group, of the batch, or not at all",
          one_of({"group", "batch", "none"}));
  v.field("multi_objective_aggregation", c.multi_objective_aggregation,
          "several rewards: weigh, sum, then normalise as scale_rewards says; or GDPO: normalise each in its group, "
          "weigh, sum, divide by the std of the batch",
          one_of({"sum_then_normalize", "normalize_then_sum"}));
}

struct OverlongConfig {
  int64_t soft_cache = 0;  // tokens
  double penalty = 1.0;
};
template <class V>
void visit_fields(V& v, OverlongConfig& c) {
  v.field("soft_cache", c.soft_cache,
          "tokens before max_completion_length over which the penalty grows (DAPO eq. 13); 0: none", at_least(0));
  v.field("penalty", c.penalty, "subtracted from the reward at max_completion_length", at_least(0));
}

/// Lowers the score of long completions by penalty · clamp((length − (limit − soft_cache)) / soft_cache, 0, 1) and
/// notes it as the component "overlong" (DAPO, arXiv 2503.14476, eq. 13).
void penalize_length(std::span<Group> groups, const OverlongConfig& config, int64_t max_completion_length);

/// Fills rollout.advantage: (R − mean of the group) / (std + 1e-4), std unbiased. A rollout without a value gets 0 and
/// does not count. With normalize_then_sum (GDPO, arXiv 2601.05242, sec. 3): Σ_k weight_k (r_k − mean of the group) /
/// (std of the group + 1e-4) over the rewards k that judged it, divided by the batch's std + 1e-4.
/// weights: of each component of the scores, for normalize_then_sum alone.
void compute_advantages(std::span<Group> groups, const AdvantageConfig& config,
                        const std::map<std::string, double>& weights = {});

/// True when every rollout with a value has the same one.
bool has_zero_std(const Group& group);

}  // namespace cohort
