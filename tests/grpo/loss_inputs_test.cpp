// What losses take from other forwards: of the reference into the score, of the policy before the step; whatever the
// packing.
#include "grpo/loss/loss_inputs.h"

#include <gtest/gtest.h>

#include "grpo/train_checks.h"
#include "tests/grpo/tiny_groups.h"
#include "tests/grpo/token_batch.h"

namespace cohort {
namespace {

std::vector<Group> scored_groups(Learner& learner) {
  std::vector<Group> groups = tiny_groups();
  store_logprobs(groups, learner, 0.4f);
  for (Group& group : groups)
    for (Rollout& r : group.rollouts) r.score.value = 1.0f;
  groups[0].rollouts[2].score.value.reset();
  groups[2].rollouts[0].completion.loss_mask.assign(groups[2].rollouts[0].completion.tokens.size(), 1);
  groups[2].rollouts[0].completion.loss_mask[3] = 0;
  return groups;
}

TEST(LossInputs, KlInTheRewardIsTheSumOverTheTokensOfEachCompletion) {
  StillLearner still(tiny_llama());
  const CausalLM reference = random_model(tiny_llama(), still.compute, 2);
  const LossConfig loss{.beta = 0.5, .kl_estimator = "k2", .kl_in_reward = true};
  const std::vector<Group> before = scored_groups(still.learner);
  MicroBatch whole = std::move(pack(before, {.max_tokens_per_batch = 1 << 20}, Keep::all).at(0));
  still.learner.fill_logprobs(reference, whole, whole.loss.ref_logprobs);
  for (int64_t max_tokens : {int64_t(1), int64_t(40), int64_t(1) << 20}) {
    std::vector<Group> groups = before;
    penalize_kl(groups, still.learner, reference, loss,
                {.max_tokens_per_batch = max_tokens, .mask_truncated_completions = true});
    size_t n = 0;
    for (const Group& group : groups)
      for (const Rollout& r : group.rollouts) {
        double kl = 0;
        for (size_t i = 0; i < r.completion.tokens.size(); ++i, ++n) {
          const double d = double(whole.loss.ref_logprobs[n]) - r.completion.logprobs[i];
          if (r.completion.loss_mask.empty() || r.completion.loss_mask[i]) kl += d * d / 2;
        }
        EXPECT_NEAR(r.score.components.at("kl"), -0.5 * kl, 1e-4);
        EXPECT_NEAR(r.score.value.value_or(1 - 0.5 * kl), 1 - 0.5 * kl, 1e-4);
        EXPECT_GT(kl, 0);
      }
    EXPECT_FALSE(groups[0].rollouts[2].score.value) << "no score, nothing to lower";
  }
}

/// normalize_then_sum takes it as a reward among the others, which has its sign and size already.
TEST(LossInputs, KlInTheRewardIsAComponentOfWeightOne) {
  TrainConfig config;
  EXPECT_FALSE(component_weights(config).contains("kl"));
  config.loss.beta = 0.5, config.loss.kl_in_reward = true;
  EXPECT_EQ(component_weights(config).at("kl"), 1);
}

TEST(LossInputs, OldLogprobsBecomeThePolicysAndTheStoredOnesTheSamplers) {
  StillLearner still(tiny_llama());
  const std::vector<Group> groups = scored_groups(still.learner);
  const PackConfig config{.max_tokens_per_batch = 40};
  for (Keep keep : {Keep::all, Keep::with_signal}) {
    std::vector<MicroBatch> batches = pack(groups, config, keep);
    const std::vector<MicroBatch> stored = batches;
    ASSERT_GT(batches.size(), 2u);
    set_old_logprobs(batches, policy_logprobs(groups, still.learner, config, keep));
    for (size_t i = 0; i < batches.size(); ++i) {
      still.learner.fill_logprobs(still.model, batches[i], batches[i].loss.logprobs);
      EXPECT_EQ(batches[i].loss.old_logprobs, batches[i].loss.logprobs);
      EXPECT_EQ(batches[i].loss.sampling_logprobs, stored[i].loss.old_logprobs);
      EXPECT_NE(batches[i].loss.sampling_logprobs, batches[i].loss.logprobs);
    }
  }
}

TEST(LossInputs, TheEntropyThresholdIsOfTheWholeStep) {
  StillLearner still(tiny_llama());
  const std::vector<Group> groups = scored_groups(still.learner);
  LossScale whole, parts;
  for (auto [max_tokens, scale] : {std::pair(1 << 20, &whole), std::pair(40, &parts)}) {
    std::vector<MicroBatch> batches = pack(groups, {.max_tokens_per_batch = max_tokens}, Keep::all);
    keep_top_entropies(0.3, batches, still.learner, *scale);
  }
  const double tokens = loss_scale(groups, {}, 24).num_tokens;
  EXPECT_EQ(whole.num_top_tokens, std::ceil(0.3 * (tokens - 1)));
  EXPECT_EQ(parts.num_top_tokens, whole.num_top_tokens);
  EXPECT_EQ(*parts.entropy_threshold, *whole.entropy_threshold) << "to the bit, as a token's forward sees no other";
}

}  // namespace
}  // namespace cohort
