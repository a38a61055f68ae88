// A GRPO run: config in, run folder out.
#pragma once
#include "configs/config.h"
#include "grpo/advantage.h"
#include "grpo/alarms.h"
#include "grpo/learner.h"
#include "grpo/run.h"
#include "grpo/sampling/refill.h"
#include "policy/lora_config.h"
#include "rewards/reward.h"
#include "rollout/engine.h"
#include "tasks/source.h"

namespace cohort {

struct TrainConfig {
  std::string model, groups;
  std::vector<TaskSource> tasks, eval_tasks;
  std::vector<Json> rewards = {"accuracy"};
  std::vector<Json> eval_rewards;
  int32_t num_generations = 8;
  int32_t prompts_per_step = 8;
  int32_t steps_per_generation = 1, num_iterations = 1;
  int64_t max_staleness = 0;
  bool learn_while_sampling = false;
  int64_t max_steps = 100;
  double max_seconds = 0;
  std::optional<int64_t> max_prompt_length;
  bool filter_overlong_prompts = false;
  SamplingConfig sampling;
  EngineConfig engine;
  AdvantageConfig advantage;
  LossConfig loss;
  PackConfig pack;
  OptimizerConfig optimizer;
  LoraConfig lora;
  OverlongConfig overlong;
  DynamicSamplingConfig dynamic_sampling;
  AlarmConfig alarms;
  bool sync_ref_model = false;
  int64_t ref_model_sync_steps = 512;
  double ref_model_mixup_alpha = 1.0;
  bool bf16 = false;
  int64_t save_steps = 50, save_total_limit = 2, eval_steps = 0;
  bool keep_best_checkpoint = false, load_best_model_at_end = false;
  int32_t eval_num_generations = 1;
  double eval_temperature = 0.0;
  int64_t log_completions_steps = 10;
  std::string dry_step = "auto";
  std::string on_verifier_error = "skip";
  double max_verifier_error_rate = 0.5;
  uint64_t seed = 0;
  int32_t threads = 0, sampling_threads = 0;
};
template <class V>
void visit_fields(V& v, TrainConfig& c) {
  v.field("model", c.model, "an HF folder, a .gguf file, or init:CONFIG.json?seed=N", not_empty(), required());
  v.field("tasks", c.tasks, "what to solve: a task reference or a list of them with weights", required());
  v.field("eval_tasks", c.eval_tasks, "held-out tasks of the evaluation");
  v.field("groups", c.groups, "learn from the groups of this file instead of sampling (--groups)");
  v.field("rewards", c.rewards, "names, or {name, weight, options}");
  v.field("eval_rewards", c.eval_rewards,
          "what decides in the evaluation whether a completion is correct; empty: the first of rewards");
  v.field("num_generations", c.num_generations, "completions of a prompt (a group)", between(1, 4096));
  v.field("prompts_per_step", c.prompts_per_step, "prompts of one optimizer step", between(1, 65536));
  v.field("steps_per_generation", c.steps_per_generation,
          "optimizer steps that share one rollout, each with its own prompts", between(1, 1024));
  v.field("num_iterations", c.num_iterations, "times each rollout is learned from", at_least(1));
  v.field(
      "max_staleness", c.max_staleness,
      "rollouts that sampling runs ahead of learning, on a copy of the weights: each rollout is sampled by the weights "
      "that stood so many rollouts before it is learned from (the first ones by the initial weights), while earlier "
      "ones are learned from; 0: strictly on-policy. See importance_sampling_correction",
      between(0, 64));
  v.field(
      "learn_while_sampling", c.learn_while_sampling,
      "pass groups forward and back as soon as they are complete, in their order, while others are still sampled or "
      "judged; strictly on-policy, the same bits: time is gained where the sampler or verifiers leave cores idle");
  v.field("max_steps", c.max_steps, "optimizer steps of the run", at_least(0));
  v.field("max_seconds", c.max_seconds, "seconds of rollouts and updates after which the run ends early; 0: no limit",
          at_least(0));
  v.field("max_prompt_length", c.max_prompt_length, "tokens a prompt may have; null: what the model's context leaves",
          at_least(1));
  v.field("filter_overlong_prompts", c.filter_overlong_prompts,
          "leave out longer prompts, of tasks and eval_tasks, and say how many; else the first one ends the run");
  visit_fields(v, c.sampling);
  visit_fields(v, c.engine);
  visit_fields(v, c.advantage);
  visit_fields(v, c.loss);
  visit_fields(v, c.pack);
  visit_fields(v, c.optimizer);
  visit_fields(v, c.lora);
  v.object("overlong", c.overlong, "soft penalty on length");
  v.object("dynamic_sampling", c.dynamic_sampling, "groups without signal give way to those of further prompts (DAPO)");
  v.object("alarms", c.alarms, "limits beyond which a step raises an alarm, on stderr and in metrics.jsonl");
  v.field("sync_ref_model", c.sync_ref_model, "move the reference model towards the policy every ref_model_sync_steps");
  v.field("ref_model_sync_steps", c.ref_model_sync_steps, "optimizer steps between two such moves", at_least(1));
  v.field("ref_model_mixup_alpha", c.ref_model_mixup_alpha, "share of the policy in the new reference; 1 replaces it",
          between(0, 1));
  v.field("bf16", c.bf16, "keep the packed weights that forwards read in bfloat16 (masters stay fp32)");
  v.field("save_steps", c.save_steps, "optimizer steps between checkpoints; 0: only the last", at_least(0));
  v.field("save_total_limit", c.save_total_limit, "newest checkpoints that are kept; 0: all", at_least(0));
  v.field("eval_steps", c.eval_steps,
          "optimizer steps between evaluations; also before the first, logged in its row (as eval_start/ where that "
          "has its own), and after the last; 0: none",
          at_least(0));
  v.field(
      "keep_best_checkpoint", c.keep_best_checkpoint,
      "save a checkpoint at each evaluation whose eval/pass@1 is the best so far; it outlives save_total_limit, and "
      "best.json in the run folder names it");
  v.field("load_best_model_at_end", c.load_best_model_at_end,
          "final/ has the weights of the best checkpoint, not of the last; needs keep_best_checkpoint");
  v.field("eval_num_generations", c.eval_num_generations, "completions of each held-out task", at_least(1));
  v.field("eval_temperature", c.eval_temperature, "of the evaluation's sampling", at_least(0));
  v.field("log_completions_steps", c.log_completions_steps,
          "optimizer steps between stored samples of completions; 0: none", at_least(0));
  v.field("dry_step", c.dry_step,
          "pass the largest micro-batch that may come before the first step, so that memory runs out at once or not at "
          "all; auto: where the plan takes more than half of what is free",
          one_of({"auto", "always", "never"}));
  v.field("on_verifier_error", c.on_verifier_error,
          "a reward that fails is left out of its completion's score, counts as 0, or ends the run",
          one_of({"skip", "zero", "abort"}));
  v.field("max_verifier_error_rate", c.max_verifier_error_rate,
          "share of completions of one rollout with a reward that failed above which the run stops", between(0, 1));
  v.field("seed", c.seed, "of task order and sampling");
  v.field("threads", c.threads, "threads; 0: all usable cores", between(0, 1024));
  v.field("sampling_threads", c.sampling_threads,
          "threads that sample while others learn, with max_staleness or learn_while_sampling; 0: as many as threads",
          between(0, 1024));
}

/// Throws UsageError naming the key for values that do not go together.
void validate(const TrainConfig& config);
/// Throws what a run would refuse, weights unread: settings, tasks, and prompts without room. `model` is what
/// config.model stands for. Returns the tokens of the longest prompt.
int64_t expect_runnable(const TrainConfig& config, const std::string& model);

struct TrainResult {
  double seconds = 0;
  int64_t tokens = 0;  // sampled
  std::filesystem::path final_folder;
};

/// Runs (or resumes) to max_steps; throws Interrupted after a checkpoint when a signal came. `self_test`:
/// learning rate 0, every ratio must be 1.
TrainResult train(const TrainConfig& config, const RunRequest& request, bool self_test = false);

}  // namespace cohort
