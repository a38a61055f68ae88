// What a GRPO run is refused for: settings that do not go together, prompts without room, frozen groups of another
// model, verifiers that do not work. Each throws UsageError (exit code 2) unless it says otherwise.
#pragma once
#include "grpo/train.h"
#include "policy/text/tokenizer.h"
#include "tasks/task_set.h"

namespace cohort {

/// Longest prompt, in tokens, that leaves room for a completion.
int64_t prompt_room(const TrainConfig& config, const ModelSpec& spec);
/// Tokens of a prompt, which must leave room for a completion; a reward of its own is a MissingError.
int64_t length_of(const Task& task, const Tokenizer& tokenizer, int64_t room);
/// Every prompt of a finite source must fit; returns the longest. Of endless sources the first 256 are measured, and
/// the engine grows when a longer one comes.
int64_t longest_prompt(const std::vector<Stream<Task>>& streams, const Tokenizer& tokenizer, int64_t room);
/// Held-out tasks that are trained on measure memory: said once, on stderr, before the first step; nothing is refused.
void warn_of_leaks(const std::vector<Stream<Task>>& streams, std::span<const Task> eval_tasks);

/// AlarmStop when more than max_verifier_error_rate of the verdicts are errors.
void expect_working_verifiers(const TrainConfig& config, std::span<const Group> groups);
/// The weight of each component of a score: of every reward, and of the penalties for length and KL, of weight 1.
std::map<std::string, double> component_weights(const TrainConfig& config);
/// The frozen groups of --groups, with advantages from their scores; none without a file.
std::vector<Group> read_frozen_groups(const TrainConfig& config);
/// Frozen groups may come from another model: their ids and lengths must be those of this one. Extends its rope table.
void expect_fit(std::span<const Group> groups, CausalLM& model);

}  // namespace cohort
