// Reading tasks from a file or a generator. Every function throws UsageError, naming file and line, for what cannot be
// read, and MissingError for a .parquet file where Arrow is not.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "tasks/rows.h"
#include "tasks/source.h"
#include "tasks/stream.h"

namespace cohort {

/// A file is read whole; a generator makes each task when it is asked for.
Stream<Task> open_tasks(const TaskSource& source);

/// All tasks of a source, in the file's order; a generator needs a limit. `format` receives the name of the reader.
std::vector<Task> read_tasks(const TaskSource& source, std::string* format = nullptr);

/// The same for a reference with its options; `format` forces a reader, and `recognised` receives its name.
std::vector<Task> read_tasks(const std::string& reference, const std::string& format = "",
                             std::string* recognised = nullptr);

struct Validation {
  std::string format;
  int64_t rows = 0;                  // read, broken ones included
  std::vector<RowProblem> problems;  // by line
};

/// What a verifier could not do with a task; empty: nothing.
using FindFault = std::function<std::string(const Task&)>;

/// Reads every row of a file's source and lists what a run would stumble on: unparsable lines, empty prompts, empty
/// reference answers, ids given twice, and what `find_fault` says of a task.
Validation validate_tasks(const TaskSource& source, const FindFault& find_fault = {});

}  // namespace cohort
