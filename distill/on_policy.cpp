#include "distill/on_policy.h"

#include <algorithm>

#include "configs/error.h"
#include "configs/interrupts.h"
#include "configs/progress.h"
#include "distill/on_policy_loss.h"
#include "grpo/checkpoint.h"
#include "grpo/report/report.h"
#include "grpo/train_checks.h"
#include "grpo/train_metrics.h"
#include "policy/kernels/philox.h"
#include "policy/load.h"
#include "policy/save.h"
#include "rollout/collect.h"
#include "rollout/evaluate.h"
#include "tasks/task_set.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

bool needs_rows(const OnPolicyConfig& c) {
  return c.lmbda < 1 && !c.seq_kd;
}
bool is_scored(const OnPolicyConfig& c) {
  return c.distillation_weight < 1;
}

/// One model and what samples from it.
struct Side {
  LoadedModel loaded;
  std::unique_ptr<Engine> engine;
};

/// Everything a run holds between two steps. What may refuse its input comes before the models are loaded.
struct Job {
  Job(const DistillConfig& c, Run opened)
      : config(c),
        scorer(reward_specs(c.rewards), threads()),
        eval_scorer(reward_specs({c.rewards[0]}), threads()),
        tasks(open_task_set(c.tasks, c.seed)),
        eval_tasks(read_all_tasks(c.on_policy.eval_tasks)),
        run(std::move(opened)),
        compute(threads()),
        student{load_with_tokenizer(c.student.model, compute, c.student.bf16)},
        teacher{load_with_tokenizer(c.teacher, compute, c.student.bf16, Weights::packed)},
        learner(student.loaded.model, compute, c.student.optimizer, c.sampling.temperature) {
    if (needs_rows(c.on_policy)) rows.emplace(open_sft_set(c.student.tasks, c.seed));
  }

  const DistillConfig& config;
  Scorer scorer, eval_scorer;
  TaskSet tasks;
  std::optional<SftSet> rows;  // given completions
  std::vector<Task> eval_tasks;
  Run run;
  Compute compute;
  Side student, teacher;
  Learner learner;
  EarlierCompletions earlier, evaluated;  // of the student
  int64_t longest_prompt = 0;             // that the engines take
  int64_t num_tokens = 0, sampled_tokens = 0;
  double seconds = 0;

  int threads() const { return config.threads ? config.threads : usable_cores(); }
  int64_t step() const { return learner.step(); }
  const Tokenizer& tokenizer() const { return *student.loaded.tokenizer; }
  bool is_over() const { return step() >= config.student.max_steps; }
};

int32_t shorter_context(const ModelSpec& teacher, const ModelSpec& student) {
  return std::min(teacher.max_position, student.max_position);
}

/// Longer engines where one of these prompts does not fit; what they sample does not depend on their length.
void make_room(Job& job, std::span<const Task> tasks) {
  const DistillConfig& c = job.config;
  const ModelSpec &theirs = job.teacher.loaded.model.spec, &ours = job.student.loaded.model.spec;
  int64_t longest = job.longest_prompt;
  for (const Task& task : tasks)
    longest = std::max(longest, length_of(task, job.tokenizer(), prompt_room(c, theirs, ours)));
  if (longest == job.longest_prompt) return;
  job.longest_prompt = round_up(longest, kKeyBlock);
  const int64_t length =
      std::min<int64_t>(shorter_context(theirs, ours), job.longest_prompt + c.sampling.max_completion_length);
  for (Side* side : {&job.student, &job.teacher}) {
    extend_rope(side->loaded.model, length);
    side->engine.reset();  // its key/value cache first
    if (side == &job.student || c.on_policy.seq_kd)
      side->engine = std::make_unique<Engine>(side->loaded.model, job.compute, &job.tokenizer(), c.engine, length);
  }
}

/// Whether the student samples the completions of the next step: a function of seed and step alone.
bool student_samples(const Job& job) {
  const auto bits =
      philox({uint32_t(job.step()), 0x6c6d6264u, 0, 0}, {uint32_t(job.config.seed), uint32_t(job.config.seed >> 32)});
  return double(uniform(bits[0])) < job.config.on_policy.lmbda;
}

/// Groups of the next prompts by student or teacher, scored where their advantage counts.
std::vector<Group> sample(Job& job, bool by_student, Progress& progress) {
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
               .max_steps = c.student.max_steps,
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

Lessons given_completions(Job& job) {
  const SftConfig& c = job.config.student;
  const int64_t context = shorter_context(job.teacher.loaded.model.spec, job.student.loaded.model.spec);
  const int32_t length = int32_t(std::min<int64_t>(c.max_length, context));
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

Lessons sampled_completions(Job& job, bool by_student, Progress& progress) {
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

/// One optimizer step; the metrics row without times.
Json learn(Job& job, Lessons& lessons, bool by_student) {
  const OnPolicyConfig& c = job.config.on_policy;
  const bool is_sampled_token = c.distillation_mode == "sampled_token", scored = by_student && is_scored(c);
  const double weight = scored ? c.distillation_weight : 1;
  const CausalLM& teacher = job.teacher.loaded.model;
  if (is_sampled_token)
    for (MicroBatch& batch : lessons.batches) job.learner.fill_teacher_logprobs(teacher, batch);
  const Teaching teaching{teacher, c.divergence, weight / std::max(1.0, lessons.scale.num_tokens)};
  const StepStats stats = job.learner.step(
      lessons.batches,
      [&](const TokenBatch& batch, const TokenGradient& d) {
        return on_policy_loss(weight, is_sampled_token, batch, lessons.scale, d);
      },
      job.config.student.max_steps, {}, is_sampled_token ? nullptr : &teaching);
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

Json evaluate(Job& job) {
  make_room(job, job.eval_tasks);
  SamplingConfig sampling = job.config.sampling;
  sampling.temperature = job.config.on_policy.eval_temperature;
  const std::vector<Group> groups =
      collect(*job.student.engine, job.student.loaded.model, job.tokenizer(), &job.eval_scorer,
              {.tasks = job.eval_tasks,
               .sampling = sampling,
               .seed = job.config.seed,
               .step = -1,
               .max_steps = job.config.student.max_steps,
               .earlier = &job.evaluated});
  return evaluation_metrics(groups, job.run.folder / "evaluations", job.step());
}

bool due(int64_t step, int64_t every) {
  return every > 0 && step % every == 0;
}

/// One optimizer step, with evaluations where they are due; its row of metrics.
Json take_step(Job& job, Progress& progress) {
  const OnPolicyConfig& c = job.config.on_policy;
  Clock clock;
  Json evaluation = Json::object();
  if (job.step() == 0 && c.eval_steps > 0) evaluation = of_the_start(evaluate(job));
  double eval_seconds = clock.lap();
  const bool by_student = student_samples(job);
  Lessons lessons = by_student || c.seq_kd ? sampled_completions(job, by_student, progress) : given_completions(job);
  const double rollout_seconds = clock.lap();
  if (!lessons.groups.empty() && due(job.step(), c.log_completions_steps))
    write_groups(job.run.folder / "completions" / step_file(job.step() + 1), lessons.groups);
  Json row = learn(job, lessons, by_student);
  const double learn_seconds = clock.lap();
  job.seconds += rollout_seconds + learn_seconds;
  if (c.eval_steps > 0 && (due(job.step(), c.eval_steps) || job.is_over())) row.update(evaluate(job));
  row.update(evaluation);
  eval_seconds += clock.lap();
  row.update({{"timing_s/gen", rollout_seconds},
              {"timing_s/update_actor", learn_seconds},
              {"timing_s/eval", eval_seconds},
              {"step_time", rollout_seconds + learn_seconds}});
  return row;
}

void resume(Job& job) {
  if (!job.run.checkpoint) return;
  RunState state = load_checkpoint(*job.run.checkpoint, job.learner, job.student.loaded.model, job.compute, nullptr);
  job.tasks.restore(state.cursor.at("tasks"));
  if (job.rows) job.rows->restore(state.cursor.at("rows"));
  job.num_tokens = state.counters.at("num_tokens"), job.sampled_tokens = state.counters.at("sampled_tokens");
  job.seconds = state.counters.at("seconds");
}

void checkpoint(Job& job) {
  RunState state{
      .step = job.step(),
      .cursor = {{"tasks", job.tasks.state()}},
      .counters = {{"num_tokens", job.num_tokens}, {"sampled_tokens", job.sampled_tokens}, {"seconds", job.seconds}},
      .config = job.run.config};
  if (job.rows) state.cursor["rows"] = job.rows->state();
  save_checkpoint(job.run.folder, job.learner, job.student.loaded.model, &job.tokenizer(), state, nullptr);
  limit_checkpoints(job.run.folder, job.config.student.save_total_limit);
}

/// final/ comes last: once it stands, the run is finished.
void finish(Job& job) {
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
  Job job(config, std::move(run));
  resume(job);
  TrainResult result{.final_folder = job.run.folder / "final"};
  auto summed = [&] { return result.seconds = job.seconds, result.tokens = job.sampled_tokens, result; };
  if (job.run.is_over || (job.run.finished && job.is_over())) return summed();
  if (interrupted())
    throw Interrupted("interrupted before the first step, nothing to save: go on with the same command and --resume");
  warn_of_leaks(job.tasks.streams(), job.eval_tasks);
  begin_run(job.run, job.step());
  RunMetrics metrics(job.run.folder, job.step());
  Progress progress("distilling", "steps", config.student.max_steps, job.step());
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
