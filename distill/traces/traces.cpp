#include "distill/traces/traces.h"

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "configs/durable_file.h"
#include "configs/error.h"
#include "configs/interrupts.h"
#include "configs/progress.h"
#include "distill/teachers/openai.h"
#include "policy/load.h"
#include "rollout/evaluate.h"
#include "tasks/task_json.h"
#include "tasks/task_set.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

/// Why a completion is no candidate; null: it is one.
const char* refused_by(const Group& group, size_t member) {
  const Rollout& r = group.rollouts[member];
  if (has_error(r.score)) return "verifier_error";
  if (r.score.status != Status::correct) return "not_correct";
  if (r.completion.finish != FinishReason::stop) return "not_ended";
  const auto is_same = [&](const Rollout& other) {
    return other.text == r.text && other.score.status == Status::correct &&
           other.completion.finish == FinishReason::stop;
  };
  const auto earlier = group.rollouts.begin() + std::ptrdiff_t(member);
  return std::any_of(group.rollouts.begin(), earlier, is_same) ? "same_text" : nullptr;
}

double difficulty_of(const Group& group) {
  const auto correct =
      std::ranges::count_if(group.rollouts, [](const Rollout& r) { return r.score.status == Status::correct; });
  return 1 - double(correct) / double(group.rollouts.size());
}

/// A verified completion as a row of supervised tuning, with where it comes from.
Json candidate_row(const DistillConfig& config, const Answers& answers, int64_t index, size_t member,
                   const Tokenizer& student) {
  const Group& group = answers.group;
  const Rollout& r = group.rollouts[member];
  Json row = {{"id", group.task.id + "#" + std::to_string(r.completion.member)},
              {"provenance",
               {{"teacher", config.teacher},
                {"task", group.task.id},
                {"index", index},
                {"member", r.completion.member},
                {"seed", r.completion.seed},
                {"score", *r.score.value},
                {"difficulty", difficulty_of(group)},
                {"finish_reason", to_string(r.completion.finish)},
                {"prompt_tokens", answers.prompt_tokens},
                {"completion_tokens", answers.lengths[member]},
                {"student_tokens", student.encode(r.text).size()},
                {"sampling", dump_config(config.sampling)}}}};
  if (!config.remote.teacher_model.empty()) row["provenance"]["teacher_model"] = config.remote.teacher_model;
  if (!is_chat(group.task.prompt)) {
    row["prompt"] = group.task.prompt[0].content, row["completion"] = r.text;
    return row;
  }
  row["messages"] = prompt_to_json(group.task.prompt);
  row["messages"].push_back({{"role", "assistant"}, {"content", r.text}});
  return row;
}

Json to_json(const SampledTraces& s) {
  Json j = {{"pieces", s.pieces},
            {"prompts", s.prompts},
            {"completions", s.completions},
            {"tokens", s.tokens},
            {"prompt_tokens", s.prompt_tokens},
            {"candidates", s.candidates},
            {"dropped", s.dropped},
            {"seconds", s.seconds}};
  if (s.traces) j["traces"] = *s.traces;
  return j;
}

SampledTraces sampled_so_far(const fs::path& file) {
  std::ifstream in(file);
  if (!in) return {};
  const Json j = Json::parse(in, nullptr, false);
  if (!j.is_object() || !j.contains("candidates")) return {};
  SampledTraces s{.pieces = j["pieces"],
                  .prompts = j["prompts"],
                  .completions = j["completions"],
                  .tokens = j["tokens"],
                  .prompt_tokens = j["prompt_tokens"],
                  .candidates = j["candidates"],
                  .dropped = j["dropped"],
                  .seconds = j["seconds"]};
  if (j.contains("traces")) s.traces = j["traces"].get<int64_t>();
  return s;
}

/// Judges one prompt's completions; those that are right go into the log.
void keep_candidates(const DistillConfig& config, const Scorer& scorer, const Tokenizer& student, int64_t index,
                     Answers& answers, DurableLog& log, SampledTraces& s) {
  Group& group = answers.group;
  if (group.rollouts.empty()) return;  // the budget was spent
  judge(scorer, group);
  ++s.prompts, s.completions += int64_t(group.rollouts.size());
  s.tokens += answers.tokens, s.prompt_tokens += answers.prompt_tokens;
  for (size_t member = 0; member < group.rollouts.size(); ++member) {
    if (const char* reason = refused_by(group, member)) {
      ++s.dropped[reason];
      continue;
    }
    log.append(candidate_row(config, answers, index, member, student).dump());
    ++s.candidates;
  }
}

std::string detail(const DistillConfig& config, const SampledTraces& s, int64_t tokens, const std::string& note) {
  std::string text = std::to_string(s.candidates) + " accepted, " + std::to_string(tokens);
  if (config.max_teacher_tokens > 0) text += " of " + std::to_string(config.max_teacher_tokens);
  return text + " tokens" + (note.empty() ? "" : ", " + note);
}

void ask_teacher(const DistillConfig& config, std::span<const Task> tasks, Run& run, SampledTraces& s) {
  const int64_t pieces = ceil_div(config.num_prompts, config.prompts_per_step);
  if (s.pieces == pieces) return;
  const Tokenizer student = expect_tokenizer(config.student.model);
  const Scorer scorer(reward_specs(config.rewards), config.threads ? config.threads : usable_cores());
  const std::unique_ptr<Teacher> teacher = openai::is_url(config.teacher)
                                               ? remote_teacher(config, tasks, student, run.folder / "responses.jsonl")
                                               : local_teacher(config, tasks, s.tokens + s.prompt_tokens);
  if (interrupted()) throw Interrupted("interrupted before the first trace: go on with the same command and --resume");
  begin_run(run, 0);
  DurableLog log(run.folder / "candidates.jsonl");
  log.keep_first(s.candidates);
  Progress progress("sampling traces", "prompts", config.num_prompts, s.pieces * config.prompts_per_step);
  while (s.pieces < pieces) {
    Clock clock;
    std::vector<Answers> answers =
        teacher->answer(s.pieces, [&](int64_t prompts, int64_t tokens, const std::string& note) {
          progress.update(prompts, detail(config, s, tokens, note));
        });
    const Piece piece = piece_of(config, s.pieces);
    for (int64_t i = 0; i < piece.count; ++i)
      keep_candidates(config, scorer, student, piece.first + i, answers[size_t(i)], log, s);
    log.sync();
    ++s.pieces, s.seconds += clock.lap();
    write_durably(run.folder / "sampling.json", to_json(s).dump() + "\n");
    progress.update(piece.first + piece.count, detail(config, s, s.tokens + s.prompt_tokens, ""));
    if (interrupted()) throw Interrupted("interrupted while sampling traces: go on with the same command and --resume");
  }
}

/// What became of the completions, a line for each reason that dropped some.
std::string table_of(const DistillConfig& config, const SampledTraces& s) {
  std::string text = "traces: " + std::to_string(s.completions) + " completions of " + std::to_string(s.prompts) +
                     " prompts, " + std::to_string(s.tokens) + " tokens\n";
  const auto add = [&](const std::string& name, int64_t count) {
    char line[96];
    std::snprintf(line, sizeof line, "  %-22s %10lld\n", name.c_str(), static_cast<long long>(count));
    text += line;
  };
  for (const auto& [reason, count] : s.dropped) add(reason, count);
  add("kept", s.traces.value_or(0));
  if (s.prompts < config.num_prompts)
    text += "  max_teacher_tokens ended the sampling after " + std::to_string(s.prompts) + " of " +
            std::to_string(config.num_prompts) + " prompts: the student learns from what there is\n";
  return text;
}

void expect_some(const DistillConfig& config, const SampledTraces& s) {
  if (s.candidates == 0)
    throw std::runtime_error("the teacher solved none of " + std::to_string(config.num_prompts) +
                             " prompts: there is nothing to learn from");
  if (*s.traces == 0)
    throw std::runtime_error("the filters leave none of " + std::to_string(s.candidates) +
                             " verified completions: there is nothing to learn from");
}

}  // namespace

Piece piece_of(const DistillConfig& config, int64_t piece) {
  const int64_t first = piece * config.prompts_per_step;
  return {first, std::min<int64_t>(config.prompts_per_step, config.num_prompts - first)};
}

SampledTraces sample_traces(const DistillConfig& config, Run& run) {
  SampledTraces s = run.overwrite ? SampledTraces() : sampled_so_far(run.folder / "sampling.json");
  if (s.traces) return s;
  const std::vector<Task> tasks = open_task_set(config.tasks, config.seed).next(config.num_prompts);
  ask_teacher(config, tasks, run, s);
  s.traces = choose_traces(config, tasks, run.folder / "candidates.jsonl", run.folder / "traces.jsonl", s.dropped);
  std::fputs(table_of(config, s).c_str(), stderr);
  expect_some(config, s);
  write_durably(run.folder / "sampling.json", to_json(s).dump() + "\n");
  return s;
}

}  // namespace cohort
