// The folder of a run: effective config, metrics, events, checkpoints. One process at a time holds it.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>

#include "configs/config.h"
#include "configs/durable_file.h"
#include "grpo/report/metrics_log.h"
#include "grpo/report/tensorboard.h"

namespace cohort {

struct RunRequest {
  std::filesystem::path out;
  bool resume = false, overwrite = false;
  std::filesystem::path resume_from;  // a run or checkpoint folder of its own; empty: out
};

struct Run {
  std::filesystem::path folder;
  std::optional<std::filesystem::path> checkpoint;  // to start from
  bool finished = false;                            // final/ exists: nothing to do
  std::unique_ptr<RunLock> lock;
};

/// Opens or makes the run folder. Throws UsageError when it holds a run and neither resume nor overwrite is asked for,
/// when another process holds it, or when a key other than those that may change differs from the run's config.
Run open_run(const RunRequest& request, const Json& effective_config);

/// Metrics and TensorBoard events, one row an optimizer step.
class RunMetrics {
 public:
  RunMetrics(const std::filesystem::path& folder, int64_t last_step);
  void log(const Json& row);

 private:
  MetricsLog metrics_;
  EventFile events_;
};

/// First SIGINT or SIGTERM: returns true from now on, so that the step is finished and saved. The second ends at once.
void watch_interrupts();
bool interrupted();

/// Seconds since the epoch, and since the program began.
double wall_time();

}  // namespace cohort
