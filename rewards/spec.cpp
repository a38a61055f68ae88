// How configs and command lines name a reward.
#include <algorithm>
#include <array>

#include "configs/error.h"
#include "rewards/reward.h"
#include "rewards/rules.h"
#include "tasks/rows.h"

namespace cohort {
namespace {

// What plug-ins begin with: rewards/plugins/plugin.cpp makes them.
constexpr std::array<std::string_view, 6> kPlugins = {"python:", "exec:", "http://", "https://", "openrlhf:", "lib:"};

Json option_value(std::string_view text) {
  Json value = Json::parse(text, nullptr, false);
  return value.is_number() || value.is_boolean() ? value : Json(std::string(text));
}

}  // namespace

bool is_plugin(std::string_view name) {
  return std::any_of(kPlugins.begin(), kPlugins.end(), [&](std::string_view start) { return name.starts_with(start); });
}

RewardSpec parse_reward(std::string_view text) {
  text = trim(text);
  if (text.starts_with("{")) {
    Json json;
    if (const auto problem = parse_row(text, json)) throw UsageError("reward " + excerpt(text) + ": " + *problem);
    return reward_from_json(json);
  }
  if (is_plugin(text)) return {.name = std::string(text)};
  const size_t colon = text.find(':');
  RewardSpec spec{.name = std::string(text.substr(0, colon))};
  std::string_view rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      throw UsageError("reward " + excerpt(text) + ": expected option=value after the colon, found " + excerpt(part));
    }
    const std::string name(trim(part.substr(0, equals)));
    const Json value = option_value(part.substr(equals + 1));
    if (name == "weight" && value.is_number())
      spec.weight = value.get<double>();
    else if (spec.options.contains(name))
      throw UsageError("reward " + excerpt(text) + ": option " + name + " is given twice");
    else
      spec.options[name] = value;
  }
  return spec;
}

RewardSpec reward_from_json(const Json& json) {
  if (json.is_string()) return parse_reward(json.get<std::string>());
  if (!json.is_object() || !json.contains("name") || !json["name"].is_string()) {
    throw UsageError("a reward is a name or an object with name, weight and options, found " +
                     excerpt(json_text(json)));
  }
  RewardSpec spec = parse_reward(json["name"].get<std::string>());
  for (const auto& [key, value] : json.items()) {
    if (key == "name") continue;
    if (key == "weight" && value.is_number())
      spec.weight = value.get<double>();
    else if (key == "options" && value.is_object())
      spec.options.update(value);
    else
      throw UsageError("reward " + excerpt(spec.name) + ": unknown or ill-typed key " + excerpt(key) +
                       ", expected name, weight (number), options (object)");
  }
  return spec;
}

}  // namespace cohort
