// The one place where a command's end becomes an exit code.
#pragma once

namespace CLI {
class App;
class Validator;
}  // namespace CLI

namespace cohort {

/// Parses the command line, runs the verb it names, and returns the exit code: 0 done, 1 failed, 2 wrong usage
/// (UsageError, or a flag or verb that is not known: the nearest known one is named), 3 lacking (MissingError),
/// 130 interrupted (Interrupted). Whatever is not 0 comes with one sentence on stderr. Help and version go to stdout.
int run_command_line(CLI::App& app, int argc, const char* const* argv);

/// What a flag takes: digits alone (CLI11 reads -1 as the largest unsigned number).
CLI::Validator whole_number();
CLI::Validator at_least_one();  // digits alone, and not 0

}  // namespace cohort
