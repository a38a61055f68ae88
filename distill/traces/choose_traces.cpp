#include <algorithm>
#include <fstream>

#include "configs/durable_file.h"
#include "distill/traces/traces.h"
#include "rollout/evaluate.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

/// A candidate that is still to be kept: its line, and what of it the choice goes by.
struct Passing {
  int64_t line = 0;
  BalancedTrace trace;
  std::vector<uint64_t> ngrams;  // empty: likeness is no matter
};

std::string completion_of(const Json& row) {
  return row.contains("completion") ? row["completion"] : row.at("messages").back().at("content");
}

std::vector<Passing> pass_filters(const DistillConfig& config, std::span<const Task> tasks, const fs::path& candidates,
                                  std::map<std::string, int64_t>& dropped) {
  const TraceFilters& filters = config.filters;
  const EvaluatedText evaluated =
      evaluated_text(read_all_tasks(filters.decontaminate), size_t(filters.decontamination_ngram));
  std::vector<Passing> passing;
  std::ifstream in(candidates);
  int64_t line = 0;
  for (std::string text; std::getline(in, text); ++line) {
    const Json row = Json::parse(text), &from = row.at("provenance");
    const std::string completion = completion_of(row);
    const int64_t index = from.at("index");
    if (const char* reason =
            dropped_by(filters, evaluated, asked_text(tasks[size_t(index)]), completion, from.at("student_tokens"))) {
      ++dropped[reason];
      continue;
    }
    Passing& p = passing.emplace_back(Passing{line, {index, from.at("difficulty")}, {}});
    if (filters.max_similarity < 1) p.ngrams = ngram_set(completion, size_t(filters.similarity_ngram));
  }
  return passing;
}

/// Keeps those that `is_kept` names by their place; the others are counted under `reason`.
void keep(std::vector<Passing>& passing, const std::vector<bool>& is_kept, const char* reason,
          std::map<std::string, int64_t>& dropped) {
  std::vector<Passing> kept;
  for (size_t i = 0; i < passing.size(); ++i) {
    if (is_kept[i])
      kept.push_back(std::move(passing[i]));
    else
      ++dropped[reason];
  }
  passing = std::move(kept);
}

std::vector<bool> unlike_earlier(std::vector<Passing>& passing, double max_similarity) {
  std::vector<std::vector<uint64_t>> sets;
  for (Passing& p : passing) sets.push_back(std::move(p.ngrams));
  std::vector<bool> kept = near_duplicates(sets, max_similarity);
  kept.flip();
  return kept;
}

std::vector<bool> first_of_each_prompt(const std::vector<Passing>& passing, int64_t most) {
  std::map<int64_t, int64_t> counts;
  std::vector<bool> kept;
  for (const Passing& p : passing) kept.push_back(++counts[p.trace.prompt] <= most);
  return kept;
}

std::vector<bool> balanced_by_difficulty(const std::vector<Passing>& passing, const DistillConfig& config) {
  std::vector<BalancedTrace> traces;
  for (const Passing& p : passing) traces.push_back(p.trace);
  return balanced(traces, config.difficulty_weights, config.max_traces);
}

void copy_lines(const fs::path& from, const fs::path& to, const std::vector<Passing>& chosen) {
  std::ifstream in(from);
  DurableFile out(to);
  size_t next = 0;
  int64_t line = 0;
  for (std::string text; next < chosen.size() && std::getline(in, text); ++line)
    if (chosen[next].line == line) out.write(text + "\n"), ++next;
  out.commit();
}

}  // namespace

int64_t choose_traces(const DistillConfig& config, std::span<const Task> tasks, const fs::path& candidates,
                      const fs::path& traces, std::map<std::string, int64_t>& dropped) {
  std::vector<Passing> passing = pass_filters(config, tasks, candidates, dropped);
  if (config.filters.max_similarity < 1)
    keep(passing, unlike_earlier(passing, config.filters.max_similarity), "near_duplicate", dropped);
  keep(passing, first_of_each_prompt(passing, config.max_traces_per_prompt), "over_max_per_prompt", dropped);
  keep(passing, balanced_by_difficulty(passing, config), "over_balance", dropped);
  copy_lines(candidates, traces, passing);
  return int64_t(passing.size());
}

}  // namespace cohort
