// What sampling leaves behind: host memory, no model.
#pragma once
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

#include "rewards/reward.h"
#include "tasks/task.h"

namespace cohort {

enum class FinishReason { stop, length, abort };
const char* to_string(FinishReason reason);

/// For each token of a completion the ids that it was chosen from, ascending; none: nothing was cut there.
struct KeptSets {
  std::vector<int64_t> begin;  // [R+1] in ids; empty: nothing was cut anywhere, or sets were not asked for
  std::vector<int32_t> ids;
  void add(std::span<const int32_t> set);  // of the next token
  std::span<const int32_t> of(size_t token) const;
  bool operator==(const KeptSets&) const = default;
};

struct Completion {
  std::vector<int32_t> tokens;     // [R] ids, stop token included
  std::vector<float> logprobs;     // [R] log p(token) under the weights and temperature that sampled it
  std::vector<uint8_t> loss_mask;  // [R] 0 for tokens the policy did not choose; empty: all 1
  std::vector<int32_t> versions;   // [R] policy version of each token; empty: the group's
  KeptSets kept;                   // with keep_sampling_mask
  double entropy_sum = 0;          // nats, over the tokens; 0: not known
  FinishReason finish = FinishReason::stop;
  uint64_t seed = 0;   // of the random stream that chose the tokens,
  int32_t member = 0;  // and which of its members this is
};

struct Rollout {
  Completion completion;
  std::string text;  // without special tokens
  Score score;
  float advantage = 0;
};

/// G completions of one prompt.
struct Group {
  Task task;
  std::vector<int32_t> prompt;  // [P] ids
  int64_t policy_version = 0;
  std::vector<Rollout> rollouts;  // [G]
  std::vector<double>
      expert_load;  // [moe layers · E] tokens each expert received, prompt and completions; empty if dense
};

/// One line of a groups file (cli contract §3); what is constant or empty is left out. Exact both ways.
Json to_json(const Group& group);
Group group_from_json(const Json& line);
/// False for a group whose weights were not finite: it cannot be read back.
bool has_finite_logprobs(const Json& group);

/// Every group of a groups file. Throws UsageError naming file and line of what is none.
std::vector<Group> read_groups(const std::filesystem::path& file);

/// One line for each group; what is not UTF-8 is replaced.
void print_groups(std::span<const Group> groups, std::ostream& out);

/// Writes a groups file, whole or not at all; its folder is made.
void write_groups(const std::filesystem::path& file, std::span<const Group> groups);

}  // namespace cohort
