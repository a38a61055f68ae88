#include "grpo/train_options.h"

#include <CLI/CLI.hpp>

#include "configs/error.h"

namespace cohort {
void add_run_options(CLI::App& verb, RunOptions& options) {
  verb.add_option("config", options.config, "the job, one JSON file");
  verb.add_option("--out", options.out, "run folder; default: runs/ and the config's name");
  verb.add_flag(std::string("--resume{") + RunOptions::kOwnFolder + "}", options.resume,
                "go on with the run in --out, or with =DIR from a run or checkpoint folder");
  verb.add_flag("--overwrite", options.overwrite, "replace the run that --out holds");
  verb.add_option("--set", options.set, "override a key: a.b.c=VALUE")->allow_extra_args(false);
}

RunRequest run_request(const RunOptions& options) {
  namespace fs = std::filesystem;
  RunRequest request{.out = fs::path("runs") / fs::path(options.config).stem(),
                     .resume = !options.resume.empty(),
                     .overwrite = options.overwrite};
  if (request.resume && options.resume != RunOptions::kOwnFolder) request.resume_from = options.resume;
  if (!options.out.empty())
    request.out = options.out;
  else if (!request.resume_from.empty())
    request.out = run_of(request.resume_from);
  return request;
}

Json run_config_json(const RunOptions& options) {
  if (options.config.empty()) throw UsageError("no config given: name a JSON file (configs/ has some)");
  Json config = parse_config_file(options.config);
  apply_overrides(config, options.set);
  return config;
}

}  // namespace cohort
