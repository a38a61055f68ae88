// The rows of a data file: JSON lines, or one JSON list of objects (told by the first character, whatever the file is
// called); a .parquet file's rows become JSON lines first. A byte-order mark and blank lines are skipped. Each row is
// parsed alone, so that one broken row is named by its own line and hides no other.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/task.h"

namespace cohort {

struct RawRow {
  int64_t line = 0;                    // 1-based, where the row begins
  std::string_view text;               // of one JSON value, unchecked; empty when `problem` is set
  std::optional<std::string> problem;  // the file's list is not well formed here
};

struct RowProblem {
  int64_t line = 0;  // 1-based
  std::string id;    // empty when it could not be read
  std::string what;  // one clause
};

/// "FILE:LINE (id X): WHAT".
std::string problem_text(const std::string& file, const RowProblem& problem);

/// The bytes of a file, or of standard input for "-"; of a .parquet file its rows as JSON lines. Throws UsageError
/// naming the file that cannot be read, and what read_parquet throws.
std::string read_bytes(const std::string& path);

/// Views into `text`.
std::vector<RawRow> split_rows(std::string_view text);

/// JSON of more than 64 levels, which is not read: what recurses through it would overflow the stack.
bool is_nested_too_deep(std::string_view json);

/// One JSON object nested at most 64 deep. Returns what is wrong in a clause.
std::optional<std::string> parse_row(std::string_view text, Json& row);

}  // namespace cohort
