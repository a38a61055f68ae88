#include "rollout/evaluate.h"

#include <algorithm>

#include "configs/error.h"
#include "configs/interrupts.h"
#include "configs/progress.h"
#include "policy/kernels/philox.h"
#include "rewards/math/extract.h"

namespace cohort {

std::vector<RewardSpec> reward_specs(const std::vector<Json>& rewards) {
  std::vector<RewardSpec> specs;
  for (const Json& reward : rewards) specs.push_back(reward_from_json(reward));
  return specs;
}

void expect_rewards(const std::vector<Json>& rewards) {
  if (!rewards.empty()) Scorer(reward_specs(rewards), 1);
}

std::vector<Task> read_all_tasks(const std::vector<TaskSource>& sources) {
  std::vector<Task> tasks;
  for (const TaskSource& source : sources)
    for (Task& task : read_tasks(source)) tasks.push_back(std::move(task));
  return tasks;
}

int64_t longest_prompt(std::span<const Task> tasks, const Tokenizer& tokenizer, const SamplingConfig& sampling,
                       const ModelSpec& spec) {
  int64_t longest = 1;
  for (const Task& task : tasks) {
    int64_t length = int64_t(encode_prompt(tokenizer, task.prompt).size());
    if (length + sampling.max_completion_length > spec.max_position)
      throw UsageError("the prompt of task " + task.id + " has " + std::to_string(length) +
                       " tokens; with max_completion_length " + std::to_string(sampling.max_completion_length) +
                       " it does not fit the model's context of " + std::to_string(spec.max_position));
    longest = std::max(longest, length);
  }
  return longest;
}

void expect_runnable(const EvalConfig& config, const std::string& model) {
  expect_rewards(config.rewards), expect_rewards(config.lenient_rewards);
  const std::vector<Task> tasks = read_all_tasks(config.tasks);
  std::ranges::for_each(tasks, expect_no_own_reward);
  longest_prompt(tasks, expect_tokenizer(model), config.sampling, load_spec(model));
}

std::unique_ptr<Engine> engine_for(CausalLM& model, const Compute& compute, const Tokenizer& tokenizer,
                                   std::span<const Task> tasks, const SamplingConfig& sampling,
                                   const EngineConfig& config) {
  const int64_t longest = longest_prompt(tasks, tokenizer, sampling, model.spec);
  extend_rope(model, longest + sampling.max_completion_length);
  return std::make_unique<Engine>(model, compute, &tokenizer, config, longest + sampling.max_completion_length);
}

std::vector<Group> evaluate(LoadedModel& loaded, const Compute& compute, const EvalConfig& config,
                            std::span<const Task> tasks, const GroupStore& store) {
  std::ranges::for_each(tasks, expect_no_own_reward);
  Scorer scorer(reward_specs(config.rewards), compute.pool.num_threads());
  std::unique_ptr<Engine> engine =
      engine_for(loaded.model, compute, *loaded.tokenizer, tasks, config.sampling, config.engine);
  Progress progress("evaluating", "tasks", int64_t(tasks.size()));
  CollectJob job{.tasks = tasks,
                 .num_generations = config.num_generations,
                 .sampling = config.sampling,
                 .seed = config.seed,
                 .step = -1};
  return collect(*engine, loaded.model, *loaded.tokenizer, &scorer, job, store, [&](int64_t done) {
    progress.update(done);
    if (interrupted())
      throw Interrupted("interrupted after " + std::to_string(done) + " of " + std::to_string(tasks.size()) + " tasks" +
                        (store.keep ? ": go on with the same command" : ""));
  });
}

double pass_at_k(int64_t n, int64_t c, int64_t k) {
  if (n - c < k) return 1.0;
  double miss = 1;  // Π (1 − k/i), i = n−c+1 … n
  for (int64_t i = n - c + 1; i <= n; ++i) miss *= 1.0 - double(k) / double(i);
  return 1.0 - miss;
}

std::pair<double, double> bootstrap_interval(std::span<const double> values, int num_resamples) {
  if (values.empty()) return {0, 0};
  std::vector<double> means;
  for (int r = 0; r < num_resamples; ++r) {
    double sum = 0;
    for (size_t i = 0; i < values.size(); ++i)
      sum += values[philox({uint32_t(i), uint32_t(r), 0, 0}, {95, 0})[0] % values.size()];
    means.push_back(sum / double(values.size()));
  }
  std::sort(means.begin(), means.end());
  return {means[size_t(0.025 * (num_resamples - 1))], means[size_t(0.975 * (num_resamples - 1))]};
}

Evaluation summarize(std::span<const Group> groups) {
  Evaluation e;
  double length = 0, truncated = 0;
  for (const Group& group : groups) {
    int64_t correct = 0;
    for (const Rollout& r : group.rollouts) {
      correct += r.score.status == Status::correct;
      length += double(r.completion.tokens.size());
      truncated += r.completion.finish == FinishReason::length;
    }
    ++e.tasks, e.correct += correct, e.rollouts += int64_t(group.rollouts.size());
    e.task_score.push_back(group.rollouts.empty() ? 0.0 : double(correct) / double(group.rollouts.size()));
  }
  for (double score : e.task_score) e.pass_at_1 += score / double(e.tasks);
  std::tie(e.ci_low, e.ci_high) = bootstrap_interval(e.task_score);
  if (e.rollouts) e.mean_length = length / double(e.rollouts), e.truncated = truncated / double(e.rollouts);
  return e;
}

Gain paired_gain(const Evaluation& before, const Evaluation& after) {
  if (before.task_score.size() != after.task_score.size())
    throw UsageError("the evaluation to compare with has " + std::to_string(before.task_score.size()) +
                     " tasks, this one has " + std::to_string(after.task_score.size()));
  std::vector<double> differences;
  for (size_t i = 0; i < after.task_score.size(); ++i)
    differences.push_back(after.task_score[i] - before.task_score[i]);
  Gain gain;
  for (double d : differences) gain.mean += d / double(differences.size());
  std::tie(gain.ci_low, gain.ci_high) = bootstrap_interval(differences);
  return gain;
}

bool majority_is_correct(const Group& group, int64_t k) {
  struct Answer {
    Task task;  // whose reference is this answer
    int64_t votes;
    bool correct;
  };
  const Scorer same({{.name = "accuracy"}}, 1);
  std::vector<Answer> answers;
  for (size_t i = 0; i < std::min(group.rollouts.size(), size_t(k)); ++i) {
    const Rollout& rollout = group.rollouts[i];
    const std::vector<std::string> readings = math::extract_answer(rollout.text, {.last_number = true});
    if (readings.empty()) continue;
    const auto found = std::find_if(answers.begin(), answers.end(), [&](const Answer& answer) {
      const Judged judged{&answer.task, rollout.text};
      return answer.task.answer == readings[0] || same.judge({&judged, 1})[0].status == Status::correct;
    });
    if (found != answers.end())
      ++found->votes;
    else
      answers.push_back({{.id = group.task.id, .answer = readings[0], .extra = Json::object()},
                         1,
                         rollout.score.status == Status::correct});
  }
  const auto most = std::max_element(answers.begin(), answers.end(),
                                     [](const Answer& a, const Answer& b) { return a.votes < b.votes; });
  return most != answers.end() && most->correct;
}

}  // namespace cohort
