#include "grpo/train_job.h"

#include <algorithm>
#include <cstdio>

#include "grpo/sampling/prompt_filter.h"
#include "grpo/sampling/sampled_groups.h"
#include "grpo/train_checks.h"
#include "grpo/train_options.h"
#include "policy/peft.h"
#include "rollout/evaluate.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

/// A copy of the weights that stands still (β > 0).
std::unique_ptr<CausalLM> copy_model(const CausalLM& model, const Compute& compute) {
  if (model.adapter) return std::make_unique<CausalLM>(with_adapter(model, copy_adapter(*model.adapter)));
  auto copy = std::make_unique<CausalLM>(make_model(model.spec, model.bf16));
  std::copy_n(model.parameters.data(), model.parameters.size(), copy->parameters.data());
  repack(*copy, compute);
  extend_rope(*copy, model.rope_positions);
  return copy;
}

}  // namespace

TrainJob::TrainJob(const TrainConfig& c, const RunRequest& request)
    : config(c),
      scorer(reward_specs(c.rewards), threads(), {}, on_verifier_error_from(c.on_verifier_error)),
      eval_scorer(reward_specs(c.eval_rewards.empty() ? std::vector<Json>{c.rewards[0]} : c.eval_rewards), threads()),
      tasks(open_task_set(c.tasks, c.seed)),
      eval_tasks(read_all_tasks(c.eval_tasks)),
      run(open_run(request, dump_config(c), read_stored_config<TrainConfig>)),
      compute(threads()),
      sampling_compute(c.learn_while_sampling ? std::make_unique<Compute>(sampling_threads()) : nullptr),
      loaded(load_to_learn(c.model, compute, c.bf16, c.lora, c.seed)),
      reference(c.loss.beta > 0 ? copy_model(loaded.model, compute) : nullptr),
      learner(loaded.model, compute, c.optimizer, c.sampling.temperature),
      entropy{.coef = c.loss.entropy_coef},
      sampling{.model = loaded.model, .compute = sampling_compute ? *sampling_compute : compute} {}

void filter_prompts(TrainJob& job) {
  const TrainConfig& c = job.config;
  if (!c.filter_overlong_prompts) return;
  const int64_t room = prompt_room(c, job.model().spec);
  job.tasks = TaskSet(without_long_prompts(job.tasks.streams(), *job.loaded.tokenizer, room), c.seed);
  job.eval_tasks = without_long_prompts(std::move(job.eval_tasks), *job.loaded.tokenizer, room);
}

void make_engine(TrainJob& job) {
  const TrainConfig& c = job.config;
  int64_t room = prompt_room(c, job.model().spec),
          longest = longest_prompt(job.tasks.streams(), *job.loaded.tokenizer, room);
  for (const Task& task : job.eval_tasks) longest = std::max(longest, length_of(task, *job.loaded.tokenizer, room));
  make_room(job.sampling, c, *job.loaded.tokenizer, longest);
  if (job.reference) extend_rope(*job.reference, job.model().rope_positions);
}

Keep kept(const TrainConfig& c) {
  return learns_without_advantage(c.loss) ? Keep::all : Keep::with_signal;
}

namespace {

Json to_json(const SampledRollout& rollout) {
  return {{"step", rollout.step},
          {"groups", rollout.groups.size()},
          {"refills", rollout.refills},
          {"discarded_tokens", rollout.discarded_tokens}};
}

/// The rollouts that `saved` lists, whose groups stand at the end of `groups`, in order.
std::deque<SampledRollout> take_rollouts(const Json& saved, std::vector<Group>& groups) {
  std::deque<SampledRollout> rollouts;
  size_t count = 0;
  for (const Json& rollout : saved) count += rollout.at("groups").get<size_t>();
  auto next = groups.end() - std::ptrdiff_t(count);
  for (const Json& rollout : saved) {
    const auto end = next + rollout.at("groups").get<std::ptrdiff_t>();
    rollouts.push_back({.step = rollout.at("step"),
                        .groups = {std::make_move_iterator(next), std::make_move_iterator(end)},
                        .refills = rollout.at("refills"),
                        .discarded_tokens = rollout.at("discarded_tokens")});
    next = end;
  }
  groups.resize(groups.size() - count);
  return rollouts;
}

/// Adds the rollouts that are sampled ahead; those that are being sampled are waited for, so that whoever resumes needs
/// no weights of the past.
void add_ahead(TrainJob& job, RunState& state) {
  if (!job.ahead) return;
  for (const SampledRollout& rollout : job.ahead->wait_for_all()) {
    state.counters["ahead"].push_back(to_json(rollout));
    state.unused.insert(state.unused.end(), rollout.groups.begin(), rollout.groups.end());
  }
}

}  // namespace

void checkpoint(TrainJob& job) {
  RunState state{.step = job.step(), .config = job.run.config};
  if (job.step() % job.inner_steps()) state.unused = job.groups;
  state.counters = {{"num_tokens", job.num_tokens},
                    {"sampled_tokens", job.sampled_tokens},
                    {"seconds", job.seconds},
                    {"best_step", job.best.step},
                    {"best_pass_at_1", job.best.value},
                    {"refills", job.refills},
                    {"checks", Json::array()},
                    {"alarms", to_json(job.alarms)},
                    {"skipped_steps", job.learner.skipped_steps}};
  for (const SamplingCheck& check : job.checks) state.counters["checks"].push_back(to_json(check));
  if (!state.unused.empty()) state.counters["old_logprobs"] = job.old_logprobs;
  if (job.entropy.last_entropy) state.counters["entropy_control"] = {job.entropy.coef, *job.entropy.last_entropy};
  add_ahead(job, state);
  state.cursor = job.tasks.state();
  save_checkpoint(job.run.folder, job.learner, job.model(), job.loaded.tokenizer.get(), state, job.reference.get());
  forget_sampled_groups(job.run.folder, job.step());
  name_best_checkpoint(job.run.folder, job.best, "eval/pass@1");
  limit_checkpoints(job.run.folder, job.config.save_total_limit, job.best.step);
}

namespace {

void take_state(TrainJob& job, RunState state) {
  job.tasks.restore(state.cursor);
  job.sampled_ahead = take_rollouts(state.counters.value("ahead", Json::array()), state.unused);
  job.groups = std::move(state.unused);
  job.num_tokens = state.counters.at("num_tokens"), job.sampled_tokens = state.counters.at("sampled_tokens");
  job.seconds = state.counters.at("seconds");
  for (const Json& check : state.counters.at("checks")) job.checks.push_back(sampling_check_from(check));
  job.old_logprobs = state.counters.value("old_logprobs", job.old_logprobs);
  if (const auto control = state.counters.find("entropy_control"); control != state.counters.end())
    job.entropy = {control->at(0), control->at(1)};
  job.refills = state.counters.value("refills", Json::object());
  job.learner.skipped_steps = state.counters.value("skipped_steps", int64_t(0));
  if (const auto alarms = state.counters.find("alarms"); alarms != state.counters.end())
    job.alarms = alarm_state_from(*alarms);
  job.best = {state.counters.value("best_step", int64_t(0)), state.counters.value("best_pass_at_1", 0.0)};
}

}  // namespace

void resume(TrainJob& job) {
  if (!job.run.checkpoint) return;
  RunState state = load_checkpoint(*job.run.checkpoint, job.learner, job.model(), job.compute, job.reference.get());
  try {
    take_state(job, std::move(state));
  } catch (const Json::exception& error) {
    refuse_state(*job.run.checkpoint, error);
  }
  job.best = best_that_stands(job.run.folder, job.best);
}

}  // namespace cohort
