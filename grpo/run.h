// The folder of a run: effective config, metrics, events, checkpoints. One process at a time holds it.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>

#include "configs/config.h"
#include "configs/durable_file.h"
#include "configs/error.h"
#include "grpo/report/metrics_log.h"
#include "grpo/report/tensorboard.h"

namespace cohort {

struct RunRequest {
  std::filesystem::path out;
  bool resume = false, overwrite = false;
  std::filesystem::path resume_from;  // a run or checkpoint folder of its own; empty: out
};

/// The run that a run or checkpoint folder belongs to.
std::filesystem::path run_of(const std::filesystem::path& folder);

struct Run {
  std::filesystem::path folder;
  Json config;                                      // effective
  bool overwrite = false;                           // a run that stands there is to be replaced
  std::optional<std::filesystem::path> checkpoint;  // to start from
  std::filesystem::path began_in;                   // another run, which this one goes on from; empty: none
  bool finished = false;                            // final/ exists
  bool is_over = false;                             // and its checkpoints are gone: nothing is left to do
  std::unique_ptr<RunLock> lock;
};

[[noreturn]] void refuse_stored_config(const UsageError& error);
/// A stored config with all keys of today: one that an older version wrote lacks newer keys, whose defaults behave as
/// that version did. Throws UsageError for a key or value that this version does not know.
template <class C>
Json read_stored_config(const std::filesystem::path& file) {
  C config;
  const Json stored = parse_config_file(file);
  try {
    read_config(stored, config, file.string());
  } catch (const UsageError& error) {
    refuse_stored_config(error);
  }
  return dump_config(config);
}
using ReadStoredConfig = Json (*)(const std::filesystem::path& file);

/// Throws UsageError naming the first key that differs, keys apart that a resumed run may change (max_steps, threads,
/// …).
void expect_same_config(const Json& saved, const Json& now, const std::filesystem::path& folder);

/// Opens or makes the run folder; what a run there holds stays as it is. Throws UsageError when it holds a run and
/// neither resume nor overwrite is asked for, when another process holds it, or when a key other than those that may
/// change differs from the run's config.
Run open_run(const RunRequest& request, const Json& effective_config, ReadStoredConfig read);

/// To be called once nothing refuses the input any more, before anything is written: removes what is to be replaced
/// and what lies after `step`, writes config.json.
void begin_run(Run& run, int64_t step);

/// Metrics and TensorBoard events, one row an optimizer step.
class RunMetrics {
 public:
  RunMetrics(const std::filesystem::path& folder, int64_t last_step);
  void log(const Json& row);

 private:
  MetricsLog metrics_;
  EventFile events_;
};

double wall_time();  // seconds since the epoch

/// Seconds from one lap to the next.
class Clock {
 public:
  double lap() {
    double now = wall_time(), passed = now - last_;
    last_ = now;
    return passed;
  }

 private:
  double last_ = wall_time();
};

}  // namespace cohort
