// The front door: every folder registers its verbs; how a command ends becomes the exit code.
#include <CLI/CLI.hpp>
#include <string>

#include "configs/command_line.h"
#include "configs/commands.h"
#include "configs/gpu.h"
#include "configs/machine.h"
#include "distill/commands.h"
#include "grpo/commands.h"
#include "policy/commands.h"
#include "rewards/code/examine.h"
#include "rewards/commands.h"
#include "rewards/reward.h"
#include "rewards/sandbox/warden.h"
#include "rollout/commands.h"
#include "tasks/commands.h"
#include "tasks/parquet.h"

namespace {

std::string version_text() {
  std::string features;
  for (const std::string& feature : cohort::cpu_features()) features += " " + feature;
  return "cohort " COHORT_VERSION " (" COHORT_COMMIT ")\nLibTorch " COHORT_TORCH_VERSION "\nCPU features:" + features +
         "\nGPU back end: " + (cohort::cuda_library().found ? "CUDA library found, not used by any verb yet" : "none");
}

std::vector<cohort::Finding> examine_what_verbs_use() {
  std::vector<cohort::Finding> findings = cohort::examine_code_rewards();
  findings.push_back(cohort::examine_parquet());
  return findings;
}

}  // namespace

int main(int argc, char** argv) {
  if (cohort::sandbox::is_warden(argc, argv)) return cohort::sandbox::serve_as_warden(argc, argv);
  CLI::App app("Reinforcement-learning post-training of language models, from rollouts and verified rewards to weights",
               "cohort");
  app.set_version_flag("--version", version_text, "Print version, commit, LibTorch, CPU features and GPU back end");
  app.require_subcommand(1);
  cohort::add_grpo_commands(app);
  cohort::add_distill_commands(app);
  cohort::add_rollout_commands(app);
  cohort::add_rewards_commands(app);
  cohort::add_policy_commands(app);
  cohort::add_tasks_commands(app, cohort::unreadable_answer);
  cohort::add_configs_commands(app, examine_what_verbs_use, cohort::train_import_target);
  app.footer("Example: cohort doctor");  // set last: verbs inherit what is set before them
  return cohort::run_command_line(app, argc, argv);
}
