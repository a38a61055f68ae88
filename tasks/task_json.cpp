#include "tasks/task_json.h"

#include <cmath>
#include <stdexcept>

#include "configs/error.h"

namespace cohort {
namespace {

/// Text of a content: a string, or text parts one after another; null stands for a message of tool calls alone.
std::optional<std::string> content_text(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) return std::nullopt;
  std::string text;
  for (const Json& part : content) {
    const bool is_text = part.is_object() && part.contains("text") && part["text"].is_string();
    if (!is_text) return std::nullopt;
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

std::optional<std::string> read_message(const Json& json, Message& message) {
  if (!json.is_object()) return "is not an object with role and content";
  const auto role = json.find("role");
  if (role == json.end() || !role->is_string() || role->get_ref<const std::string&>().empty()) return "has no role";
  const auto calls = json.find("tool_calls");
  if (calls != json.end() && !calls->is_null() && !calls->empty()) return "has tool_calls, which are not read here";
  const auto content = json.find("content");
  std::optional<std::string> text = content == json.end() ? std::nullopt : content_text(*content);
  if (!text) return "has no content that is text";
  message = {role->get<std::string>(), std::move(*text)};
  return std::nullopt;
}

}  // namespace

Json prompt_to_json(const Messages& prompt) {
  if (!is_chat(prompt)) return prompt[0].content;
  Json messages = Json::array();
  for (const Message& message : prompt) messages.push_back({{"role", message.role}, {"content", message.content}});
  return messages;
}

std::optional<std::string> read_prompt(const Json& prompt, Messages& messages) {
  messages.clear();
  if (prompt.is_string()) {
    messages.push_back({"", prompt.get<std::string>()});
    return std::nullopt;
  }
  if (!prompt.is_array()) return "is neither a text nor a list of messages";
  for (const Json& json : prompt) {
    if (auto problem = read_message(json, messages.emplace_back()))
      return "message " + std::to_string(messages.size()) + " " + *problem;
  }
  return std::nullopt;
}

std::optional<std::string> scalar_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean() || value.is_number_integer()) return value.dump();
  if (!value.is_number_float()) return std::nullopt;
  const double number = value.get<double>();
  const bool is_whole = number == std::floor(number) && std::abs(number) < 1e15;
  return is_whole ? std::to_string(static_cast<int64_t>(number)) : value.dump();
}

Json to_json(const Task& task) {
  Json record = task.extra.is_object() ? task.extra : Json::object();
  for (const char* own : {"id", "prompt", "answer", "reward"})
    if (record.contains(own)) throw std::logic_error("task " + task.id + " has a column named " + own + " in extra");
  if (!task.id.empty()) record["id"] = task.id;
  record["prompt"] = prompt_to_json(task.prompt);
  if (!task.answer.empty()) record["answer"] = task.answer;
  if (!task.reward.is_null()) record["reward"] = task.reward;
  return record;
}

Task task_from_json(const Json& record) {
  const auto refuse = [&](const std::string& what) {
    const std::string id = record.is_object() && record.contains("id") ? " " + record["id"].dump() : "";
    throw UsageError("task" + id + ": " + what);
  };
  if (!record.is_object()) refuse("the record is no object, expected {\"id\", \"prompt\", \"answer\", …}");
  Task task;
  task.extra = record;
  const auto take = [&](const char* key) {
    Json value = task.extra.contains(key) ? std::move(task.extra[key]) : Json();
    task.extra.erase(key);
    return value;
  };
  const Json id = take("id"), prompt = take("prompt"), answer = take("answer");
  task.reward = take("reward");
  if (auto problem = read_prompt(prompt, task.prompt)) refuse("its prompt " + *problem);
  for (const auto& [value, text] : {std::pair{&id, &task.id}, {&answer, &task.answer}}) {
    if (value->is_null()) continue;
    auto scalar = scalar_text(*value);
    if (!scalar) refuse((value == &id ? "its id" : "its answer") + std::string(" is neither text nor a number"));
    *text = std::move(*scalar);
  }
  return task;
}

}  // namespace cohort
