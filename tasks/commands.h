// The verb `tasks`: list, show, validate, generate.
#pragma once

namespace CLI {
class App;
}

namespace cohort {

/// Registers `tasks` and its own verbs. Their callbacks write results to stdout and messages to stderr, and throw
/// UsageError, MissingError, or std::runtime_error when `validate` found problems.
void add_tasks_commands(CLI::App& app);

}  // namespace cohort
