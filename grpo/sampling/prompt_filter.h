// Prompts that are too long, left out before a run begins.
#pragma once
#include "policy/text/tokenizer.h"
#include "tasks/task_set.h"

namespace cohort {

/// The streams without prompts of more than `room` tokens, whose number goes to stderr. An endless generator has
/// another of its tasks in the place of each; which one depends on the index alone. `tokenizer` has to outlive them.
/// Throws UsageError where a source has no prompt that fits.
std::vector<Stream<Task>> without_long_prompts(std::vector<Stream<Task>> streams, const Tokenizer& tokenizer,
                                               int64_t room);

/// The same for held-out tasks.
std::vector<Task> without_long_prompts(std::vector<Task> tasks, const Tokenizer& tokenizer, int64_t room);

}  // namespace cohort
