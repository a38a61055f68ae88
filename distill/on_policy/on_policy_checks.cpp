// What on-policy distillation is refused for.
#include <algorithm>

#include "configs/error.h"
#include "distill/on_policy/on_policy_job.h"
#include "distill/on_policy/vocabulary.h"
#include "grpo/train_checks.h"
#include "policy/adapter.h"
#include "policy/load.h"
#include "rollout/evaluate.h"
#include "rollout/sampling_options.h"
#include "tasks/task_set.h"

namespace cohort {
namespace {

std::string number(double value) {
  return Json(value).dump();
}

void expect_consistent_divergence(const OnPolicyConfig& c) {
  const bool is_top_k = c.distillation_mode == "topk_logits";
  if (is_top_k != (c.divergence.loss_top_k > 0))
    throw UsageError("distillation_mode is " + c.distillation_mode + " and loss_top_k " +
                     std::to_string(c.divergence.loss_top_k) +
                     ": topk_logits needs a number of tokens, the other modes 0");
  if (c.distillation_mode != "sampled_token") return;
  if (c.divergence.beta != 1)
    throw UsageError("distillation_mode sampled_token estimates the reverse KL, and beta is " +
                     number(c.divergence.beta) + ": set beta to 1");
  if (c.lmbda < 1)
    throw UsageError("distillation_mode sampled_token learns from the student's own samples alone, and lmbda is " +
                     number(c.lmbda) + ": set lmbda to 1");
}

void expect_completions(const DistillConfig& c) {
  const OnPolicyConfig& o = c.on_policy;
  if (o.lmbda == 1 && o.seq_kd)
    throw UsageError("seq_kd lets the teacher sample what the student does not, and with lmbda 1 that is nothing");
  if (o.lmbda == 1 && !c.student.tasks.empty())
    throw UsageError(
        "student.tasks has the completions that the student does not sample, and with lmbda 1 those are none: leave it "
        "out, or lower lmbda");
  if (o.lmbda < 1 && o.seq_kd != c.student.tasks.empty())
    throw UsageError("lmbda is " + number(o.lmbda) +
                     ": the other completions come from student.tasks or, with seq_kd, from the teacher; name one");
}

void expect_sampling(const DistillConfig& c) {
  const OnPolicyConfig& o = c.on_policy;
  if (c.sampling.temperature < 1e-3)
    throw UsageError("temperature is " + number(c.sampling.temperature) +
                     ": it is of the sampling and of both distributions, and needs 0.001 or more");
  if (c.sampling.keep_sampling_mask)
    throw UsageError("keep_sampling_mask leaves the teacher other tokens than the student: leave it out");
  const bool is_policy_gradient = o.distillation_weight < 1 || o.distillation_mode == "sampled_token";
  if (is_policy_gradient && has_penalties(c.sampling))
    throw UsageError(
        "repetition_penalty, presence_penalty, frequency_penalty and logit_bias are of no model: sampled_token and a "
        "distillation_weight below 1 need samples of the student itself");
  if (c.sampling.min_tokens > c.sampling.max_completion_length)
    throw UsageError("min_tokens is " + std::to_string(c.sampling.min_tokens) + ", more than max_completion_length " +
                     std::to_string(c.sampling.max_completion_length));
  if (o.distillation_weight < 1 && c.num_generations < 2 && o.advantage.scale_rewards != "none")
    throw UsageError("num_generations is " + std::to_string(c.num_generations) +
                     ": an advantage relative to the group needs at least 2");
}

void expect_remote(const DistillConfig& c) {
  if (c.on_policy.distillation_mode != "sampled_token")
    throw UsageError("a teacher by URL tells log p of the sampled tokens alone, and distillation_mode is " +
                     c.on_policy.distillation_mode + ": set it to sampled_token, or name a model of this machine");
  if (c.sampling.temperature != 1)
    throw UsageError("a teacher by URL tells log p at temperature 1, and temperature is " +
                     number(c.sampling.temperature) + ": set it to 1");
}

/// Throws UsageError where the teacher's vocabulary is another; returns the shorter context.
int32_t expect_teacher(const DistillConfig& config, const std::string& teacher, const Tokenizer& tokenizer,
                       const ModelSpec& student) {
  if (openai::is_url(teacher)) {
    expect_remote(config);
    return std::min(
        student.max_position,
        expect_logprob_server(teacher, config.remote, tokenizer, probe_texts(config, tokenizer)).max_model_len - 1);
  }
  const ModelSpec spec = load_spec(teacher);
  expect_same_vocabulary(expect_tokenizer(teacher), spec.vocab, tokenizer, student.vocab);
  return std::min(student.max_position, spec.max_position);
}

/// Throws UsageError naming the key for values that do not go together.
void validate(const DistillConfig& c) {
  if (c.rewards.empty()) throw UsageError("rewards is empty: name at least one (cohort score --list shows them)");
  expect_rewards(c.rewards);
  expect_consistent_divergence(c.on_policy);
  expect_completions(c);
  expect_sampling(c);
  if (c.student.num_train_epochs != 0)
    throw UsageError(
        "student.num_train_epochs counts passes over rows, and on_policy has samples: set "
        "student.max_steps in its place");
  if (!c.student.eval_tasks.empty() || c.student.eval_steps != 0 || c.student.keep_best_checkpoint ||
      c.student.load_best_model_at_end)
    throw UsageError(
        "student.eval_tasks, eval_steps, keep_best_checkpoint and load_best_model_at_end are of rows of "
        "supervised tuning: on_policy has eval_tasks and eval_steps outside student");
  if (c.student.mtp_loss_weight != 0)
    throw UsageError("student.mtp_loss_weight is for rows of supervised tuning: set it to 0");
  if (c.on_policy.eval_steps > 0 && c.on_policy.eval_tasks.empty())
    throw UsageError("eval_steps is " + std::to_string(c.on_policy.eval_steps) + " but eval_tasks is empty");
}

}  // namespace

int64_t prompt_room(const DistillConfig& c, int64_t context) {
  const int64_t room = context - c.sampling.max_completion_length;
  if (room < 1)
    throw UsageError("max_completion_length is " + std::to_string(c.sampling.max_completion_length) +
                     ", the shorter context of student and teacher is " + std::to_string(context) +
                     " tokens: lower max_completion_length");
  return room;
}

void expect_on_policy_runnable(const DistillConfig& config, const std::string& teacher, const std::string& student) {
  validate(config);
  if (!openai::is_url(teacher)) load_spec(teacher);  // first: what is absent is named
  const Tokenizer tokenizer = expect_tokenizer(student);
  const ModelSpec spec = load_spec(student);
  expect_consistent(config.student.lora, config.student.optimizer), expect_targets(spec, config.student.lora);
  const int64_t room = prompt_room(config, expect_teacher(config, teacher, tokenizer, spec));
  longest_prompt(open_task_set(config.tasks, config.seed).streams(), tokenizer, room);
  for (const Task& task : read_all_tasks(config.on_policy.eval_tasks)) length_of(task, tokenizer, room);
  if (!config.student.tasks.empty()) open_sft_set(config.student.tasks, config.seed);
}

}  // namespace cohort
