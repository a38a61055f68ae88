// Whose config a file is, told by its keys.
#include <algorithm>

#include "configs/error.h"
#include "configs/import/translation.h"

namespace cohort {
namespace {

template <class Matches>
int64_t count(const std::vector<SourceKey>& keys, Matches matches) {
  return std::count_if(keys.begin(), keys.end(), [&](const SourceKey& key) { return matches(key.name); });
}

bool is_verl(const std::string& name) {
  static const std::vector<std::string> sections = {"data.", "actor_rollout_ref.", "algorithm.", "trainer.", "critic."};
  return std::any_of(sections.begin(), sections.end(), [&](const std::string& s) { return name.starts_with(s); });
}

bool is_trl(const std::string& name) {
  static const std::vector<std::string> names = {"model_name_or_path",    "dataset_name",
                                                 "reward_funcs",          "per_device_train_batch_size",
                                                 "num_generations",       "gradient_accumulation_steps",
                                                 "max_completion_length", "output_dir",
                                                 "learning_rate",         "num_train_epochs"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_ours(const std::string& name) {
  return name.starts_with("$") || name == "prompts_per_step" || name == "stages" || name == "model";
}

}  // namespace

Imported import_config(const std::string& text, const std::string& file, int64_t num_processes,
                       const ImportTarget& target) {
  std::vector<SourceKey> keys = read_source_config(text, file);
  if (count(keys, is_ours)) throw UsageError(file + " is a Cohort config already: cohort train " + file + " runs it");
  const bool from_verl = count(keys, is_verl) > 0, from_trl = count(keys, is_trl) > 0;
  if (from_verl == from_trl)
    throw UsageError(file +
                     ": neither a TRL config (flat keys as num_generations and reward_funcs) nor a verl one "
                     "(data.*, actor_rollout_ref.*, algorithm.*, trainer.*)");
  Translation translation(file, std::move(keys), target);
  from_verl ? translate_verl(translation) : translate_trl(translation, num_processes);
  Imported imported{translation.config_text(), translation.told()};
  imported.told.insert(0, file + ": a config of " + (from_verl ? "verl" : "TRL") + "\n");
  return imported;
}

}  // namespace cohort
