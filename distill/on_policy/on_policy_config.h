// Keys of on-policy distillation, under the names of TRL's distillation trainers where those have one.
#pragma once
#include "grpo/advantage.h"
#include "grpo/loss/vocab_loss.h"
#include "tasks/source.h"

namespace cohort {

struct OnPolicyConfig {
  std::string distillation_mode = "full_logits";
  DivergenceConfig divergence;
  double distillation_weight = 1.0;
  double lmbda = 1.0;
  bool seq_kd = false;
  AdvantageConfig advantage;
  std::vector<TaskSource> eval_tasks;
  int64_t eval_steps = 0;
  double eval_temperature = 0.0;
  int64_t log_completions_steps = 10;
};
template <class V>
void visit_fields(V& v, OnPolicyConfig& c) {
  v.field("distillation_mode", c.distillation_mode,
          "on_policy: what student and teacher are compared in: whole distributions, their loss_top_k most likely "
          "tokens, or log p of the sampled token alone (reverse KL as a policy gradient)",
          one_of({"full_logits", "topk_logits", "sampled_token"}));
  visit_fields(v, c.divergence);
  v.field("distillation_weight", c.distillation_weight,
          "on_policy: the loss is this times the divergence plus the rest of 1 times GRPO's loss from rewards; at 1 "
          "nothing is scored",
          between(0, 1));
  v.field("lmbda", c.lmbda,
          "on_policy: share of the optimizer steps whose completions the student samples; the others take rows of "
          "student.tasks, or with seq_kd completions of the teacher",
          between(0, 1));
  v.field("seq_kd", c.seq_kd, "on_policy: the teacher samples what the student does not");
  visit_fields(v, c.advantage);
  v.field("eval_tasks", c.eval_tasks, "on_policy: held-out tasks of the evaluation, by the first of rewards");
  v.field("eval_steps", c.eval_steps,
          "on_policy: optimizer steps between evaluations; also before the first and after the last; 0: none",
          at_least(0));
  v.field("eval_temperature", c.eval_temperature, "on_policy: of the evaluation's sampling", at_least(0));
  v.field("log_completions_steps", c.log_completions_steps,
          "on_policy: optimizer steps between stored samples of completions; 0: none", at_least(0));
}

}  // namespace cohort
