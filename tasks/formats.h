// The row formats of the field's data sets, each turned into a Task as it stands.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tasks/task.h"

namespace cohort {

struct TaskFormat {
  std::string_view name;
  std::string_view columns;  // what a row of it holds, for people
  bool (*recognises)(const Json& row);
  /// Fills prompt and answer and removes from `row` the columns they hold entirely. Returns what is wrong in a clause.
  std::optional<std::string> (*read)(Json& row, Task& task);
};

/// In the order in which they are tried on a first row.
std::span<const TaskFormat> task_formats();

/// Throws UsageError naming the nearest format.
const TaskFormat& task_format(std::string_view name);

/// The first format that recognises the row; null when none does.
const TaskFormat* recognise_format(const Json& row);

/// One task of a parsed row. `name` and `line` make the id of a row without one: "name/line". Returns what is wrong in
/// a clause; the id is set even then when the row has one.
std::optional<std::string> read_task(const TaskFormat& format, Json row, const std::string& name, int64_t line,
                                     Task& task);

/// What follows the last "####" of a GSM8K solution, thousands commas removed; nothing when it holds no digit.
std::optional<std::string> gsm8k_gold(std::string_view solution);

/// The content of the last \boxed or \fbox whose braces balance; nothing without one, or when it is empty.
std::optional<std::string> last_boxed(std::string_view solution);

}  // namespace cohort
