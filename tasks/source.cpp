#include "tasks/source.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "configs/error.h"
#include "tasks/benchmarks.h"
#include "tasks/generators.h"
#include "tasks/task_json.h"

namespace cohort {
namespace {

constexpr std::string_view kPlaceholder = "{prompt}";

struct Option {
  std::string key, value;
};

bool is_key(std::string_view text) {
  const auto is_key_char = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), is_key_char);
}

/// "a=1,b=x\,y" as its options; nothing when it is no such list.
std::optional<std::vector<Option>> split_options(std::string_view text) {
  std::vector<Option> options;
  std::string piece;
  const auto close_piece = [&] {
    const size_t equals = piece.find('=');
    if (equals == piece.npos || !is_key(std::string_view(piece).substr(0, equals))) return false;
    options.push_back({piece.substr(0, equals), piece.substr(equals + 1)});
    piece.clear();
    return true;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == ',')
      piece += text[++i];
    else if (text[i] != ',')
      piece += text[i];
    else if (!close_piece())
      return std::nullopt;
  }
  if (!close_piece()) return std::nullopt;
  return options;
}

/// The reference without its options, and those. A path that exists is taken whole, whatever stands in it.
std::pair<std::string, std::vector<Option>> take_apart(const std::string& reference) {
  std::error_code none;
  std::pair<std::string, std::vector<Option>> apart{reference, {}};
  if (reference == "-" || std::filesystem::exists(reference, none)) return apart;
  for (size_t colon = reference.rfind(':'); colon != reference.npos && colon > 0;
       colon = reference.rfind(':', colon - 1)) {
    const std::string name = reference.substr(0, colon), rest = reference.substr(colon + 1);
    auto options = split_options(rest);
    if (!options && (find_generator(name) || find_benchmark(name)))
      throw UsageError(reference + ": \"" + rest + "\" is no list of options, expected key=value,key=value");
    if (!options) continue;
    apart = {name, std::move(*options)};
    if (std::filesystem::exists(name, none)) break;
  }
  return apart;
}

bool looks_like_file(std::string_view name) {
  const bool has_ending = name.ends_with(".jsonl") || name.ends_with(".json") || name.ends_with(".parquet");
  return name == "-" || has_ending || name.find('/') != name.npos || name.find('.') != name.npos;
}

/// A value of the command line in the type that the option's schema gives.
Json typed(const std::string& value, const Json& schema) {
  const bool is_text = schema.value("type", Json()) == "string";
  return !is_text && Json::accept(value) ? Json::parse(value) : Json(value);
}

std::vector<std::string> keys_of(const Json& properties) {
  std::vector<std::string> keys;
  for (const auto& [key, schema] : properties.items()) keys.push_back(key);
  return keys;
}

Json source_schema(const TaskSource& defaults) {
  SchemaWriter writer;
  TaskSource copy = defaults;
  visit_fields(writer, copy);
  return writer.object_schema();
}

/// Sorts options into those of every source and those of one generator.
void read_options(const std::vector<Option>& options, const Json& own, ParsedSource& parsed) {
  Json common = source_schema({})["properties"];
  common.erase("reference");
  Json fields = dump_config(parsed.source);
  for (const auto& [key, value] : options) {
    if (own.contains(key)) {
      parsed.generator_options[key] = typed(value, own[key]);
    } else if (common.contains(key)) {
      fields[key] = typed(value, common[key]);
    } else {
      Json known = common;
      known.update(own);
      throw UsageError(parsed.source.reference + ": unknown option " + key + "; the nearest known one is " +
                       nearest(key, keys_of(known)));
    }
  }
  TaskSource source;
  ConfigReader reader(fields, {parsed.source.reference, ""});
  visit_fields(reader, source);
  parsed.source = std::move(source);
}

[[noreturn]] void refuse_name(const std::string& name) {
  std::vector<std::string> names;
  for (const Generator& generator : generators()) names.emplace_back(generator.name);
  for (const Benchmark& benchmark : benchmarks()) names.emplace_back(benchmark.name);
  const std::string close = nearest(name, names);
  throw UsageError(name + " is neither a file nor a generator or benchmark of tasks; the nearest " +
                   (find_benchmark(close) ? "benchmark" : "generator") + " is " + close);
}

/// Fields that say something to the other kind of source only.
void refuse_idle_fields(const ParsedSource& parsed) {
  const TaskSource& source = parsed.source;
  if (parsed.is_generator && source.held_out != kHeldOut)
    throw UsageError(source.reference +
                     ": held_out cannot be chosen for a generator, a tenth of its problems is always held out");
  if (parsed.is_generator && !source.format.empty())
    throw UsageError(source.reference + ": format is for files, this is a generator");
  if (!parsed.is_generator && parsed.split == Split::all && source.held_out != kHeldOut)
    throw UsageError(source.reference + ": held_out is given and split is not; choose split=train or split=held_out");
  if (!parsed.is_generator && source.seed != 0)
    throw UsageError(source.reference + ": seed is for generators; the split of a file depends on its prompts alone");
  if (source.prompt_template.find(kPlaceholder) == std::string::npos)
    throw UsageError(source.reference + ": prompt_template has no {prompt} in it");
}

std::string filled(const std::string& prompt_template, const std::string& prompt) {
  std::string text = prompt_template;
  return text.replace(text.find(kPlaceholder), kPlaceholder.size(), prompt);
}

/// A benchmark is a chat where nothing else is said, and asked as it usually is.
void apply_usual_prompt(const Benchmark& benchmark, TaskSource& source) {
  if (source.prompt_template == kPlaceholder)
    source.prompt_template = source.chat ? benchmark.chat_prompt : benchmark.plain_prompt;
}

}  // namespace

ParsedSource parse_source(const TaskSource& source) {
  auto [name, options] = take_apart(source.reference);
  ParsedSource parsed;
  parsed.source = source;
  parsed.source.reference = name;
  const Generator* generator = looks_like_file(name) ? nullptr : find_generator(name);
  parsed.is_generator = generator != nullptr;
  parsed.benchmark = looks_like_file(name) || generator ? nullptr : find_benchmark(name);
  if (parsed.benchmark) parsed.source.chat = true;
  std::error_code none;
  const bool is_named = generator || parsed.benchmark;
  if (!is_named && !looks_like_file(name) && !std::filesystem::exists(name, none)) refuse_name(name);
  read_options(options, generator ? generator->schema()["properties"] : Json::object(), parsed);
  if (parsed.benchmark) {
    apply_usual_prompt(*parsed.benchmark, parsed.source);
    parsed.source.reference = (datasets_folder() / parsed.benchmark->file).string();
  }
  const bool is_auto = parsed.source.split == "auto";
  parsed.split = is_auto ? (generator ? Split::train : Split::all) : split_from(parsed.source.split);
  refuse_idle_fields(parsed);
  return parsed;
}

ParsedSource parse_source(const std::string& reference) {
  TaskSource source;
  source.reference = reference;
  return parse_source(source);
}

/// The examples as a user's turn and an answer each, behind the system message.
static Messages with_examples(const TaskSource& source, Messages prompt) {
  if (!source.examples.empty() && !is_chat(prompt))
    throw UsageError(source.reference + ": examples need a chat, and its prompts are plain; set chat to true");
  auto place = prompt.begin() + (!prompt.empty() && prompt[0].role == "system" ? 1 : 0);
  Messages turns;
  for (const Json& example : source.examples) {
    if (!example.is_object() || !example.contains("prompt") || !example.contains("completion") ||
        !example["prompt"].is_string() || !example["completion"].is_string())
      throw UsageError(source.reference + ": an example is " + example.dump() +
                       ", expected {\"prompt\": text, \"completion\": text}");
    turns.push_back({"user", filled(source.prompt_template, example["prompt"])});
    turns.push_back({"assistant", example["completion"]});
  }
  prompt.insert(place, turns.begin(), turns.end());
  return prompt;
}

void apply_prompt_template(const TaskSource& source, Task& task) {
  const bool was_chat = is_chat(task.prompt);
  if (!was_chat && !source.chat && !source.system_prompt.empty())
    throw UsageError(source.reference + ": system_prompt needs a chat, and task " + task.id +
                     " has a plain prompt; set chat to true");
  Messages prompt = task.prompt;
  if (!was_chat && source.chat) prompt[0].role = "user";
  const auto is_target = [&](const Message& message) { return message.role == "user" || message.role.empty(); };
  const auto target = std::find_if(prompt.rbegin(), prompt.rend(), is_target);
  if (target != prompt.rend()) target->content = filled(source.prompt_template, target->content);
  const bool has_system = !prompt.empty() && prompt[0].role == "system";
  if (!source.system_prompt.empty() && !has_system) prompt.insert(prompt.begin(), {"system", source.system_prompt});
  prompt = with_examples(source, std::move(prompt));
  const Json before = prompt_to_json(task.prompt);
  if (prompt_to_json(prompt) != before && !task.extra.contains("raw_prompt")) task.extra["raw_prompt"] = before;
  task.prompt = std::move(prompt);
}

std::string template_digest(const TaskSource& source) {
  return Json({source.chat, source.system_prompt, source.prompt_template, source.examples}).dump();
}

void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, TaskSource& source) {
  if (value.is_string()) {
    source = {};
    return read_value(value, at, not_empty(), source.reference);
  }
  if (!value.is_object()) refuse_value(value, at, "a task reference, or an object with one and its weight");
  expect_object(value, at, allowed);
  ConfigReader reader(value, at);
  visit_fields(reader, source);
  reader.refuse_unknown_keys();
}

void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, std::vector<TaskSource>& sources) {
  sources.clear();
  if (!value.is_array()) return read_value(value, at, allowed, sources.emplace_back());
  expect_array(value, at, allowed);
  for (size_t i = 0; i < value.size(); ++i) read_value(value[i], at.element(i), {}, sources.emplace_back());
}

Json schema_of(const TaskSource& defaults, const Constraint&) {
  return {{"anyOf", {{{"type", "string"}, {"minLength", 1}}, source_schema(defaults)}}};
}

Json schema_of(const std::vector<TaskSource>&, const Constraint& allowed) {
  Json one = schema_of(TaskSource{}, {});
  Json list = type_schema("array", allowed);
  list["items"] = one;
  one["anyOf"].push_back(list);
  return one;
}

}  // namespace cohort
