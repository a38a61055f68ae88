// On-policy distillation (GKD, arXiv 2306.13649; MiniLLM 2306.08543): the student samples, the teacher says of every
// token how likely it and all others are, and the student moves towards that. The learner, the engine and the run
// folder are GRPO's.
#pragma once
#include "distill/distill.h"

namespace cohort {

/// expect_runnable of that mode.
void expect_on_policy_runnable(const DistillConfig& config, const std::string& teacher, const std::string& student);

/// Tokens that a prompt may have in this context; UsageError where there are none.
int64_t prompt_room(const DistillConfig& config, int64_t context);

/// Runs (or resumes) to student.max_steps; tokens are those that student and teacher sampled.
TrainResult on_policy(const DistillConfig& config, Run run);

}  // namespace cohort
