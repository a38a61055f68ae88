#include "grpo/train_checks.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>

#include "configs/error.h"
#include "grpo/sampling/prompt_filter.h"
#include "policy/adapter.h"
#include "rollout/evaluate.h"

namespace cohort {

namespace fs = std::filesystem;

int64_t prompt_room(const TrainConfig& config, const ModelSpec& spec) {
  int64_t room = spec.max_position - config.sampling.max_completion_length;
  if (room < 1)
    throw UsageError("max_completion_length is " + std::to_string(config.sampling.max_completion_length) +
                     ", the model's context is " + std::to_string(spec.max_position) +
                     " tokens: lower max_completion_length");
  return std::min(room, config.max_prompt_length.value_or(room));
}

int64_t length_of(const Task& task, const Tokenizer& tokenizer, int64_t room) {
  expect_no_own_reward(task);
  const int64_t length = int64_t(encode_prompt(tokenizer, task.prompt).size());
  if (length > room)
    throw UsageError("the prompt of task " + task.id + " has " + std::to_string(length) +
                     " tokens, max_prompt_length and the model's context leave " + std::to_string(room));
  return length;
}

int64_t longest_prompt(const std::vector<Stream<Task>>& streams, const Tokenizer& tokenizer, int64_t room) {
  int64_t longest = 1;
  for (const Stream<Task>& stream : streams)
    for (int64_t i = 0, n = stream.size.value_or(256); i < n; ++i)
      longest = std::max(longest, length_of(stream.at(i), tokenizer, room));
  return longest;
}

void warn_of_leaks(const std::vector<Stream<Task>>& streams, std::span<const Task> eval_tasks) {
  std::set<std::string> trained;
  for (const Stream<Task>& stream : streams)
    for (int64_t i = 0; i < stream.size.value_or(0); ++i) trained.insert(stream.at(i).prompt.back().content);
  std::string first;
  int64_t leaked = 0;
  for (const Task& task : eval_tasks)
    if (trained.contains(task.prompt.back().content) && ++leaked == 1) first = task.id;
  if (leaked)
    std::fprintf(stderr,
                 "cohort: %lld of %zu eval_tasks are also among tasks (the first is %s): give all sources of one split "
                 "the same held_out\n",
                 static_cast<long long>(leaked), eval_tasks.size(), first.c_str());
}

void expect_working_verifiers(const TrainConfig& config, std::span<const Group> groups) {
  int64_t errors = 0, total = 0;
  std::string reason;
  for (const Group& group : groups)
    for (const Rollout& r : group.rollouts) {
      ++total;
      if (has_error(r.score)) ++errors, reason = r.score.reason;
    }
  expect_few_errors(errors, total, config.max_verifier_error_rate, reason);
}

std::map<std::string, double> component_weights(const TrainConfig& config) {
  std::map<std::string, double> weights = component_weights(reward_specs(config.rewards));
  if (config.overlong.soft_cache > 0) weights["overlong"] = 1;
  if (config.loss.kl_in_reward) weights["kl"] = 1;
  return weights;
}

std::vector<Group> read_frozen_groups(const TrainConfig& config) {
  const std::string& file = config.groups;
  if (file.empty()) return {};
  std::vector<Group> groups = read_groups(file);
  if (groups.empty() || groups.size() % size_t(config.steps_per_generation))
    throw UsageError("--groups " + file + " has " + std::to_string(groups.size()) +
                     " groups, steps_per_generation wants a multiple of " +
                     std::to_string(config.steps_per_generation));
  const bool is_scored = std::any_of(groups.begin(), groups.end(), [](const Group& g) {
    return std::any_of(g.rollouts.begin(), g.rollouts.end(),
                       [](const Rollout& r) { return r.score.value.has_value(); });
  });
  if (!is_scored)
    throw UsageError(
        "--groups " + file +
        " has no score: each rollout needs {\"score\": {\"value\", \"status\"}}, as cohort eval --out writes it");
  const auto weights = component_weights(config);
  const bool is_weighed = std::any_of(weights.begin(), weights.end(), [&](const auto& named) {
    return std::any_of(groups.begin(), groups.end(), [&](const Group& g) {
      return std::any_of(g.rollouts.begin(), g.rollouts.end(),
                         [&](const Rollout& r) { return r.score.components.contains(named.first); });
    });
  });
  if (config.advantage.multi_objective_aggregation == "normalize_then_sum" && !is_weighed)
    throw UsageError("--groups " + file +
                     " has no component of the config's rewards, which normalize_then_sum "
                     "normalises one by one: name the rewards that scored it");
  compute_advantages(groups, config.advantage, weights);
  return groups;
}

void expect_fit(std::span<const Group> groups, CausalLM& model) {
  const ModelSpec& spec = model.spec;
  for (const Group& group : groups)
    for (const Rollout& r : group.rollouts) {
      const std::string where = "--groups: task " + group.task.id + ", member " + std::to_string(r.completion.member);
      int64_t length = int64_t(group.prompt.size() + r.completion.tokens.size());
      if (length <= spec.max_position) extend_rope(model, length);
      if (group.prompt.empty() || length > spec.max_position)
        throw UsageError(where + " has " + std::to_string(group.prompt.size()) + " prompt ids and " +
                         std::to_string(length) + " in all, expected at least 1 and at most the model's context of " +
                         std::to_string(spec.max_position));
      for (std::span<const int32_t> ids :
           {std::span(group.prompt), std::span(r.completion.tokens), std::span(r.completion.kept.ids)})
        for (int32_t id : ids)
          if (id < 0 || id >= spec.vocab)
            throw UsageError(where + " has the token id " + std::to_string(id) + ", the model's vocabulary has " +
                             std::to_string(spec.vocab));
    }
}

int64_t expect_runnable(const TrainConfig& config, const std::string& model) {
  validate(config);
  const ModelSpec spec = load_spec(model);
  expect_targets(spec, config.lora);
  const int64_t room = prompt_room(config, spec);
  const Tokenizer tokenizer = expect_tokenizer(model);
  std::vector<Stream<Task>> streams = open_task_set(config.tasks, config.seed).streams();
  std::vector<Task> eval_tasks = read_all_tasks(config.eval_tasks);
  if (config.filter_overlong_prompts) {
    streams = without_long_prompts(std::move(streams), tokenizer, room);
    eval_tasks = without_long_prompts(std::move(eval_tasks), tokenizer, room);
  }
  int64_t longest = longest_prompt(streams, tokenizer, room);
  for (const Task& task : eval_tasks) longest = std::max(longest, length_of(task, tokenizer, room));
  return longest;
}

namespace {

/// What needs the whole rollout before anything of it can be learned from.
void expect_early(const TrainConfig& c) {
  const bool by_batch = c.advantage.scale_rewards == "batch" ||
                        c.advantage.multi_objective_aggregation == "normalize_then_sum",
             counts_tokens = has_entropy_bonus(c.loss) && !is_mean_of_tokens(loss_type(c.loss.loss_type));
  const std::pair<bool, std::string> reasons[] = {
      {!c.groups.empty(), "--groups has nothing sampled"},
      {c.max_staleness > 0, "max_staleness learns from rollouts that were sampled before"},
      {c.dynamic_sampling.max_refill_batches > 0, "dynamic_sampling chooses groups when all are there"},
      {by_batch, "advantages divided by the std of the batch need all of its rewards"},
      {c.loss.kl_in_reward, "kl_in_reward lowers scores when all are there"},
      {c.loss.importance_sampling_correction != "none", "importance_sampling_correction takes ratios over the rollout"},
      {c.loss.top_entropy_quantile < 1, "top_entropy_quantile needs the entropies of all tokens"},
      {counts_tokens, "an entropy bonus beside loss_type " + c.loss.loss_type + " needs the number of all tokens"}};
  for (const auto& [is_so, why] : reasons)
    if (is_so) throw UsageError("learn_while_sampling cannot be: " + why + "; leave one of them out");
}

}  // namespace

void validate(const TrainConfig& c) {
  if (c.rewards.empty()) throw UsageError("rewards is empty: name at least one (cohort score --list shows them)");
  if (c.num_generations < 2 && c.advantage.scale_rewards != "none")
    throw UsageError("num_generations is " + std::to_string(c.num_generations) +
                     ": an advantage relative to the group needs at least 2");
  if (c.overlong.soft_cache > c.sampling.max_completion_length)
    throw UsageError("overlong.soft_cache is " + std::to_string(c.overlong.soft_cache) +
                     ", more than max_completion_length " + std::to_string(c.sampling.max_completion_length));
  if (c.sampling.temperature < 1e-3)
    throw UsageError("temperature is " + Json(c.sampling.temperature).dump() +
                     ": training needs 0.001 or more, its gradient grows as 1 / temperature");
  if (has_penalties(c.sampling))
    throw UsageError(
        "repetition_penalty, presence_penalty, frequency_penalty and logit_bias cannot be trained with: the learner "
        "computes the log-probabilities of the model itself, so no importance ratio would be 1; leave them out");
  if (c.sampling.min_tokens > c.sampling.max_completion_length)
    throw UsageError("min_tokens is " + std::to_string(c.sampling.min_tokens) + ", more than max_completion_length " +
                     std::to_string(c.sampling.max_completion_length));
  if (c.eval_steps > 0 && c.eval_num_generations > 1 && c.eval_temperature == 0)
    throw UsageError("eval_num_generations is " + std::to_string(c.eval_num_generations) +
                     " at eval_temperature 0, which makes equal completions: set eval_temperature, e.g. to 1");
  if (!c.groups.empty() && c.dynamic_sampling.max_refill_batches > 0)
    throw UsageError("dynamic_sampling samples further prompts, and --groups has nothing sampled: leave one out");
  if (!c.groups.empty() && c.max_staleness > 0)
    throw UsageError("max_staleness has further rollouts sampled, and --groups has nothing sampled: leave one out");
  if (!c.groups.empty() && !fs::exists(c.groups)) throw UsageError("--groups " + c.groups + " does not exist");
  expect_consistent(c.loss);
  if (c.learn_while_sampling) expect_early(c);
  if (c.loss.kl_in_reward && !c.groups.empty())
    throw UsageError("kl_in_reward lowers scores where completions are sampled, and those of --groups " + c.groups +
                     " are: leave it out, so that beta weighs a KL term of the loss");
  expect_rewards(c.rewards), expect_rewards(c.eval_rewards);
  if (c.keep_best_checkpoint && c.eval_steps == 0)
    throw UsageError("keep_best_checkpoint goes by eval/pass@1 and eval_steps is 0: set eval_steps");
  if (c.load_best_model_at_end && !c.keep_best_checkpoint)
    throw UsageError("load_best_model_at_end needs the best checkpoint: set keep_best_checkpoint to true");
  expect_consistent(c.lora, c.optimizer);
  if (c.lora.use_peft && c.sync_ref_model && c.ref_model_mixup_alpha != 1)
    throw UsageError("ref_model_mixup_alpha is " + Json(c.ref_model_mixup_alpha).dump() +
                     ": the mean of two adapters' factors is not that of their weights; with use_peft it is 1");
  if (c.eval_steps > 0 && c.eval_tasks.empty())
    throw UsageError("eval_steps is " + std::to_string(c.eval_steps) + " but eval_tasks is empty");
}

}  // namespace cohort
