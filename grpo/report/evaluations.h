// Evaluations on the page: one line each, tables by level and the like, and completions with their verdicts.
#pragma once
#include <span>
#include <string>

#include "grpo/report/run_folder.h"

namespace cohort {

/// Empty where there are none.
std::string evaluations_section(std::span<const EvaluationFile> evaluations);

}  // namespace cohort
