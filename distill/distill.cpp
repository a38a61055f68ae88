#include "distill/distill.h"

#include <algorithm>
#include <fstream>

#include "configs/durable_file.h"
#include "configs/error.h"
#include "configs/interrupts.h"
#include "configs/progress.h"
#include "rollout/evaluate.h"
#include "tasks/task_json.h"
#include "tasks/task_set.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

/// A verified completion as a row of supervised tuning, with where it comes from.
Json trace_row(const DistillConfig& config, const Group& group, const Rollout& rollout) {
  Json row = {{"id", group.task.id + "#" + std::to_string(rollout.completion.member)},
              {"teacher", config.teacher},
              {"score", *rollout.score.value}};
  if (!is_chat(group.task.prompt)) {
    row["prompt"] = group.task.prompt[0].content, row["completion"] = rollout.text;
    return row;
  }
  row["messages"] = prompt_to_json(group.task.prompt);
  row["messages"].push_back({{"role", "assistant"}, {"content", rollout.text}});
  return row;
}

/// Verified, ended by themselves, each text once.
std::vector<const Rollout*> kept(const DistillConfig& config, const Group& group) {
  std::vector<const Rollout*> traces;
  for (const Rollout& r : group.rollouts) {
    if (r.score.status != Status::correct || r.completion.finish != FinishReason::stop) continue;
    if (std::any_of(traces.begin(), traces.end(), [&](const Rollout* other) { return other->text == r.text; }))
      continue;
    if (int64_t(traces.size()) < config.max_traces_per_prompt) traces.push_back(&r);
  }
  return traces;
}

struct Sampled {
  int64_t pieces = 0, tokens = 0, traces = 0;
  double seconds = 0;
};
Sampled sampled_so_far(const fs::path& file) {
  std::ifstream in(file);
  Sampled s;
  if (!in) return s;
  Json j = Json::parse(in, nullptr, false);
  if (j.is_object())
    s = {j.value("pieces", int64_t(0)), j.value("tokens", int64_t(0)), j.value("traces", int64_t(0)),
         j.value("seconds", 0.0)};
  return s;
}

/// Goes on where an earlier attempt stopped: pieces are fixed by index, traces of an unfinished one are cut off.
Sampled sample_traces(const DistillConfig& config, Run& run) {
  fs::path progress_file = run.folder / "sampling.json";
  Sampled s = run.overwrite ? Sampled() : sampled_so_far(progress_file);
  int64_t pieces = ceil_div(config.num_prompts, config.prompts_per_step);
  if (s.pieces == pieces) return s;
  TaskSet tasks = open_task_set(config.tasks, config.seed);
  std::vector<Task> all = tasks.next(config.num_prompts);
  Compute compute(config.threads ? config.threads : usable_cores());
  LoadedModel teacher = load_with_tokenizer(config.teacher, compute, false, Weights::packed);
  Scorer scorer(reward_specs(config.rewards), compute.pool.num_threads());
  std::unique_ptr<Engine> engine =
      engine_for(teacher.model, compute, *teacher.tokenizer, all, config.sampling, config.engine);
  if (interrupted()) throw Interrupted("interrupted before the first trace: go on with the same command and --resume");
  begin_run(run, 0);
  DurableLog log(run.folder / "traces.jsonl");
  log.keep_first(s.traces);
  Progress progress("sampling traces", "prompts", config.num_prompts, s.pieces * config.prompts_per_step);
  for (; s.pieces < pieces; ++s.pieces) {
    Clock clock;
    size_t begin = size_t(s.pieces * config.prompts_per_step),
           count = std::min(size_t(config.prompts_per_step), all.size() - begin);
    CollectJob job{.tasks = std::span(all).subspan(begin, count),
                   .num_generations = config.num_generations,
                   .sampling = config.sampling,
                   .seed = config.seed,
                   .step = s.pieces};
    for (const Group& group : collect(*engine, teacher.model, *teacher.tokenizer, &scorer, job)) {
      for (const Rollout& r : group.rollouts) s.tokens += int64_t(r.completion.tokens.size());
      for (const Rollout* trace : kept(config, group)) log.append(trace_row(config, group, *trace).dump()), ++s.traces;
    }
    log.sync();
    s.seconds += clock.lap();
    write_durably(
        progress_file,
        Json{{"pieces", s.pieces + 1}, {"tokens", s.tokens}, {"traces", s.traces}, {"seconds", s.seconds}}.dump() +
            "\n");
    progress.update(int64_t(begin + count), std::to_string(s.traces) + " traces");
    if (interrupted()) throw Interrupted("interrupted while sampling traces: go on with the same command and --resume");
  }
  if (s.traces == 0)
    throw std::runtime_error("the teacher solved none of " + std::to_string(config.num_prompts) +
                             " prompts: there is nothing to learn from");
  return s;
}

}  // namespace

void expect_runnable(const DistillConfig& config, const std::string& teacher, const std::string& student) {
  expect_rewards(config.rewards);
  const std::vector<Task> tasks = open_task_set(config.tasks, config.seed).next(config.num_prompts);
  std::ranges::for_each(tasks, expect_no_own_reward);
  longest_prompt(tasks, expect_tokenizer(teacher), config.sampling, load_spec(teacher));
  load_spec(student), expect_tokenizer(student);
}

TrainResult distill(const DistillConfig& config, const RunRequest& request) {
  watch_interrupts();
  Run run = open_run(request, dump_config(config), read_stored_config<DistillConfig>);
  expect_runnable(config, config.teacher, config.student.model);  // before the teacher samples
  Sampled sampled = sample_traces(config, run);
  SftConfig student = config.student;
  student.tasks = {TaskSource{.reference = (run.folder / "traces.jsonl").string(), .split = "all"}};
  TrainResult result = sft(student, std::move(run));
  result.seconds += sampled.seconds, result.tokens += sampled.tokens;
  return result;
}

}  // namespace cohort
