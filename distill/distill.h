// Distillation by traces (R1, arXiv 2501.12948 §2.4): a teacher samples, verifiers keep what is right, a student is
// tuned on it. Or on-policy (on_policy.h).
#pragma once
#include "distill/on_policy_config.h"
#include "distill/sft.h"

namespace cohort {

struct DistillConfig {
  std::string mode = "traces";
  std::string teacher;
  std::vector<TaskSource> tasks;
  std::vector<Json> rewards = {"accuracy"};
  int64_t num_prompts = 256;
  int32_t num_generations = 4;
  int32_t prompts_per_step = 64;  // of sampling; a killed run goes on at the next such piece
  int32_t max_traces_per_prompt = 4;
  SamplingConfig sampling;
  OnPolicyConfig on_policy;
  EngineConfig engine;
  SftConfig student;
  uint64_t seed = 0;
  int32_t threads = 0;
};
template <class V>
void visit_fields(V& v, DistillConfig& c) {
  v.field(
      "mode", c.mode,
      "traces: off-policy, on the teacher's verified completions; on_policy: the student samples, and the teacher says "
      "how likely each token is (GKD, arXiv 2306.13649)",
      one_of({"traces", "on_policy"}));
  v.field("teacher", c.teacher,
          "an HF folder, a .gguf file, or init:CONFIG.json?seed=N; on_policy with sampled_token also the "
          "http://HOST:PORT/v1 of a server that tells prompt_logprobs (vLLM, cohort serve)",
          not_empty(), required());
  v.field("tasks", c.tasks, "what the teacher solves: a task reference or a list of them", required());
  v.field("rewards", c.rewards,
          "a completion is kept when every one of them calls it correct; on_policy: what distillation_weight leaves "
          "room for");
  v.field("num_prompts", c.num_prompts, "traces: prompts the teacher gets", at_least(1));
  v.field("num_generations", c.num_generations, "completions of each prompt", at_least(1));
  v.field("prompts_per_step", c.prompts_per_step,
          "prompts sampled at once; traces: a killed run loses at most these; on_policy: of one optimizer step",
          at_least(1));
  v.field("max_traces_per_prompt", c.max_traces_per_prompt, "traces: verified completions kept of each prompt",
          at_least(1));
  visit_fields(v, c.on_policy);
  visit_fields(v, c.sampling);
  visit_fields(v, c.engine);
  v.object("student", c.student,
           "the tuning of the student; its tasks are the traces, on_policy the given completions of steps that the "
           "student does not sample");
  v.field("seed", c.seed, "of task order and sampling");
  v.field("threads", c.threads, "threads; 0: all usable cores", between(0, 1024));
}

/// Throws what a run would refuse, weights unread; teacher and student are what the config's models stand for.
void expect_runnable(const DistillConfig& config, const std::string& teacher, const std::string& student);

/// Samples traces into `out`/traces.jsonl, then tunes the student into `out`; tokens and seconds count both. Or runs
/// on_policy().
TrainResult distill(const DistillConfig& config, const RunRequest& request);

}  // namespace cohort
