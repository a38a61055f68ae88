// Sampling on a thread of its own: which weights a rollout is sampled by, in what order rollouts come, how much memory
// weights take, and what becomes of a failure.
#include "grpo/sampling/sample_ahead.h"

#include <gtest/gtest.h>

#include <chrono>
#include <set>

#include "policy/load_parameters.h"
#include "tests/grpo/tiny_groups.h"

namespace cohort {
namespace {

using Milliseconds = std::chrono::milliseconds;

/// Logits of a few tokens: a function of all weights that decoding reads.
std::vector<float> logits_of(const CausalLM& model, const Compute& compute) {
  const std::vector<int32_t> tokens = tiny_ids(9, 1), blocks = {0};
  const std::vector<RowSpan> spans = {{0, 9, 0, blocks.data()}};
  KvStore kv(model.spec, 1, false);
  ForwardState state;
  forward(model, compute, {tokens, spans, {}}, kv, Activations::none, state);
  std::vector<float> out(size_t(9 * model.spec.vocab));
  logits(model, compute, state.hidden_TD.data(), nullptr, 9, out.data());
  return out;
}

/// Other weights under the next version.
void move_weights(CausalLM& model, const Compute& compute) {
  for (int64_t i = 0; i < model.parameters.size(); ++i) model.parameters[i] *= 1.01f;
  repack(model, compute);
  ++model.version;
}

TEST(SampleAhead, ACopyDecodesAsTheWeightsDidThatItWasTakenOf) {
  const Compute compute(2);
  for (const Json& config : {tiny_llama(), tiny_llama(false), tiny_deepseek()})
    for (const bool bf16 : {false, true}) {
      CausalLM model = random_model(config, compute, 1, bf16);
      CausalLM copy;
      for (int round = 0; round < 2; ++round) {  // the second into the memory of the first
        copy_for_decoding(model, compute, copy);
        const std::vector<float> expected = logits_of(model, compute);
        move_weights(model, compute);
        EXPECT_EQ(logits_of(copy, compute), expected);
        EXPECT_NE(logits_of(model, compute), expected);
        EXPECT_EQ(copy.version, round);
      }
    }
}

struct AheadTest : testing::Test {
  Compute compute{2};
  CausalLM model = random_model(tiny_llama(), compute);
  std::mutex mutex;
  std::map<int64_t, std::vector<float>> logits_by_step;
  std::set<const float*> stores;

  /// "Samples" logits, and takes its time for it.
  SampleAhead::Sample slow_sample(int milliseconds) {
    return [this, milliseconds](SamplingEngine& sampling, const RolloutOrder& order, const std::function<void()>&) {
      std::this_thread::sleep_for(Milliseconds(milliseconds));
      const std::lock_guard lock(mutex);
      logits_by_step[order.step] = logits_of(sampling.model, sampling.compute);
      stores.insert(sampling.model.packed.data());
      return SampledRollout{.step = order.step, .groups = std::vector<Group>(1)};
    };
  }
};

TEST_F(AheadTest, EachRolloutIsSampledByTheWeightsOfItsOrderHoweverFastEitherSideIs) {
  for (const int64_t num_ahead : {1, 3})
    for (const int slow : {0, 4}) {
      logits_by_step.clear(), stores.clear(), model.version = 0;
      SampleAhead ahead({}, 1, slow_sample(slow));
      std::map<int64_t, std::vector<float>> expected;
      int64_t ordered = 0;
      for (int64_t rollout = 0; rollout < 9; ++rollout) {
        if (ahead.num_ordered()) ahead.wait_for_oldest();
        for (; ordered <= rollout + num_ahead; ++ordered) {
          expected[ordered] = logits_of(model, compute);
          ahead.order({.step = ordered}, model, compute);
        }
        EXPECT_EQ(ahead.take_oldest().step, rollout);
        std::this_thread::sleep_for(Milliseconds(slow ? 0 : 4));
        move_weights(model, compute);
      }
      EXPECT_EQ(ahead.wait_for_all().size(), size_t(num_ahead));
      EXPECT_EQ(logits_by_step, expected);
      EXPECT_LE(int64_t(stores.size()), num_ahead) << "weights in memory";
    }
}

TEST_F(AheadTest, WhatIsReadyComesFirstAndNeedsNoWeights) {
  std::deque<SampledRollout> ready(2);
  ready[0].step = 4, ready[1].step = 5;
  SampleAhead ahead(std::move(ready), 1, slow_sample(0));
  EXPECT_EQ(ahead.num_ordered(), 2);
  ahead.order({.step = 6}, model, compute);
  for (const int64_t step : {4, 5, 6}) EXPECT_EQ(ahead.take_oldest().step, step);
  EXPECT_EQ(ahead.num_ordered(), 0);
}

TEST_F(AheadTest, AFailureIsThrownInItsTurn) {
  SampleAhead ahead({}, 1, [](SamplingEngine&, const RolloutOrder& order, const std::function<void()>&) {
    if (order.step == 1) throw std::runtime_error("rollout 1");
    return SampledRollout{.step = order.step};
  });
  for (const int64_t step : {0, 1, 2}) ahead.order({.step = step}, model, compute);
  EXPECT_THROW(ahead.wait_for_all(), std::runtime_error);
  EXPECT_EQ(ahead.take_oldest().step, 0);
  EXPECT_THROW(ahead.wait_for_oldest(), std::runtime_error);
  EXPECT_THROW(ahead.take_oldest(), std::runtime_error);
}

TEST_F(AheadTest, WhatNobodyWaitsForIsGivenUp) {
  const auto start = std::chrono::steady_clock::now();
  {
    SampleAhead ahead({}, 1, [](SamplingEngine&, const RolloutOrder&, const std::function<void()>& expect_wanted) {
      for (int i = 0; i < 60000; ++i) std::this_thread::sleep_for(Milliseconds(1)), expect_wanted();
      return SampledRollout{};
    });
    ahead.order({.step = 0}, model, compute);
    ahead.order({.step = 1}, model, compute);
    std::this_thread::sleep_for(Milliseconds(5));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

}  // namespace
}  // namespace cohort
