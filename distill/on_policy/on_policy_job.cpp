#include "distill/on_policy/on_policy_job.h"

#include <algorithm>

#include "grpo/checkpoint.h"
#include "grpo/train_checks.h"
#include "policy/peft.h"
#include "rollout/evaluate.h"

namespace cohort {
namespace {

LoadedModel load_teacher(const DistillConfig& c, const Compute& compute) {
  if (openai::is_url(c.teacher)) return {};
  return load_with_tokenizer(c.teacher, compute, c.student.bf16, Weights::packed);
}

}  // namespace

OnPolicyJob::OnPolicyJob(const DistillConfig& c, Run opened)
    : config(c),
      scorer(reward_specs(c.rewards), threads()),
      eval_scorer(reward_specs({c.rewards[0]}), threads()),
      tasks(open_task_set(c.tasks, c.seed)),
      eval_tasks(read_all_tasks(c.on_policy.eval_tasks)),
      run(std::move(opened)),
      compute(threads()),
      student{load_to_learn(c.student.model, compute, c.student.bf16, c.student.lora, c.student.seed)},
      teacher{load_teacher(c, compute)},
      learner(student.loaded.model, compute, c.student.optimizer, c.sampling.temperature) {
  if (!c.student.tasks.empty()) rows.emplace(open_sft_set(c.student.tasks, c.seed));
  if (openai::is_url(c.teacher))
    server = expect_logprob_server(c.teacher, c.remote, tokenizer(), probe_texts(c, tokenizer()));
}

std::vector<std::string> probe_texts(const DistillConfig& config, const Tokenizer& student) {
  std::vector<std::string> texts(1);
  for (int32_t id = std::max(0, student.size() - 64); id < student.size(); ++id) texts[0] += student.token(id);
  for (const Task& task : open_task_set(config.tasks, config.seed).next(16))
    texts.push_back(task.prompt.back().content);
  return texts;
}

void make_room(OnPolicyJob& job, std::span<const Task> tasks) {
  const DistillConfig& c = job.config;
  const int64_t room = prompt_room(c, job.context());
  int64_t longest = 0;
  for (const Task& task : tasks) longest = std::max(longest, length_of(task, job.tokenizer(), room));
  if (longest <= job.longest_prompt) return;
  job.longest_prompt = round_up(longest, kKeyBlock);
  const int64_t length = std::min<int64_t>(job.context(), job.longest_prompt + c.sampling.max_completion_length);
  for (Side* side : {&job.student, &job.teacher}) {
    if (side == &job.teacher && job.server) break;
    extend_rope(side->loaded.model, length);
    side->engine.reset();  // its key/value cache first
    if (side == &job.student || c.on_policy.seq_kd)
      side->engine = std::make_unique<Engine>(side->loaded.model, job.compute, &job.tokenizer(), c.engine, length);
  }
}

void checkpoint(OnPolicyJob& job) {
  RunState state{
      .step = job.step(),
      .cursor = {{"tasks", job.tasks.state()}},
      .counters = {{"num_tokens", job.num_tokens}, {"sampled_tokens", job.sampled_tokens}, {"seconds", job.seconds}},
      .config = job.run.config};
  if (job.rows) state.cursor["rows"] = job.rows->state();
  save_checkpoint(job.run.folder, job.learner, job.student.loaded.model, &job.tokenizer(), state, nullptr);
  limit_checkpoints(job.run.folder, job.config.student.save_total_limit);
}

void resume(OnPolicyJob& job) {
  if (!job.run.checkpoint) return;
  RunState state = load_checkpoint(*job.run.checkpoint, job.learner, job.student.loaded.model, job.compute, nullptr);
  job.tasks.restore(state.cursor.at("tasks"));
  if (job.rows) job.rows->restore(state.cursor.at("rows"));
  job.num_tokens = state.counters.at("num_tokens"), job.sampled_tokens = state.counters.at("sampled_tokens");
  job.seconds = state.counters.at("seconds");
}

}  // namespace cohort
