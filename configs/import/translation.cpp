#include "configs/import/translation.h"

#include <algorithm>
#include <cmath>

#include "configs/error.h"

namespace cohort {
namespace {

constexpr size_t kMaxShown = 80;  // characters of a value

/// Options of a program arrive as text here and there ("1e-6" in quotes): what is a number stays one.
Json as_number(const Json& value) {
  if (!value.is_string()) return value;
  const Json parsed = Json::parse(value.get<std::string>(), nullptr, false);
  return parsed.is_number() ? parsed : value;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace

Translation::Translation(std::string file, std::vector<SourceKey> keys, ImportTarget target)
    : file_(std::move(file)), keys_(std::move(keys)), target_(std::move(target)) {}

const SourceKey* Translation::any(const std::string& name) const {
  const auto key = std::find_if(keys_.begin(), keys_.end(), [&](const SourceKey& k) { return k.name == name; });
  return key == keys_.end() ? nullptr : &*key;
}

/// ??? and ${…} stand for a value that is given elsewhere.
const SourceKey* Translation::find(const std::string& name) const {
  const SourceKey* key = any(name);
  if (!key || key->value.is_null()) return nullptr;
  const std::string text = key->value.is_string() ? key->value.get<std::string>() : "";
  return text == "???" || text.starts_with("${oc.") ? nullptr : key;
}

bool Translation::is_null(const std::string& name) const {
  const SourceKey* key = any(name);
  return key && key->value.is_null();
}

void Translation::refuse(const std::string& name, const std::string& expected) const {
  const SourceKey* key = any(name);
  throw UsageError(place({name}) + ": " + name + " is " + (key ? shown(*key) : "not given") + ", expected " + expected);
}

std::optional<bool> Translation::boolean(const std::string& name) const {
  const SourceKey* key = find(name);
  if (!key) return std::nullopt;
  if (!key->value.is_boolean()) refuse(name, "true or false");
  return key->value.get<bool>();
}

std::optional<int64_t> Translation::integer(const std::string& name, int64_t least) const {
  const std::optional<double> value = number(name);
  if (!value) return std::nullopt;
  const std::string expected = "an integer of at least " + std::to_string(least);
  if (*value != std::floor(*value) || *value < double(least) || *value > 1e15) refuse(name, expected);
  return static_cast<int64_t>(*value);
}

std::optional<double> Translation::number(const std::string& name) const {
  const SourceKey* key = find(name);
  if (!key) return std::nullopt;
  const Json value = as_number(key->value);
  if (!value.is_number()) refuse(name, "a number");
  return value.get<double>();
}

std::optional<std::string> Translation::text(const std::string& name) const {
  const SourceKey* key = find(name);
  if (!key) return std::nullopt;
  if (!key->value.is_string()) refuse(name, "a text");
  return key->value.get<std::string>();
}

std::optional<std::string> Translation::choice(const std::string& name, const Names& choices) const {
  const std::optional<std::string> value = text(name);
  if (value && std::find(choices.begin(), choices.end(), *value) == choices.end())
    refuse(name, "one of " + joined(choices));
  return value;
}

std::string Translation::place(const Names& from) const {
  for (const std::string& name : from)
    if (const SourceKey* key = any(name)) return file_ + ":" + std::to_string(key->line);
  return file_;
}

std::string Translation::shown(const SourceKey& key) const {
  const std::string text = key.value.is_string() ? key.value.get<std::string>()
                                                 : key.value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() > kMaxShown ? text.substr(0, kMaxShown) + "…" : text;
}

void Translation::put(const std::string& ours, const Json& value, const Names& from, const std::string& note) {
  if (!knows(ours)) {
    for (const std::string& name : from)
      if (any(name)) lose(name, "this version has no " + ours);
    return;
  }
  Json config = {{"model", "model"}, {"tasks", "tasks.jsonl"}};
  config[ours] = value;
  const bool same_name = from.size() == 1 && from[0] == ours;
  target_.check(config, place(from) + (same_name || from.empty() ? "" : ": " + from[0]));
  config_[ours] = nlohmann::ordered_json::parse(value.dump());
  std::vector<std::string> lines, sources;
  int64_t first = INT64_MAX;
  for (const std::string& name : from)
    if (const SourceKey* key = any(name)) {
      lines.push_back(std::to_string(key->line)), sources.push_back(name + " " + shown(*key));
      first = std::min(first, key->line);
      done_.insert(name);
    }
  const std::string source = lines.empty() ? "a default there" : joined(lines) + ": " + joined(sources);
  told_.push_back({lines.empty() ? 0 : first,
                   source + " -> " + ours + " " + value.dump() + (note.empty() ? "" : " (" + note + ")")});
}

void Translation::put_choice(const std::string& ours, const Json& value, const Names& from, const std::string& note) {
  try {
    put(ours, value, from, note);
  } catch (const UsageError&) {
    for (const std::string& name : from)
      if (any(name)) lose(name, "this version has no " + ours + " " + value.dump());
  }
}

void Translation::put_default(const std::string& ours, const Json& value) {
  if (knows(ours) && target_.defaults.at(ours) != value && !config_.contains(ours)) put_choice(ours, value, {});
}

void Translation::tell(const std::string& name, const std::string& text) {
  const SourceKey* key = any(name);
  if (!key || !done_.insert(name).second) return;
  told_.push_back({key->line, std::to_string(key->line) + ": " + name + " " + shown(*key) + ": " + text});
}

void Translation::lose(const std::string& name, const std::string& reason) {
  const SourceKey* key = any(name);
  if (!key || !done_.insert(name).second) return;
  lost_.push_back({key->line, std::to_string(key->line) + ": " + name + " " + shown(*key) + ": " + reason});
}

void Translation::lose_section(const std::string& prefix, const std::string& reason, bool by_name) {
  int64_t first = INT64_MAX, last = 0;
  std::vector<std::string> names;
  for (const SourceKey& key : keys_) {
    if (!key.name.starts_with(prefix) || !done_.insert(key.name).second) continue;
    first = std::min(first, key.line), last = std::max(last, key.line);
    names.push_back(key.name.substr(prefix.size()));
  }
  if (names.empty()) return;
  const std::string lines = std::to_string(first) + (first == last ? "" : " to " + std::to_string(last));
  const std::string count = std::to_string(names.size()) + (names.size() == 1 ? " key" : " keys");
  lost_.push_back({first, lines + ": " + prefix + "* (" + (by_name ? joined(names) : count) + "): " + reason});
}

void Translation::lose_the_rest(const Names& known) {
  for (const SourceKey& key : keys_) {
    if (!find(key.name)) tell(key.name, "no value of its own");
    lose(key.name, "no such key is known; the nearest is " + nearest(key.name, known));
  }
}

std::string Translation::config_text() const {
  nlohmann::ordered_json config = {{"$schema", "schema/train.json"}};
  for (const char* first : {"model", "tasks", "eval_tasks", "rewards"})
    if (config_.contains(first)) config[first] = config_[first];
  for (const auto& [key, value] : config_.items()) config[key] = value;
  return config.dump(1) + "\n";
}

std::string Translation::told() const {
  const auto text_of = [](std::vector<Line> lines, const std::string& margin) {
    std::stable_sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) { return a.line < b.line; });
    std::string text;
    for (const Line& line : lines) text += margin + line.text + "\n";
    return text;
  };
  std::string wanting;
  for (const char* name : {"model", "tasks"})
    if (!config_.contains(name)) wanting += std::string("still to be given: ") + name + "\n";
  if (knows("max_steps") && !config_.contains("max_steps"))
    wanting += "still to be given: max_steps, else the run has " + target_.defaults.at("max_steps").dump() + "\n";
  return text_of(told_, "  ") + (lost_.empty() ? "" : "without counterpart:\n") + text_of(lost_, "  ") + wanting;
}

}  // namespace cohort
