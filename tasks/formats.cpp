#include "tasks/formats.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "configs/config.h"
#include "configs/error.h"
#include "tasks/task_json.h"

namespace cohort {
namespace {

using Problem = std::optional<std::string>;  // one clause on what is wrong with a row

// ---- Columns of a row. A column that is null counts as absent.

bool has(const Json& row, std::string_view key) {
  const auto column = row.find(key);
  return column != row.end() && !column->is_null();
}

bool has_text(const Json& row, std::string_view key) {
  return has(row, key) && row.find(key)->is_string();
}

const std::string& text_of(const Json& row, const char* key) {
  return row[key].get_ref<const std::string&>();
}

Json take(Json& row, const char* key) {
  Json value = row.contains(key) ? std::move(row[key]) : Json();
  row.erase(key);
  return value;
}

Problem take_prompt(Json& row, const char* key, Task& task) {
  if (!has(row, key)) return "has no " + std::string(key);
  if (auto problem = read_prompt(take(row, key), task.prompt)) return "its " + std::string(key) + " " + *problem;
  return std::nullopt;
}

Problem take_plain_prompt(Json& row, const char* key, Task& task) {
  if (!has_text(row, key)) return "has no text in " + std::string(key);
  task.prompt = {{"", take(row, key).get<std::string>()}};
  return std::nullopt;
}

/// The reference answer of a column; an absent one leaves the answer empty.
Problem read_answer(const Json& value, const std::string& key, Task& task) {
  if (value.is_null()) return std::nullopt;
  auto text = scalar_text(value);
  if (!text) return "its " + key + " is " + value.type_name() + ", expected text or a number";
  task.answer = std::move(*text);
  return std::nullopt;
}

Problem take_answer(Json& row, const char* key, Task& task) {
  return read_answer(take(row, key), key, task);
}

// ---- One reader a format

Problem read_own(Json& row, Task& task) {
  if (auto problem = take_prompt(row, "prompt", task)) return problem;
  return take_answer(row, "answer", task);
}

/// TRL's rewards take the reference from a column of the data set, by habit `solution` or `ground_truth`.
Problem read_prompt_only(Json& row, Task& task) {
  if (auto problem = read_own(row, task)) return problem;
  for (const char* key : {"solution", "ground_truth"})
    if (task.answer.empty() && has_text(row, key)) task.answer = text_of(row, key);
  return std::nullopt;
}

/// The completion of a row is its reference solution.
Problem read_prompt_completion(Json& row, Task& task) {
  if (auto problem = read_own(row, task)) return problem;
  Messages completion;
  if (!has(row, "completion")) return "has no completion";
  if (auto problem = read_prompt(row["completion"], completion)) return "its completion " + *problem;
  if (task.answer.empty() && !completion.empty()) task.answer = completion.back().content;
  return std::nullopt;
}

/// A chat whose last assistant turn is the reference solution.
Problem read_messages(Json& row, Task& task) {
  if (auto problem = take_prompt(row, "messages", task)) return problem;
  if (!is_chat(task.prompt)) return "its messages are a text, expected a list";
  if (!task.prompt.empty() && task.prompt.back().role == "assistant") {
    task.answer = std::move(task.prompt.back().content);
    task.prompt.pop_back();
  }
  return std::nullopt;
}

Problem read_verl(Json& row, Task& task) {
  if (auto problem = take_prompt(row, "prompt", task)) return problem;
  if (!has(row, "reward_model") || !row["reward_model"].is_object()) return "has no reward_model object";
  if (!has(row["reward_model"], "ground_truth")) return "its reward_model has no ground_truth";
  const Json& truth = row["reward_model"]["ground_truth"];
  if (truth.is_structured()) return std::nullopt;  // test cases and the like: the reward reads them from extra
  return read_answer(truth, "reward_model.ground_truth", task);
}

Problem read_gsm8k(Json& row, Task& task) {
  if (auto problem = take_plain_prompt(row, "question", task)) return problem;
  if (!has_text(row, "answer")) return "has no text in answer";
  std::string solution = take(row, "answer").get<std::string>();
  auto gold = gsm8k_gold(solution);
  if (!gold) return "its answer has no number after ####";
  task.answer = std::move(*gold);
  if (!row.contains("solution")) row["solution"] = std::move(solution);
  return std::nullopt;
}

/// An answer column wins over the solution's last box: it is there where someone corrected or cut the solution. An
/// empty one is read (published files have some) and found by validate.
Problem read_math(Json& row, Task& task) {
  if (auto problem = take_plain_prompt(row, "problem", task)) return problem;
  const bool has_answer = has(row, "answer");
  if (auto problem = take_answer(row, "answer", task)) return problem;
  if (!task.answer.empty() || (has_answer && !has(row, "solution"))) return std::nullopt;
  if (!has_text(row, "solution")) return "has neither an answer nor a solution";
  auto gold = last_boxed(text_of(row, "solution"));
  if (!gold) return "its solution has no \\boxed{…} with balanced braces";
  task.answer = std::move(*gold);
  return std::nullopt;
}

Problem read_humaneval(Json& row, Task& task) {
  if (auto problem = take_prompt(row, "prompt", task)) return problem;
  for (const char* key : {"test", "entry_point"})
    if (!has_text(row, key)) return "has no text in " + std::string(key);
  return std::nullopt;
}

/// The language stands before the slash of the task_id ("CPP/0") in the published files.
Problem read_humaneval_x(Json& row, Task& task) {
  if (auto problem = take_prompt(row, "prompt", task)) return problem;
  if (!has_text(row, "test")) return "has no text in test";
  if (has_text(row, "language")) return std::nullopt;
  if (!has_text(row, "task_id")) return "has neither a language nor a task_id that names one";
  std::string language = text_of(row, "task_id").substr(0, text_of(row, "task_id").find('/'));
  std::transform(language.begin(), language.end(), language.begin(), [](unsigned char c) { return std::tolower(c); });
  row["language"] = std::move(language);
  return std::nullopt;
}

/// The text alone does not name the function, so the tests are part of the prompt (Austin et al. 2021, section 2.1).
Problem read_mbpp(Json& row, Task& task) {
  const char* key = has(row, "text") ? "text" : "prompt";
  if (!has_text(row, key)) return "has no text in text or prompt";
  if (!has(row, "test_list") || !row["test_list"].is_array() || row["test_list"].empty()) return "has no test_list";
  std::string description = take(row, key).get<std::string>();
  std::string prompt = description + "\nYour code should pass these tests:\n";
  for (const Json& test : row["test_list"]) {
    if (!test.is_string()) return "its test_list holds something else than text";
    prompt += "\n" + test.get_ref<const std::string&>();
  }
  task.prompt = {{"", description.empty() ? "" : prompt + "\n"}};
  row["text"] = std::move(description);
  return std::nullopt;
}

Problem read_svamp(Json& row, Task& task) {
  for (const char* key : {"Body", "Question"})
    if (!has_text(row, key)) return "has no text in " + std::string(key);
  std::string body = take(row, "Body").get<std::string>();
  while (!body.empty() && std::isspace(static_cast<unsigned char>(body.back()))) body.pop_back();
  const bool is_open = !body.empty() && !std::ispunct(static_cast<unsigned char>(body.back()));
  if (!body.empty()) body += is_open ? ". " : " ";
  task.prompt = {{"", body + take(row, "Question").get<std::string>()}};
  if (!has(row, "Answer")) return "has no Answer";
  return take_answer(row, "Answer", task);
}

constexpr std::array<TaskFormat, 11> kFormats = {{
    {"humaneval", "prompt, test, entry_point, task_id",
     [](const Json& r) { return has(r, "prompt") && has(r, "test") && has(r, "entry_point"); }, read_humaneval},
    {"humaneval_x", "prompt, test, declaration, task_id (CPP/0, Java/0, …)",
     [](const Json& r) {
       return has(r, "prompt") && has(r, "test") && (has(r, "declaration") || has(r, "example_test"));
     },
     read_humaneval_x},
    {"mbpp", "text (or prompt), test_list, test_setup_code, task_id",
     [](const Json& r) { return has(r, "test_list") && has(r, "text") != has(r, "prompt"); }, read_mbpp},
    {"svamp", "Body, Question, Answer", [](const Json& r) { return has(r, "Body") && has(r, "Question"); }, read_svamp},
    {"gsm8k", "question, answer (… #### 42)", [](const Json& r) { return has(r, "question") && has(r, "answer"); },
     read_gsm8k},
    {"math", "problem, solution (… \\boxed{42}) or answer, level, type",
     [](const Json& r) { return has(r, "problem") && (has(r, "solution") || has(r, "answer")); }, read_math},
    {"verl", "prompt, data_source, reward_model {ground_truth}, extra_info",
     [](const Json& r) { return has(r, "prompt") && has(r, "reward_model"); }, read_verl},
    {"messages", "messages, the last assistant turn being the reference",
     [](const Json& r) { return has(r, "messages") && !has(r, "prompt"); }, read_messages},
    {"prompt_completion", "prompt, completion (TRL)",
     [](const Json& r) { return has(r, "prompt") && has(r, "completion"); }, read_prompt_completion},
    {"task", "id, prompt, answer, reward, and any others",
     [](const Json& r) { return has(r, "prompt") && (has(r, "answer") || has(r, "reward")); }, read_own},
    {"prompt_only", "prompt (TRL), the reference in solution or ground_truth when there is one",
     [](const Json& r) { return has(r, "prompt"); }, read_prompt_only},
}};

/// Sets the id from the first of the columns that data sets keep it in; all but `id` stay in the row.
Problem read_id(Json& row, const std::string& name, int64_t line, Task& task) {
  task.id = name + "/" + std::to_string(line);
  for (const char* key : {"id", "task_id", "unique_id", "ID"}) {
    if (!has(row, key)) continue;
    const Json& value = row[key];
    if (!value.is_string() && !value.is_number_integer())
      return "its " + std::string(key) + " is neither text nor an integer";
    const bool is_own = std::string_view(key) == "id";
    std::string id = value.is_string() ? value.get<std::string>() : (is_own ? "" : name + "/") + value.dump();
    if (id.empty()) continue;
    task.id = std::move(id);
    break;
  }
  row.erase("id");
  return std::nullopt;
}

bool is_blank(const Messages& prompt) {
  return std::all_of(prompt.begin(), prompt.end(), [](const Message& message) {
    return message.role == "system" || message.content.find_first_not_of(" \t\r\n\v\f") == std::string::npos;
  });
}

}  // namespace

std::span<const TaskFormat> task_formats() {
  return kFormats;
}

const TaskFormat& task_format(std::string_view name) {
  std::vector<std::string> names;
  for (const TaskFormat& format : kFormats) {
    if (format.name == name) return format;
    names.emplace_back(format.name);
  }
  throw UsageError("unknown task format " + std::string(name) + "; the nearest known one is " + nearest(name, names));
}

const TaskFormat* recognise_format(const Json& row) {
  const auto found =
      std::find_if(kFormats.begin(), kFormats.end(), [&](const TaskFormat& f) { return f.recognises(row); });
  return found == kFormats.end() ? nullptr : &*found;
}

Problem read_task(const TaskFormat& format, Json row, const std::string& name, int64_t line, Task& task) {
  task = {};
  if (auto problem = read_id(row, name, line, task)) return problem;
  task.reward = take(row, "reward");
  if (!task.reward.is_null() && !task.reward.is_object() && !task.reward.is_string())
    return "its reward is " + std::string(task.reward.type_name()) + ", expected an object or a name";
  if (auto problem = format.read(row, task)) return problem;
  if (is_blank(task.prompt)) return "its prompt is empty";
  if (task.answer.empty()) {
    if (auto problem = take_answer(row, "answer", task)) return problem;
  }
  for (const char* own : {"prompt", "answer"}) row.erase(own);
  task.extra = std::move(row);
  return std::nullopt;
}

}  // namespace cohort
