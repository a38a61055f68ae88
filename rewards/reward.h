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
  std::optional<float> value;                // null: no score (our side failed, or the reward does not apply)
  Status status = Status::error;             //
  std::string reason;                        // one line, valid UTF-8
  std::map<std::string, double> components;  // value of each reward that was weighed in
  double seconds = 0;                        // wall time of the verdict
  Json extra_logs;                           // what a plug-in wants logged: an object, or null
  int num_errors = 0;                        // of the rewards weighed in, those that failed
};

/// Whether a reward failed: what an error rate counts.
inline bool has_error(const Score& score) {
  return score.status == Status::error || score.num_errors > 0;
}

/// {"value", "status", "reason", "components", "seconds"} and, where there are any, "extra_logs" and "num_errors";
/// score_from_json(to_json(s)) is s to the bit.
Json to_json(const Score& score);
Score score_from_json(const Json& json);  // throws UsageError naming the field

struct Judged {
  const Task* task = nullptr;
  std::string_view completion;              // text, special tokens left out
  std::span<const int32_t> completion_ids;  // empty when the text came from a file
  bool truncated = false;                   // ended by the length limit
  int64_t step = 0;                         // optimizer steps of the run when it was sampled
  int64_t max_steps = 0;                    // of the run; 0 outside of training
};

struct Deadline {
  std::chrono::duration<double> per_completion{10.0};  // wall time for one verdict
};

/// One batch in, one Score for each completion, in order. Thread-safe. Never throws for what a completion holds.
using RewardFn = std::function<std::vector<Score>(std::span<const Judged>, Deadline)>;

/// A reward that is ready to judge.
struct Reward {
  RewardFn judge;
  size_t batch_size = 0;      // 0: one completion a call, under Scorer's deadline; else at most so many, under its own
  bool bounds_tests = false;  // of one a call: the deadline is one for each test, a verdict takes as long as its tests
  std::vector<Score> operator()(std::span<const Judged> batch, Deadline deadline) const {
    return judge(batch, deadline);
  }
};

/// A reward as a config or a command line names it.
struct RewardSpec {
  std::string name;
  double weight = 1;
  Json options = Json::object();
};

/// "NAME[:option=value,…]", or the JSON form when the text starts with '{'. A value is read as JSON where it is a
/// number, true or false, and is a string otherwise. Plug-ins ("python:PATH:FUNCTION", …) stay whole in the name.
RewardSpec parse_reward(std::string_view text);
/// "NAME[:…]" or {"name", "weight"?, "options"?}; unknown keys are refused.
RewardSpec reward_from_json(const Json& json);

/// Whether a name is a plug-in's: "python:…", "exec:…", "http://…", "openrlhf:…", "lib:…".
bool is_plugin(std::string_view name);

struct RewardOption {
  std::string_view name;
  Json initial;  // the default; its type is the option's type
  std::string_view description;
};

/// One line of the table of rewards. `make` gets every option, defaults filled in and types checked.
struct RewardRule {
  std::string_view name;
  std::string_view description;
  std::string_view source;
  std::vector<RewardOption> options;
  RewardFn (*make)(const Json& options);
  bool bounds_tests = false;  // the deadline is one for each test: a verdict takes as long as its tests do
};

/// Why `accuracy` could not judge by the task's reference answer; empty where it could, or where there is none.
std::string unreadable_answer(const Task& task);

const std::vector<RewardRule>& reward_rules();
const RewardRule* find_rule(std::string_view name);  // null where there is none, of a plug-in for instance

/// Throws UsageError on an unknown name or option (naming the nearest) and for a plug-in that cannot be one;
/// MissingError on what this machine lacks or what is not there yet. A plug-in's first worker is started.
Reward make_reward(const RewardSpec& spec);

}  // namespace cohort
