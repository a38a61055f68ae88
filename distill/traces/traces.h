// What a teacher solved, as rows of supervised tuning: prompts in, verified and filtered completions out.
//
// Files in the run's folder: candidates.jsonl, what the verifiers accept, each a row of supervised tuning with its
// provenance; traces.jsonl, those of them that filters and balance leave, line for line; sampling.json, counts. A
// server's answers stand in responses.jsonl (remote_teacher.h).
#pragma once
#include "distill/teachers/teacher.h"

namespace cohort {

/// What became of the completions.
struct SampledTraces {
  int64_t pieces = 0, prompts = 0, completions = 0;  // sampled so far; prompts: with an answer
  int64_t tokens = 0, prompt_tokens = 0;             // of the completions; of their prompts
  int64_t candidates = 0;                            // lines of candidates.jsonl
  std::map<std::string, int64_t> dropped;            // by what dropped them
  std::optional<int64_t> traces;                     // lines of traces.jsonl, once they are chosen
  double seconds = 0;
};

/// Lets the teacher solve the config's prompts and keeps what is worth learning from. Goes on where an earlier attempt
/// stopped: pieces are fixed by index, candidates of an unfinished one are cut off.
SampledTraces sample_traces(const DistillConfig& config, Run& run);

/// The candidates that pass the filters, at most max_traces_per_prompt of each prompt, balanced by difficulty, as lines
/// of `traces`; a function of the candidates' text alone. `tasks` are the run's prompts. Returns their number and adds
/// to `dropped`.
int64_t choose_traces(const DistillConfig& config, std::span<const Task> tasks, const std::filesystem::path& candidates,
                      const std::filesystem::path& traces, std::map<std::string, int64_t>& dropped);

}  // namespace cohort
