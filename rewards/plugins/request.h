// What plug-ins are asked and how their answers are read: the same shape for subprocess, HTTP service and library.
//   item    {"id", "prompt": text | messages, "completion", "completion_ids", "ground_truth", "data_source", "extra",
//            "step", "max_steps"}
//   answer  {"id", "score": number | null, "components"?, "status"?, "reason"?, "extra_logs"?}
// Ids echo in any order. A null without the status "error" says that the reward does not apply.
#pragma once
#include "rewards/reward.h"

namespace cohort {

/// The tasks' ids, numbered where one comes again: distinct within the batch.
std::vector<std::string> wire_ids(std::span<const Judged> batch);

Json request_item(const Judged& judged, const std::string& id);

/// The reference as the row has it: `ground_truth`, reward_model.ground_truth, else the task's answer; null without.
Json ground_truth_of(const Task& task);

/// A chat's contents, a line each; a plain prompt as it is.
std::string prompt_text(const Messages& prompt);

/// One line or body, where bytes that are no UTF-8 are replaced.
std::string wire_text(const Json& json);

/// A text for a message: valid UTF-8 without control characters, cut at `limit` bytes.
std::string one_line(std::string_view text, size_t limit);

/// JSON as plug-ins write it: NaN and Infinity, which JSON does not know, are read as strings. Discarded when it is
/// none or nested too deep.
Json parse_answers(std::string_view text);

/// What one answer says: an error where its score is no finite number or a field has the wrong type.
Score score_from_answer(const Json& answer);

/// The score of a bare number: 1 and more is correct, 0 and less is wrong.
Score score_from_number(const Json& value);

/// The answers to one batch, put in the order of its completions.
class Answers {
 public:
  explicit Answers(std::vector<std::string> ids) : ids_(std::move(ids)), scores_(ids_.size()) {}

  /// Empty, or why the answer spoils the whole batch: no id, an id that was not asked for, an id twice.
  std::string take(const Json& answer);
  /// The same for a list of answers. Any that are missing then are failed.
  void take_all(const Json& list);

  std::vector<size_t> missing() const;
  void fail_first_missing(const std::string& reason);
  void fail_missing(const std::string& reason);
  void fail_all(const std::string& reason);

  const std::vector<std::string>& ids() const { return ids_; }
  std::vector<Score> scores() const;  // once none is missing

 private:
  std::vector<std::string> ids_;
  std::vector<std::optional<Score>> scores_;
};

}  // namespace cohort
