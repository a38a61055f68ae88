#include "distill/distill.h"

#include <algorithm>

#include "configs/error.h"
#include "configs/interrupts.h"
#include "distill/on_policy/on_policy.h"
#include "distill/teachers/openai.h"
#include "distill/traces/traces.h"
#include "rollout/evaluate.h"
#include "tasks/task_set.h"

namespace cohort {
namespace {

/// What can be known before there are traces.
void expect_student(const SftConfig& config, const std::string& model) {
  if (config.num_train_epochs != 0 && config.max_steps)
    throw UsageError(
        "student.num_train_epochs and student.max_steps both say how long the student learns: leave one out");
  expect_settings(config, model);
}

}  // namespace

void expect_runnable(const DistillConfig& config, const std::string& teacher, const std::string& student) {
  if (config.mode == "on_policy") return expect_on_policy_runnable(config, teacher, student);
  expect_rewards(config.rewards);
  expect_consistent(config.filters);
  read_all_tasks(config.filters.decontaminate);
  if (!config.difficulty_weights.empty() && config.max_traces == 0)
    throw UsageError("difficulty_weights share out max_traces, which is 0: say how many traces there are to be");
  if (!config.difficulty_weights.empty() && std::ranges::max(config.difficulty_weights) <= 0)
    throw UsageError("difficulty_weights are all 0: at least one has to be more");
  const std::vector<Task> tasks = open_task_set(config.tasks, config.seed).next(config.num_prompts);
  std::ranges::for_each(tasks, expect_no_own_reward);
  if (openai::is_url(teacher))
    openai::expect_server(teacher, config.remote);
  else
    longest_prompt(tasks, expect_tokenizer(teacher), config.sampling, load_spec(teacher));
  expect_student(config.student, student);
}

TrainResult distill(const DistillConfig& config, const RunRequest& request) {
  watch_interrupts();
  Run run = open_run(request, dump_config(config), read_stored_config<DistillConfig>);
  expect_runnable(config, config.teacher, config.student.model);  // before the teacher samples
  if (config.mode == "on_policy") return on_policy(config, std::move(run));
  const SampledTraces sampled = sample_traces(config, run);
  SftConfig student = config.student;
  student.tasks = {TaskSource{.reference = (run.folder / "traces.jsonl").string(), .split = "all"}};
  TrainResult result = sft(student, std::move(run));
  result.seconds += sampled.seconds, result.tokens += sampled.tokens;
  return result;
}

}  // namespace cohort
