// Training and held-out tasks, told apart by a hash of the prompt's text alone: the order of the lines, the file's name
// and the seed of a run do not matter, equal prompts fall on the same side, and a smaller held-out share lies inside a
// larger.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "tasks/task.h"

namespace cohort {

enum class Split { all, train, held_out };

Split split_from(std::string_view name);  // throws UsageError on an unknown name
std::string_view to_string(Split split);

/// The same 64 bits on every machine and in every version.
uint64_t stable_hash(std::string_view text);

/// Of the text of a prompt: system messages, runs of white space and the case of ASCII letters do not count, so a plain
/// prompt and the same text as a user's message are equal.
uint64_t prompt_hash(const Messages& prompt);

/// Whether a prompt of this hash is on the side `split`, when the share `held_out` (0 to 1) is kept from training.
bool in_split(uint64_t prompt_hash, Split split, double held_out);

}  // namespace cohort
