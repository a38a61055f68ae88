#include "distill/on_policy/on_policy.h"

#include <algorithm>

#include "configs/error.h"
#include "configs/interrupts.h"
#include "configs/progress.h"
#include "distill/on_policy/on_policy_job.h"
#include "distill/on_policy/on_policy_loss.h"
#include "grpo/checkpoint.h"
#include "grpo/report/report.h"
#include "grpo/train_checks.h"
#include "grpo/train_metrics.h"
#include "policy/kernels/philox.h"
#include "policy/save.h"
#include "rollout/evaluate.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

bool is_scored(const OnPolicyConfig& c) {
  return c.distillation_weight < 1;
}

/// Whether the student samples the completions of the next step: a function of seed and step alone.
bool student_samples(const OnPolicyJob& job) {
  const auto bits =
      philox({uint32_t(job.step()), 0x6c6d6264u, 0, 0}, {uint32_t(job.config.seed), uint32_t(job.config.seed >> 32)});
  return double(uniform(bits[0])) < job.config.on_policy.lmbda;
}

/// Groups of the next prompts by student or teacher, scored where their advantage counts.
std::vector<Group> sample(OnPolicyJob& job, bool by_student, Progress& progress) {
  const DistillConfig& c = job.config;
  const std::vector<Task> tasks = job.tasks.next(c.prompts_per_step);
  make_room(job, tasks);
  Side& side = by_student ? job.student : job.teacher;
  const bool scored = by_student && is_scored(c.on_policy);
  std::vector<Group> groups =
      collect(*side.engine, side.loaded.model, job.tokenizer(), scored ? &job.scorer : nullptr,
              {.tasks = tasks,
               .num_generations = c.num_generations,
               .sampling = c.sampling,
               .seed = c.seed,
               .step = job.step(),
               .max_steps = job.max_steps(),
               .earlier = by_student ? &job.earlier : nullptr},
              {}, [&](int64_t done) {
                progress.update(job.step(), "rollout " + std::to_string(done) + "/" + std::to_string(tasks.size()));
              });
  if (scored) compute_advantages(groups, c.on_policy.advantage, component_weights(reward_specs(c.rewards)));
  for (const Group& group : groups)
    for (const Rollout& r : group.rollouts)
      job.sampled_tokens += int64_t(r.completion.tokens.size()),
          job.num_tokens += int64_t(group.prompt.size() + r.completion.tokens.size());
  return groups;
}

/// What one optimizer step learns from.
struct Lessons {
  std::vector<Group> groups;  // sampled, or
  std::vector<SftSequence> sequences;
  std::vector<MicroBatch> batches;
  LossScale scale;
};

Lessons given_completions(OnPolicyJob& job) {
  const SftConfig& c = job.config.student;
  const int32_t length = std::min(c.max_length, job.context());
  for (Side* side : {&job.student, &job.teacher}) extend_rope(side->loaded.model, length);
  Lessons lessons;
  for (const SftRow& row : job.rows->next(c.rows_per_step)) {
    const SftSequence& s = lessons.sequences.emplace_back(encode_row(job.tokenizer(), row, length));
    for (size_t i = 1; i < s.mask.size(); ++i) lessons.scale.num_tokens += s.mask[i];
    job.num_tokens += int64_t(s.tokens.size());
  }
  lessons.batches = pack_sequences(lessons.sequences, c.pack);
  return lessons;
}

Lessons sampled_completions(OnPolicyJob& job, bool by_student, Progress& progress) {
  Lessons lessons{.groups = sample(job, by_student, progress)};
  lessons.batches = pack(lessons.groups, job.config.student.pack, Keep::all);
  lessons.scale = loss_scale(lessons.groups, job.config.student.pack, job.config.sampling.max_completion_length);
  return lessons;
}

/// Lengths, and scores where there are any.
Json completion_metrics(std::span<const Group> groups, bool scored) {
  Json row = group_metrics(groups);
  if (!scored)
    for (const char* key : {"reward", "reward_std", "frac_reward_zero_std", "verifier_error_rate"}) row.erase(key);
  return row;
}

/// Of the tokens that the student sampled.
void fill_teacher_logprobs(OnPolicyJob& job, Lessons& lessons) {
  if (!job.server) {
    for (MicroBatch& batch : lessons.batches) job.learner.fill_teacher_logprobs(job.teacher.loaded.model, batch);
    return;
  }
  const std::vector<float> all = remote_logprobs(*job.server, lessons.groups);
  auto next = all.begin();
  for (MicroBatch& batch : lessons.batches) {
    const auto end = next + std::ptrdiff_t(batch.target_token.size());
    batch.loss.ref_logprobs.assign(next, end);
    next = end;
  }
}

/// One optimizer step; the metrics row without times.
Json learn(OnPolicyJob& job, Lessons& lessons, bool by_student) {
  const OnPolicyConfig& c = job.config.on_policy;
  const bool is_sampled_token = c.distillation_mode == "sampled_token", scored = by_student && is_scored(c);
  const double weight = scored ? c.distillation_weight : 1;
  const CausalLM& teacher = job.teacher.loaded.model;
  if (is_sampled_token) fill_teacher_logprobs(job, lessons);
  const Teaching teaching{teacher, c.divergence, weight / std::max(1.0, lessons.scale.num_tokens)};
  const StepStats stats = job.learner.step(
      lessons.batches,
      [&](const TokenBatch& batch, const TokenGradient& d) {
        return on_policy_loss(weight, is_sampled_token, batch, lessons.scale, d);
      },
      job.max_steps(), {}, is_sampled_token ? nullptr : &teaching);
  const double tokens = std::max(1.0, lessons.scale.num_tokens);
  Json row = {{"step", job.step()},
              {"loss", stats.sums.loss},
              {"kl", stats.sums.kl / tokens},
              {"entropy", stats.sums.entropy / tokens},
              {"on_policy", by_student ? 1 : 0},
              {"grad_norm", stats.grad_norm},
              {"learning_rate", stats.learning_rate},
              {"num_tokens", job.num_tokens},
              {"learner_tokens", stats.learner_tokens}};
  if (scored) row["policy_loss"] = stats.sums.policy_loss;
  if (!lessons.groups.empty()) row.update(completion_metrics(lessons.groups, scored));
  return row;
}

Json evaluate(OnPolicyJob& job) {
  make_room(job, job.eval_tasks);
  SamplingConfig sampling = job.config.sampling;
  sampling.temperature = job.config.on_policy.eval_temperature;
  const std::vector<Group> groups =
      collect(*job.student.engine, job.student.loaded.model, job.tokenizer(), &job.eval_scorer,
              {.tasks = job.eval_tasks,
               .sampling = sampling,
               .seed = job.config.seed,
               .step = -1,
               .max_steps = job.max_steps(),
               .earlier = &job.evaluated});
  return evaluation_metrics(groups, job.run.folder / "evaluations", job.step());
}

bool due(int64_t step, int64_t every) {
  return every > 0 && step % every == 0;
}

/// One optimizer step, with evaluations where they are due; its row of metrics.
Json take_step(OnPolicyJob& job, Progress& progress) {
  const OnPolicyConfig& c = job.config.on_policy;
  Clock clock;
  Json evaluation = Json::object();
  if (job.step() == 0 && c.eval_steps > 0) evaluation = evaluate(job);
  double eval_seconds = clock.lap();
  const bool by_student = student_samples(job);
  Lessons lessons = by_student || c.seq_kd ? sampled_completions(job, by_student, progress) : given_completions(job);
  const double rollout_seconds = clock.lap();
  if (!lessons.groups.empty() && due(job.step(), c.log_completions_steps))
    write_groups(job.run.folder / "completions" / step_file(job.step() + 1), lessons.groups);
  Json row = learn(job, lessons, by_student);
  const double learn_seconds = clock.lap();
  job.seconds += rollout_seconds + learn_seconds;
  if (c.eval_steps > 0 && (due(job.step(), c.eval_steps) || job.is_over())) {
    row.update(of_the_start(evaluation));
    evaluation = evaluate(job);
  }
  row.update(evaluation);
  eval_seconds += clock.lap();
  row.update({{"timing_s/gen", rollout_seconds},
              {"timing_s/update_actor", learn_seconds},
              {"timing_s/eval", eval_seconds},
              {"step_time", rollout_seconds + learn_seconds}});
  return row;
}

/// final/ comes last: once it stands, the run is finished.
void finish(OnPolicyJob& job) {
  limit_checkpoints(job.run.folder, job.config.student.save_total_limit);  // a kill may have come between
  fs::path folders[] = {job.run.folder};
  write_report(folders, job.run.folder / "report.html");
  write_folder_durably(job.run.folder / "final", [&](const fs::path& folder) {
    save_model(job.student.loaded.model, job.student.loaded.tokenizer.get(), folder);
  });
}

std::string summary_line(const Json& row) {
  std::string line = "kl " + std::to_string(row["kl"].get<double>()).substr(0, 6);
  if (row.contains("eval/pass@1")) line += "  pass@1 " + std::to_string(row["eval/pass@1"].get<double>()).substr(0, 5);
  return line;
}

}  // namespace

TrainResult on_policy(const DistillConfig& config, Run run) {
  OnPolicyJob job(config, std::move(run));
  resume(job);
  TrainResult result{.final_folder = job.run.folder / "final"};
  auto summed = [&] { return result.seconds = job.seconds, result.tokens = job.sampled_tokens, result; };
  if (job.run.is_over || (job.run.finished && job.is_over())) return summed();
  if (interrupted())
    throw Interrupted("interrupted before the first step, nothing to save: go on with the same command and --resume");
  warn_of_leaks(job.tasks.streams(), job.eval_tasks);
  begin_run(job.run, job.step());
  RunMetrics metrics(job.run.folder, job.step());
  Progress progress("distilling", "steps", job.max_steps(), job.step());
  while (!job.is_over()) {
    const Json row = take_step(job, progress);
    metrics.log(row);
    progress.update(job.step(), summary_line(row));
    const bool stop = interrupted();
    if (stop || job.is_over() || due(job.step(), config.student.save_steps)) checkpoint(job);
    if (stop && !job.is_over())
      throw Interrupted("interrupted at step " + std::to_string(job.step()) +
                        ", a checkpoint is written: go on with the same command and --resume");
  }
  progress.finish();
  finish(job);
  return summed();
}

}  // namespace cohort
