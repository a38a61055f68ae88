// pass@1 of a policy on tasks, with a bootstrap interval over the tasks.
#pragma once
#include "policy/load.h"
#include "rollout/collect.h"
#include "tasks/readers.h"

namespace cohort {

struct Evaluation {
  int64_t tasks = 0, correct = 0, rollouts = 0;
  double pass_at_1 = 0, ci_low = 0, ci_high = 0;  // shares of 1; 95 % interval
  double mean_length = 0, truncated = 0;          // tokens; share cut off by the length limit
  std::vector<double> task_score;                 // share of correct rollouts, by task
};

struct EvalConfig {
  std::string model;
  std::vector<TaskSource> tasks;
  std::vector<Json> rewards = {"accuracy"};
  std::vector<Json> lenient_rewards;  // a second opinion on the same completions; empty: none
  int32_t num_generations = 1;
  SamplingConfig sampling{.temperature = 0};
  EngineConfig engine;
  bool bf16 = false;
  uint64_t seed = 0;
  int32_t threads = 0;
};
template <class V>
void visit_fields(V& v, EvalConfig& c) {
  v.field("model", c.model, "an HF folder, a .gguf file, or init:CONFIG.json?seed=N");
  v.field("tasks", c.tasks, "held-out tasks: a task reference or a list of them", required());
  v.field("rewards", c.rewards, "what decides whether a completion is correct");
  v.field("lenient_rewards", c.lenient_rewards, "a second scorer for the same completions");
  v.field("num_generations", c.num_generations, "completions of each task", at_least(1));
  visit_fields(v, c.sampling);
  visit_fields(v, c.engine);
  v.field("bf16", c.bf16, "keep the packed weights in bfloat16");
  v.field("seed", c.seed, "of the sampling");
  v.field("threads", c.threads, "threads; 0: all usable cores", between(0, 1024));
}

std::vector<RewardSpec> reward_specs(const std::vector<Json>& rewards);
/// Throws UsageError for a reward, or an option of one, that no scorer could be built with.
void expect_rewards(const std::vector<Json>& rewards);
std::vector<Task> read_all_tasks(const std::vector<TaskSource>& sources);

/// Tokens of the longest prompt. Throws UsageError naming the task and the numbers when one does not fit the context.
int64_t longest_prompt(std::span<const Task> tasks, const Tokenizer& tokenizer, const SamplingConfig& sampling,
                       const ModelSpec& spec);
/// Throws what an evaluation of this model would refuse, weights unread.
void expect_runnable(const EvalConfig& config, const std::string& model);

/// An engine long enough for these prompts and the sampling's budget; throws what longest_prompt throws.
std::unique_ptr<Engine> engine_for(CausalLM& model, const Compute& compute, const Tokenizer& tokenizer,
                                   std::span<const Task> tasks, const SamplingConfig& sampling,
                                   const EngineConfig& config);

/// Samples and judges every task; the groups are in task order. Those that `store` finds are not sampled again. Throws
/// Interrupted once a signal was seen (watch_interrupts).
std::vector<Group> evaluate(LoadedModel& loaded, const Compute& compute, const EvalConfig& config,
                            std::span<const Task> tasks, const GroupStore& store = {});

/// A rollout counts as correct when its status is `correct`.
Evaluation summarize(std::span<const Group> groups);

/// What the same tasks gained between two evaluations: mean difference of their scores, 95 % interval by bootstrap over
/// the pairs.
struct Gain {
  double mean = 0, ci_low = 0, ci_high = 0;
};
/// Throws UsageError when the two are not of equally many tasks.
Gain paired_gain(const Evaluation& before, const Evaluation& after);

/// Unbiased estimate of pass@k from n samples of which c are correct (Codex, arXiv 2107.03374, eq. 1).
double pass_at_k(int64_t n, int64_t c, int64_t k);

/// Whether the answer that most of the first k completions give is correct (self-consistency, arXiv 2203.11171):
/// answers are the same where the reward `accuracy` says so; completions without one do not vote, the earlier answer
/// wins a tie.
bool majority_is_correct(const Group& group, int64_t k);

/// 2.5 % and 97.5 % quantiles of the mean over `num_resamples` resamples; a function of the values alone.
std::pair<double, double> bootstrap_interval(std::span<const double> values, int num_resamples = 2000);

}  // namespace cohort
