// Fuzzes the import of other programs' configs. What must hold: no crash, no sanitizer report, bounded work
// (libFuzzer's -timeout), nothing thrown but UsageError that names the file, and a config that is JSON.
#include <cstdlib>
#include <string>

#include "configs/error.h"
#include "configs/import/translation.h"

namespace {

/// Every key that a translation may set, with values taken as they come.
cohort::ImportTarget target() {
  cohort::ImportTarget target{.defaults = cohort::Json::object(),
                              .check = [](const cohort::Json&, const std::string&) {}};
  for (const char* key : {"model", "tasks", "eval_tasks", "rewards", "learning_rate", "prompts_per_step", "max_steps",
                          "steps_per_generation", "num_generations", "warmup_steps", "dynamic_sampling", "overlong",
                          "beta", "kl_in_reward", "loss_type", "scale_rewards", "save_steps", "eval_steps", "bf16"})
    target.defaults[key] = nullptr;
  return target;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  try {
    const cohort::Imported imported = cohort::import_config(text, "given.yaml", 1, target());
    if (!cohort::Json::accept(imported.config) || imported.told.empty()) std::abort();
  } catch (const cohort::UsageError& error) {
    if (std::string(error.what()).find("given.yaml") == std::string::npos) std::abort();
  }
  return 0;
}
