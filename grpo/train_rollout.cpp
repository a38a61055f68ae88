#include "grpo/train_rollout.h"

#include "grpo/loss_inputs.h"
#include "grpo/sampled_groups.h"
#include "grpo/train_checks.h"
#include "grpo/train_metrics.h"

namespace cohort {
namespace {

/// What the calls that sample one rollout share.
struct RolloutState {
  SampledGroups sampled;
  PromptCounts counts;
  int64_t num_tasks = 0;
};

/// Groups of the next tasks with their scores, in task order.
std::vector<Group> sample_groups(TrainJob& job, RolloutState& rollout, int64_t count, Progress& progress) {
  const TrainConfig& c = job.config;
  std::vector<Task> tasks = job.tasks.next(count);
  make_room(job, tasks);
  CollectJob collect_job{.tasks = tasks,
                         .num_generations = c.num_generations,
                         .sampling = c.sampling,
                         .seed = c.seed,
                         .step = job.step(),
                         .max_steps = c.max_steps,
                         .earlier = &job.earlier,
                         .first_index = rollout.num_tasks,
                         .counts = &rollout.counts};
  const std::string what = rollout.num_tasks ? "refill " : "rollout ";
  std::vector<Group> groups =
      collect(*job.engine, job.model(), *job.loaded.tokenizer, &job.scorer, collect_job, rollout.sampled.store(),
              [&](int64_t done) {
                progress.update(job.step(), what + std::to_string(done) + "/" + std::to_string(tasks.size()));
              });
  rollout.num_tasks += count;
  penalize_length(groups, c.overlong, c.sampling.max_completion_length);
  expect_working_verifiers(c, groups);
  return groups;
}

/// The next rollout: groups with scores and advantages.
void sample(TrainJob& job, Progress& progress) {
  const TrainConfig& c = job.config;
  RolloutState rollout{.sampled = SampledGroups(job.run.folder, job.model(), job.compute)};
  job.groups = sample_groups(job, rollout, int64_t(c.prompts_per_step) * c.steps_per_generation, progress);
  if (c.dynamic_sampling.max_refill_batches > 0) {
    const Refills refills = refill(job.groups, c.dynamic_sampling,
                                   [&](int64_t count) { return sample_groups(job, rollout, count, progress); });
    job.refills = to_json(refills);
    job.num_tokens += refills.discarded_tokens, job.sampled_tokens += refills.discarded_tokens;
  }
  if (c.loss.kl_in_reward) penalize_kl(job.groups, job.learner, *job.reference, c.loss, c.pack);
  compute_advantages(job.groups, c.advantage, component_weights(c));
}

/// The learner's own forward over what the optimizer step at hand will not pass: later mini-batches, and on the first
/// and every tenth step's rollout the dropped completions too.
void check_sampling(TrainJob& job) {
  const TrainConfig& c = job.config;
  const int64_t first = job.step() + 1, last = job.step() + job.inner_steps();
  const bool dropped_too = first == 1 || round_up(first, 10) <= last;
  job.checks.assign(size_t(c.steps_per_generation), Json());
  for (int64_t i = 0; i < c.steps_per_generation; ++i) {
    SamplingCheck check;
    auto pass = [&](Keep keep) {
      for (MicroBatch& batch : pack(job.mini_batch(i), c.pack, keep)) {
        job.learner.fill_logprobs(job.model(), batch, batch.loss.logprobs);
        check.add(batch);
      }
    };
    if (i > 0) pass(kept(c));
    if (dropped_too && kept(c) == Keep::with_signal) pass(Keep::without_signal);
    job.checks[size_t(i)] = {{"tokens", check.tokens},
                             {"mismatches", check.bit_mismatches},
                             {"difference_sum", check.difference_sum},
                             {"difference_max", check.difference_max},
                             {"ratio_sum", check.ratio_sum},
                             {"ratio_min", check.ratio_min},
                             {"ratio_max", check.ratio_max}};
  }
}

Json empty_check() {
  return {{"tokens", 0},    {"mismatches", 0},   {"difference_sum", 0}, {"difference_max", 0},
          {"ratio_sum", 0}, {"ratio_min", 1e30}, {"ratio_max", -1e30}};
}

/// Ratios are taken to the weights at the start of the rollout where another policy may have sampled it.
void keep_old_logprobs(TrainJob& job) {
  const TrainConfig& c = job.config;
  job.old_logprobs.clear();
  for (int64_t i = 0; c.loss.importance_sampling_correction != "none" && i < c.steps_per_generation; ++i)
    job.old_logprobs.push_back(policy_logprobs(job.mini_batch(i), job.learner, c.pack, kept(c)));
}

}  // namespace

void begin_rollout(TrainJob& job, const std::vector<Group>& frozen, bool self_test, Progress& progress) {
  if (job.step() % job.inner_steps()) return;
  if (frozen.empty())
    sample(job, progress);
  else
    job.groups = frozen;
  if (self_test || frozen.empty())
    check_sampling(job);
  else
    job.checks.assign(size_t(job.config.steps_per_generation), empty_check());
  keep_old_logprobs(job);
}

}  // namespace cohort
