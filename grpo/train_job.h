// What a GRPO run holds between two steps, and how it is stored.
#pragma once
#include <memory>

#include "grpo/checkpoint.h"
#include "grpo/loss/entropy.h"
#include "grpo/sampling/sample_ahead.h"
#include "grpo/train.h"
#include "grpo/train_metrics.h"
#include "policy/load.h"
#include "rewards/compose.h"
#include "rollout/collect.h"
#include "tasks/task_set.h"

namespace cohort {

/// What learn_early() has passed of an optimizer step.
struct EarlyStep {
  bool begun = false;
  std::vector<Group> groups;  // the first of the rollout
  std::vector<MicroBatch> batches;
};

/// Everything a run holds between two steps. What may refuse its input comes before the model is loaded.
struct TrainJob {
  TrainJob(const TrainConfig& config, const RunRequest& request);

  const TrainConfig& config;
  Scorer scorer, eval_scorer;
  TaskSet tasks;
  std::vector<Task> eval_tasks;
  Run run;
  Compute compute;
  std::unique_ptr<Compute> sampling_compute;  // with learn_while_sampling, else null
  LoadedModel loaded;
  std::unique_ptr<CausalLM> reference;  // null without a KL term
  Learner learner;
  EntropyControl entropy;
  SamplingEngine sampling;                       // by the learner's own weights
  EarlierCompletions earlier, evaluated;         // of training and of held-out prompts
  std::vector<Group> groups;                     // of the rollout being learned from
  std::vector<SamplingCheck> checks;             // of its mini-batches
  EarlyStep early;                               // of the optimizer step at hand, with learn_while_sampling
  Json refills = Json::object();                 // of that rollout: metrics of dynamic sampling
  std::vector<std::vector<float>> old_logprobs;  // of its mini-batches at its start, for importance_sampling_correction
  int64_t num_tokens = 0;                        // sampled and prompt tokens so far
  int64_t sampled_tokens = 0;
  double seconds = 0;  // of rollouts and updates so far, earlier attempts included
  BestStep best;
  AlarmState alarms;
  std::deque<SampledRollout> sampled_ahead;  // that the checkpoint had, until `ahead` takes them
  std::unique_ptr<SampleAhead> ahead;        // with max_staleness; last, as its thread uses what stands above

  int threads() const { return config.threads ? config.threads : usable_cores(); }
  int sampling_threads() const { return config.sampling_threads ? config.sampling_threads : threads(); }
  int64_t step() const { return learner.step(); }
  int64_t inner_steps() const { return int64_t(config.steps_per_generation) * config.num_iterations; }
  CausalLM& model() { return loaded.model; }
  /// The groups of the optimizer step at hand.
  std::span<Group> mini_batch(int64_t index) {
    size_t size = groups.size() / size_t(config.steps_per_generation), i = size_t(index % config.steps_per_generation);
    return std::span(groups).subspan(i * size, size);
  }
};

/// Leaves out prompts without room, where the config asks for it.
void filter_prompts(TrainJob& job);
/// The engine for the tasks as far as they are known.
void make_engine(TrainJob& job);

/// Completions that the learner has to pass.
Keep kept(const TrainConfig& config);

void checkpoint(TrainJob& job);
/// Goes on from the checkpoint that the run found, if any.
void resume(TrainJob& job);

}  // namespace cohort
