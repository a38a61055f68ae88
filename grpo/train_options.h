// Flags that every verb with a run folder takes, and the plan that --dry-run prints.
#pragma once
#include <string>
#include <vector>

#include "configs/config.h"
#include "grpo/run.h"
#include "grpo/train.h"

namespace CLI {
class App;
}

namespace cohort {

struct RunOptions {
  std::string config, out;
  static constexpr const char* kOwnFolder = "its own folder";
  std::string resume;  // "": not asked for; kOwnFolder: from --out; else a run or checkpoint folder
  bool overwrite = false;
  std::vector<std::string> set;
};

void add_run_options(CLI::App& verb, RunOptions& options);
/// --out, or runs/NAME after the config's file name.
RunRequest run_request(const RunOptions& options);
/// The config file with --set applied, as JSON.
Json run_config_json(const RunOptions& options);

template <class C>
void read_run_config(const RunOptions& options, C& config) {
  read_config(run_config_json(options), config, options.config);
}

struct Plan {
  int64_t prompts_per_rollout = 0, completions_per_rollout = 0, prompt_tokens = 0, max_tokens_per_rollout = 0,
          micro_batches_per_step = 0, refill_batches = 0;
  int64_t parameters = 0, active_parameters = 0;
  int64_t weight_bytes = 0, optimizer_bytes = 0, kv_bytes = 0, activation_bytes = 0;
  double seconds_per_step = 0;  // from this machine's measured arithmetic peak, at full completion length
};
/// Derived from the config and the model's config.json alone; no weights are read.
Plan plan(const TrainConfig& config);
std::string plan_text(const Plan& plan);

}  // namespace cohort
