// Alarms of a GRPO run: what goes wrong without an error is said in one sentence when it begins and one when it ends,
// and stands in the rows of metrics.jsonl in between. Plain functions over the run's history, which a checkpoint keeps.
#pragma once
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "configs/config.h"

namespace cohort {

struct AlarmConfig {
  int64_t baseline_steps = 10;
  int64_t equal_rewards_steps = 5;
  double entropy_share = 0.2;
  double length_factor = 4;
  double clipped_ratio = 0.95;
  double max_vio = 10;
  double expert_share = 0.95;
};
template <class V>
void visit_fields(V& v, AlarmConfig& c) {
  v.field("baseline_steps", c.baseline_steps, "first steps, whose mean entropy and length later steps are held against",
          at_least(1));
  v.field("equal_rewards_steps", c.equal_rewards_steps,
          "equal_rewards_lasting: so many steps in a row in which the rewards of every group are equal", at_least(2));
  v.field("entropy_share", c.entropy_share, "entropy_collapse: entropy below this share of the first steps'; 0: never",
          between(0, 1));
  v.field(
      "length_factor", c.length_factor,
      "length_drift: mean length of completions beyond so many times the first steps', or below one part in so many",
      at_least(1));
  v.field("clipped_ratio", c.clipped_ratio,
          "clipped: share of completions cut off by max_completion_length above this; 1: never", between(0, 1));
  v.field("max_vio", c.max_vio, "expert_collapse: max_vio/mean above this", at_least(0));
  v.field("expert_share", c.expert_share,
          "expert_collapse: share of a layer's tokens that one expert takes part in above this; 1: never",
          between(0, 1));
}

/// What a run has to remember for its alarms.
struct AlarmState {
  struct Mean {
    double sum = 0;
    int64_t count = 0;
  };
  Mean entropy, length;                     // of the first steps
  int64_t equal_rewards_steps = 0;          // in a row, up to now
  std::vector<int64_t> not_finite_steps;    // of the whole run
  std::map<std::string, int64_t> on_since;  // the step that each alarm which is on began at
};
Json to_json(const AlarmState& state);
AlarmState alarm_state_from(const Json& saved);

/// What one step brings.
struct AlarmReport {
  std::vector<std::string> messages;  // one sentence for each alarm that begins or ends
  std::string stop;                   // why the run must not go on; empty: it may
  bool is_sound = false;              // of a run that stops: its state is worth a checkpoint
};

/// Judges a step by its row of metrics, to which it adds "alarms" (the names of those that are on), "alarms_begun" and
/// "alarms_ended" (names and sentences), each where there are any. `is_on_policy`: every log-probability has to be the
/// learner's own to the bit.
AlarmReport watch(const AlarmConfig& config, AlarmState& state, Json& row, bool is_on_policy);

/// An alarm that ends the run in the middle of a step; what() is its sentence.
struct AlarmStop : std::runtime_error {
  AlarmStop(std::string alarm, const std::string& sentence, Json metrics);
  Json row(int64_t step) const;  // what metrics.jsonl keeps of the step

  std::string alarm;
  Json metrics;
};

/// Throws AlarmStop verifier_errors when more than this share of a rollout's verdicts are errors; `reason`: of one.
void expect_few_errors(int64_t errors, int64_t total, double max_rate, const std::string& reason);

}  // namespace cohort
