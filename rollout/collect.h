// Prompts in, scored groups out.
#pragma once
#include <functional>
#include <map>
#include <optional>

#include "rewards/compose.h"
#include "rollout/engine.h"

namespace cohort {

/// Ids of a prompt: a text as it is, a chat through the tokenizer's template with the generation prompt.
std::vector<int32_t> encode_prompt(const Tokenizer& tokenizer, const Messages& prompt);

/// Seed of a request: a function of run seed, step, prompt and how often the same prompt came before in this step.
uint64_t request_seed(uint64_t run_seed, int64_t step, std::span<const int32_t> prompt, int64_t repeats);

/// Completions of earlier epochs by prompt, from which the engine guesses those of the next: speed, no bit.
class EarlierCompletions {
 public:
  /// None where the prompt is new.
  std::vector<std::vector<int32_t>> of(const std::vector<int32_t>& prompt) const;
  /// Those of the prompt give way to these; nothing is kept beyond the most tokens that memory is given for.
  void remember(const Group& group);

 private:
  static constexpr int64_t kMostTokens = 64 << 20;
  std::map<std::vector<int32_t>, std::vector<std::vector<int32_t>>> by_prompt_;
  int64_t tokens_ = 0;
};

/// How often each prompt came in a rollout so far.
using PromptCounts = std::map<std::vector<int32_t>, int64_t>;

struct CollectJob {
  std::span<const Task> tasks;
  int32_t num_generations = 1;
  SamplingConfig sampling;
  uint64_t seed = 0;  // of the run
  int64_t step = 0;   // which rollout of the run; -1 for an evaluation
  int64_t max_steps = 0;
  EarlierCompletions* earlier = nullptr;  // read, and added to; null: none
  // A rollout that goes on, with tasks behind those before:
  int64_t first_index = 0;         // of the first task, where groups are stored
  PromptCounts* counts = nullptr;  // read, and added to: an equal prompt has another seed each time; null: none before
  // Each group once it is scored; called as progress is. May be empty.
  std::function<void(int64_t index, const Group& group)> complete;
};

/// Groups that an earlier, killed attempt at the same rollout left behind, and where new ones are kept.
struct GroupStore {
  std::function<std::optional<Group>(int64_t index)> find;
  std::function<void(int64_t index, const Group& group)> keep;
};

/// One group for each task, in order, scored as they complete, while decoding goes on (a null scorer: not at all).
/// `store.keep` and `progress`, which sees how many are done, are called by one thread at a time, any.
std::vector<Group> collect(Engine& engine, const CausalLM& model, const Tokenizer& tokenizer, const Scorer* scorer,
                           const CollectJob& job, const GroupStore& store = {},
                           const std::function<void(int64_t done)>& progress = {});

/// Throws MissingError for a task that brings a reward of its own, which judging does not know yet.
void expect_no_own_reward(const Task& task);

/// Fills the scores of a group's rollouts; `step` is how many optimizer steps of `max_steps` the run has taken.
void judge(const Scorer& scorer, Group& group, int64_t step = 0, int64_t max_steps = 0);

}  // namespace cohort
