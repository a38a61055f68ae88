// What `doctor` says of running programs in completions.
#pragma once
#include <vector>

#include "configs/commands.h"

namespace cohort {

/// The sandbox, tried with a program, then what each language of the reward `code` needs. Never throws.
std::vector<Finding> examine_code_rewards();

}  // namespace cohort
