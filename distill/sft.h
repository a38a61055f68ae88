// Supervised tuning: rows of text in, run folder out. The learner is GRPO's; the loss is cross-entropy on completions
// or assistant turns.
#pragma once
#include "grpo/learner.h"
#include "grpo/run.h"
#include "grpo/train.h"
#include "policy/text/tokenizer.h"
#include "tasks/sft_row.h"

namespace cohort {

struct SftConfig {
  std::string model;
  std::vector<TaskSource> tasks;
  int32_t rows_per_step = 32;
  int64_t max_steps = 100;
  int32_t max_length = 1024;  // tokens of a row; longer ones are cut
  PackConfig pack;
  OptimizerConfig optimizer{.learning_rate = 2e-5};
  LoraConfig lora;
  double mtp_loss_weight = 0;
  bool bf16 = false;
  int64_t save_steps = 0, save_total_limit = 2;
  uint64_t seed = 0;
  int32_t threads = 0;
};
template <class V>
void visit_fields(V& v, SftConfig& c) {
  v.field("model", c.model, "an HF folder, a .gguf file, or init:CONFIG.json?seed=N", not_empty(), required());
  v.field("tasks", c.tasks,
          "rows of {messages} or {prompt, completion}: a file, a generator, or a list of them with weights");
  v.field("rows_per_step", c.rows_per_step, "rows of one optimizer step", at_least(1));
  v.field("max_steps", c.max_steps, "optimizer steps of the run", at_least(0));
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
  v.field("seed", c.seed, "of the order of rows");
  v.field("threads", c.threads, "threads; 0: all usable cores", between(0, 1024));
}

/// Throws what a run would refuse, weights unread; `model` is what config.model stands for.
void expect_runnable(const SftConfig& config, const std::string& model);

/// Ids of a row and which of them are learned: a completion and its end, or the assistant's turns.
SftSequence encode_row(const Tokenizer& tokenizer, const SftRow& row, int32_t max_length);

/// Runs (or resumes) to max_steps.
TrainResult sft(const SftConfig& config, const RunRequest& request);
/// The same in a run folder that is open already.
TrainResult sft(const SftConfig& config, Run run);

}  // namespace cohort
