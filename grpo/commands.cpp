#include "grpo/commands.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "configs/error.h"
#include "grpo/bench/bench.h"
#include "grpo/plan.h"
#include "grpo/report/report.h"
#include "grpo/train.h"
#include "grpo/train_options.h"

namespace cohort {
namespace {

struct TrainOptions {
  RunOptions run;
  std::string groups;
  bool dry_run = false, print_schema = false, self_test = false;
};

void run_train(const TrainOptions& options) {
  if (options.print_schema) {
    std::cout << config_schema(TrainConfig{}, "Cohort: a GRPO run").dump(2) << "\n";
    return;
  }
  TrainConfig config;
  read_run_config(options.run, config);
  if (!options.groups.empty()) config.groups = options.groups;
  if (options.dry_run) {
    std::cout << plan_text(plan(config, expect_runnable(config, config.model)));
    return;
  }
  TrainResult result = train(config, run_request(options.run), options.self_test);
  std::cout << result.final_folder.string() << "\n";
}

void add_train(CLI::App& app) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* verb = app.add_subcommand("train", "GRPO: sample groups, score them, learn from group-relative advantages");
  add_run_options(*verb, options->run);
  verb->add_option("--groups", options->groups, "learn from the groups of this file instead of sampling");
  verb->add_flag("--dry-run", options->dry_run,
                 "print the plan (prompts, completions, tokens, micro-batches, memory) and stop");
  verb->add_flag("--print-schema", options->print_schema, "print a JSON Schema of the config and stop");
  verb->add_flag("--self-test", options->self_test, "learning rate 0: every importance ratio must be exactly 1");
  verb->footer("Example:\n  cohort train configs/mawps.json --dry-run");
  verb->callback([options] { run_train(*options); });
}

void add_report(CLI::App& app) {
  struct Options {
    std::vector<std::string> runs;
    std::string out;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("report", "one self-contained HTML page over runs: curves, stages, completions");
  verb->add_option("runs", options->runs, "run folders")->required();
  verb->add_option("--out", options->out, "the page; default: report.html in the first folder");
  verb->footer("Example:\n  cohort report runs/demo --out demo.html");
  verb->callback([options] {
    std::vector<std::filesystem::path> runs(options->runs.begin(), options->runs.end());
    std::filesystem::path out = options->out.empty() ? runs[0] / "report.html" : std::filesystem::path(options->out);
    write_report(runs, out);
    std::cout << out.string() << "\n";
  });
}

}  // namespace

void add_grpo_commands(CLI::App& app) {
  add_train(app);
  add_report(app);
  add_bench(app);
}

ImportTarget train_import_target() {
  return {.defaults = dump_config(TrainConfig{}), .check = [](const Json& keys, const std::string& where) {
            TrainConfig config;
            read_config(keys, config, where);
          }};
}

}  // namespace cohort
