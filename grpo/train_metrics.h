// One row of metrics.jsonl for an optimizer step, under TRL's names where TRL has one.
#pragma once
#include <filesystem>
#include <span>

#include "grpo/learner.h"

namespace cohort {

/// Stored log-probabilities against the learner's own forward, before the rollout's first optimizer step.
struct SamplingCheck {
  int64_t tokens = 0, bit_mismatches = 0;
  double difference_sum = 0, difference_max = 0, ratio_sum = 0, ratio_min = 1e30, ratio_max = -1e30;
  void add(const MicroBatch& batch);  // its log-probabilities are filled in
};
Json sampling_metrics(const SamplingCheck& check);
/// Exact both ways, but for infinities, which come back as NaN.
Json to_json(const SamplingCheck& check);
SamplingCheck sampling_check_from(const Json& saved);

/// How old, in optimizer steps, the weights are that sampled each token of what the step after `step` learns from.
Json staleness_metrics(std::span<const Group> groups, int64_t step);

/// Lengths, rewards and verdicts of the step's groups.
Json group_metrics(std::span<const Group> groups);

/// Tokens each expert received for these groups, [moe layers · E]; empty for a dense model.
std::vector<double> expert_load(std::span<const Group> groups);
/// Largest expert load over the mean, minus 1, averaged over layers (max violation, arXiv 2408.15664).
double max_violation(std::span<const double> load, size_t experts);
/// Largest share of a layer's tokens that one expert takes part in, where each token goes to `top_k` of them.
double max_expert_share(std::span<const double> load, size_t experts, int32_t top_k);

/// Completions without advantage, which the learner did not pass, count in the means all the same: their entropy is
/// that of the sampling (at later inner steps the weights have moved since), and clipping holds back none of their
/// ratios. Masked ones have no entropy.
void count_dropped(LossSums& sums, std::span<const Group> groups, const LossConfig& loss, const PackConfig& pack,
                   const LossScale& scale);

/// Loss, KL, clipping, gradient norm, learning rate; with importance_sampling_correction its factors as the sampling's
/// importance ratio, as TRL logs them.
Json step_metrics(const StepStats& stats, const LossConfig& loss, int64_t num_tokens);

/// step-000020.jsonl
std::string step_file(int64_t step);
/// pass@1 of held-out groups, which go into `folder`, and once there is one of step 0, what was gained since.
Json evaluation_metrics(std::span<const Group> groups, const std::filesystem::path& folder, int64_t step);
/// The evaluation before the first step, where its row has one of its own.
Json of_the_start(const Json& evaluation);

}  // namespace cohort
