// The front door: every folder brings its verbs.
#include <CLI/CLI.hpp>

#include "configs/command_line.h"
#include "configs/commands.h"
#include "grpo/commands.h"
#include "policy/kernels/kernels.h"
#include "rewards/commands.h"
#include "tasks/commands.h"

int main(int argc, char** argv) {
  CLI::App app("Reinforcement-learning post-training of language models.", "cohort");
  app.set_version_flag("--version", std::string("cohort " COHORT_VERSION " (" COHORT_COMMIT "), LibTorch " COHORT_TORCH_VERSION ", kernels ") + cohort::best_kernels().isa);
  app.require_subcommand(1);
  cohort::add_grpo_commands(app);
  cohort::add_rewards_commands(app);
  cohort::add_tasks_commands(app);
  cohort::add_configs_commands(app);
  return cohort::run_command_line(app, argc, argv);
}
