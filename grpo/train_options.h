// Flags that every verb with a run folder takes.
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

}  // namespace cohort
