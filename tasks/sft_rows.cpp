#include "tasks/sft_rows.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "configs/error.h"
#include "tasks/formats.h"
#include "tasks/generators.h"
#include "tasks/readers.h"
#include "tasks/reference_solution.h"
#include "tasks/rows.h"
#include "tasks/task_json.h"

namespace cohort {
namespace {

using Problem = std::optional<std::string>;

bool has_assistant(const SftRow& row) {
  return std::any_of(row.messages.begin() + row.first_loss_message, row.messages.end(),
                     [](const Message& message) { return message.role == "assistant" && !message.content.empty(); });
}

Problem read_chat(const Json& messages, SftRow& row) {
  if (!messages.is_array()) return "its messages are no list";
  if (auto problem = read_prompt(messages, row.messages)) return "its messages: " + *problem;
  if (!has_assistant(row)) return "its messages have no assistant turn to learn from";
  return std::nullopt;
}

/// A plain pair, or messages followed by messages; a completion that is text follows messages as the assistant's turn.
Problem read_pair(const Json& prompt, const Json& completion, SftRow& row) {
  Messages before, after;
  if (auto problem = read_prompt(prompt, before)) return "its prompt " + *problem;
  if (auto problem = read_prompt(completion, after)) return "its completion " + *problem;
  if (prompt.is_string() && !completion.is_string())
    return "its prompt is text and its completion is not, expected the same of both";
  if (completion.is_string() && after[0].content.empty()) return "its completion is empty";
  if (prompt.is_string()) {
    row.prompt = std::move(before[0].content);
    row.completion = std::move(after[0].content);
    return std::nullopt;
  }
  if (completion.is_string()) after[0].role = "assistant";
  row.first_loss_message = before.size();
  row.messages = std::move(before);
  row.messages.insert(row.messages.end(), after.begin(), after.end());
  if (!has_assistant(row)) return "its completion has no assistant turn to learn from";
  return std::nullopt;
}

Problem read_row(Json json, const std::string& default_id, SftRow& row) {
  row.id = default_id;
  if (json.contains("id") && !json["id"].is_null()) {
    const auto id = scalar_text(json["id"]);
    if (!id) return "its id is neither text nor a number";
    if (!id->empty()) row.id = *id;
  }
  const auto take = [&](const char* key) {
    Json value = json.contains(key) ? std::move(json[key]) : Json();
    json.erase(key);
    return value;
  };
  take("id");
  const Json messages = take("messages"), prompt = take("prompt"), completion = take("completion");
  row.extra = std::move(json);
  if (!messages.is_null()) return read_chat(messages, row);
  if (!prompt.is_null() && !completion.is_null()) return read_pair(prompt, completion, row);
  return "has neither messages nor prompt and completion";
}

/// What is asked: everything before the last assistant turn.
Messages asked(const SftRow& row) {
  if (row.messages.empty()) return {{"", row.prompt}};
  const auto is_assistant = [](const Message& message) { return message.role == "assistant"; };
  const auto last = std::find_if(row.messages.rbegin(), row.messages.rend(), is_assistant);
  return {row.messages.begin(), last.base() - 1};
}

/// The source's chat, system_prompt and prompt_template; a plain row becomes a chat where its prompt does.
void apply_row_template(const TaskSource& source, SftRow& row) {
  Task task;
  task.id = row.id;
  task.prompt = asked(row);
  const size_t num_before = task.prompt.size();
  apply_prompt_template(source, task);
  if (!is_chat(task.prompt)) {
    row.prompt = std::move(task.prompt[0].content);
    return;
  }
  const bool was_plain = row.messages.empty();
  if (was_plain) row.messages = {{"", ""}, {"assistant", std::exchange(row.completion, "")}};
  if (row.first_loss_message > 0) row.first_loss_message += task.prompt.size() - num_before;
  row.messages.erase(row.messages.begin(), row.messages.begin() + num_before);
  row.messages.insert(row.messages.begin(), task.prompt.begin(), task.prompt.end());
  row.prompt.clear();
}

bool is_empty(const Json& row, const char* column) {
  return !row.contains(column) || row[column].is_null();
}

/// Whether the first row that can be read is a task and no row of sft.
bool holds_tasks(const TaskSource& source) {
  if (source.reference == "-") return false;  // it can be read only once
  const std::string bytes = read_bytes(source.reference);
  for (const RawRow& raw : split_rows(bytes)) {
    Json row;
    if (raw.problem || parse_row(raw.text, row)) continue;
    const bool is_row = !is_empty(row, "messages") || (!is_empty(row, "prompt") && !is_empty(row, "completion"));
    return !is_row && recognise_format(row);
  }
  return false;
}

Stream<SftRow> open_solved_tasks(const TaskSource& source) {
  const Stream<Task> tasks = open_tasks(source);
  Stream<SftRow> stream;
  stream.format = tasks.format, stream.size = tasks.size, stream.digest = tasks.digest;
  stream.at = [at = tasks.at](int64_t index) { return solved_row(at(index)); };
  for (int64_t i = 0; i < *tasks.size; ++i)
    reference_solution(tasks.at(i));  // refuses one without before the first step
  return stream;
}

Stream<SftRow> open_file(const ParsedSource& parsed) {
  const TaskSource& source = parsed.source;
  const std::string bytes = read_bytes(source.reference);
  const std::string prefix = std::filesystem::path(source.reference).stem().string() + "/";
  std::vector<SftRow> rows;
  uint64_t digest = 0;
  for (RawRow& raw : split_rows(bytes)) {
    Json json;
    SftRow row;
    if (!raw.problem) raw.problem = parse_row(raw.text, json);
    if (!raw.problem) raw.problem = read_row(std::move(json), prefix + std::to_string(raw.line), row);
    if (raw.problem) throw UsageError(problem_text(source.reference, {raw.line, row.id, *raw.problem}));
    if (!in_split(prompt_hash(asked(row)), parsed.split, source.held_out)) continue;
    apply_row_template(source, row);
    digest = stable_hash(std::to_string(digest) + to_json(row).dump());
    rows.push_back(std::move(row));
    if (source.limit > 0 && static_cast<int64_t>(rows.size()) == source.limit) break;
  }
  if (rows.empty())
    throw UsageError(source.reference + ": holds no row in split " + std::string(to_string(parsed.split)));
  Stream<SftRow> stream;
  stream.format = "sft";
  stream.size = rows.size();
  stream.digest = std::to_string(digest);
  stream.at = [rows = std::move(rows)](int64_t index) { return rows.at(index); };
  return stream;
}

Stream<SftRow> open_generator(const ParsedSource& parsed) {
  const TaskSource& source = parsed.source;
  const Generator& generator = *find_generator(source.reference);
  if (!generator.open_rows)
    throw UsageError(source.reference +
                     " makes tasks without completions, not text to learn from; use another generator here");
  Stream<SftRow> stream = generator.open_rows(parsed.generator_options, {source.seed, parsed.split});
  stream.at = [source, make = std::move(stream.at)](int64_t index) {
    SftRow row = make(index);
    apply_row_template(source, row);
    return row;
  };
  stream.digest += template_digest(source);
  return stream;
}

}  // namespace

Json to_json(const SftRow& row) {
  Json record = row.extra;
  if (!row.id.empty()) record["id"] = row.id;
  if (row.messages.empty()) {
    record["prompt"] = row.prompt;
    record["completion"] = row.completion;
  } else if (row.first_loss_message == 0) {
    record["messages"] = prompt_to_json(row.messages);
  } else {
    const auto middle = row.messages.begin() + row.first_loss_message;
    record["prompt"] = prompt_to_json(Messages(row.messages.begin(), middle));
    record["completion"] = prompt_to_json(Messages(middle, row.messages.end()));
  }
  return record;
}

Stream<SftRow> open_sft_rows(const TaskSource& source) {
  const ParsedSource parsed = parse_source(source);
  const bool are_tasks = !parsed.source.format.empty() || (!parsed.is_generator && holds_tasks(parsed.source));
  Stream<SftRow> stream = parsed.is_generator ? open_generator(parsed)
                          : are_tasks         ? open_solved_tasks(source)
                                              : open_file(parsed);
  stream.name = source.reference;
  stream.weight = parsed.source.weight;
  if (parsed.source.limit > 0) stream.size = std::min(stream.size.value_or(INT64_MAX), parsed.source.limit);
  return stream;
}

std::vector<SftRow> read_sft_rows(const TaskSource& source) {
  const Stream<SftRow> stream = open_sft_rows(source);
  if (!stream.size)
    throw UsageError(source.reference + " has no end: say how many rows with limit=N, as in " +
                     parse_source(source).source.reference + ":limit=500");
  std::vector<SftRow> rows;
  for (int64_t i = 0; i < *stream.size; ++i) rows.push_back(stream.at(i));
  return rows;
}

std::vector<SftRow> read_sft_rows(const std::string& reference) {
  TaskSource source;
  source.reference = reference;
  return read_sft_rows(source);
}

}  // namespace cohort
