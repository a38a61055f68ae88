// Supervised tuning: rows of text in, run folder out. The learner is GRPO's; the loss is cross-entropy on completions
// or assistant turns.
#pragma once
#include "grpo/learner.h"
#include "grpo/run.h"
#include "grpo/train.h"
#include "policy/text/tokenizer.h"
#include "tasks/task_set.h"

namespace cohort {

inline constexpr int64_t kMaxSteps = 100;  // where nothing else is said

struct SftConfig {
  std::string model;
  std::vector<TaskSource> tasks, eval_tasks;
  int32_t rows_per_step = 32;
  std::optional<int64_t> max_steps;
  double num_train_epochs = 0;
  int32_t max_length = 1024;  // tokens of a row; longer ones are cut
  PackConfig pack;
  OptimizerConfig optimizer{.learning_rate = 2e-5};
  LoraConfig lora;
  double mtp_loss_weight = 0;
  bool bf16 = false;
  int64_t save_steps = 0, save_total_limit = 2, eval_steps = 0;
  bool keep_best_checkpoint = false, load_best_model_at_end = false;
  uint64_t seed = 0;
  int32_t threads = 0;
};
template <class V>
void visit_fields(V& v, SftConfig& c) {
  v.field("model", c.model, "an HF folder, a .gguf file, or init:CONFIG.json?seed=N", not_empty(), required());
  v.field("tasks", c.tasks,
          "rows of {messages} or {prompt, completion}: a file, a generator, or a list of them with weights");
  v.field("eval_tasks", c.eval_tasks, "held-out rows of the evaluation");
  v.field("rows_per_step", c.rows_per_step, "rows of one optimizer step", at_least(1));
  v.field("max_steps", c.max_steps, "optimizer steps of the run; null: what num_train_epochs makes, or else 100",
          at_least(0));
  v.field(
      "num_train_epochs", c.num_train_epochs,
      "passes over the rows, in place of max_steps; of several sources, as many rows as all have, shared by weight; "
      "0: max_steps counts",
      between(0, 1e6));
  v.field("max_length", c.max_length, "tokens of a row; longer ones are cut", at_least(2));
  visit_fields(v, c.pack);
  visit_fields(v, c.optimizer);
  visit_fields(v, c.lora);
  v.field("mtp_loss_weight", c.mtp_loss_weight,
          "weight of the loss of the multi-token-prediction layer (DeepSeek-V3: 0.3, later 0.1); 0: the layer stays as "
          "it is",
          at_least(0));
  v.field("bf16", c.bf16, "keep the packed weights that forwards read in bfloat16 (masters stay fp32)");
  v.field("save_steps", c.save_steps, "optimizer steps between checkpoints; 0: only the last", at_least(0));
  v.field("save_total_limit", c.save_total_limit, "newest checkpoints that are kept; 0: all", at_least(0));
  v.field(
      "eval_steps", c.eval_steps,
      "optimizer steps between evaluations (eval/loss: mean nats of a learned token); also before the first, logged "
      "in its row (as eval_start/ where that has its own), and after the last; 0: none",
      at_least(0));
  v.field(
      "keep_best_checkpoint", c.keep_best_checkpoint,
      "save a checkpoint at each evaluation whose eval/loss is the lowest so far; it outlives save_total_limit, and "
      "best.json in the run folder names it");
  v.field("load_best_model_at_end", c.load_best_model_at_end,
          "final/ has the weights of the best checkpoint, not of the last; needs keep_best_checkpoint");
  v.field("seed", c.seed, "of the order of rows");
  v.field("threads", c.threads, "threads; 0: all usable cores", between(0, 1024));
}

/// Throws UsageError naming the key for values that do not go together.
void validate(const SftConfig& config);
/// Throws what a run would refuse whatever its tasks are, weights unread; `model` is what config.model stands for.
void expect_settings(const SftConfig& config, const std::string& model);
/// The same, and what it would refuse of its tasks. Returns the number of steps.
int64_t expect_runnable(const SftConfig& config, const std::string& model);

/// Optimizer steps of the run over these rows. Throws UsageError where max_steps says another number than
/// num_train_epochs makes, and where the epochs are of rows without end.
int64_t num_steps(const SftConfig& config, const SftSet& rows);
/// The config with max_steps in numbers, as a run stores it.
SftConfig with_max_steps(SftConfig config, const SftSet& rows);

/// Ids of a row and which of them are learned: a completion and its end, or the assistant's turns.
SftSequence encode_row(const Tokenizer& tokenizer, const SftRow& row, int32_t max_length);

/// Runs (or resumes) to num_steps().
TrainResult sft(const SftConfig& config, const RunRequest& request);
/// The same in a run folder that is open already.
TrainResult sft(const SftConfig& config, Run run);

}  // namespace cohort
