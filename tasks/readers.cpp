#include "tasks/readers.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "configs/error.h"
#include "tasks/benchmarks.h"
#include "tasks/formats.h"
#include "tasks/generators.h"
#include "tasks/task_json.h"

namespace cohort {
namespace {

constexpr int64_t kValidatedOfEndless = 1000;  // tasks of an endless generator that validate makes

std::string file_title(const std::string& path) {
  return path == "-" ? "standard input" : path;
}

/// What stands before the line number in the ids of rows without one.
std::string id_prefix(const std::string& path) {
  return path == "-" ? "stdin" : std::filesystem::path(path).stem().string();
}

std::string column_names(const Json& row) {
  std::string names;
  for (const auto& [key, value] : row.items()) names += (names.empty() ? "" : ", ") + key;
  return names.empty() ? "none" : names;
}

/// Throws UsageError when no format fits.
const TaskFormat& format_for(const std::string& forced, const Json& first_row, const std::string& place) {
  if (!forced.empty()) return task_format(forced);
  if (const TaskFormat* format = recognise_format(first_row)) return *format;
  throw UsageError(place + ": no known row format has the columns " + column_names(first_row) +
                   "; rename them (prompt, answer) or force a reader with --format");
}

/// Reads each row; `on_task(task, raw)` returns false to stop, `on_problem(problem)` may throw. Returns the format's
/// name.
template <class OnTask, class OnProblem>
std::string for_each_task(const TaskSource& source, OnTask on_task, OnProblem on_problem) {
  const std::string bytes = read_bytes(source.reference);
  const std::string prefix = id_prefix(source.reference);
  const TaskFormat* format = source.format.empty() ? nullptr : &task_format(source.format);
  for (RawRow& raw : split_rows(bytes)) {
    Json row;
    Task task;
    if (!raw.problem) raw.problem = parse_row(raw.text, row);
    if (!raw.problem) {
      if (!format) format = &format_for("", row, file_title(source.reference) + ":" + std::to_string(raw.line));
      raw.problem = read_task(*format, std::move(row), prefix, raw.line, task);
    }
    if (raw.problem)
      on_problem(RowProblem{raw.line, task.id, *raw.problem});
    else if (!on_task(std::move(task), raw))
      break;
  }
  return std::string(format ? format->name : "");
}

std::string digest_of(const std::vector<Task>& tasks) {
  uint64_t digest = tasks.size();
  for (const Task& task : tasks) digest = stable_hash(std::to_string(digest) + to_json(task).dump());
  return std::to_string(digest);
}

/// Rows of the file that are no task of the benchmark are passed over.
bool belongs(const ParsedSource& parsed, const Task& task) {
  return !parsed.benchmark || !parsed.benchmark->has_row || parsed.benchmark->has_row(task);
}

Stream<Task> open_file(const ParsedSource& parsed) {
  const TaskSource& source = parsed.source;
  if (parsed.benchmark) expect_file(*parsed.benchmark);
  std::vector<Task> tasks;
  Stream<Task> stream;
  stream.format = for_each_task(
      source,
      [&](Task task, const RawRow&) {
        if (!belongs(parsed, task)) return true;
        if (!in_split(prompt_hash(task.prompt), parsed.split, source.held_out)) return true;
        apply_prompt_template(source, task);
        tasks.push_back(std::move(task));
        return source.limit == 0 || static_cast<int64_t>(tasks.size()) < source.limit;
      },
      [&](const RowProblem& problem) { throw UsageError(problem_text(file_title(source.reference), problem)); });
  if (tasks.empty())
    throw UsageError(file_title(source.reference) + ": holds no task in split " + std::string(to_string(parsed.split)));
  stream.size = tasks.size();
  stream.digest = digest_of(tasks);
  stream.at = [tasks = std::move(tasks)](int64_t index) { return tasks.at(index); };
  return stream;
}

Stream<Task> open_generator(const ParsedSource& parsed) {
  const TaskSource& source = parsed.source;
  const Generator& generator = *find_generator(source.reference);
  if (!generator.open_tasks)
    throw UsageError(source.reference +
                     " makes text to learn from, not tasks; use it with sft, or another generator here");
  Stream<Task> stream = generator.open_tasks(parsed.generator_options, {source.seed, parsed.split});
  stream.at = [source, make = std::move(stream.at)](int64_t index) {
    Task task = make(index);
    apply_prompt_template(source, task);
    return task;
  };
  stream.digest += template_digest(source);
  return stream;
}

/// Whether a row without a reward of its own has an answer column with nothing in it.
bool has_blank_answer(const Task& task, const RawRow& raw) {
  if (task.answer.find_first_not_of(" \t\r\n") != std::string::npos || !task.reward.is_null()) return false;
  Json row;
  return !parse_row(raw.text, row) && row.contains("answer");
}

}  // namespace

Stream<Task> open_tasks(const TaskSource& source) {
  const ParsedSource parsed = parse_source(source);
  Stream<Task> stream = parsed.is_generator ? open_generator(parsed) : open_file(parsed);
  stream.name = source.reference;
  stream.weight = parsed.source.weight;
  if (parsed.source.limit > 0) stream.size = std::min(stream.size.value_or(INT64_MAX), parsed.source.limit);
  return stream;
}

std::vector<Task> read_tasks(const TaskSource& source, std::string* format) {
  const Stream<Task> stream = open_tasks(source);
  if (!stream.size)
    throw UsageError(source.reference + " has no end: say how many tasks with limit=N, as in " +
                     parse_source(source).source.reference + ":limit=500");
  if (format) *format = stream.format;
  std::vector<Task> tasks;
  for (int64_t i = 0; i < *stream.size; ++i) tasks.push_back(stream.at(i));
  return tasks;
}

std::vector<Task> read_tasks(const std::string& reference, const std::string& format, std::string* recognised) {
  TaskSource source;
  source.reference = reference;
  source.format = format;
  return read_tasks(source, recognised);
}

Validation validate_tasks(const TaskSource& source, const FindFault& find_fault) {
  const ParsedSource parsed = parse_source(source);
  if (parsed.is_generator) {
    const Stream<Task> stream = open_tasks(source);
    Validation validation{stream.format, stream.size.value_or(kValidatedOfEndless), {}};
    for (int64_t i = 0; i < validation.rows; ++i) {
      const Task task = stream.at(i);
      if (const std::string fault = find_fault ? find_fault(task) : ""; !fault.empty())
        validation.problems.push_back({i + 1, task.id, fault});
    }
    return validation;
  }
  if (parsed.benchmark) expect_file(*parsed.benchmark);
  Validation validation;
  std::map<std::string, int64_t> first_line;  // of each id
  const auto add_problem = [&](const RowProblem& problem) {
    ++validation.rows;
    validation.problems.push_back(problem);
    if (!problem.id.empty()) first_line.emplace(problem.id, problem.line);
  };
  validation.format = for_each_task(
      parsed.source,
      [&](const Task& task, const RawRow& raw) {
        if (!belongs(parsed, task)) return true;
        ++validation.rows;
        if (has_blank_answer(task, raw))
          validation.problems.push_back({raw.line, task.id, "its answer is empty"});
        else if (const std::string fault = find_fault ? find_fault(task) : ""; !fault.empty())
          validation.problems.push_back({raw.line, task.id, fault});
        const auto [first, is_new] = first_line.emplace(task.id, raw.line);
        if (!is_new)
          validation.problems.push_back(
              {raw.line, task.id, "its id was already given on line " + std::to_string(first->second)});
        return true;
      },
      add_problem);
  if (validation.rows == 0) throw UsageError(file_title(source.reference) + ": holds no rows");
  return validation;
}

}  // namespace cohort
