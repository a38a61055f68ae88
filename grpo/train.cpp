#include "grpo/train.h"

#include <algorithm>
#include <cstdio>

#include "configs/durable_file.h"
#include "configs/error.h"
#include "configs/interrupts.h"
#include "configs/machine.h"
#include "configs/progress.h"
#include "grpo/checkpoint.h"
#include "grpo/plan.h"
#include "grpo/report/report.h"
#include "grpo/train_checks.h"
#include "grpo/train_metrics.h"
#include "grpo/train_options.h"
#include "grpo/train_rollout.h"
#include "grpo/train_step.h"
#include "policy/save.h"
#include "rollout/evaluate.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

void sync_reference(TrainJob& job) {
  const TrainConfig& c = job.config;
  if (!job.reference || !c.sync_ref_model || job.step() % c.ref_model_sync_steps) return;
  float alpha = float(c.ref_model_mixup_alpha);
  const Buffer& policy = trained_values(job.model());
  Buffer& reference = trained_values(*job.reference);
  for (int64_t i = 0; i < policy.size(); ++i) reference[i] = alpha * policy[i] + (1 - alpha) * reference[i];
  repack(*job.reference, job.compute);
}

/// pass@1 on the held-out tasks, sampled with a seed that no training step uses, and from the second time on what was
/// gained since the start.
Json evaluate(TrainJob& job) {
  const TrainConfig& c = job.config;
  SamplingConfig sampling = c.sampling;
  sampling.temperature = c.eval_temperature, sampling.keep_sampling_mask = false;  // nothing is learned from these
  std::vector<Group> groups = collect(*job.sampling.engine, job.model(), *job.loaded.tokenizer, &job.eval_scorer,
                                      {.tasks = job.eval_tasks,
                                       .num_generations = c.eval_num_generations,
                                       .sampling = sampling,
                                       .seed = c.seed,
                                       .step = -1,
                                       .max_steps = c.max_steps,
                                       .earlier = &job.evaluated});
  return evaluation_metrics(groups, job.run.folder / "evaluations", job.step());
}

/// The first of equals stays the best.
void note_best(TrainJob& job, double pass_at_1) {
  if (!job.config.keep_best_checkpoint || (job.best.step > 0 && pass_at_1 <= job.best.value)) return;
  job.best = {job.step(), pass_at_1};
}

bool out_of_time(const TrainJob& job) {
  return job.config.max_seconds > 0 && job.seconds >= job.config.max_seconds;
}
bool is_over(const TrainJob& job) {
  return job.step() >= job.config.max_steps || out_of_time(job);
}
bool due(int64_t step, int64_t every) {
  return every > 0 && step % every == 0;
}

std::string summary_line(const Json& row) {
  char text[128];
  std::snprintf(text, sizeof text, "reward %.3f  length %.1f  zero-std %.2f", row.value("reward", 0.0),
                row.value("completions/mean_length", 0.0), row.value("frac_reward_zero_std", 0.0));
  std::string line = text;
  if (row.contains("eval/pass@1")) line += "  pass@1 " + std::to_string(row["eval/pass@1"].get<double>()).substr(0, 5);
  if (const int64_t left = row.value("dynamic_sampling/groups_without_signal", int64_t(0)))
    line += "  no signal in " + std::to_string(left) + (left == 1 ? " group" : " groups");
  return line;
}

/// Whether the weights at the start of the rollout sampled it: then every log-probability has to be theirs to the bit.
bool is_on_policy(const TrainJob& job, const Json& row) {
  const int64_t inner = (job.step() - 1) % job.inner_steps();
  return job.config.groups.empty() && row.at("staleness/max") == inner;
}

/// Self-test: with a learning rate of 0 nothing may move, so every ratio of every inner step is exactly 1.
void expect_ratio_one(const Json& row) {
  for (const char* key :
       {"ratio/min", "ratio/max", "sampling/importance_sampling_ratio/min", "sampling/importance_sampling_ratio/max"})
    if (row.at(key) != 1.0)
      throw std::runtime_error(std::string("self-test: ") + key + " is " + row.at(key).dump() + " at step " +
                               row.at("step").dump() + ", must be exactly 1");
}

/// Says what is to come, and passes the largest micro-batch that may: memory is to run out now or not at all.
void announce(TrainJob& job) {
  const TrainConfig& c = job.config;
  const Plan planned = plan(c, job.sampling.longest_prompt);
  if (job.step() == 0) std::fputs(plan_text(planned).c_str(), stderr);
  const bool is_tight = planned.memory.total() > memory().available_bytes / 2;
  if (c.dry_step == "never" || (c.dry_step == "auto" && !is_tight)) return;
  Clock clock;
  const std::vector<Group> groups = longest_groups(c, job.sampling.longest_prompt);
  std::vector<MicroBatch> batches = pack(groups, c.pack, Keep::all);
  MicroBatch& largest = *std::ranges::max_element(batches, {}, [](const MicroBatch& b) { return b.tokens.size(); });
  job.learner.dry_step(largest);
  std::fprintf(stderr, "dry step                 %zu tokens in %.1f s, %.3g GiB of memory\n", largest.tokens.size(),
               clock.lap(), double(memory().peak_bytes) / double(1 << 30));
}

/// One optimizer step, with its rollout and evaluations where they are due; its row of metrics.
Json take_step(TrainJob& job, const std::vector<Group>& frozen, bool self_test, Progress& progress) {
  const TrainConfig& c = job.config;
  Clock clock;
  Json evaluation = Json::object();
  if (job.step() == 0 && c.eval_steps > 0) evaluation = evaluate(job);
  double eval_seconds = clock.lap();
  begin_rollout(job, frozen, self_test, progress);
  double rollout_seconds = clock.lap();
  if (due(job.step(), c.log_completions_steps))
    write_groups(job.run.folder / "completions" / step_file(job.step() + 1), job.mini_batch(job.step()));
  Json row = learn(job);
  sync_reference(job);
  double learn_seconds = clock.lap();
  job.seconds += rollout_seconds + learn_seconds;
  if (c.eval_steps > 0 && (due(job.step(), c.eval_steps) || is_over(job))) {
    row.update(of_the_start(evaluation));
    evaluation = evaluate(job);
    note_best(job, evaluation.at("eval/pass@1"));
  }
  row.update(evaluation);
  eval_seconds += clock.lap();
  row.update({{"perf/max_memory_allocated_gb", double(memory().peak_bytes) / 1e9},
              {"timing_s/gen", rollout_seconds},
              {"timing_s/update_actor", learn_seconds},
              {"timing_s/eval", eval_seconds},
              {"step_time", rollout_seconds + learn_seconds}});
  return row;
}

/// `work`, whose row of metrics an alarm that ends it in its middle leaves as well.
template <class Work>
auto do_or_log(const TrainJob& job, RunMetrics& metrics, Work work) {
  try {
    return work();
  } catch (const AlarmStop& stop) {
    metrics.log(stop.row(job.step() + 1));
    throw;
  }
}

[[noreturn]] void stop_run(TrainJob& job, const AlarmReport& alarms) {
  if (!alarms.is_sound) throw std::runtime_error(alarms.stop);
  checkpoint(job);
  throw std::runtime_error(alarms.stop + "; the checkpoint of this step is " +
                           checkpoint_of(job.run.folder, job.step()).string());
}

/// final/ comes last: once it stands, the run is finished.
void finish(TrainJob& job) {
  limit_checkpoints(job.run.folder, job.config.save_total_limit, job.best.step);  // a kill may have come between
  fs::remove_all(job.run.folder / "sampled");
  fs::path folders[] = {job.run.folder};
  write_report(folders, job.run.folder / "report.html");
  if (job.config.load_best_model_at_end && job.best.step > 0)
    load_parameters(job.model(), checkpoint_of(job.run.folder, job.best.step), job.compute);
  write_folder_durably(job.run.folder / "final",
                       [&](const fs::path& folder) { save_model(job.model(), job.loaded.tokenizer.get(), folder); });
}

}  // namespace

TrainResult train(const TrainConfig& given, const RunRequest& request, bool self_test) {
  TrainConfig config = given;
  if (self_test) config.optimizer.learning_rate = config.optimizer.router_bias_update_rate = 0;
  validate(config);
  watch_interrupts();
  const std::vector<Group> frozen = read_frozen_groups(config);
  TrainJob job(config, request);
  expect_fit(frozen, job.model());
  filter_prompts(job);
  resume(job);
  if (job.run.is_over || (job.run.finished && is_over(job)))
    return {.seconds = job.seconds, .tokens = job.sampled_tokens, .final_folder = job.run.folder / "final"};
  make_engine(job);
  if (config.max_staleness > 0) sample_ahead(job);
  warn_of_leaks(job.tasks.streams(), job.eval_tasks);
  if (interrupted())
    throw Interrupted("interrupted before the first step, nothing to save: go on with the same command and --resume");
  announce(job);
  begin_run(job.run, job.step());
  name_best_checkpoint(job.run.folder, job.best, "eval/pass@1");
  RunMetrics metrics(job.run.folder, job.step());
  Progress progress("training", "steps", config.max_steps, job.step());
  while (!is_over(job)) {
    Json row = do_or_log(job, metrics, [&] { return take_step(job, frozen, self_test, progress); });
    const AlarmReport alarms = watch(config.alarms, job.alarms, row, self_test || is_on_policy(job, row));
    for (const std::string& message : alarms.messages) progress.message("cohort: " + message);
    metrics.log(row);
    progress.update(job.step(), summary_line(row));
    if (!alarms.stop.empty()) stop_run(job, alarms);
    if (self_test) expect_ratio_one(row);
    const bool stop = interrupted();
    if (is_over(job)) job.ahead.reset();  // nobody waits for what it samples
    if (stop || is_over(job) || due(job.step(), config.save_steps) || job.best.step == job.step())
      do_or_log(job, metrics, [&] { checkpoint(job); });  // which waits for what is sampled ahead
    if (stop && !is_over(job))
      throw Interrupted("interrupted at step " + std::to_string(job.step()) +
                        ", a checkpoint is written: go on with the same command and --resume");
  }
  progress.finish();
  finish(job);
  return {.seconds = job.seconds, .tokens = job.sampled_tokens, .final_folder = job.run.folder / "final"};
}

}  // namespace cohort
