#include "grpo/report/run_folder.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "configs/error.h"
#include "grpo/report/metrics_log.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t most_groups = 64;  // read from a completions file; a report shows three

json read_json(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  json content = json::parse(in, nullptr, false);
  if (content.is_discarded()) throw UsageError(path.string() + ": is no readable JSON.");
  return content;
}

std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

std::optional<double> number_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
}

// A plain text, or the messages of a chat with their roles.
std::string prompt_text(const json& prompt) {
  if (!prompt.is_array()) return prompt.is_string() ? prompt.get<std::string>() : prompt.dump();
  std::string text;
  for (const json& message : prompt) {
    if (!message.is_object()) continue;
    text += (text.empty() ? "" : "\n\n") + (prompt.size() > 1 ? text_of(message, "role") + ": " : "") +
            text_of(message, "content");
  }
  return text;
}

Example example_of(const json& group) {
  const json task = group.value("task", json::object());
  Example example{text_of(task, "id"), prompt_text(task.value("prompt", json(""))), text_of(task, "answer")};
  const json& rollouts = group.at("rollouts");
  for (const json& rollout : rollouts)
    example.num_correct += text_of(rollout.value("score", json::object()), "status") == "correct";
  example.group_size = static_cast<int64_t>(rollouts.size());
  if (rollouts.empty()) return example;
  const json& rollout = rollouts.front();
  const json score = rollout.value("score", json::object());
  example.completion = text_of(rollout, "completion");
  example.truncated = text_of(rollout, "finish_reason") == "length";
  example.status = text_of(score, "status");
  example.reason = text_of(score, "reason");
  example.value = number_of(score, "value");
  return example;
}

LoggedStep read_completions(const fs::path& path, int64_t step) {
  LoggedStep logged{step, {}};
  std::ifstream in(path, std::ios::binary);
  for (std::string line; logged.examples.size() < most_groups && std::getline(in, line);) {
    if (line.empty()) continue;
    try {
      logged.examples.push_back(example_of(json::parse(line)));
    } catch (const json::exception&) {
      throw UsageError(path.string() + ":" + std::to_string(logged.examples.size() + 1) +
                       ": is no group of completions.");
    }
  }
  return logged;
}

// step-000020.jsonl -> 20; empty for any other name.
std::optional<int64_t> step_of(const std::string& file_name) {
  if (!file_name.starts_with("step-") || !file_name.ends_with(".jsonl")) return std::nullopt;
  const std::string digits = file_name.substr(5, file_name.size() - 11);
  if (digits.empty() || digits.size() > 18 ||
      !std::ranges::all_of(digits, [](unsigned char c) { return std::isdigit(c); }))
    return std::nullopt;
  return std::stoll(digits);
}

void read_first_and_last(RunFolder& run, const fs::path& completions) {
  std::map<int64_t, fs::path> steps;
  if (fs::is_directory(completions))
    for (const auto& entry : fs::directory_iterator(completions))
      if (const auto step = step_of(entry.path().filename().string())) steps[*step] = entry.path();
  if (steps.empty()) return;
  run.first = read_completions(steps.begin()->second, steps.begin()->first);
  if (steps.size() > 1) run.last = read_completions(steps.rbegin()->second, steps.rbegin()->first);
}

bool has_key(const std::vector<json>& rows, const char* key) {
  return std::ranges::any_of(rows, [&](const json& row) { return row.contains(key); });
}

std::string folder_name(const fs::path& folder) {
  const fs::path absolute = fs::absolute(folder).lexically_normal();
  return (absolute.has_filename() ? absolute : absolute.parent_path()).filename().string();
}

RunFolder read_run(const fs::path& folder, std::string name, std::string kind) {
  RunFolder run{.name = std::move(name), .kind = std::move(kind)};
  if (fs::exists(folder / "config.json")) run.config = read_json(folder / "config.json");
  if (fs::exists(folder / "metrics.jsonl")) run.metrics = read_metrics(folder / "metrics.jsonl");
  read_first_and_last(run, folder / "completions");
  if (run.kind.empty() && has_key(run.metrics, "on_policy")) run.kind = "distill";
  if (run.kind.empty()) run.kind = has_key(run.metrics, "reward") ? "train" : "sft";
  return run;
}

Stage stage_of(const json& row) {
  Stage stage{text_of(row, "name"), text_of(row, "kind"), number_of(row, "pass@1")};
  const json ci = row.value("ci95", json());
  if (ci.is_array() && ci.size() == 2 && ci[0].is_number() && ci[1].is_number()) {
    stage.ci_low = ci[0].get<double>();
    stage.ci_high = ci[1].get<double>();
  }
  stage.tokens = number_of(row, "tokens");
  stage.seconds = number_of(row, "seconds");
  stage.mean_length = number_of(row, "mean_length");
  return stage;
}

void read_chain(ReportInput& input, const fs::path& folder) {
  const json rows = read_json(folder / "stages.json");
  const bool is_list = rows.is_array() && std::ranges::all_of(rows, [](const json& row) { return row.is_object(); });
  if (!is_list) throw UsageError((folder / "stages.json").string() + ": expected an array of stages.");
  Chain chain{folder_name(folder), {}};
  for (const json& row : rows) {
    chain.stages.push_back(stage_of(row));
    const std::string stage_folder = text_of(row, "folder");
    const bool is_run = chain.stages.back().kind != "eval" && !stage_folder.empty();
    if (is_run && fs::is_directory(folder / stage_folder))
      input.runs.push_back(read_run(folder / stage_folder, chain.stages.back().name, chain.stages.back().kind));
  }
  input.chains.push_back(std::move(chain));
}

void read_evaluations(ReportInput& input, const fs::path& folder) {
  constexpr std::string_view ending = ".figures.json";
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().filename().string().ends_with(ending)) files.push_back(entry.path());
  std::ranges::sort(files);
  for (const fs::path& file : files) {
    std::string name = file.filename().string();
    name.resize(name.size() - ending.size());
    EvaluationFile evaluation{name, read_json(file), {}};
    if (!evaluation.figures.is_object()) throw UsageError(file.string() + ": expected the figures of an evaluation.");
    const fs::path groups = folder / (name + ".jsonl");
    const bool has_groups = evaluation.figures.contains("pass@1") && fs::exists(groups);
    if (has_groups) evaluation.examples = read_completions(groups, 0).examples;
    input.evaluations.push_back(std::move(evaluation));
  }
}

// Runs of one name are told apart by the folder around them, or by a number.
void make_names_unique(std::vector<RunFolder>& runs) {
  std::map<std::string, int> seen;
  for (RunFolder& run : runs)
    if (const int before = seen[run.name]++; before > 0) run.name += " (" + std::to_string(before + 1) + ")";
}

}  // namespace

ReportInput read_run_dirs(std::span<const fs::path> run_dirs) {
  ReportInput input;
  for (const fs::path& folder : run_dirs) {
    if (!fs::is_directory(folder)) throw UsageError(folder.string() + ": is no folder, expected the folder of a run.");
    const size_t evaluations = input.evaluations.size();
    read_evaluations(input, folder);
    const bool has_evaluations = input.evaluations.size() > evaluations;
    if (fs::exists(folder / "stages.json")) {
      read_chain(input, folder);
      continue;
    }
    if (!fs::exists(folder / "metrics.jsonl") && !fs::exists(folder / "config.json") &&
        !fs::exists(folder / "completions")) {
      if (has_evaluations) continue;
      throw UsageError(folder.string() +
                       ": holds none of stages.json, config.json, metrics.jsonl, completions/ and NAME.figures.json, "
                       "so it is neither a run nor evaluations.");
    }
    input.runs.push_back(read_run(folder, folder_name(folder), ""));
  }
  make_names_unique(input.runs);
  return input;
}

}  // namespace cohort
