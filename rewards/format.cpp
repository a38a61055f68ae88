// Rewards for the think/answer form.
#include <array>

#include "rewards/rules.h"
#include "rewards/text.h"

namespace cohort {
namespace {

struct Tags {
  std::string open_think, close_think, open_answer, close_answer;
};

Tags tags_from(const Json& options) {
  const auto think = options.at("think").get<std::string>();
  const auto answer = options.at("answer").get<std::string>();
  return {"<" + think + ">", "</" + think + ">", "<" + answer + ">", "</" + answer + ">"};
}

bool stands_once(std::string_view text, std::string_view part) {
  const size_t first = find_first(text, part);
  return first != std::string_view::npos && find_first(text, part, first + 1) == std::string_view::npos;
}

// Takes `part` off the front of text, white space before it included.
bool take(std::string_view& text, std::string_view part) {
  text = trim(text);
  if (!text.starts_with(part)) return false;
  text.remove_prefix(part.size());
  return true;
}

// Takes everything up to and including `part`; the text before it goes to `before`.
bool take_until(std::string_view& text, std::string_view part, std::string_view& before) {
  const size_t at = find_first(text, part);
  if (at == std::string_view::npos) return false;
  before = text.substr(0, at);
  text.remove_prefix(at + part.size());
  return true;
}

bool holds_tag(std::string_view text, const Tags& tags) {
  for (std::string_view tag : {std::string_view(tags.open_think), std::string_view(tags.close_think),
                               std::string_view(tags.open_answer), std::string_view(tags.close_answer)}) {
    if (find_first(text, tag) != std::string_view::npos) return true;
  }
  return false;
}

Score judge_format(std::string_view text, const Tags& tags, bool prefilled) {
  std::string_view thought, answer;
  if (!take(text, tags.open_think) && !prefilled) return verdict(false, "does not start with " + tags.open_think);
  if (!take_until(text, tags.close_think, thought)) return verdict(false, "no " + tags.close_think);
  if (!take(text, tags.open_answer)) return verdict(false, tags.open_answer + " does not follow the thought");
  if (!take_until(text, tags.close_answer, answer)) return verdict(false, "no " + tags.close_answer);
  if (!trim(text).empty()) return verdict(false, "text after " + tags.close_answer);
  if (holds_tag(thought, tags) || holds_tag(answer, tags)) return verdict(false, "a tag stands more than once");
  if (trim(answer).empty()) return verdict(false, "the answer is empty");
  return verdict(true);
}

}  // namespace

RewardFn make_format(const Json& options) {
  return each([tags = tags_from(options), prefilled = options.at("prefilled").get<bool>()](const Judged& judged) {
    return judge_format(judged.completion, tags, prefilled);
  });
}

RewardFn make_tag_count(const Json& options) {
  return each([tags = tags_from(options)](const Judged& judged) {
    double value = 0;
    for (const std::string& tag : {tags.open_think, tags.close_think, tags.open_answer, tags.close_answer}) {
      if (stands_once(judged.completion, tag)) value += 0.25;
    }
    return graded(value, 0, 1);
  });
}

}  // namespace cohort
