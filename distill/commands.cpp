#include "distill/commands.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "configs/error.h"
#include "distill/chain.h"
#include "grpo/train_options.h"

namespace cohort {
namespace {

/// A verb whose config is a C: reads it and hands it on, or prints its schema.
template <class C, class F>
void add_run_verb(CLI::App& app, const char* name, const char* description, const char* example, F run) {
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
  verb->callback([options, name, run] {
    if (options->print_schema) return void(std::cout << config_schema(C{}, std::string("Cohort: ") + name).dump(2) << "\n");
    C config;
    read_run_config(options->run, config);
    if (options->dry_run) return void(std::cout << dump_config(config).dump(2) << "\n");
    run(config, run_request(options->run));
  });
}

}  // namespace

void add_distill_commands(CLI::App& app) {
  add_run_verb<SftConfig>(app, "sft", "supervised tuning on chat or prompt/completion rows", "Example:\n  cohort sft configs/cold-start.json --out runs/cold-start",
                          [](const SftConfig& c, const RunRequest& r) { std::cout << sft(c, r).final_folder.string() << "\n"; });
  add_run_verb<DistillConfig>(app, "distill", "a student learns from a teacher's verified completions", "Example:\n  cohort distill configs/distill.json --out runs/student",
                              [](const DistillConfig& c, const RunRequest& r) { std::cout << distill(c, r).final_folder.string() << "\n"; });
  add_run_verb<ChainConfig>(app, "run", "a chain of stages, each with its own folder; one report over all", "Example:\n  cohort run configs/demo.json --out runs/demo",
                            [](const ChainConfig& c, const RunRequest& r) {
                              run_chain(c, r);
                              std::cout << chain_summary(r.out);
                            });
}

}  // namespace cohort
