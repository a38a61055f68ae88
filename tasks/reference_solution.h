// The solution that a task's row brings along, and the row of supervised tuning that it makes.
#pragma once
#include <string>

#include "tasks/sft_row.h"

namespace cohort {

/// The worked solution of a row where it has one (solution, canonical_solution, code, completion), else its answer. A
/// program in a chat stands in a fenced block, whole, as the usual instructions ask for it. Throws UsageError naming a
/// task that has none.
std::string reference_solution(const Task& task);

/// The solution as it follows its prompt: in a chat as it stands, behind a plain prompt that ends in no white space on
/// a new line.
std::string continuation(const Messages& prompt, const std::string& solution);

/// The prompt and its reference solution, which alone is learned. Throws as reference_solution.
SftRow solved_row(const Task& task);

}  // namespace cohort
