// JSON of a given form.
#include <optional>

#include "configs/config.h"
#include "configs/error.h"
#include "rewards/rules.h"
#include "rewards/schema.h"
#include "rewards/text.h"

namespace cohort {
namespace {

/// The schema itself, or the path of a file that holds it; none where the option is empty.
std::optional<Schema> schema_of(const Json& option) {
  if (option.empty()) return std::nullopt;
  try {
    return Schema(option.is_object() ? option : parse_config_file(option.get<std::string>()));
  } catch (const UsageError& error) {
    throw UsageError(std::string("reward json_schema: ") + error.what());
  }
}

std::optional<Schema> schema_of(const Task& task) {
  for (const char* column : {"json_schema", "schema"}) {
    const auto found = task.extra.find(column);
    if (found == task.extra.end() || found->is_null()) continue;
    return Schema(found->is_string() ? parse_config_text(found->get<std::string>(), column) : *found);
  }
  return std::nullopt;
}

Score judge(const Schema& schema, std::string_view text) {
  Json value;
  try {
    value = parse_config_text(text, "the completion");
  } catch (const UsageError& error) {
    return unparsable(excerpt(error.what(), 200));
  }
  const Schema::Verdict found = schema.check(value);
  if (found.out_of_budget) return {.value = 0.0F, .status = Status::timeout, .reason = found.fault};
  return verdict(found.holds, found.fault);
}

}  // namespace

RewardFn make_json_schema(const Json& options) {
  const auto extract = options.at("extract").get<std::string>();
  check_extract(extract, "json_schema");
  const std::optional<Schema> shared = schema_of(options.at("schema"));
  return each([shared, extract](const Judged& judged) {
    std::optional<Schema> own;
    try {
      if (!shared) own = schema_of(*judged.task);
    } catch (const UsageError& error) {
      return no_score("the row's schema: " + excerpt(error.what(), 200));
    }
    if (!shared && !own) return no_score("no schema: neither the option nor a column json_schema");
    std::string_view text = judged.completion;
    if (const size_t thought = find_last(text, "</think>"); thought != std::string_view::npos)
      text.remove_prefix(thought + 8);
    const std::optional<std::string_view> part = extract_by(extract, text);
    if (!part) return unparsable("nothing to extract by " + extract);
    return judge(shared ? *shared : *own, *part);
  });
}

}  // namespace cohort
