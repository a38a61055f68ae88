// The groups that a GRPO run learns from: sampled, scored, with advantages.
#pragma once
#include "configs/progress.h"
#include "grpo/train_job.h"

namespace cohort {

/// From now on rollouts are sampled ahead (max_staleness), behind those that the job was resumed with.
void sample_ahead(TrainJob& job);
/// Groups for the optimizer step at hand, where it begins a rollout: sampled, or the frozen ones again.
void begin_rollout(TrainJob& job, const std::vector<Group>& frozen, bool self_test, Progress& progress);

}  // namespace cohort
