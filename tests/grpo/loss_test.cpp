// Hand-computed losses, and what neither micro-batches nor the order of sequences change.
#include "grpo/loss/loss.h"

#include <gtest/gtest.h>

#include <array>
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
  std::vector<float> gradient, d_entropies;
};
Outcome outcome(const LossConfig& config, const TokenBatch& batch, double max_completion_length = 10) {
  Outcome o{.gradient = std::vector<float>(batch.logprobs.size(), NAN)};
  o.d_entropies = o.gradient;
  o.sums = grpo_loss(config, batch, scale_of(batch, config, max_completion_length), {o.gradient, o.d_entropies});
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
      for (const char* correction : {"none", "token_truncate", "sequence_mask"})
        all.push_back({.loss_type = type,
                       .importance_sampling_level = level,
                       .epsilon_high = 1.1,
                       .beta = 0.1,
                       .entropy_coef = 0.2,
                       .top_entropy_quantile = 0.7,
                       .off_policy_mask_threshold = 0.05,
                       .importance_sampling_correction = correction,
                       .importance_sampling_clip_max = 1.2});
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
    std::vector<float> sampling_logprobs = {};
  };
  const std::vector<float> minus_one(3, -1.0f), half_one_threehalves = {-1.69315f, -1.0f, -0.59453f};  // ratios
  const std::vector<float> half_one_ten = {-1.69315f, -1.0f, -0.69741f}, to_ten = {-1, -1, -3};
  const std::vector<float> sampled = {-0.5f, -1.5f, -0.8f};
  const Case cases[] = {// NVIDIA-NeMo/RL 002cdc2, tests/unit/algorithms/test_loss_functions.py: clipping, CISPO
                        {{}, minus_one, half_one_threehalves, {1, -1, 2}, -1.9 / 3, 1e-5},
                        {{.loss_type = "cispo", .cispo_clip = "band"},
                         minus_one,
                         half_one_threehalves,
                         {1, -1, 2},
                         (0.8 * 1.69315 - 1.0 + 1.2 * 2 * 0.59453) / 3,
                         1e-5},
                        // the same file: importance sampling correction, unbounded and truncated
                        {{.importance_sampling_correction = "token_truncate", .importance_sampling_clip_max = {}},
                         minus_one,
                         half_one_threehalves,
                         {1, -1, 2},
                         -0.2065,
                         1e-4,
                         sampled},
                        {{.importance_sampling_correction = "token_truncate", .importance_sampling_clip_max = 0.8},
                         minus_one,
                         half_one_threehalves,
                         {1, -1, 2},
                         -0.4744,
                         1e-4,
                         sampled},
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
                     .mask = {1, 1, 1},
                     .sampling_logprobs = c.sampling_logprobs};
    EXPECT_NEAR(outcome(c.config, batch).sums.loss, c.loss, c.tolerance) << c.config.loss_type;
  }
}

/// NVIDIA-NeMo/RL 002cdc2, test_calculate_kl.
TEST(Loss, KlEstimatesOfNemoRl) {
  const double expected[][3] = {{-1, 14, 29}, {0.5, 98, 420.5}, {std::exp(1) - 2, 13, 28}};
  for (size_t i = 0; i < 3; ++i) {
    const double logprobs_of_reference[] = {0, -15, -30};
    for (size_t n = 0; n < 3; ++n)
      EXPECT_NEAR(kl_estimate(std::array{"k1", "k2", "k3"}[i], logprobs_of_reference[n] + 1).value, expected[i][n],
                  1e-5);
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
  expect_refused({.beta = 0.1, .kl_estimator = "k1", .use_bias_correction_kl = false},
                 "the expected gradient of log p is 0");
  EXPECT_NO_THROW(expect_consistent({.beta = 0.1, .kl_estimator = "k1"}));
  EXPECT_NO_THROW(
      expect_consistent({.beta = 0.1, .kl_estimator = "k1", .use_bias_correction_kl = false, .kl_in_reward = true}));
  expect_refused({.kl_in_reward = true}, "beta, the weight of the KL, is 0");
  expect_refused({.importance_sampling_correction = "token_mask", .importance_sampling_clip_min = 3.0},
                 "must be larger");
  expect_refused({.importance_sampling_correction = "token_truncate", .importance_sampling_clip_max = {}}, "set one");
  expect_refused({.loss_type = "vespo", .importance_sampling_correction = "sequence_mask"}, "token by token");
  expect_refused({.loss_type = "vespo", .importance_sampling_level = "sequence"},
                 "set importance_sampling_level to token");
}

TEST(Loss, OffPolicyMaskDropsNegativeSequencesThatFellTooFar) {
  const LossConfig config{.off_policy_mask_threshold = 0.5};
  EXPECT_EQ(one_token(config, 0.5, -1).gradient[0], 0);  // log p fell by 0.69
  EXPECT_EQ(one_token(config, 0.5, -1).sums.loss, 0);
  EXPECT_NEAR(one_token(config, 0.85, -1).gradient[0], 0.85, 1e-6);
  EXPECT_NEAR(one_token(config, 0.5, 1).gradient[0], -0.5, 1e-6);
}

TEST(Loss, AMaskedRatioMayBeInfinite) {
  TokenBatch batch{.sequence_begin = {0, 1},
                   .advantages = {-1},
                   .logprobs = {-1},
                   .entropies = {0},
                   .old_logprobs = {-900},
                   .mask = {1},
                   .sampling_logprobs = {-1800}};
  const Outcome o = outcome({.importance_sampling_correction = "token_mask"}, batch);
  EXPECT_EQ(o.sums.loss, 0);
  EXPECT_EQ(o.gradient[0], 0);
}

TEST(Loss, CompletionsWithoutAdvantageAreNeededOnlyWhereTheyMoveTheGradient) {
  TokenBatch batch = random_batch(4);
  std::ranges::fill(batch.advantages, 0.0f);
  const LossConfig losses[] = {{},
                               {.beta = 0.1},
                               {.beta = 0.1, .kl_in_reward = true},
                               {.entropy_coef = 0.1},
                               {.off_policy_mask_threshold = 0.1},
                               {.importance_sampling_correction = "token_mask"}};
  for (const LossConfig& config : losses) {
    if (!has_kl_term(config)) batch.ref_logprobs.clear();
    if (has_kl_term(config)) batch.ref_logprobs = random_batch(4).ref_logprobs;
    const Outcome o = outcome(config, batch);
    const auto moves = [](float d) { return d != 0; };
    EXPECT_EQ(std::ranges::any_of(o.gradient, moves) || std::ranges::any_of(o.d_entropies, moves),
              learns_without_advantage(config))
        << dump_config(config);
  }
  EXPECT_TRUE(learns_without_advantage({.top_entropy_quantile = 0.5}));  // they set the threshold
  EXPECT_TRUE(learns_without_advantage({.use_adaptive_entropy = true}));
}

TEST(Loss, TheEntropyThresholdIsAQuantile) {
  const auto kept = [](double share, std::vector<float> entropies) {
    LossScale scale;
    keep_top_entropies(share, std::move(entropies), scale);
    return std::pair(*scale.entropy_threshold, scale.num_top_tokens);
  };
  EXPECT_EQ(kept(0.5, {1, 5, 2, 4, 3}), std::pair(3.0, 3.0));
  EXPECT_EQ(kept(0.8, {6, 1, 5, 2, 4, 3}), std::pair(2.0, 5.0));  // 0.2 · 5 is 0.99… in double
  EXPECT_EQ(kept(0.25, {1, 2, 3, 4}), std::pair(3.25, 1.0));
  EXPECT_EQ(kept(0, {1, 2, 3, 4}), std::pair(4.0, 1.0));
  EXPECT_EQ(kept(1, {1, 2, 3, 4}), std::pair(1.0, 4.0));
  EXPECT_EQ(kept(0.5, {}).second, 0);
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
  using Parts = std::vector<std::vector<size_t>>;
  for (const LossConfig& config : every_loss()) {
    SCOPED_TRACE(config.loss_type + " " + config.importance_sampling_level + " " +
                 config.importance_sampling_correction);
    const LossScale scale = scale_of(batch, config, 7);
    const Outcome whole = outcome(config, batch, 7);
    EXPECT_NE(whole.sums.loss, 0);
    for (const Parts& parts :
         {Parts{{0}, {1, 2}, {3}}, Parts{{3, 2, 1, 0}}, Parts{{2}, {0, 3, 1}}, Parts{{1}, {3}, {0}, {2}}}) {
      LossSums sums;
      for (const std::vector<size_t>& order : parts) {
        const TokenBatch part = in_order(batch, order);
        std::vector<float> d(part.logprobs.size(), NAN), d_entropies(d);
        sums.add(grpo_loss(config, part, scale, {d, d_entropies}));
        size_t at = 0;
        for (size_t s : order)
          for (size_t n = size_t(batch.sequence_begin[s]); n < size_t(batch.sequence_begin[s + 1]); ++n, ++at) {
            EXPECT_EQ(d[at], whole.gradient[n]) << "sequence " << s << " token " << n;
            EXPECT_EQ(d_entropies[at], whole.d_entropies[n]) << "sequence " << s << " token " << n;
          }
      }
      EXPECT_NEAR(sums.loss, whole.sums.loss, 1e-12);
      EXPECT_NEAR(sums.kl, whole.sums.kl, 1e-12);
      EXPECT_NEAR(sums.phi, whole.sums.phi, 1e-12);
      EXPECT_NEAR(sums.top_entropy, whole.sums.top_entropy, 1e-12);
      EXPECT_NEAR(sums.correction_sum, whole.sums.correction_sum, 1e-12);
      EXPECT_EQ(sums.clip_terms, whole.sums.clip_terms);
      EXPECT_EQ(sums.clipped_high_max, whole.sums.clipped_high_max);
      EXPECT_EQ(sums.ratio_min, whole.sums.ratio_min);
    }
  }
}

}  // namespace
}  // namespace cohort
