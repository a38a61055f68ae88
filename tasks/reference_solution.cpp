#include "tasks/reference_solution.h"

#include <cctype>

#include "configs/error.h"

namespace cohort {
namespace {

std::string text_in(const Task& task, const char* column) {
  const auto found = task.extra.find(column);
  return found != task.extra.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string fenced(const std::string& language, const std::string& program) {
  return "```" + language + "\n" + program + (program.ends_with("\n") ? "" : "\n") + "```";
}

}  // namespace

std::string reference_solution(const Task& task) {
  const std::string rest = text_in(task, "canonical_solution"), code = text_in(task, "code"),
                    language = text_in(task, "language").empty() ? "python" : text_in(task, "language");
  if (!rest.empty()) return is_chat(task.prompt) ? fenced(language, text_in(task, "raw_prompt") + rest) : rest;
  if (!code.empty()) return is_chat(task.prompt) ? fenced("python", code) : code;
  for (const char* column : {"solution", "completion"})
    if (std::string text = text_in(task, column); !text.empty()) return text;
  if (task.answer.empty())
    throw UsageError("the task " + task.id +
                     " has no reference solution, expected solution, canonical_solution, code, completion or answer");
  return task.answer;
}

std::string continuation(const Messages& prompt, const std::string& solution) {
  const std::string& before = prompt.back().content;
  const bool is_open = !is_chat(prompt) && !before.empty() && !std::isspace(static_cast<unsigned char>(before.back()));
  return (is_open ? "\n" : "") + solution;
}

SftRow solved_row(const Task& task) {
  SftRow row{.id = task.id};
  const std::string completion = continuation(task.prompt, reference_solution(task));
  if (is_chat(task.prompt)) {
    row.messages = task.prompt;
    row.messages.push_back({"assistant", completion});
    row.first_loss_message = task.prompt.size();
  } else {
    row.prompt = task.prompt[0].content, row.completion = completion;
  }
  return row;
}

}  // namespace cohort
