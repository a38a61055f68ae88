// Dynamic sampling (DAPO, arXiv 2503.14476, sec. 3.2): groups whose rewards are all equal teach nothing, so groups of
// further tasks take their places, within a budget; then what there is is learned from.
#pragma once
#include <functional>
#include <vector>

#include "configs/config.h"
#include "rollout/completion.h"

namespace cohort {

struct DynamicSamplingConfig {
  int64_t max_refill_batches = 0;
};
template <class V>
void visit_fields(V& v, DynamicSamplingConfig& c) {
  v.field("max_refill_batches", c.max_refill_batches,
          "times at most that a rollout samples as many further prompts as it has groups whose rewards are all equal, "
          "and puts groups whose rewards differ into their places; what is left then stays; 0: never",
          between(0, 1000));
}

/// What became of a rollout's groups without signal.
struct Refills {
  int64_t batches = 0;           // sampled beyond the first
  int64_t refilled = 0;          // places that a group with signal took
  int64_t without_signal = 0;    // places left as they are
  int64_t discarded_tokens = 0;  // sampled for groups that nothing learns from
};
/// "dynamic_sampling/…" of metrics.jsonl.
Json to_json(const Refills& refills);

/// `sample_more` gives that many further groups, scored, in the order of their tasks. The j-th of them with signal
/// takes the j-th place without: which group stands where depends on no order of arrival.
Refills refill(std::vector<Group>& groups, const DynamicSamplingConfig& config,
               const std::function<std::vector<Group>(int64_t count)>& sample_more);

}  // namespace cohort
