// The rules shipped by name. Each maker gets its options complete and checked; the judges look at one completion,
// in time linear in its length, and never throw for what it holds.
#pragma once
#include "rewards/reward.h"

namespace cohort {

/// Lifts a judge of one completion to a batch: times each verdict; an exception becomes Status::error, value null.
RewardFn each(std::function<Score(const Judged&)> judge);

Score verdict(bool correct, std::string reason = "");                            // 1 correct or 0 wrong
Score graded(double value, double worst, double best, std::string reason = "");  // partial strictly between
Score unparsable(std::string reason);  // 0: nothing readable in the completion
Score no_score(std::string reason);    // null: our side, or the row, lacks something

/// At most `limit` bytes of text in quotes for a reason: one line, valid UTF-8 whatever the text holds.
std::string excerpt(std::string_view text, size_t limit = 60);

std::string json_text(const Json& json);  // bytes that are no UTF-8 are replaced

std::string_view trim(std::string_view text);  // ASCII white space off both ends

RewardFn make_accuracy(const Json& options);
RewardFn make_format(const Json& options);
RewardFn make_tag_count(const Json& options);
RewardFn make_soft_overlong(const Json& options);
RewardFn make_cosine(const Json& options);
RewardFn make_repetition(const Json& options);
RewardFn make_regex(const Json& options);
RewardFn make_json_schema(const Json& options);
RewardFn make_exact(const Json& options);
RewardFn make_last_number(const Json& options);
RewardFn make_choice(const Json& options);
RewardFn make_language_consistency(const Json& options);
RewardFn make_countdown(const Json& options);
RewardFn make_code(const Json& options);
RewardFn make_binary_code(const Json& options);

}  // namespace cohort
