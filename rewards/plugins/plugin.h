// Plug-ins: checkers that are not part of the program, named in a config or on the command line.
//   python:PATH:FUNCTION   a function of TRL, verl, OpenRLHF or verifiers, in resident Python workers
//   exec:COMMAND ARGS      a program that reads items and writes answers, one JSON object a line
//   http://HOST:PORT/PATH  POST of a list of items, answered by a list of answers
//   openrlhf:http://…      POST of {"query", "prompts", "labels"}, answered by {"rewards"}
//   lib:PATH:SYMBOL        a shared library behind cohort_reward.h, in a process of its own
// Goals: nothing a checker does harms more than one batch or hides behind a 0; the field's functions run unchanged.
// Non-goals: keeping a checker from the network or the disk (its author is trusted, the completions are not).
#pragma once
#include "rewards/reward.h"

namespace cohort {

/// What {name, weight, options} of a plug-in may hold.
std::vector<RewardOption> plugin_options();

/// The forms, for `cohort score --list`: {form, description}.
std::vector<std::pair<std::string_view, std::string_view>> plugin_forms();

/// Starts the first worker, where there are workers. Throws UsageError where the spec names nothing that can judge, and
/// MissingError where there is no interpreter.
Reward make_plugin(const std::string& name, const Json& options);

}  // namespace cohort
