// Distillation by traces (R1, arXiv 2501.12948 §2.4): a teacher samples, verifiers keep what is right, a student is
// tuned on it.
#pragma once
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
  EngineConfig engine;
  SftConfig student;
  uint64_t seed = 0;
  int32_t threads = 0;
};
template <class V>
void visit_fields(V& v, DistillConfig& c) {
  v.field("mode", c.mode, "traces: off-policy, on the teacher's verified completions", one_of({"traces"}));
  v.field("teacher", c.teacher, "an HF folder, a .gguf file, or init:CONFIG.json?seed=N", not_empty(), required());
  v.field("tasks", c.tasks, "what the teacher solves: a task reference or a list of them", required());
  v.field("rewards", c.rewards, "a completion is kept when every one of them calls it correct");
  v.field("num_prompts", c.num_prompts, "prompts the teacher gets", at_least(1));
  v.field("num_generations", c.num_generations, "completions of each prompt", at_least(1));
  v.field("prompts_per_step", c.prompts_per_step, "prompts sampled at once; a killed run loses at most these",
          at_least(1));
  v.field("max_traces_per_prompt", c.max_traces_per_prompt, "verified completions kept of each prompt", at_least(1));
  visit_fields(v, c.sampling);
  visit_fields(v, c.engine);
  v.object("student", c.student, "the tuning of the student; its tasks are the traces");
  v.field("seed", c.seed, "of task order and sampling");
  v.field("threads", c.threads, "threads; 0: all usable cores", between(0, 1024));
}

/// Throws what a run would refuse, weights unread; teacher and student are what the config's models stand for.
void expect_runnable(const DistillConfig& config, const std::string& teacher, const std::string& student);

/// Samples traces into `out`/traces.jsonl, then tunes the student into `out`. tokens and seconds count both.
TrainResult distill(const DistillConfig& config, const RunRequest& request);

}  // namespace cohort
