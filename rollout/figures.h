// What an evaluation says in numbers: as `eval --json` prints it, `eval` shows it and the report draws it.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "rollout/completion.h"

namespace cohort {

/// {"tasks", "rollouts", "pass@1", "ci95", "pass@K", "pass@K_ci95", "maj@K", "maj@K_ci95", "mean_length",
///  "median_length", "p95_length", "max_length", "truncated", "errors", "by"}: intervals hold 95 % and come from a
/// bootstrap over tasks; maj@K where K > 1 and every task has a reference answer. "by" has for each column a list of
/// {"value", and the shares again}, of the tasks whose column has this value.
Json figures_of(std::span<const Group> groups, std::span<const int64_t> ks, std::span<const std::string> columns);

/// Columns that data sets sort their problems by (level, type, subject, …), as far as every task has one and not all of
/// them the same.
std::vector<std::string> table_columns(std::span<const Group> groups);
/// Throws UsageError naming the task that lacks the column.
void expect_column(std::span<const Task> tasks, const std::string& column);

/// A column's value as text; empty where the task has none.
std::string column_text(const Task& task, const std::string& column);
/// "Level 2" before "Level 10".
bool comes_before(const std::string& a, const std::string& b);

/// Lines for people: figures, then a table for each column of "by".
std::string figures_text(const Json& figures);

}  // namespace cohort
