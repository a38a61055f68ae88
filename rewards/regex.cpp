// A pattern that has to be found.
#include "configs/error.h"
#include "rewards/pattern.h"
#include "rewards/rules.h"

namespace cohort {

RewardFn make_regex(const Json& options) {
  const auto text = options.at("pattern").get<std::string>();
  if (text.empty()) throw UsageError("reward regex needs a pattern: regex:pattern=…");
  const Pattern pattern(text,
                        {.full = options.at("full").get<bool>(), .ignore_case = options.at("ignore_case").get<bool>()},
                        "reward regex");
  return each([pattern](const Judged& judged) -> Score {
    const Matched matched = pattern.match(judged.completion);
    if (matched != Matched::out_of_budget) return verdict(matched == Matched::yes);
    return {
        .value = 0.0F, .status = Status::timeout, .reason = "the pattern ran out of its budget of work on this text"};
  });
}

}  // namespace cohort
