#include "grpo/sampling/refill.h"

#include <utility>

#include "grpo/advantage.h"

namespace cohort {
namespace {

int64_t num_tokens(const Group& group) {
  int64_t tokens = 0;
  for (const Rollout& rollout : group.rollouts) tokens += int64_t(rollout.completion.tokens.size());
  return tokens;
}

}  // namespace

Json to_json(const Refills& refills) {
  return {{"dynamic_sampling/refill_batches", refills.batches},
          {"dynamic_sampling/refilled_groups", refills.refilled},
          {"dynamic_sampling/groups_without_signal", refills.without_signal},
          {"dynamic_sampling/discarded_tokens", refills.discarded_tokens}};
}

Refills refill(std::vector<Group>& groups, const DynamicSamplingConfig& config,
               const std::function<std::vector<Group>(int64_t count)>& sample_more) {
  Refills refills;
  std::vector<size_t> open;  // places without signal, ascending
  for (size_t i = 0; i < groups.size(); ++i)
    if (has_zero_std(groups[i])) open.push_back(i);
  while (!open.empty() && refills.batches < config.max_refill_batches) {
    ++refills.batches;
    size_t filled = 0;
    for (Group& more : sample_more(int64_t(open.size()))) {
      if (!has_zero_std(more)) std::swap(groups[open[filled++]], more);
      refills.discarded_tokens += num_tokens(more);
    }
    open.erase(open.begin(), open.begin() + std::ptrdiff_t(filled));
    refills.refilled += int64_t(filled);
  }
  refills.without_signal = int64_t(open.size());
  return refills;
}

}  // namespace cohort
