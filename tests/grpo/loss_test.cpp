// Hand-computed losses, and gradients against finite differences of the formula in double.
#include "grpo/loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "policy/kernels/philox.h"
#include "tests/grpo/token_batch.h"

namespace cohort {
namespace {

/// Two sequences of 2 and 4 tokens, ratios exactly 1, advantages 1 and −0.5.
TokenBatch on_policy() {
  std::vector<float> logprobs = {-0.5f, -1.0f, -0.25f, -2.0f, -1.5f, -0.125f};
  return {.sequence_begin = {0, 2, 6},
          .advantages = {1.0f, -0.5f},
          .logprobs = logprobs,
          .entropies = std::vector<float>(6, 0.5f),
          .old_logprobs = logprobs,
          .mask = std::vector<float>(6, 1.0f)};
}

struct Outcome {
  LossSums sums;
  std::vector<float> gradient;
};
Outcome outcome(const LossConfig& config, const TokenBatch& batch, double max_completion_length = 10) {
  Outcome o{.gradient = std::vector<float>(batch.logprobs.size(), NAN)};
  o.sums = grpo_loss(config, batch, scale_of(batch, max_completion_length), o.gradient);
  return o;
}

/// One token whose ratio is exp(logprob), old log-probability −1.
Outcome one_token(const LossConfig& config, double ratio, float advantage) {
  return outcome(config, {.sequence_begin = {0, 1},
                          .advantages = {advantage},
                          .logprobs = {float(std::log(ratio)) - 1.0f},
                          .entropies = {0},
                          .old_logprobs = {-1.0f},
                          .mask = {1}});
}

void expect_gradient(const Outcome& o, const std::vector<double>& expected) {
  for (size_t n = 0; n < expected.size(); ++n) EXPECT_NEAR(o.gradient[n], expected[n], 2e-7) << n;
}

TEST(Loss, DapoIsTheMeanOverTokens) {
  for (const char* type : {"dapo", "bnpo"}) {
    Outcome o = outcome({.loss_type = type}, on_policy());
    EXPECT_NEAR(o.sums.loss, (-1 * 2 + 0.5 * 4) / 6, 1e-7);
    expect_gradient(o, {-1 / 6.0, -1 / 6.0, 0.5 / 6, 0.5 / 6, 0.5 / 6, 0.5 / 6});
    EXPECT_EQ(o.sums.ratio_min, 1.0);
    EXPECT_EQ(o.sums.ratio_max, 1.0);
  }
}

TEST(Loss, GrpoIsTheMeanOverSequencesOfTheirMeans) {
  Outcome o = outcome({.loss_type = "grpo"}, on_policy());
  EXPECT_NEAR(o.sums.loss, (-1 + 0.5) / 2, 1e-7);
  expect_gradient(o, {-0.25, -0.25, 0.0625, 0.0625, 0.0625, 0.0625});
}

TEST(Loss, DrGrpoHasAConstantDivisor) {
  Outcome o = outcome({.loss_type = "dr_grpo"}, on_policy(), 8);
  EXPECT_NEAR(o.sums.loss, (-1 * 2 + 0.5 * 4) / (2 * 8), 1e-7);
  expect_gradient(o, {-1 / 16.0, -1 / 16.0, 0.5 / 16, 0.5 / 16, 0.5 / 16, 0.5 / 16});
}

TEST(Loss, MaskedTokensCountNowhere) {
  TokenBatch batch = on_policy();
  batch.mask[3] = 0, batch.logprobs[3] = 40;  // whatever stands there
  expect_gradient(outcome({.loss_type = "dapo"}, batch), {-0.2, -0.2, 0.1, 0, 0.1, 0.1});
  expect_gradient(outcome({.loss_type = "grpo"}, batch), {-0.25, -0.25, 1 / 12.0, 0, 1 / 12.0, 1 / 12.0});
  Outcome sequence = outcome({.loss_type = "grpo", .importance_sampling_level = "sequence"}, batch);
  EXPECT_NEAR(sequence.sums.loss, -0.25, 1e-7);
  expect_gradient(sequence, {-0.25, -0.25, 1 / 12.0, 0, 1 / 12.0, 1 / 12.0});
}

TEST(Loss, NothingButMaskedTokensIsZero) {
  TokenBatch batch = on_policy();
  std::fill(batch.mask.begin(), batch.mask.end(), 0.0f);
  for (const char* type : {"dapo", "bnpo", "grpo", "dr_grpo"})
    for (const char* level : {"token", "sequence"}) {
      Outcome o = outcome({.loss_type = type, .importance_sampling_level = level}, batch);
      EXPECT_EQ(o.sums.loss, 0);
      expect_gradient(o, std::vector<double>(6, 0.0));
    }
}

TEST(Loss, ClippingHoldsBackOneSideForEachSignOfTheAdvantage) {
  LossConfig config{.epsilon = 0.2, .epsilon_high = 0.3};
  struct Case {
    double ratio;
    float advantage;
    double loss, gradient;
    bool low, high;
  };
  for (const Case& c :
       {Case{1.25, 2, -2.5, -2.5, false, false}, Case{1.5, 2, -2.6, 0, false, true}, Case{0.5, 2, -1, -1, false, false},
        Case{0.5, -2, 1.6, 0, true, false}, Case{0.9, -2, 1.8, 1.8, false, false}, Case{1.5, -2, 3, 3, false, false}}) {
    Outcome o = one_token(config, c.ratio, c.advantage);
    EXPECT_NEAR(o.sums.loss, c.loss, 1e-6) << c.ratio << " " << c.advantage;
    EXPECT_NEAR(o.gradient[0], c.gradient, 1e-6) << c.ratio << " " << c.advantage;
    EXPECT_EQ(o.sums.clipped_low, double(c.low));
    EXPECT_EQ(o.sums.clipped_high, double(c.high));
  }
}

TEST(Loss, DeltaBoundsTheRatioOfANegativeAdvantage) {
  LossConfig config{.delta = 4.0};
  EXPECT_NEAR(one_token(config, 3, -1).sums.loss, 3, 1e-6);
  EXPECT_NEAR(one_token(config, 3, -1).gradient[0], 3, 1e-6);
  EXPECT_NEAR(one_token(config, 20, -1).sums.loss, 4, 1e-6);
  EXPECT_EQ(one_token(config, 20, -1).gradient[0], 0);
  EXPECT_NEAR(one_token({}, 20, -1).sums.loss, 20, 1e-5);
}

TEST(Loss, SequenceRatioIsTheGeometricMean) {
  TokenBatch batch{.sequence_begin = {0, 2},
                   .advantages = {1},
                   .logprobs = {-1.0f, -1.0f},
                   .entropies = {0, 0},
                   .old_logprobs = {-1.3f, -0.9f},
                   .mask = {1, 1}};
  Outcome o = outcome({.loss_type = "grpo", .importance_sampling_level = "sequence"}, batch);
  double ratio = std::exp((0.3 - 0.1) / 2);
  EXPECT_NEAR(o.sums.ratio_max, ratio, 1e-6);
  EXPECT_NEAR(o.sums.loss, -ratio, 1e-6);
  expect_gradient(o, {-ratio / 2, -ratio / 2});  // each token holds half of the sequence's log ratio
  EXPECT_EQ(o.sums.clip_terms, 1);
  batch.old_logprobs[0] = -2.0f;  // now the sequence is clipped, and with it both tokens
  expect_gradient(outcome({.importance_sampling_level = "sequence"}, batch), {0, 0});
}

TEST(Loss, KlIsK3AgainstTheReference) {
  TokenBatch batch{.sequence_begin = {0, 1},
                   .advantages = {0},
                   .logprobs = {-1.0f},
                   .entropies = {0},
                   .old_logprobs = {-1.5f},
                   .mask = {1},
                   .ref_logprobs = {-0.75f}};
  double k3 = std::exp(0.25) - 0.25 - 1, ratio = std::exp(0.5);
  Outcome plain = outcome({.beta = 0.5, .use_bias_correction_kl = false}, batch);
  EXPECT_NEAR(plain.sums.loss, 0.5 * k3, 1e-7);
  EXPECT_NEAR(plain.sums.policy_loss, 0, 1e-12);
  EXPECT_NEAR(plain.sums.kl, k3, 1e-7);
  EXPECT_NEAR(plain.gradient[0], 0.5 * (1 - std::exp(0.25)), 1e-7);
  Outcome corrected = outcome({.beta = 0.5, .use_bias_correction_kl = true}, batch);
  EXPECT_NEAR(corrected.sums.kl, ratio * k3, 1e-6);
  EXPECT_NEAR(corrected.gradient[0], 0.5 * ratio * (k3 + 1 - std::exp(0.25)), 1e-6);
}

TEST(Loss, CrossEntropyIsTheMeanOverLearnedTokens) {
  TokenBatch batch = on_policy();
  batch.mask[1] = 0;
  std::vector<float> gradient(6, NAN);
  LossSums sums = cross_entropy_loss(batch, scale_of(batch, 0), gradient);
  EXPECT_NEAR(sums.loss, (0.5 + 0.25 + 2 + 1.5 + 0.125) / 5, 1e-7);
  EXPECT_EQ(gradient, (std::vector<float>{-0.2f, 0, -0.2f, -0.2f, -0.2f, -0.2f}));
  EXPECT_EQ(sums.tokens, 5);
}

/// The loss as its formula reads, in double: sum over tokens of weight · (−min(min(r, δ)A, clip(r)A) + β·k3).
double formula(const LossConfig& c, const TokenBatch& b, const std::vector<double>& logprobs, double max_length) {
  LossScale scale = scale_of(b, max_length);
  double total = 0;
  for (size_t s = 0; s + 1 < b.sequence_begin.size(); ++s) {
    auto begin = size_t(b.sequence_begin[s]), end = size_t(b.sequence_begin[s + 1]);
    double tokens = 0, log_ratio = 0, of_sequence = 0;
    for (size_t n = begin; n < end; ++n)
      tokens += b.mask[n], log_ratio += b.mask[n] * (logprobs[n] - b.old_logprobs[n]);
    for (size_t n = begin; n < end; ++n) {
      if (b.mask[n] == 0) continue;
      double r = std::exp(c.importance_sampling_level == "sequence" ? log_ratio / tokens
                                                                    : logprobs[n] - b.old_logprobs[n]),
             A = b.advantages[s];
      double clipped = std::min(std::max(r, 1 - c.epsilon), 1 + c.epsilon_high.value_or(c.epsilon)),
             d = double(b.ref_logprobs[n]) - logprobs[n];
      of_sequence += -std::min(std::min(r, c.delta.value_or(1e9)) * A, clipped * A) +
                     c.beta * (std::exp(d) - d - 1) * (c.use_bias_correction_kl ? r : 1);
    }
    if (c.loss_type == "grpo")
      total += of_sequence / std::max(1.0, tokens) / scale.num_sequences;
    else
      total += of_sequence / (c.loss_type == "dr_grpo" ? scale.num_sequences * max_length : scale.num_tokens);
  }
  return total;
}

TokenBatch random_batch(uint32_t seed) {
  TokenBatch b{.sequence_begin = {0}};
  uint32_t count = 0;
  auto draw = [&] { return uniform(philox({count++, seed, 0, 0}, {5, 6})[0]); };
  for (int64_t length : {3, 1, 6, 4}) {
    b.sequence_begin.push_back(b.sequence_begin.back() + length);
    b.advantages.push_back(4 * draw() - 2);
    for (int64_t n = 0; n < length; ++n) {
      b.old_logprobs.push_back(-3 * draw()), b.logprobs.push_back(b.old_logprobs.back() + draw() - 0.5f),
          b.ref_logprobs.push_back(b.logprobs.back() + draw() - 0.5f);
      b.mask.push_back(draw() < 0.8f ? 1.0f : 0.0f), b.entropies.push_back(draw());
    }
  }
  return b;
}

TEST(Loss, GradientIsThatOfFiniteDifferences) {
  int64_t checked = 0;
  for (const char* type : {"dapo", "bnpo", "grpo", "dr_grpo"})
    for (const char* level : {"token", "sequence"})
      for (bool corrected : {false, true})
        for (uint32_t seed = 0; seed < 6; ++seed) {
          LossConfig config{.loss_type = type,
                            .importance_sampling_level = level,
                            .epsilon_high = 0.28,
                            .beta = seed % 2 ? 0.2 : 0.0,
                            .use_bias_correction_kl = corrected};
          if (seed % 3 == 0) config.delta = 1.35;
          TokenBatch batch = random_batch(seed);
          Outcome o = outcome(config, batch, 7);
          std::vector<double> at(batch.logprobs.begin(), batch.logprobs.end());
          EXPECT_NEAR(o.sums.loss, formula(config, batch, at, 7), 1e-6);
          for (size_t n = 0; n < at.size(); ++n) {
            const double h = 1e-6, x = at[n];
            at[n] = x + h;
            double above = formula(config, batch, at, 7);
            at[n] = x - h;
            double below = formula(config, batch, at, 7);
            at[n] = x;
            EXPECT_NEAR(o.gradient[n], (above - below) / (2 * h), 1e-6)
                << type << " " << level << " seed " << seed << " token " << n;
            checked += o.gradient[n] != 0;
          }
        }
  EXPECT_GT(checked, 500);
}

TEST(Loss, MicroBatchesAddUpToTheWhole) {
  TokenBatch batch = random_batch(9);
  LossScale scale = scale_of(batch, 7);
  for (const char* type : {"dapo", "bnpo", "grpo", "dr_grpo"})
    for (const char* level : {"token", "sequence"}) {
      LossConfig config{.loss_type = type, .importance_sampling_level = level, .beta = 0.1};
      Outcome whole = outcome(config, batch, 7);
      LossSums sums;
      std::vector<float> gradient;
      for (auto [first, last] : {std::pair(0, 1), std::pair(1, 3), std::pair(3, 4)}) {
        TokenBatch part = part_of(batch, size_t(first), size_t(last));
        std::vector<float> d(part.logprobs.size());
        sums.add(grpo_loss(config, part, scale, d));
        gradient.insert(gradient.end(), d.begin(), d.end());
      }
      EXPECT_EQ(gradient, whole.gradient) << type << " " << level;  // to the bit: a sequence's gradient sees no other
      EXPECT_NEAR(sums.loss, whole.sums.loss, 1e-12);
      EXPECT_NEAR(sums.kl, whole.sums.kl, 1e-12);
      EXPECT_EQ(sums.clip_terms, whole.sums.clip_terms);
      EXPECT_EQ(sums.clipped_high_max, whole.sums.clipped_high_max);
      EXPECT_EQ(sums.ratio_min, whole.sums.ratio_min);
    }
}

}  // namespace
}  // namespace cohort
