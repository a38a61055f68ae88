#include "distill/commands.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "configs/error.h"
#include "distill/chain.h"
#include "grpo/train_options.h"

namespace cohort {
namespace {

/// A verb whose config is a C: reads it and hands it on, or prints its schema. `check` is what --dry-run does: it
/// throws UsageError for what the run would refuse, and fills in what a run stores of what the config leaves open.
template <class C, class Check, class F>
void add_run_verb(CLI::App& app, const char* name, const char* description, const char* example, Check check, F run) {
  struct Options {
    RunOptions run;
    bool dry_run = false, print_schema = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand(name, description);
  add_run_options(*verb, options->run);
  verb->add_flag("--dry-run", options->dry_run, "read and check everything, print the effective config and stop");
  verb->add_flag("--print-schema", options->print_schema, "print a JSON Schema of the config and stop");
  verb->footer(example);
  verb->callback([options, name, check, run] {
    if (options->print_schema)
      return void(std::cout << config_schema(C{}, std::string("Cohort: ") + name).dump(2) << "\n");
    C config;
    read_run_config(options->run, config);
    const RunRequest request = run_request(options->run);
    if (!options->dry_run) return run(config, request);
    check(config, request);
    std::cout << dump_config(config).dump(2) << "\n";
  });
}

}  // namespace

void add_distill_commands(CLI::App& app) {
  add_run_verb<SftConfig>(
      app, "sft", "supervised tuning on chat or prompt/completion rows",
      "Example:\n  cohort sft configs/sft.json --out runs/sft --set max_steps=20",
      [](SftConfig& c, const RunRequest&) { c.max_steps = expect_runnable(c, c.model); },
      [](const SftConfig& c, const RunRequest& r) { std::cout << sft(c, r).final_folder.string() << "\n"; });
  add_run_verb<DistillConfig>(
      app, "distill", "a student learns from a teacher's verified completions",
      "Example:\n  cohort distill configs/distill.json --dry-run",
      [](const DistillConfig& c, const RunRequest&) { expect_runnable(c, c.teacher, c.student.model); },
      [](const DistillConfig& c, const RunRequest& r) { std::cout << distill(c, r).final_folder.string() << "\n"; });
  add_run_verb<ChainConfig>(
      app, "run", "a chain of stages, each with its own folder; one report over all",
      "Example:\n  cohort run configs/demo.json --out runs/demo",
      [](const ChainConfig& c, const RunRequest& r) { validate(c, r.out); },
      [](const ChainConfig& c, const RunRequest& r) {
        run_chain(c, r);
        std::cout << chain_summary(r.out);
      });
}

}  // namespace cohort
