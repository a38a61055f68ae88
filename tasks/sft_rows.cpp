#include "tasks/sft_rows.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "configs/error.h"
#include "tasks/generators.h"
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

/// Of what is asked: everything before the last assistant turn.
uint64_t asked_hash(const SftRow& row) {
  if (row.messages.empty()) return prompt_hash({{"", row.prompt}});
  const auto last =
      std::find_if(row.messages.rbegin(), row.messages.rend(), [](const Message& m) { return m.role == "assistant"; });
  return prompt_hash(Messages(row.messages.begin(), last.base() - 1));
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
    if (!in_split(asked_hash(row), parsed.split, source.held_out)) continue;
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
  const Generator& generator = *find_generator(parsed.source.reference);
  if (!generator.open_rows)
    throw UsageError(parsed.source.reference +
                     " makes tasks without completions, not text to learn from; use another generator here");
  return generator.open_rows(parsed.generator_options, {parsed.source.seed, parsed.split});
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
  Stream<SftRow> stream = parsed.is_generator ? open_generator(parsed) : open_file(parsed);
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
