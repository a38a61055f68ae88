// Tasks as JSON records: {"id", "prompt": "text" | [{"role", "content"}…], "answer", "reward", …extra}. What is empty
// is left out.
#pragma once
#include <optional>
#include <string>

#include "tasks/task.h"

namespace cohort {

/// A plain prompt as a string, a chat as a list of messages.
Json prompt_to_json(const Messages& prompt);

/// The reverse; a message's content is a string or a list of {"type": "text", "text"} parts, which are joined.
/// Returns what is wrong in a clause, nothing when `messages` holds the prompt.
std::optional<std::string> read_prompt(const Json& prompt, Messages& messages);

/// A string as it is, a whole number without its decimal point, true or false; nothing for null, a list or an object.
std::optional<std::string> scalar_text(const Json& value);

/// One record, of which task_from_json makes the same task.
Json to_json(const Task& task);

/// Throws UsageError, naming the id, for a record that is no task.
Task task_from_json(const Json& record);

}  // namespace cohort
