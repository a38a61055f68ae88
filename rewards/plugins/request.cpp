#include "rewards/plugins/request.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "configs/error.h"
#include "rewards/rules.h"
#include "tasks/rows.h"
#include "tasks/task_json.h"

namespace cohort {
namespace {

const Json* find(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_of(const Json& json) {
  return json.is_string() ? json.get<std::string>() : wire_text(json);
}

// Puts NaN, Infinity and -Infinity that stand outside strings in quotes.
std::string quote_non_numbers(std::string_view text) {
  std::string quoted;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\' && i + 1 < text.size()) {
      quoted += text.substr(i++, 2);
      continue;
    }
    if (c == '"') in_string = !in_string;
    std::string_view word;
    for (std::string_view name : {"NaN", "Infinity", "-Infinity"}) {
      if (!in_string && text.substr(i).starts_with(name)) word = name;
    }
    if (word.empty()) {
      quoted += c;
    } else {
      quoted.append("\"").append(word).append("\"");
      i += word.size() - 1;
    }
  }
  return quoted;
}

std::optional<std::string> read_components(const Json& json, Score& score) {
  if (!json.is_object()) return "components is " + excerpt(json.dump()) + ", expected an object of numbers";
  for (const auto& [name, value] : json.items()) {
    if (!value.is_number() || !std::isfinite(value.get<double>()))
      return "component " + excerpt(name) + " is " + excerpt(wire_text(value)) + ", expected a finite number";
    score.components[name] = value.get<double>();
  }
  return {};
}

// The optional fields of an answer; what is wrong with them.
std::optional<std::string> read_details(const Json& answer, Score& score) {
  if (const Json* reason = find(answer, "reason")) {
    if (!reason->is_string()) return "reason is " + excerpt(wire_text(*reason)) + ", expected a text";
    score.reason = one_line(reason->get<std::string>(), 400);
  }
  if (const Json* components = find(answer, "components")) {
    if (auto wrong = read_components(*components, score)) return wrong;
  }
  if (const Json* logs = find(answer, "extra_logs")) {
    if (!logs->is_object()) return "extra_logs is " + excerpt(wire_text(*logs)) + ", expected an object";
    score.extra_logs = *logs;
  }
  if (const Json* status = find(answer, "status")) {
    try {
      score.status = status_from(text_of(*status));
    } catch (const UsageError& error) {
      return error.what();
    }
  }
  return {};
}

}  // namespace

std::vector<std::string> wire_ids(std::span<const Judged> batch) {
  std::vector<std::string> ids;
  std::set<std::string> taken;
  for (const Judged& judged : batch) {
    const std::string& task = judged.task->id;
    std::string id = task;
    for (int copy = 2; !taken.insert(id).second; ++copy) id = task + "#" + std::to_string(copy);
    ids.push_back(std::move(id));
  }
  return ids;
}

Json ground_truth_of(const Task& task) {
  if (const Json* truth = find(task.extra, "ground_truth")) return *truth;
  if (const Json* model = find(task.extra, "reward_model")) {
    if (const Json* truth = find(*model, "ground_truth")) return *truth;
  }
  if (const Json* answer = find(task.extra, "answer")) return *answer;  // of a row whose answer is no text
  return task.answer.empty() ? Json() : Json(task.answer);
}

std::string prompt_text(const Messages& prompt) {
  std::string text;
  for (const Message& message : prompt) text += (text.empty() ? "" : "\n") + message.content;
  return text;
}

Json request_item(const Judged& judged, const std::string& id) {
  const Task& task = *judged.task;
  const Json* source = find(task.extra, "data_source");
  return {{"id", id},
          {"prompt", task.prompt.empty() ? Json("") : prompt_to_json(task.prompt)},
          {"completion", judged.completion},
          {"completion_ids", judged.completion_ids},
          {"ground_truth", ground_truth_of(task)},
          {"data_source", source ? *source : Json("")},
          {"extra", task.extra},
          {"step", judged.step},
          {"max_steps", judged.max_steps}};
}

std::string wire_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string one_line(std::string_view text, size_t limit) {
  const std::string quoted = excerpt(text, limit);
  return quoted.substr(1, quoted.size() - 2);
}

Json parse_answers(std::string_view text) {
  if (is_nested_too_deep(text)) return Json(Json::value_t::discarded);  // copies and destructors recurse
  Json json = Json::parse(text, nullptr, false);
  return json.is_discarded() ? Json::parse(quote_non_numbers(text), nullptr, false) : json;
}

Score score_from_number(const Json& value) {
  const bool is_number = value.is_number() || value.is_boolean();
  const double number = value.is_boolean() ? double(value.get<bool>()) : is_number ? value.get<double>() : 0.0;
  if (!is_number || !std::isfinite(static_cast<float>(number)))
    return no_score("the score is " + excerpt(text_of(value)) + ", expected a finite number or null");
  return graded(number, 0, 1);
}

Score score_from_answer(const Json& answer) {
  const auto value = answer.find("score");
  if (value == answer.end()) return no_score("the answer has no \"score\"");
  Score score;
  if (value->is_null())
    score.status = Status::partial;  // does not apply, which is no failure
  else if (score = score_from_number(*value); !score.value)
    return score;
  if (auto wrong = read_details(answer, score)) return no_score(*wrong);
  if (score.status == Status::error) score.value.reset();
  if (!score.value && score.reason.empty()) score.reason = "the plug-in gave no score (null)";
  return score;
}

std::string Answers::take(const Json& answer) {
  const Json* id = find(answer, "id");
  if (!id) return "an answer is " + excerpt(wire_text(answer)) + ", expected an object with \"id\" and \"score\"";
  const auto found = std::find(ids_.begin(), ids_.end(), text_of(*id));
  if (found == ids_.end()) return "an answer has the id " + excerpt(text_of(*id)) + ", which was not asked for";
  std::optional<Score>& score = scores_[size_t(found - ids_.begin())];
  if (score) return "the id " + excerpt(*found) + " was answered twice";
  score = score_from_answer(answer);
  return {};
}

void Answers::take_all(const Json& list) {
  if (!list.is_array()) return fail_all("the answer is " + excerpt(wire_text(list)) + ", expected a list of answers");
  for (const Json& answer : list) {
    const std::string spoiled = take(answer);
    if (!spoiled.empty()) return fail_all(spoiled);
  }
  fail_missing("no answer came for this id: " + std::to_string(list.size()) + " answers for " +
               std::to_string(ids_.size()) + " items");
}

std::vector<size_t> Answers::missing() const {
  std::vector<size_t> places;
  for (size_t i = 0; i < scores_.size(); ++i) {
    if (!scores_[i]) places.push_back(i);
  }
  return places;
}

void Answers::fail_first_missing(const std::string& reason) {
  const auto first = std::find(scores_.begin(), scores_.end(), std::nullopt);
  if (first != scores_.end()) *first = no_score(reason);
}

void Answers::fail_missing(const std::string& reason) {
  for (std::optional<Score>& score : scores_) {
    if (!score) score = no_score(reason);
  }
}

void Answers::fail_all(const std::string& reason) {
  for (std::optional<Score>& score : scores_) score = no_score(reason);
}

std::vector<Score> Answers::scores() const {
  std::vector<Score> scores;
  for (const std::optional<Score>& score : scores_) scores.push_back(score.value());
  return scores;
}

}  // namespace cohort
