// What a teacher solved, as rows of supervised tuning: prompts in, verified completions out.
#pragma once
#include "distill/distill.h"

namespace cohort {

struct SampledTraces {
  int64_t pieces = 0, tokens = 0, traces = 0;
  double seconds = 0;
};

/// Samples the config's prompts into traces.jsonl of the run's folder. Goes on where an earlier attempt stopped: pieces
/// are fixed by index, traces of an unfinished one are cut off.
SampledTraces sample_traces(const DistillConfig& config, Run& run);

}  // namespace cohort
