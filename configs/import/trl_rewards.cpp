// Rewards of a TRL config: names of its registry, of open-r1's, or of a function in a file.
#include <algorithm>

#include "configs/import/translation.h"

namespace cohort {
namespace {

std::string words_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

double number_or(Translation& t, const std::string& name, double otherwise) {
  return t.number(name).value_or(otherwise);
}

/// A reward of TRL's registry or open-r1's under our name; null where there is none.
Json reward_named(Translation& t, const std::string& name) {
  if (name == "accuracy_reward" || name == "reasoning_accuracy_reward" || name == "accuracy") return "accuracy";
  if (name == "think_format_reward")
    return {{"name", "regex"}, {"options", {{"pattern", R"((?s)\A<think>(?!.*<think>).*?</think>)"}}}};
  if (name == "format" || name == "tag_count" || name == "code" || name == "binary_code") return name;
  if (name == "get_soft_overlong_punishment")  // the values of trl's script
    return {{"name", "soft_overlong"}, {"options", {{"max_completion_length", 1280}, {"cache", 256}}}};
  if (name == "soft_overlong_punishment")
    return {{"name", "soft_overlong"},
            {"options",
             {{"max_completion_length", t.integer("max_completion_len", 1).value_or(16384)},
              {"cache", t.integer("soft_punish_cache", 1).value_or(4096)}}}};
  if (name == "repetition_penalty")
    return {{"name", "repetition"},
            {"options",
             {{"ngram", t.integer("repetition_n_grams", 1).value_or(3)},
              {"max_penalty", number_or(t, "repetition_max_penalty", -1)}}}};
  if (name == "cosine")
    return {{"name", "cosine"},
            {"options",
             {{"min_value_wrong", number_or(t, "cosine_min_value_wrong", 0)},
              {"max_value_wrong", number_or(t, "cosine_max_value_wrong", -0.5)},
              {"min_value_correct", number_or(t, "cosine_min_value_correct", 0.5)},
              {"max_value_correct", number_or(t, "cosine_max_value_correct", 1)},
              {"max_len", t.integer("cosine_max_len", 1).value_or(1000)},
              {"unit", "characters"}}}};
  const size_t dot = name.rfind('.');
  if (dot == name.npos || dot == 0 || dot + 1 == name.size()) return nullptr;
  std::string path = name.substr(0, dot);
  std::replace(path.begin(), path.end(), '.', '/');
  return "python:" + path + ".py:" + name.substr(dot + 1);
}

}  // namespace

void translate_trl_rewards(Translation& t) {
  const SourceKey* functions = t.find("reward_funcs");
  const SourceKey* weights = t.find("reward_weights");
  if (functions) {
    const Json names = functions->value.is_array() ? functions->value : Json::array({functions->value});
    if (weights && (!weights->value.is_array() || weights->value.size() != names.size()))
      t.refuse("reward_weights",
               "a list of " + std::to_string(names.size()) + " numbers, one for each of reward_funcs");
    Json rewards = Json::array();
    std::string without;
    for (size_t i = 0; i < names.size(); ++i) {
      if (!names[i].is_string()) t.refuse("reward_funcs", "a list of names");
      Json reward = reward_named(t, names[i]);
      if (reward.is_null()) {
        without += (without.empty() ? "" : ", ") + words_of(names[i]);
        continue;
      }
      if (weights) {
        if (!weights->value[i].is_number()) t.refuse("reward_weights", "a list of numbers");
        if (reward.is_string()) reward = {{"name", reward}};
        reward["weight"] = weights->value[i];
      }
      rewards.push_back(reward);
    }
    const std::string note =
        without.empty() ? "" : "without " + without + ", which has no counterpart: cohort score --list";
    if (rewards.empty())
      t.lose("reward_funcs", "none of them is known: cohort score --list shows what is");
    else
      t.put("rewards", rewards, {"reward_funcs", "reward_weights"}, note);
  }
  t.lose("reward_weights", "there are no rewards to weigh");
  for (const char* option : {"max_completion_len", "soft_punish_cache", "repetition_n_grams", "repetition_max_penalty",
                             "cosine_min_value_wrong", "cosine_max_value_wrong", "cosine_min_value_correct",
                             "cosine_max_value_correct", "cosine_max_len"})
    t.tell(option, "an option of its reward");
}

}  // namespace cohort
