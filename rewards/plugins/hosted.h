// Plug-ins that live in worker processes: what is said to a worker, and what becomes of a batch when one breaks.
#pragma once
#include "rewards/plugins/worker_pool.h"
#include "rewards/reward.h"

namespace cohort {

/// How batches are told to a worker.
enum class Protocol {
  lines,   // an item a line, an answer a line (exec)
  batches  // a batch a line; answers, then {"end": true} (Python and library workers)
};

struct HostedOptions {
  std::string name;  // of the plug-in, for messages
  Protocol protocol = Protocol::batches;
  size_t workers = 1;         // processes at most
  double start_seconds = 60;  // until a worker is ready; of a program: until it reads, before its deadline begins
};

/// Starts the first worker and hears that it is ready; throws UsageError with its own words when it cannot be.
RewardFn hosted_reward(const WorkerCommand& command, const HostedOptions& options);

}  // namespace cohort
