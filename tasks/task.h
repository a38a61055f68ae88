// A task: what to solve, the reference answer, and how completions of it are judged.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace cohort {

using Json = nlohmann::json;

struct Message {
  std::string role;     // system, user, assistant, tool
  std::string content;  // UTF-8
};

/// A prompt is a plain text (one message with an empty role) or a chat.
using Messages = std::vector<Message>;

struct Task {
  std::string id;               // unique in its file; made from the file's name and the line where the row has none
  Messages prompt;              //
  std::string answer;           // reference answer; may be empty
  Json reward;                  // reward spec of this row, null when the job's own rewards apply
  Json extra = Json::object();  // every other column of the row, as it stood; never id, prompt, answer or reward
};

inline bool is_chat(const Messages& prompt) {
  return !(prompt.size() == 1 && prompt[0].role.empty());
}

}  // namespace cohort
