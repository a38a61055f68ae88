// What an on-policy distillation holds between two steps, and how it is stored.
#pragma once
#include <memory>
#include <optional>

#include "distill/on_policy/on_policy.h"
#include "distill/teachers/remote_logprobs.h"
#include "policy/load.h"
#include "rewards/compose.h"
#include "rollout/collect.h"
#include "tasks/task_set.h"

namespace cohort {

/// One model and what samples from it.
struct Side {
  LoadedModel loaded;
  std::unique_ptr<Engine> engine;  // null where nothing does
};

/// What may refuse its input comes before the models are loaded.
struct OnPolicyJob {
  OnPolicyJob(const DistillConfig& config, Run opened);

  const DistillConfig& config;
  Scorer scorer, eval_scorer;
  TaskSet tasks;
  std::optional<SftSet> rows;  // given completions
  std::vector<Task> eval_tasks;
  Run run;
  Compute compute;
  std::optional<LogprobServer> server;  // the teacher, where it is none of this process
  Side student, teacher;
  Learner learner;
  EarlierCompletions earlier, evaluated;  // of the student
  int64_t longest_prompt = 0;             // that the engines take
  int64_t num_tokens = 0, sampled_tokens = 0;
  double seconds = 0;  // of rollouts and updates so far, earlier attempts included

  int threads() const { return config.threads ? config.threads : usable_cores(); }
  int64_t step() const { return learner.step(); }
  bool is_over() const { return step() >= max_steps(); }
  int64_t max_steps() const { return config.student.max_steps.value_or(kMaxSteps); }
  const Tokenizer& tokenizer() const { return *student.loaded.tokenizer; }
  int32_t context() const {  // the shorter one
    return std::min(student.loaded.model.spec.max_position,
                    server ? server->max_model_len - 1 : teacher.loaded.model.spec.max_position);
  }
};

/// A few prompts and the tokens with the highest ids, special ones among them: by these a server's vocabulary is told.
std::vector<std::string> probe_texts(const DistillConfig& config, const Tokenizer& student);

/// Longer engines where one of these prompts does not fit; what they sample does not depend on their length.
void make_room(OnPolicyJob& job, std::span<const Task> tasks);

void checkpoint(OnPolicyJob& job);
/// Goes on from the checkpoint that the run found, if any.
void resume(OnPolicyJob& job);

}  // namespace cohort
