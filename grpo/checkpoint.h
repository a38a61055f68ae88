// A checkpoint: one folder that is whole or absent. It is itself an HF folder, and beside the model holds optimizer
// state, the run's state and unused groups, with the size and checksum of every file; COMPLETE is written last.
#pragma once
#include <filesystem>
#include <optional>

#include "grpo/learner.h"
#include "policy/text/tokenizer.h"

namespace cohort {

struct RunState {
  int64_t step = 0;                // optimizer steps done
  Json cursor;                     // of the task set
  std::vector<Group> unused;       // sampled groups that later steps of this rollout learn from
  Json counters = Json::object();  // what else the run counts (tokens, best score)
  Json config;                     // effective config of the run; written, not read back
};

/// Writes `run`/checkpoints/step-000020. `reference` (may be null) is the reference model's parameters.
void save_checkpoint(const std::filesystem::path& run, const Learner& learner, const CausalLM& model,
                     const Tokenizer* tokenizer, const RunState& state, const CausalLM* reference);

/// The newest checkpoint of a run whose files match their recorded sizes and checksums; others are named on stderr.
std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& run);

/// What is wrong with a checkpoint folder; empty when it is whole.
std::string checkpoint_fault(const std::filesystem::path& checkpoint);

/// Restores parameters, optimizer state and run state. Throws UsageError naming what does not fit.
RunState load_checkpoint(const std::filesystem::path& checkpoint, Learner& learner, CausalLM& model,
                         const Compute& compute, CausalLM* reference);

/// Throws UsageError for counters that are not those of this version.
[[noreturn]] void refuse_state(const std::filesystem::path& checkpoint, const Json::exception& error);

/// Removes the checkpoints of steps after `step`, which a run that goes on from there will take anew.
void forget_later_checkpoints(const std::filesystem::path& run, int64_t step);

/// `run`/checkpoints/step-000020.
std::filesystem::path checkpoint_of(const std::filesystem::path& run, int64_t step);

/// The step whose evaluation was the best so far.
struct BestStep {
  int64_t step = 0;  // 0: none yet
  double value = 0;  // of the metric that it is the best by
};
/// Writes best.json into the run folder: the checkpoint, its step and the metric. Without a best step the file goes.
void name_best_checkpoint(const std::filesystem::path& run, const BestStep& best, const char* metric);
/// None, said on stderr, where its checkpoint is not in the run folder.
BestStep best_that_stands(const std::filesystem::path& run, const BestStep& best);

/// Removes all but the newest `keep` checkpoints and that of step `best`; 0 keeps all.
void limit_checkpoints(const std::filesystem::path& run, int64_t keep, int64_t best = 0);

}  // namespace cohort
