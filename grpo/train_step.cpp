#include "grpo/train_step.h"

#include <algorithm>

#include "grpo/loss/entropy.h"
#include "grpo/loss/loss_inputs.h"
#include "grpo/train_checks.h"
#include "grpo/train_metrics.h"

namespace cohort {
namespace {

/// What the gradient is divided by at the end of the step: the tokens, which nobody can count before all are sampled.
double divisor_of(const LossConfig& loss, const LossScale& scale) {
  const bool has_one = is_mean_of_tokens(loss_type(loss.loss_type)) && !scale.entropy_threshold;
  return has_one ? std::max(1.0, scale.num_tokens) : 1;
}

void pass(TrainJob& job, const LossScale& scale, MicroBatch& batch) {
  const LossConfig& loss = job.config.loss;
  if (has_kl_term(loss)) job.learner.fill_logprobs(*job.reference, batch, batch.loss.ref_logprobs);
  job.learner.pass(batch,
                   [&](const TokenBatch& tokens, const TokenGradient& d) { return grpo_loss(loss, tokens, scale, d); });
}

/// Passes the micro-batches of the step, those of learn_early() aside.
std::vector<MicroBatch> pass_all(TrainJob& job, std::span<Group> groups, LossScale& scale) {
  const TrainConfig& c = job.config;
  std::vector<MicroBatch> batches = pack(groups, c.pack, kept(c));
  const int64_t inner = job.step() % job.inner_steps();
  if (!job.old_logprobs.empty()) set_old_logprobs(batches, job.old_logprobs[size_t(inner % c.steps_per_generation)]);
  if (c.loss.top_entropy_quantile < 1) keep_top_entropies(c.loss.top_entropy_quantile, batches, job.learner, scale);
  LossScale undivided = scale;
  if (divisor_of(c.loss, scale) != 1) undivided.num_tokens = 1;
  if (!job.early.begun) job.learner.begin_step();
  for (size_t i = 0; i < batches.size(); ++i)
    if (i < job.early.batches.size())
      batches[i].loss = std::move(job.early.batches[i].loss);
    else
      pass(job, undivided, batches[i]);
  job.early = {};
  return batches;
}

void count_tokens(TrainJob& job, std::span<const Group> groups) {
  for (const Group& group : groups)
    for (const Rollout& r : group.rollouts)
      job.num_tokens += int64_t(group.prompt.size() + r.completion.tokens.size()),
          job.sampled_tokens += int64_t(r.completion.tokens.size());
}

}  // namespace

void learn_early(TrainJob& job, CompleteGroups& complete) {
  const TrainConfig& c = job.config;
  const LossScale scale{.num_sequences = double(c.prompts_per_step) * c.num_generations,
                        .num_tokens = 1,
                        .max_completion_length = double(c.sampling.max_completion_length),
                        .entropy_coef = acting_coef(c.loss, job.entropy)};
  job.early.groups.reserve(size_t(c.prompts_per_step));  // the micro-batches point into them
  job.learner.begin_step(), job.early.begun = true;
  while (int64_t(job.early.groups.size()) < c.prompts_per_step) {
    std::optional<Group> next = complete.take(int64_t(job.early.groups.size()));
    if (!next) return;
    const std::span<Group> group(&job.early.groups.emplace_back(std::move(*next)), 1);
    penalize_length(group, c.overlong, c.sampling.max_completion_length);
    compute_advantages(group, c.advantage, component_weights(c));
    std::vector<MicroBatch> batches = pack(job.early.groups, c.pack, kept(c));
    const bool is_last = int64_t(job.early.groups.size()) == c.prompts_per_step;
    const size_t full = is_last || batches.empty() ? batches.size() : batches.size() - 1;  // nothing joins them
    for (size_t i = job.early.batches.size(); i < full; ++i) {
      pass(job, scale, batches[i]);
      job.early.batches.push_back(std::move(batches[i]));
    }
  }
}

Json learn(TrainJob& job) {
  const TrainConfig& c = job.config;
  const int64_t step = job.step(), inner = step % job.inner_steps();
  std::span<Group> groups = job.mini_batch(inner);
  LossScale scale = loss_scale(groups, c.pack, c.sampling.max_completion_length);
  scale.entropy_coef = acting_coef(c.loss, job.entropy);
  const std::vector<MicroBatch> batches = pass_all(job, groups, scale);
  std::vector<double> load = expert_load(groups);
  StepStats stats = job.learner.end_step(c.max_steps, load, divisor_of(c.loss, scale));
  if (!stats.is_skipped) update(c.loss, job.entropy, mean_top_entropy(stats.sums, scale));
  if (kept(c) == Keep::with_signal) count_dropped(stats.sums, groups, c.loss, c.pack, scale);
  SamplingCheck& check = job.checks[size_t(inner % c.steps_per_generation)];
  if (inner == 0)
    for (const MicroBatch& batch : batches) check.add(batch);
  if (inner < c.steps_per_generation) count_tokens(job, groups);
  Json row = {{"step", job.step()}};
  row.update(group_metrics(groups));
  row.update(sampling_metrics(check));
  if (c.groups.empty()) row.update(staleness_metrics(groups, step));
  row.update(step_metrics(stats, c.loss, job.num_tokens));
  row.update(job.refills);
  if (has_entropy_bonus(c.loss)) row["entropy_coef"] = job.entropy.coef;
  if (!load.empty()) {
    const MoeSpec& moe = job.model().spec.layers.back().moe;
    row["max_vio/mean"] = max_violation(load, size_t(moe.experts));
    row["expert_load/max_share"] = max_expert_share(load, size_t(moe.experts), moe.top_k);
  }
  return row;
}

}  // namespace cohort
