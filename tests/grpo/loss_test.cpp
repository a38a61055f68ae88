// Hand-computed losses, and what neither micro-batches nor the order of sequences change.
#include "grpo/loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "configs/error.h"
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

std::vector<LossConfig> every_loss() {
  std::vector<LossConfig> all;
  for (const std::string& type : loss_types())
    for (const char* level : {"token", "sequence"})
      all.push_back({.loss_type = type, .importance_sampling_level = level, .epsilon_high = 1.1, .beta = 0.1});
  return all;
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
  for (const LossConfig& config : every_loss()) {
    Outcome o = outcome(config, batch);
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

TEST(Loss, DualClipBoundsTheLossOfANegativeAdvantage) {
  const LossConfig config{.dual_clip = 3.0};
  EXPECT_NEAR(one_token(config, 2, -1).gradient[0], 2, 1e-6);
  EXPECT_NEAR(one_token(config, 10, -4).sums.loss, 12, 1e-5);
  EXPECT_EQ(one_token(config, 10, -4).gradient[0], 0);
  EXPECT_NEAR(one_token(config, 10, 4).sums.loss, -4.8, 1e-5);  // clipped as ever
}

/// log p is log(ratio) − 1.
TEST(Loss, CispoClipsAStoppedRatioAndStillLearns) {
  const LossConfig cap{.loss_type = "cispo", .epsilon_high = 5.0}, band{.loss_type = "cispo", .cispo_clip = "band"};
  EXPECT_NEAR(one_token(cap, 8, 2).sums.loss, -5 * 2 * (std::log(8) - 1), 1e-5);
  EXPECT_NEAR(one_token(cap, 8, 2).gradient[0], -10, 1e-6);
  EXPECT_NEAR(one_token(cap, 0.1, 2).gradient[0], -0.2, 1e-6);  // no lower bound
  EXPECT_NEAR(one_token(band, 0.1, 2).gradient[0], -1.6, 1e-6);
  EXPECT_NEAR(one_token(band, 8, -2).gradient[0], 2.4, 1e-6);
}

TEST(Loss, SapoGatesTheRatioByTheSignOfTheAdvantage) {
  const LossConfig config{.loss_type = "sapo", .sapo_temperature_pos = 2, .sapo_temperature_neg = 4};
  const auto gate = [](double x) { return 1 / (1 + std::exp(-x)); };
  for (const auto& [advantage, temperature] : {std::pair(1.0f, 2.0), std::pair(-1.0f, 4.0)}) {
    EXPECT_NEAR(one_token(config, 1, advantage).gradient[0], -advantage, 1e-6) << "on-policy as without a gate";
    EXPECT_NEAR(one_token(config, 1.5, advantage).sums.loss, -advantage * 4 / temperature * gate(temperature / 2),
                1e-6);
  }
}

TEST(Loss, VespoWeighsBySequenceRatioAndIsOneOnPolicy) {
  const LossConfig config{.loss_type = "vespo"};
  Outcome o = outcome(config, on_policy());
  expect_gradient(o, {-1 / 6.0, -1 / 6.0, 0.5 / 6, 0.5 / 6, 0.5 / 6, 0.5 / 6});
  EXPECT_EQ(o.sums.phi, 2);
  const double phi = std::exp(3 * (1 - 1.5)) * 1.5 * 1.5;  // k 2, λ 3
  EXPECT_NEAR(one_token(config, 1.5, 1).gradient[0], -phi, 1e-6);
}

TEST(Loss, LuspoIsTheMeanOverSequencesOfTheirSums) {
  Outcome o = outcome({.loss_type = "luspo", .importance_sampling_level = "sequence"}, on_policy());
  EXPECT_NEAR(o.sums.loss, (-1 * 2 + 0.5 * 4) / 2, 1e-7);
  expect_gradient(o, {-0.5, -0.5, 0.25, 0.25, 0.25, 0.25});
}

/// Cases that the unit tests of two other toolkits compute by hand, at token level and as the mean over tokens; each
/// token is a sequence of its own here, as advantages belong to sequences.
TEST(Loss, HandComputedCasesOfNemoRlAndSkyRl) {
  struct Case {
    LossConfig config;
    std::vector<float> old_logprobs, logprobs, advantages;
    double loss, tolerance;
  };
  const std::vector<float> minus_one(3, -1.0f), half_one_threehalves = {-1.69315f, -1.0f, -0.59453f};  // ratios
  const std::vector<float> half_one_ten = {-1.69315f, -1.0f, -0.69741f}, to_ten = {-1, -1, -3};
  const Case cases[] = {// NVIDIA-NeMo/RL 002cdc2, tests/unit/algorithms/test_loss_functions.py: clipping, CISPO
                        {{}, minus_one, half_one_threehalves, {1, -1, 2}, -1.9 / 3, 1e-5},
                        {{.loss_type = "cispo", .cispo_clip = "band"},
                         minus_one,
                         half_one_threehalves,
                         {1, -1, 2},
                         (0.8 * 1.69315 - 1.0 + 1.2 * 2 * 0.59453) / 3,
                         1e-5},
                        // NovaSky-AI/SkyRL 041ed9e, skyrl-train/tests/cpu/algorithms/test_losses.py: dual clip, CISPO
                        {{.dual_clip = 3.0}, to_ten, half_one_ten, {1, -1, -4}, 4.1667, 1e-4},
                        {{.loss_type = "cispo", .cispo_clip = "band"},
                         to_ten,
                         half_one_ten,
                         {1, -1, -4},
                         -(-0.8 * 1.69315 + 1.0 + 1.2 * 4 * 0.69741) / 3,
                         1e-5}};
  for (const Case& c : cases) {
    TokenBatch batch{.sequence_begin = {0, 1, 2, 3},
                     .advantages = c.advantages,
                     .logprobs = c.logprobs,
                     .entropies = {0, 0, 0},
                     .old_logprobs = c.old_logprobs,
                     .mask = {1, 1, 1}};
    EXPECT_NEAR(outcome(c.config, batch).sums.loss, c.loss, c.tolerance) << c.config.loss_type;
  }
}

void expect_refused(const LossConfig& config, const std::string& reason) {
  try {
    expect_consistent(config);
    ADD_FAILURE() << "accepted: " << reason;
  } catch (const UsageError& e) {
    EXPECT_NE(std::string(e.what()).find(reason), std::string::npos) << e.what();
  }
}

TEST(Loss, SettingsThatDoNotGoTogetherAreRefusedWithTheReason) {
  for (const std::string& type : loss_types())
    EXPECT_NO_THROW(expect_consistent({.loss_type = type, .epsilon_high = 5.0}));
  EXPECT_NO_THROW(expect_consistent({.loss_type = "cispo", .cispo_clip = "band"}));
  expect_refused({.loss_type = "cispo"}, "less than the 1 of a ratio on-policy");
  expect_refused({.loss_type = "sapo", .delta = 2.0}, "delta bounds clipped losses alone");
  expect_refused({.loss_type = "vespo", .dual_clip = 2.0}, "dual_clip bounds clipped losses alone");
  expect_refused({.loss_type = "vespo", .importance_sampling_level = "sequence"},
                 "set importance_sampling_level to token");
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

/// Sequences of `batch` in this order.
TokenBatch in_order(const TokenBatch& batch, std::span<const size_t> order) {
  TokenBatch all{.sequence_begin = {0}};
  for (size_t s : order) append(all, part_of(batch, s, s + 1));
  return all;
}

TEST(Loss, MicroBatchesAndOrderChangeNoBitOfTheGradient) {
  TokenBatch batch = random_batch(9);
  const LossScale scale = scale_of(batch, 7);
  using Parts = std::vector<std::vector<size_t>>;
  for (const LossConfig& config : every_loss()) {
    SCOPED_TRACE(config.loss_type + " " + config.importance_sampling_level);
    const Outcome whole = outcome(config, batch, 7);
    EXPECT_NE(whole.sums.loss, 0);
    for (const Parts& parts :
         {Parts{{0}, {1, 2}, {3}}, Parts{{3, 2, 1, 0}}, Parts{{2}, {0, 3, 1}}, Parts{{1}, {3}, {0}, {2}}}) {
      LossSums sums;
      for (const std::vector<size_t>& order : parts) {
        const TokenBatch part = in_order(batch, order);
        std::vector<float> d(part.logprobs.size(), NAN);
        sums.add(grpo_loss(config, part, scale, d));
        auto at = d.begin();
        for (size_t s : order)
          for (int64_t n = batch.sequence_begin[s]; n < batch.sequence_begin[s + 1]; ++n)
            EXPECT_EQ(*at++, whole.gradient[size_t(n)]) << "sequence " << s << " token " << n;
      }
      EXPECT_NEAR(sums.loss, whole.sums.loss, 1e-12);
      EXPECT_NEAR(sums.kl, whole.sums.kl, 1e-12);
      EXPECT_NEAR(sums.phi, whole.sums.phi, 1e-12);
      EXPECT_EQ(sums.clip_terms, whole.sums.clip_terms);
      EXPECT_EQ(sums.clipped_high_max, whole.sums.clipped_high_max);
      EXPECT_EQ(sums.ratio_min, whole.sums.ratio_min);
    }
  }
}

}  // namespace
}  // namespace cohort
