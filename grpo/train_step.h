// One optimizer step of a GRPO run: groups in, better weights and a row of metrics out.
#pragma once
#include "grpo/sampling/complete_groups.h"
#include "grpo/train_job.h"

namespace cohort {

/// Begins the first optimizer step of a rollout that is still being sampled: passes each micro-batch as soon as its
/// groups are complete. Returns when all are passed, or no more come.
void learn_early(TrainJob& job, CompleteGroups& complete);

/// The optimizer step at hand, less what learn_early() has passed of it; its row of metrics without times.
Json learn(TrainJob& job);

}  // namespace cohort
