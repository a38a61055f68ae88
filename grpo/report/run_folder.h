// What a report reads from disk: a run folder (config.json, metrics.jsonl, completions/step-*.jsonl), a chain folder
// (stages.json and the run folders of its stages), and in either, or a folder of their own, evaluations
// (NAME.figures.json beside NAME.jsonl). Whatever is absent is left empty.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace cohort {

/// The first completion of a group: not chosen by its score.
struct Example {
  std::string task_id, prompt, answer, completion;
  std::string status, reason;   // of the verdict; empty when the row has none
  std::optional<double> value;  // score
  int64_t num_correct = 0, group_size = 0;
  bool truncated = false;  // ended by the length limit
};

struct LoggedStep {
  int64_t step = 0;
  std::vector<Example> examples;  // one a group
};

struct RunFolder {
  std::string name;       // of the stage, or of the folder
  std::string kind;       // of the stage: train, sft, distill, eval; otherwise told from the metrics
  nlohmann::json config;  // null when absent
  std::vector<nlohmann::json> metrics;
  std::optional<LoggedStep> first, last;  // of completions/; last is empty when only one step was logged
};

struct Stage {
  std::string name, kind;
  std::optional<double> pass_at_1, ci_low, ci_high;  // shares of 1
  std::optional<double> tokens, seconds, mean_length;
};

struct Chain {
  std::string name;
  std::vector<Stage> stages;
};

/// What `eval --out NAME.jsonl` leaves: NAME.figures.json and the groups.
struct EvaluationFile {
  std::string name;
  nlohmann::json figures;
  std::vector<Example> examples;  // of the first groups
};

struct ReportInput {
  std::vector<Chain> chains;
  std::vector<RunFolder> runs;  // given ones and stages of chains, in order
  std::vector<EvaluationFile> evaluations;
};

/// Throws UsageError naming the folder or file: a folder that is absent or holds nothing of a run, JSON that is broken.
ReportInput read_run_dirs(std::span<const std::filesystem::path> run_dirs);

}  // namespace cohort
