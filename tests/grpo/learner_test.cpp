// The learner's gradient: against autograd, and unmoved by how groups are packed; what counts in a step and what not.
#include "grpo/learner.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <numeric>

#include "grpo/loss/loss_inputs.h"
#include "policy/reference.h"
#include "tests/grpo/autograd.h"
#include "tests/grpo/tiny_groups.h"

namespace cohort {
namespace {

struct Outcome {
  StepStats stats;
  std::vector<float> gradient;
  size_t micro_batches;
};

Outcome gradient_of(StillLearner& still, std::span<const Group> groups, const LossConfig& loss,
                    const PackConfig& pack_config = {}, Keep keep = Keep::all) {
  std::vector<MicroBatch> batches = pack(groups, pack_config, keep);
  LossScale scale = loss_scale(groups, pack_config, 24);
  scale.entropy_coef = loss.entropy_coef;
  if (loss.top_entropy_quantile < 1) keep_top_entropies(loss.top_entropy_quantile, batches, still.learner, scale);
  StepStats stats = still.learner.step(
      batches, [&](const TokenBatch& b, const TokenGradient& d) { return grpo_loss(loss, b, scale, d); }, 10);
  return {stats, copy_of(still.learner.gradient), batches.size()};
}

std::vector<Json> models() {
  return {tiny_llama(), tiny_deepseek(24)};
}

/// Each at either level, and once with what is taken from the whole step.
std::vector<LossConfig> every_loss() {
  std::vector<LossConfig> all;
  for (const std::string& type : loss_types())
    for (const char* level : {"token", "sequence"})
      all.push_back({.loss_type = type, .importance_sampling_level = level, .epsilon_high = 1.1});
  all.push_back({.entropy_coef = 0.1, .top_entropy_quantile = 0.4, .off_policy_mask_threshold = 0.05});
  return all;
}

TEST(Learner, PackingChangesNeitherLossNorGradient) {
  for (const Json& config : models()) {
    StillLearner still(config);
    std::vector<Group> groups = tiny_groups();
    store_logprobs(groups, still.learner, 0.4f);
    for (const LossConfig& loss : every_loss()) {
      Outcome whole = gradient_of(still, groups, loss, {.max_tokens_per_batch = 1 << 20});
      ASSERT_EQ(whole.micro_batches, 1u);
      EXPECT_GT(whole.stats.grad_norm, 0);
      for (auto [max_tokens, count] : {std::pair(1, 12), std::pair(40, 5), std::pair(100, 2)}) {
        Outcome parts = gradient_of(still, groups, loss, {.max_tokens_per_batch = max_tokens});
        EXPECT_GE(parts.micro_batches, size_t(count));
        EXPECT_LT(relative_difference(parts.gradient, whole.gradient), 1e-5) << dump_config(loss) << max_tokens;
        EXPECT_NEAR(parts.stats.sums.loss, whole.stats.sums.loss, 1e-12) << dump_config(loss) << max_tokens;
        EXPECT_EQ(parts.stats.sums.tokens, whole.stats.sums.tokens);
      }
    }
  }
}

TEST(Learner, GradientCheckpointingChangesNoBit) {
  for (const Json& config : models()) {
    const std::vector<Group> groups = tiny_groups();
    std::vector<float> gradients[2];
    for (bool checkpointing : {false, true}) {
      StillLearner still(config, 2, checkpointing);
      gradients[checkpointing] = gradient_of(still, groups, {}, {.max_tokens_per_batch = 40}).gradient;
    }
    EXPECT_EQ(gradients[0], gradients[1]);
  }
}

TEST(Learner, AGradientThatIsNotFiniteStopsBeforeItReachesTheWeights) {
  StillLearner still(tiny_llama());
  const std::vector<Group> groups = tiny_groups();
  const std::vector<float> before = copy_of(still.learner.model().parameters);
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<MicroBatch> batches = pack(groups, PackConfig{}, Keep::all);
    const TokenLoss loss = [&](const TokenBatch&, const TokenGradient& d) {
      std::ranges::fill(d.logprobs, bad);
      return LossSums{};
    };
    EXPECT_THROW(still.learner.step(batches, loss, 10), std::runtime_error);
    EXPECT_EQ(copy_of(still.learner.model().parameters), before);
    EXPECT_EQ(still.learner.step(), 0);
  }
}

TEST(Learner, WhatPromptsHaveInCommonIsPassedOnceWithTheSameGradient) {
  for (const Json& config : models()) {
    StillLearner still(config);
    std::vector<Group> groups = tiny_groups();
    const std::vector<int32_t> beginning = tiny_ids(37, 60);
    for (Group& group : groups) group.prompt.insert(group.prompt.begin(), beginning.begin(), beginning.end());
    store_logprobs(groups, still.learner, 0.4f);
    Outcome shared = gradient_of(still, groups, {}, {.max_tokens_per_batch = 1 << 20}),
            apart = gradient_of(still, groups, {}, {.max_tokens_per_batch = 1});
    EXPECT_EQ(shared.stats.learner_tokens, 3 * 37 + 42 + 117 - 12 - 2 * 32);
    EXPECT_LT(relative_difference(shared.gradient, apart.gradient), 1e-5);
    EXPECT_NEAR(shared.stats.sums.loss, apart.stats.sums.loss, 1e-12);
  }
}

TEST(Learner, DroppingWhatHasNoSignalChangesNoGradient) {
  for (const Json& config : models()) {
    StillLearner still(config);
    std::vector<Group> groups = tiny_groups();
    store_logprobs(groups, still.learner, 0.4f);
    for (const LossConfig& loss : every_loss()) {
      if (learns_without_advantage(loss)) continue;
      Outcome all = gradient_of(still, groups, loss, {.max_tokens_per_batch = 1 << 20}, Keep::all);
      Outcome kept = gradient_of(still, groups, loss, {.max_tokens_per_batch = 1 << 20}, Keep::with_signal);
      EXPECT_LT(kept.stats.learner_tokens, all.stats.learner_tokens);
      EXPECT_LT(relative_difference(kept.gradient, all.gradient), 1e-6) << loss.loss_type;
      EXPECT_EQ(kept.stats.sums.loss, all.stats.sums.loss);
      EXPECT_EQ(kept.stats.sums.phi, all.stats.sums.phi);
      EXPECT_EQ(kept.stats.sums.clipped_high, all.stats.sums.clipped_high);
      // Each completion alone: what is dropped adds zeros, so the bits agree.
      all = gradient_of(still, groups, loss, {.max_tokens_per_batch = 1}, Keep::all);
      kept = gradient_of(still, groups, loss, {.max_tokens_per_batch = 1}, Keep::with_signal);
      EXPECT_EQ(kept.micro_batches, 8u);
      EXPECT_TRUE(kept.gradient == all.gradient) << loss.loss_type;
    }
  }
}

TEST(Learner, KeptAndDroppedAreTheWhole) {
  std::vector<Group> groups = tiny_groups();
  for (bool mask : {false, true}) {
    PackConfig config{.max_tokens_per_batch = 50, .mask_truncated_completions = mask};
    auto sequences = [&](Keep keep) {
      size_t count = 0;
      for (const MicroBatch& m : pack(groups, config, keep)) count += m.loss.advantages.size();
      return count;
    };
    EXPECT_EQ(sequences(Keep::all), 12u);
    EXPECT_EQ(sequences(Keep::with_signal), mask ? 5u : 8u);  // 0, 3 and 9 of the others are cut off
    EXPECT_EQ(sequences(Keep::with_signal) + sequences(Keep::without_signal), 12u);
  }
}

TEST(Learner, MaskedTruncatedCompletionsCountInNothing) {
  StillLearner still(tiny_llama());
  std::vector<Group> groups = tiny_groups(), without = groups;
  store_logprobs(groups, still.learner, 0.4f);
  without = groups;
  int64_t tokens = 0;
  for (Group& group : without)
    for (Rollout& r : group.rollouts) {
      if (r.completion.finish == FinishReason::length) r.completion.tokens.clear(), r.completion.logprobs.clear();
      tokens += int64_t(r.completion.tokens.size());
    }
  PackConfig masking{.max_tokens_per_batch = 1 << 20, .mask_truncated_completions = true};
  EXPECT_EQ(loss_scale(groups, masking, 24).num_tokens, double(tokens));
  EXPECT_EQ(loss_scale(groups, masking, 24).num_sequences, 12);
  Outcome masked = gradient_of(still, groups, {}, masking), gone = gradient_of(still, without, {});
  EXPECT_NEAR(masked.stats.sums.loss, gone.stats.sums.loss, 1e-12);
  EXPECT_EQ(masked.stats.sums.tokens, double(tokens));
  EXPECT_LT(relative_difference(masked.gradient, gone.gradient), 1e-6);
  Outcome unmasked = gradient_of(still, groups, {});
  EXPECT_GT(relative_difference(unmasked.gradient, gone.gradient), 1e-2);
}

TEST(Learner, TokensThePolicyDidNotChooseCountInNothing) {
  StillLearner still(tiny_llama());
  std::vector<Group> groups = tiny_groups();
  store_logprobs(groups, still.learner, 0.4f);
  Completion& c = groups[0].rollouts[2].completion;
  c.loss_mask.assign(c.tokens.size(), 1);
  c.loss_mask[4] = c.loss_mask[11] = 0;
  EXPECT_EQ(loss_scale(groups, {}, 24).num_tokens, 117 - 2);
  Outcome before = gradient_of(still, groups, {});
  c.logprobs[4] = -50, c.logprobs[11] = -0.1f;
  Outcome after = gradient_of(still, groups, {});
  EXPECT_TRUE(before.gradient == after.gradient);
  EXPECT_EQ(before.stats.sums.tokens, 115);
}

TEST(Learner, DapoGradientIsThatOfAutograd) {
  at::set_num_threads(1);  // threads only cost on tensors this small
  for (const Json& config : models()) {
    StillLearner still(config);
    std::vector<Group> groups = tiny_groups();
    store_logprobs(groups, still.learner, 0.4f);
    LossConfig loss{.loss_type = "dapo", .epsilon_high = 0.28};
    Outcome ours = gradient_of(still, groups, loss, {.max_tokens_per_batch = 64});
    at::Tensor parameters = parameter_tensor(still.model), wide = parameters.to(at::kDouble),
               total = at::zeros({}, at::kDouble);
    double tokens = 0, clipped = 0;
    for (const Group& group : groups)
      for (const Rollout& r : group.rollouts) {
        std::vector<int32_t> ids = group.prompt;
        ids.insert(ids.end(), r.completion.tokens.begin(), r.completion.tokens.end());
        int64_t R = int64_t(r.completion.tokens.size());
        at::Tensor logprobs =
            reference_logprobs(still.model.spec, wide, ids, 0.9).narrow(0, int64_t(group.prompt.size()) - 1, R);
        at::Tensor old = at::tensor(at::ArrayRef<float>(r.completion.logprobs)).to(at::kDouble),
                   ratio = (logprobs - old).exp();
        total = total - at::min(ratio * r.advantage, ratio.clamp(0.8, 1.28) * r.advantage).sum();
        clipped += ((ratio < 0.8).logical_or(ratio > 1.28)).sum().item<double>(), tokens += double(R);
      }
    total = total / tokens;
    total.backward();
    EXPECT_GT(clipped, 10);
    EXPECT_NEAR(ours.stats.sums.loss, total.item<double>(), 1e-5);
    expect_same_gradient(still.model, still.learner.gradient, parameters.grad());
  }
}

/// log p of every token of the vocabulary behind these, [V].
at::Tensor log_distribution(const ModelSpec& spec, const at::Tensor& parameters, std::vector<int32_t> ids) {
  std::vector<at::Tensor> each;
  ids.push_back(0);
  for (int32_t token = 0; token < spec.vocab; ++token) {
    ids.back() = token;
    each.push_back(reference_logprobs(spec, parameters, ids, 0.9)[int64_t(ids.size()) - 2]);
  }
  return at::stack(each);
}

/// Two completions of one token without advantage: nothing but the bonus.
TEST(Learner, EntropyBonusGradientIsThatOfAutograd) {
  at::set_num_threads(1);
  StillLearner still(tiny_llama());
  std::vector<Group> groups = tiny_groups();
  groups[0].rollouts = {groups[0].rollouts[1]}, groups[2].rollouts = {groups[2].rollouts[3]};
  groups.erase(groups.begin() + 1);
  at::Tensor parameters = parameter_tensor(still.model), wide = parameters.to(at::kDouble),
             entropy = at::zeros({}, at::kDouble);
  for (Group& group : groups) {
    group.rollouts[0].advantage = 0;
    const at::Tensor logprobs = log_distribution(still.model.spec, wide, group.prompt);
    entropy = entropy - (logprobs.exp() * logprobs).sum();
  }
  (-0.3 * entropy / 2).backward();
  std::vector<MicroBatch> batches = pack(groups, {.max_tokens_per_batch = 8}, Keep::all);
  ASSERT_EQ(batches.size(), 2u);
  LossScale scale = loss_scale(groups, {}, 24);
  scale.entropy_coef = 0.3;
  const StepStats stats = still.learner.step(
      batches, [&](const TokenBatch& b, const TokenGradient& d) { return grpo_loss({}, b, scale, d); }, 10);
  EXPECT_NEAR(stats.sums.loss, -0.3 * entropy.item<double>() / 2, 1e-5);
  expect_same_gradient(still.model, still.learner.gradient, parameters.grad());
}

TEST(Learner, WithWeightsInBf16TheGradientIsThatOfRoundedMasters) {
  for (const Json& config : models()) {
    Compute compute(2);
    CausalLM rounded = random_model(config, compute), coded = make_model(rounded.spec, true);
    std::copy_n(rounded.parameters.data(), rounded.parameters.size(), coded.parameters.data());
    for (const ParameterSpec& p : rounded.spec.parameters)
      for (int64_t i = 0; p.shape.size() > 1 && i < p.size(); ++i)
        rounded.at(p.offset)[i] = to_float(to_bfloat16(rounded.at(p.offset)[i]));
    std::vector<float> gradients[2];
    for (CausalLM* model : {&rounded, &coded}) {
      repack(*model, compute);
      extend_rope(*model, 64);
      Learner learner(*model, compute, {.learning_rate = 0}, 0.9);
      std::vector<Group> groups = tiny_groups();
      store_logprobs(groups, learner, 0.4f);
      LossScale scale = loss_scale(groups, {}, 24);
      std::vector<MicroBatch> batches = pack(groups, {}, Keep::all);
      learner.step(
          batches, [&](const TokenBatch& b, const TokenGradient& d) { return grpo_loss({}, b, scale, d); }, 10);
      gradients[model == &coded] = copy_of(learner.gradient);
    }
    EXPECT_EQ(gradients[0], gradients[1]);
  }
}

/// Policy and reference over the kept sets alone.
TEST(Learner, GradientOverKeptSetsIsThatOfAutograd) {
  at::set_num_threads(1);
  for (const Json& config : models()) {
    StillLearner still(config);
    const CausalLM reference = random_model(config, still.compute, 2);
    std::vector<Group> groups = tiny_groups();
    keep_sets(groups);
    store_logprobs(groups, still.learner, 0.4f);
    const LossConfig loss{.beta = 0.3};
    std::vector<MicroBatch> batches = pack(groups, {.max_tokens_per_batch = 64}, Keep::all);
    for (MicroBatch& batch : batches) still.learner.fill_logprobs(reference, batch, batch.loss.ref_logprobs);
    const LossScale scale = loss_scale(groups, {}, 24);
    const StepStats stats = still.learner.step(
        batches, [&](const TokenBatch& b, const TokenGradient& d) { return grpo_loss(loss, b, scale, d); }, 10);
    at::Tensor parameters = parameter_tensor(still.model), wide = parameters.to(at::kDouble),
               theirs = parameter_tensor(reference).detach().to(at::kDouble), total = at::zeros({}, at::kDouble);
    for (const Group& group : groups)
      for (const Rollout& r : group.rollouts) {
        const int64_t P = int64_t(group.prompt.size()), R = int64_t(r.completion.tokens.size());
        std::vector<int32_t> ids = group.prompt;
        ids.insert(ids.end(), r.completion.tokens.begin(), r.completion.tokens.end());
        std::vector<std::span<const int32_t>> kept(size_t(P - 1));
        for (int64_t t = 0; t < R; ++t) kept.push_back(r.completion.kept.of(size_t(t)));
        const auto logprobs_of = [&](const at::Tensor& weights) {
          return reference_logprobs(still.model.spec, weights, ids, 0.9, kept).narrow(0, P - 1, R);
        };
        at::Tensor logprobs = logprobs_of(wide), d = logprobs_of(theirs) - logprobs,
                   old = at::tensor(at::ArrayRef<float>(r.completion.logprobs)).to(at::kDouble),
                   ratio = (logprobs - old).exp();
        total = total - at::min(ratio * r.advantage, ratio.clamp(0.8, 1.2) * r.advantage).sum() +
                0.3 * (ratio * (d.exp() - d - 1)).sum();
      }
    total = total / scale.num_tokens;
    total.backward();
    EXPECT_NEAR(stats.sums.loss, total.item<double>(), 1e-5);
    EXPECT_GT(stats.sums.kl, 1);
    expect_same_gradient(still.model, still.learner.gradient, parameters.grad());
  }
}

/// A vocabulary so large that the head passes the rows in chunks, of which the last is computed anew for the gradient.
TEST(Learner, ChunksOfTheHeadChangeNeitherLossNorGradient) {
  Json config = tiny_llama();
  config["vocab_size"] = 1 << 17, config["hidden_size"] = 24;
  StillLearner still(config);
  std::vector<Group> groups = tiny_groups();
  keep_sets(groups);
  store_logprobs(groups, still.learner, 0.4f);
  const Outcome chunked = gradient_of(still, groups, {}, {.max_tokens_per_batch = 1 << 20}),
                alone = gradient_of(still, groups, {}, {.max_tokens_per_batch = 1});
  EXPECT_NEAR(chunked.stats.sums.loss, alone.stats.sums.loss, 1e-12);
  EXPECT_LT(relative_difference(chunked.gradient, alone.gradient), 1e-5);
}

TEST(Learner, SetsOfTheWholeVocabularyChangeNoBit) {
  StillLearner still(tiny_llama());
  std::vector<Group> groups = tiny_groups();
  store_logprobs(groups, still.learner, 0.4f);
  const Outcome plain = gradient_of(still, groups, {}, {.max_tokens_per_batch = 64});
  std::vector<int32_t> all(97);
  std::iota(all.begin(), all.end(), 0);
  for (size_t i = 0; i < groups[0].rollouts[2].completion.tokens.size(); ++i)
    groups[0].rollouts[2].completion.kept.add(all);
  const Outcome kept = gradient_of(still, groups, {}, {.max_tokens_per_batch = 64});
  EXPECT_EQ(kept.stats.sums.loss, plain.stats.sums.loss);
  EXPECT_TRUE(kept.gradient == plain.gradient);
}

TEST(Learner, CrossEntropyGradientIsThatOfAutograd) {
  at::set_num_threads(1);
  for (const Json& config : models()) {
    StillLearner still(config);
    std::vector<SftSequence> rows;
    double learned = 0;
    for (uint32_t i = 0; i < 5; ++i) {
      SftSequence& row = rows.emplace_back(SftSequence{.tokens = tiny_ids(9 + 6 * i, 400 + i)});
      for (size_t t = 0; t < row.tokens.size(); ++t) row.mask.push_back(t > 3 && t % 5 != i);
      for (uint8_t m : row.mask) learned += m;
    }
    rows.push_back({.tokens = tiny_ids(6, 500), .mask = std::vector<uint8_t>(6, 0)});
    std::vector<MicroBatch> batches = pack_sequences(rows, {.max_tokens_per_batch = 40});
    EXPECT_GT(batches.size(), 2u);
    LossScale scale{.num_tokens = learned};
    StepStats stats = still.learner.step(
        batches, [&](const TokenBatch& b, const TokenGradient& d) { return cross_entropy_loss(b, scale, d.logprobs); },
        10);
    at::Tensor parameters = parameter_tensor(still.model), wide = parameters.to(at::kDouble),
               total = at::zeros({}, at::kDouble);
    for (const SftSequence& row : rows) {
      at::Tensor logprobs = reference_logprobs(still.model.spec, wide, row.tokens, 0.9);
      for (size_t t = 1; t < row.tokens.size(); ++t)
        if (row.mask[t]) total = total - logprobs[int64_t(t) - 1] / learned;
    }
    total.backward();
    EXPECT_NEAR(stats.sums.loss, total.item<double>(), 1e-5);
    EXPECT_EQ(stats.sums.tokens, learned);
    expect_same_gradient(still.model, still.learner.gradient, parameters.grad());
  }
}

}  // namespace
}  // namespace cohort
