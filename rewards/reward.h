// Judging completions: a reward function takes a batch and returns one Score for each completion, in order.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/task.h"

namespace cohort {

enum class Status { correct, wrong, partial, unparsable, timeout, memory, hack, error };
std::string_view to_string(Status status);
Status status_from(std::string_view name);  // throws UsageError on an unknown name

struct Score {
  std::optional<float> value;               // null: no score (our side failed, or the reward does not apply)
  Status status = Status::error;            //
  std::string reason;                       // one line
  std::map<std::string, double> components; // value of each reward that was weighed in
  double seconds = 0;                       // wall time of the verdict
};

struct Judged {
  const Task* task = nullptr;
  std::string_view completion;              // text, special tokens left out
  std::span<const int32_t> completion_ids;  // empty when the text came from a file
  bool truncated = false;                   // ended by the length limit
};

struct Deadline {
  std::chrono::duration<double> per_completion{10.0};  // wall time for one verdict
};

/// One batch in, one Score for each completion, in order. Thread-safe. Never throws for what a completion holds.
using RewardFn = std::function<std::vector<Score>(std::span<const Judged>, Deadline)>;

}  // namespace cohort
