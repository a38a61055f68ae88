// The verb `tasks`: list, show, validate, generate.
#pragma once

#include "tasks/readers.h"

namespace CLI {
class App;
}

namespace cohort {

/// Registers `tasks` and its own verbs. Their callbacks write results to stdout and messages to stderr, and throw
/// UsageError, MissingError, or std::runtime_error when `validate` found problems; `find_fault` is what it asks of each
/// task beyond its form.
void add_tasks_commands(CLI::App& app, const FindFault& find_fault = {});

}  // namespace cohort
