// Distillation by traces (R1, arXiv 2501.12948 §2.4): a teacher samples, verifiers keep what is right, a student is
// tuned on it. Or on-policy (distill/on_policy).
#pragma once
#include "distill/on_policy/on_policy_config.h"
#include "distill/sft.h"
#include "distill/traces/filters.h"

namespace cohort {

/// A teacher behind an OpenAI-compatible API (remote_teacher.h).
struct RemoteConfig {
  std::string teacher_model;
  std::string api_key_file;
  Json teacher_request = Json::object();
  bool keep_reasoning = true;
  int32_t completions_per_request = 0;
  int32_t max_concurrent_requests = 16;
  double request_timeout = 600;
  int32_t max_retries = 8;
};
template <class V>
void visit_fields(V& v, RemoteConfig& c) {
  v.field("teacher_model", c.teacher_model, "of a teacher by URL: the model as its server calls it");
  v.field("api_key_file", c.api_key_file, "of a teacher by URL: a file whose first line is the key; empty: none");
  v.field("teacher_request", c.teacher_request,
          "of a teacher by URL: more fields of every request, such as chat_template_kwargs; null takes one out");
  v.field("keep_reasoning", c.keep_reasoning,
          "put a server's reasoning_content before the answer, as <think>...</think>");
  v.field("completions_per_request", c.completions_per_request,
          "of a teacher by URL: completions asked for at once; 0: all of a prompt", at_least(0));
  v.field("max_concurrent_requests", c.max_concurrent_requests, "of a teacher by URL", between(1, 1024));
  v.field("request_timeout", c.request_timeout, "seconds until a request counts as lost and is sent again", above(0));
  v.field("max_retries", c.max_retries,
          "times a request is sent again after status 408, 409, 425, 429 or 5xx, a lost connection or no answer in "
          "time; the pause doubles from half a second to a minute",
          at_least(0));
}

struct DistillConfig {
  std::string mode = "traces";
  std::string teacher;
  std::vector<TaskSource> tasks;
  std::vector<Json> rewards = {"accuracy"};
  int64_t num_prompts = 256;
  int32_t num_generations = 4;
  int32_t prompts_per_step = 64;  // of sampling; a killed run goes on at the next such piece
  int32_t max_traces_per_prompt = 4;
  TraceFilters filters;
  int64_t max_traces = 0;
  std::vector<double> difficulty_weights;
  int64_t max_teacher_tokens = 0;
  RemoteConfig remote;
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
          "an HF folder, a .gguf file, init:CONFIG.json?seed=N, or the http://HOST:PORT/v1 of an OpenAI-compatible "
          "server; on_policy with sampled_token: of one that tells prompt_logprobs (vLLM, cohort serve)",
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
  v.object("filters", c.filters, "which verified completions are dropped");
  v.field("max_traces", c.max_traces, "traces kept in all, taken as difficulty_weights say; 0: all", at_least(0));
  v.field("difficulty_weights", c.difficulty_weights,
          "traces wanted of each difficulty relative to the others, from easy to hard: as many bins of equal width as "
          "there are weights; a prompt's difficulty is the share of its completions that are wrong",
          at_least(0));
  v.field("max_teacher_tokens", c.max_teacher_tokens,
          "tokens of prompts and completions that the teacher may take; then the student learns from what there is; 0: "
          "any number",
          at_least(0));
  visit_fields(v, c.remote);
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
