#include "grpo/train_rollout.h"

#include <future>

#include "grpo/loss/loss_inputs.h"
#include "grpo/sampling/sampled_groups.h"
#include "grpo/train_checks.h"
#include "grpo/train_metrics.h"
#include "grpo/train_step.h"

namespace cohort {
namespace {

/// What the calls that sample one rollout share.
struct RolloutState {
  RolloutOrder order;
  SampledGroups sampled;
  PromptCounts counts;
  int64_t num_tasks = 0;
  CompleteGroups* complete = nullptr;  // told of each group, where there is one
};

using Tell = std::function<void(const std::string& where)>;

/// Groups of the next tasks with their scores, in task order. Of the job nothing that learning changes is used.
std::vector<Group> sample_groups(TrainJob& job, SamplingEngine& sampling, RolloutState& rollout, int64_t count,
                                 const Tell& tell) {
  const TrainConfig& c = job.config;
  const Tokenizer& tokenizer = *job.loaded.tokenizer;
  std::vector<Task> tasks = job.tasks.next(count);
  const int64_t room = prompt_room(c, sampling.model.spec);
  int64_t longest = job.sampling.longest_prompt;
  for (const Task& task : tasks) longest = std::max(longest, length_of(task, tokenizer, room));
  make_room(sampling, c, tokenizer, longest);
  CollectJob collect_job{.tasks = tasks,
                         .num_generations = c.num_generations,
                         .sampling = c.sampling,
                         .seed = c.seed,
                         .step = rollout.order.step,
                         .max_steps = c.max_steps,
                         .earlier = &job.earlier,
                         .first_index = rollout.num_tasks,
                         .counts = &rollout.counts};
  if (rollout.complete)
    collect_job.complete = [&](int64_t index, const Group& group) { rollout.complete->put(index, group); };
  const std::string what = rollout.num_tasks ? "refill " : "rollout ";
  std::vector<Group> groups =
      collect(*sampling.engine, sampling.model, tokenizer, &job.scorer, collect_job, rollout.sampled.store(),
              [&](int64_t done) { tell(what + std::to_string(done) + "/" + std::to_string(tasks.size())); });
  rollout.num_tasks += count;
  penalize_length(groups, c.overlong, c.sampling.max_completion_length);
  expect_working_verifiers(c, groups);
  return groups;
}

SampledRollout sample(TrainJob& job, SamplingEngine& sampling, const RolloutOrder& order, const Tell& tell,
                      CompleteGroups* complete = nullptr) {
  const TrainConfig& c = job.config;
  RolloutState rollout{
      .order = order, .sampled = SampledGroups(job.run.folder, order.step, order.weights), .complete = complete};
  SampledRollout sampled{.step = order.step};
  sampled.groups = sample_groups(job, sampling, rollout, int64_t(c.prompts_per_step) * c.steps_per_generation, tell);
  if (c.dynamic_sampling.max_refill_batches > 0) {
    const Refills refills = refill(sampled.groups, c.dynamic_sampling,
                                   [&](int64_t count) { return sample_groups(job, sampling, rollout, count, tell); });
    sampled.refills = to_json(refills), sampled.discarded_tokens = refills.discarded_tokens;
  }
  return sampled;
}

RolloutOrder order_of(TrainJob& job, int64_t step) {
  return {.step = step, .weights = parameters_checksum(job.model(), job.compute)};
}

/// The rollout that the learner goes on with, while up to max_staleness further ones are sampled: rollout r by the
/// weights that stand when rollout r - max_staleness begins, whenever that happens.
SampledRollout next_ahead(TrainJob& job) {
  const TrainConfig& c = job.config;
  SampleAhead& ahead = *job.ahead;
  if (ahead.num_ordered()) ahead.wait_for_oldest();  // its weights give way to those of the next order
  for (int64_t n = ahead.num_ordered(); n <= c.max_staleness; ++n) {
    const int64_t step = job.step() + n * job.inner_steps();
    if (n > 0 && step >= c.max_steps) break;
    ahead.order(order_of(job, step), job.model(), job.compute);
  }
  return ahead.take_oldest();
}

/// Samples on a thread of its own, and learns from what is complete.
SampledRollout sample_and_learn(TrainJob& job, const Tell& tell) {
  CompleteGroups complete;
  const RolloutOrder order = order_of(job, job.step());
  std::future<SampledRollout> sampled = std::async(std::launch::async, [&] {
    struct Closing {
      CompleteGroups& groups;
      ~Closing() { groups.close(); }
    } closing{complete};
    return sample(job, job.sampling, order, tell, &complete);
  });
  learn_early(job, complete);
  return sampled.get();
}

SampledRollout next_rollout(TrainJob& job, const Tell& tell) {
  if (job.ahead) return next_ahead(job);
  if (job.config.learn_while_sampling) return sample_and_learn(job, tell);
  return sample(job, job.sampling, order_of(job, job.step()), tell);
}

/// The engine has met prompts that the learner is yet to meet.
void lengthen_ropes(TrainJob& job) {
  for (const Group& group : job.groups)
    for (const Rollout& r : group.rollouts)
      extend_rope(job.model(), int64_t(group.prompt.size() + r.completion.tokens.size()));
  if (job.reference) extend_rope(*job.reference, job.model().rope_positions);
}

/// The next rollout: groups with scores and advantages.
void take_rollout(TrainJob& job, Progress& progress) {
  const TrainConfig& c = job.config;
  const Tell tell = [&](const std::string& where) { progress.update(job.step(), where); };
  SampledRollout rollout = next_rollout(job, tell);
  job.groups = std::move(rollout.groups), job.refills = std::move(rollout.refills);
  job.num_tokens += rollout.discarded_tokens, job.sampled_tokens += rollout.discarded_tokens;
  lengthen_ropes(job);
  if (c.loss.kl_in_reward) penalize_kl(job.groups, job.learner, *job.reference, c.loss, c.pack);
  compute_advantages(job.groups, c.advantage, component_weights(c));
}

/// The learner's own forward over what the optimizer step at hand will not pass: later mini-batches, and on the first
/// and every tenth step's rollout the dropped completions too.
void check_sampling(TrainJob& job) {
  const TrainConfig& c = job.config;
  const int64_t first = job.step() + 1, last = job.step() + job.inner_steps();
  const bool dropped_too = first == 1 || round_up(first, 10) <= last;
  job.checks.assign(size_t(c.steps_per_generation), {});
  for (int64_t i = 0; i < c.steps_per_generation; ++i) {
    SamplingCheck& check = job.checks[size_t(i)];
    auto pass = [&](Keep keep) {
      for (MicroBatch& batch : pack(job.mini_batch(i), c.pack, keep)) {
        job.learner.fill_logprobs(job.model(), batch, batch.loss.logprobs);
        check.add(batch);
      }
    };
    if (i > 0) pass(kept(c));
    if (dropped_too && kept(c) == Keep::with_signal) pass(Keep::without_signal);
  }
}

/// Ratios are taken to the weights at the start of the rollout where another policy may have sampled it.
void keep_old_logprobs(TrainJob& job) {
  const TrainConfig& c = job.config;
  job.old_logprobs.clear();
  for (int64_t i = 0; c.loss.importance_sampling_correction != "none" && i < c.steps_per_generation; ++i)
    job.old_logprobs.push_back(policy_logprobs(job.mini_batch(i), job.learner, c.pack, kept(c)));
}

}  // namespace

void sample_ahead(TrainJob& job) {
  job.ahead = std::make_unique<SampleAhead>(
      std::move(job.sampled_ahead), job.sampling_threads(),
      [&job](SamplingEngine& sampling, const RolloutOrder& order, const std::function<void()>& expect_wanted) {
        return sample(job, sampling, order, [&](const std::string&) { expect_wanted(); });
      });
}

void begin_rollout(TrainJob& job, const std::vector<Group>& frozen, bool self_test, Progress& progress) {
  if (job.step() % job.inner_steps()) return;
  if (frozen.empty())
    take_rollout(job, progress);
  else
    job.groups = frozen;
  if (self_test || frozen.empty())
    check_sampling(job);
  else
    job.checks.assign(size_t(job.config.steps_per_generation), {});
  keep_old_logprobs(job);
}

}  // namespace cohort
