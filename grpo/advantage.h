// Group-relative advantages (DeepSeekMath, arXiv 2402.03300, eq. 3; Dr. GRPO 2503.20783 for scale "none").
#pragma once
#include <span>

#include "configs/config.h"
#include "rollout/completion.h"

namespace cohort {

struct AdvantageConfig {
  std::string scale_rewards = "group";
};
template <class V>
void visit_fields(V& v, AdvantageConfig& c) {
  v.field("scale_rewards", c.scale_rewards, "divide rewards minus their group's mean by the std of the group, of the batch, or not at all",
          one_of({"group", "batch", "none"}));
}

/// Fills rollout.advantage: (R − mean of the group) / (std + 1e-4), std unbiased. A rollout without a value gets 0 and
/// does not count.
void compute_advantages(std::span<Group> groups, const AdvantageConfig& config);

/// True when every rollout with a value has the same one.
bool has_zero_std(const Group& group);

}  // namespace cohort
