// Rewards that look at length.
#include <cmath>
#include <numbers>

#include "configs/error.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

// Tokens of a completion; none where the row carries only text.
std::optional<double> num_tokens(const Judged& judged) {
  if (judged.completion_ids.empty() && !judged.completion.empty()) return std::nullopt;
  return static_cast<double>(judged.completion_ids.size());
}

double num_characters(std::string_view text) {
  size_t count = 0;
  for (char c : text) count += (c & 0xC0) != 0x80 ? 1 : 0;
  return static_cast<double>(count);
}

struct Cosine {
  double min_wrong, max_wrong, min_correct, max_correct, max_len;
  bool tokens;
};

// Half a cosine from `at_zero` to `at_end`; lengths beyond max_len count as max_len, so that no length earns more.
double cosine_value(const Cosine& c, bool correct, double length) {
  const double progress = std::min(length / c.max_len, 1.0);
  const double at_zero = correct ? c.max_correct : c.min_wrong;
  const double at_end = correct ? c.min_correct : c.max_wrong;
  return at_end + 0.5 * (at_zero - at_end) * (1 + std::cos(progress * std::numbers::pi));
}

}  // namespace

RewardFn make_soft_overlong(const Json& options) {
  const auto max = options.at("max_completion_length").get<double>();
  const auto cache = options.at("cache").get<double>();
  if (!(cache > 0 && cache <= max))
    throw UsageError("reward soft_overlong: cache must be in (0, max_completion_length]");
  return each([=](const Judged& judged) {
    const auto length = num_tokens(judged);
    if (!length) return no_score("soft_overlong needs completion_ids, the row has text alone");
    const double value = *length <= max - cache ? 0.0 : *length <= max ? (max - cache - *length) / cache : -1.0;
    return graded(value, -1, 0);
  });
}

RewardFn make_cosine(const Json& options) {
  const auto number = [&](const char* name) { return options.at(name).get<double>(); };
  const auto unit = options.at("unit").get<std::string>();
  if (unit != "tokens" && unit != "characters")
    throw UsageError("reward cosine: unit must be tokens or characters, found " + excerpt(unit));
  const Cosine cosine{number("min_value_wrong"),   number("max_value_wrong"), number("min_value_correct"),
                      number("max_value_correct"), number("max_len"),         unit == "tokens"};
  if (!(cosine.max_len > 0)) throw UsageError("reward cosine: max_len must be above 0");
  const RewardFn accuracy = make_reward({.name = "accuracy"});
  return each([=](const Judged& judged) {
    const auto length = cosine.tokens ? num_tokens(judged) : num_characters(judged.completion);
    if (!length) return no_score("cosine in tokens needs completion_ids, the row has text alone");
    const Score right = accuracy({&judged, 1}, {}).at(0);
    if (!right.value) return right;
    const bool correct = right.status == Status::correct;
    return Score{.value = static_cast<float>(cosine_value(cosine, correct, *length)),
                 .status = right.status,
                 .reason = right.reason};
  });
}

}  // namespace cohort
