// Reading rows of supervised tuning: {"messages": […]}, {"prompt": "…", "completion": "…"}, or TRL's conversational
// pair of two message lists, of which only the completion is learned. A file of tasks (formats.h) gives their reference
// solutions. Errors as in readers.h.
#pragma once
#include <string>
#include <vector>

#include "tasks/sft_row.h"
#include "tasks/source.h"
#include "tasks/stream.h"

namespace cohort {

/// The split is by the prompt: what stands before the last assistant turn.
Stream<SftRow> open_sft_rows(const TaskSource& source);

/// All rows in the file's order; an endless generator needs a limit.
std::vector<SftRow> read_sft_rows(const TaskSource& source);
std::vector<SftRow> read_sft_rows(const std::string& reference);

}  // namespace cohort
