// What a GRPO run will take, told before its first step: numbers of prompts and tokens, memory, time.
#pragma once
#include "grpo/train.h"

namespace cohort {

/// Peak bytes of a run, part by part.
struct MemoryPlan {
  int64_t weights = 0;      // masters and the packed store, with β > 0 also the reference's; stores that sample ahead
  int64_t optimizer = 0;    // gradient, its mean and its square
  int64_t rollout = 0;      // key/value cache, as far as completions that run at once fill it, and a step's rows
  int64_t activations = 0;  // of the largest micro-batch, its keys and values included
  int64_t backward = 0;     // scratch of its backward pass, and of the head
  int64_t program = 0;      // code, tokenizer and the rest
  int64_t total() const { return weights + optimizer + rollout + activations + backward + program; }
};

struct Plan {
  int64_t prompts_per_rollout = 0, completions_per_rollout = 0, prompt_tokens = 0, max_tokens_per_rollout = 0,
          micro_batches_per_step = 0;
  int64_t parameters = 0, active_parameters = 0;
  std::string staleness;  // a line on max_staleness; empty strictly on-policy
  MemoryPlan memory;
  double seconds_per_step = 0;  // from this machine's measured arithmetic peak, at full completion length
};
/// Derived from the config and the model's config.json alone; no weights are read. Prompts have prompt_tokens.
Plan plan(const TrainConfig& config, int64_t prompt_tokens);
std::string plan_text(const Plan& plan);

/// The largest micro-batch that the learner may meet: groups of such prompts with completions of full length, made up.
/// The groups stay the caller's.
std::vector<Group> longest_groups(const TrainConfig& config, int64_t prompt_tokens);

}  // namespace cohort
