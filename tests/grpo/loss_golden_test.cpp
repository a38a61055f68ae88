// Losses, their gradients and metrics, and advantages, against TRL's own trainer and verl's functions on stored cases.
#include <gtest/gtest.h>

#include "grpo/advantage.h"
#include "grpo/loss/entropy.h"
#include "grpo/loss/loss.h"
#include "grpo/train_metrics.h"
#include "rewards/compose.h"
#include "tests/grpo/golden_file.h"
#include "tests/grpo/token_batch.h"

namespace cohort {
namespace {

LossConfig config_of(const Json& given) {
  LossConfig config;
  read_config(given, config, "the case");
  return config;
}

TokenBatch batch_of(const Json& stored, const LossConfig& config) {
  TokenBatch batch{.sequence_begin = {0},
                   .advantages = stored.at("advantages"),
                   .logprobs = stored.at("logprobs"),
                   .entropies = stored.at("entropies"),
                   .old_logprobs = stored.at("old_logprobs"),
                   .mask = stored.at("mask")};
  if (has_kl_term(config)) batch.ref_logprobs = stored.at("ref_logprobs").get<std::vector<float>>();
  if (config.importance_sampling_correction != "none")
    batch.sampling_logprobs = stored.at("sampling_logprobs").get<std::vector<float>>();
  for (int64_t length : stored.at("lengths")) batch.sequence_begin.push_back(batch.sequence_begin.back() + length);
  return batch;
}

struct Outcome {
  LossSums sums;
  std::vector<float> logprobs, entropies;  // gradients
};

/// The loss over `micro_batches` equal parts, gradients one after another.
Outcome loss_in_parts(const LossConfig& config, const TokenBatch& batch, const LossScale& scale, size_t micro_batches) {
  Outcome whole;
  size_t sequences = batch.advantages.size() / micro_batches;
  for (size_t i = 0; i < micro_batches; ++i) {
    TokenBatch part = part_of(batch, i * sequences, (i + 1) * sequences);
    std::vector<float> d(part.logprobs.size(), NAN), d_entropies(d);
    whole.sums.add(grpo_loss(config, part, scale, {d, d_entropies}));
    whole.logprobs.insert(whole.logprobs.end(), d.begin(), d.end());
    whole.entropies.insert(whole.entropies.end(), d_entropies.begin(), d_entropies.end());
  }
  return whole;
}

bool has_masked_sequence(const TokenBatch& b) {
  for (size_t s = 0; s + 1 < b.sequence_begin.size(); ++s)
    if (std::all_of(b.mask.begin() + b.sequence_begin[s], b.mask.begin() + b.sequence_begin[s + 1],
                    [](float m) { return m == 0; }))
      return true;
  return false;
}

/// TRL counts a sequence whose tokens are all masked as one ratio that was not clipped; here it has none. Nor do
/// sequences without advantage count in vespo's mean weight, as they may be dropped.
bool counts_differ(const std::string& name, const LossConfig& config, const TokenBatch& batch) {
  if (name.starts_with("clip_ratio/") || name == "cispo_clip_ratio")
    return config.importance_sampling_level == "sequence" && has_masked_sequence(batch);
  if (name.starts_with("sampling/"))
    return config.importance_sampling_correction.starts_with("sequence") && has_masked_sequence(batch);
  return name == "vespo/phi_seq_mean" && (has_masked_sequence(batch) || std::ranges::count(batch.advantages, 0.0f));
}

void expect_gradient(std::span<const float> gradient, const Json& expected) {
  ASSERT_EQ(gradient.size(), expected.size());
  for (size_t n = 0; n < gradient.size(); ++n)
    EXPECT_NEAR(gradient[n], expected[n].get<double>(), 1e-6) << "token " << n;
}

TEST(LossGolden, ValueGradientAndMetricsAreTrls) {
  Json golden = read_golden("trl_loss.json");
  std::map<std::string, int> compared;  // metrics that are not 0
  for (const Json& expected : golden.at("cases")) {
    LossConfig config = config_of(expected.at("config"));
    size_t micro_batches = expected.at("micro_batches");
    SCOPED_TRACE(expected.at("batch").get<std::string>() + ", " + expected.at("setting").get<std::string>() + ", " +
                 config.loss_type + ", " + config.importance_sampling_level + ", micro-batches " +
                 std::to_string(micro_batches));
    TokenBatch batch = batch_of(golden.at("batches").at(expected.at("batch").get<std::string>()), config);
    const Outcome o =
        loss_in_parts(config, batch, scale_of(batch, config, golden.at("max_completion_length")), micro_batches);
    EXPECT_NEAR(o.sums.loss, expected.at("loss").get<double>(), 1e-6);
    expect_gradient(o.logprobs, expected.at("gradient"));
    if (expected.contains("entropy_gradient")) expect_gradient(o.entropies, expected.at("entropy_gradient"));
    if (!expected.contains("metrics")) continue;
    Json ours = step_metrics({.sums = o.sums}, config, 0);
    for (const auto& [name, value] : expected.at("metrics").items()) {
      if (counts_differ(name, config, batch)) continue;
      EXPECT_NEAR(ours.at(name).get<double>(), value.get<double>(), 1e-6) << name;
      compared[name] += value != 0.0;
    }
  }
  EXPECT_EQ(golden.at("cases").size(), 272u);
  EXPECT_GT(compared["clip_ratio/region_mean"], 30);
  for (const char* name :
       {"cispo_clip_ratio", "vespo/phi_seq_mean", "kl", "entropy", "sampling/importance_sampling_ratio/mean"})
    EXPECT_GT(compared[name], 2) << name;
}

/// GSPO as verl writes it, with one ratio a token and a stopped factor, has the same gradient: the tokens of a sequence
/// weigh alike.
TEST(LossGolden, ValueGradientAndClippedShareAreVerls) {
  Json golden = read_golden("verl_loss.json");
  int64_t clipped_cases = 0;
  for (const Json& expected : golden.at("cases")) {
    SCOPED_TRACE(expected.at("of").get<std::string>() + ", " + expected.at("batch").get<std::string>());
    const LossConfig config = config_of(expected.at("config"));
    const TokenBatch batch = batch_of(golden.at("batches").at(expected.at("batch").get<std::string>()), config);
    const auto [sums, gradient, d_entropies] =
        loss_in_parts(config, batch, scale_of(batch, golden.at("max_completion_length")), 1);
    EXPECT_NEAR(sums.loss, expected.at("loss").get<double>(), 1e-6);
    expect_gradient(gradient, expected.at("gradient"));
    if (config.importance_sampling_level == "sequence") continue;  // verl counts tokens there too
    const double clipped = (sums.clipped_low + sums.clipped_high) / sums.clip_terms;
    EXPECT_NEAR(clipped, expected.at("clipped").get<double>(), 1e-6);
    clipped_cases += clipped > 0;
  }
  EXPECT_EQ(golden.at("cases").size(), 30u);
  EXPECT_EQ(clipped_cases, 18);
}

TEST(LossGolden, KlEstimatorsAreVerls) {
  Json golden = read_golden("verl_loss.json");
  for (const Json& expected : golden.at("kl")) {
    LossConfig config{.beta = 1, .kl_estimator = expected.at("estimator"), .use_bias_correction_kl = false};
    SCOPED_TRACE(config.kl_estimator);
    TokenBatch batch = batch_of(golden.at("batches").at(expected.at("batch").get<std::string>()), config);
    std::ranges::fill(batch.advantages, 0.0f);
    const Outcome o = loss_in_parts(config, batch, scale_of(batch, 0), 1);
    expect_gradient(o.logprobs, expected.at("gradient"));
    for (size_t n = 0; n < batch.logprobs.size(); ++n)
      EXPECT_NEAR(kl_estimate(config.kl_estimator, double(batch.ref_logprobs[n]) - batch.logprobs[n]).value,
                  expected.at("values")[n].get<double>(), 1e-6);
  }
  EXPECT_EQ(golden.at("kl").size(), 6u);
}

TEST(LossGolden, AdaptiveEntropyIsTrls) {
  const Json golden = read_golden("trl_loss.json").at("entropy_control");
  const LossConfig config = config_of(golden.at("config"));
  EntropyControl control{.coef = config.entropy_coef};
  int acted = 0;
  for (const Json& step : golden.at("steps")) {
    EXPECT_NEAR(acting_coef(config, control), step.at("acted").get<double>(), 1e-9);
    acted += acting_coef(config, control) > 0;
    update(config, control, step.at("entropy"));
    EXPECT_NEAR(control.coef, step.at("after").get<double>(), 1e-9);
  }
  EXPECT_EQ(acted, 5);
}

/// Groups of equal size with these rewards, null for none.
std::vector<Group> groups_of(const Json& rewards, size_t size) {
  std::vector<Group> groups(rewards.size() / size);
  for (size_t i = 0; i < rewards.size(); ++i) {
    Rollout rollout{.completion = {.tokens = {1}}};
    if (!rewards[i].is_null())
      rollout.score.value = rewards[i].get<float>(), rollout.score.components["reward"] = rewards[i];
    groups[i / size].rollouts.push_back(rollout);
  }
  return groups;
}

TEST(AdvantageGolden, AreTrls) {
  Json golden = read_golden("trl_advantage.json");
  for (const Json& expected : golden.at("cases")) {
    size_t size = expected.at("num_generations");
    std::vector<Group> groups = groups_of(expected.at("rewards"), size);
    compute_advantages(groups, {.scale_rewards = expected.at("scale_rewards")});
    for (size_t i = 0; i < expected.at("rewards").size(); ++i)
      EXPECT_NEAR(groups[i / size].rollouts[i % size].advantage, expected.at("advantages")[i].get<double>(), 2e-6)
          << expected.at("name") << " " << expected.at("scale_rewards") << " " << i;
  }
  EXPECT_EQ(golden.at("cases").size(), 15u);
}

TEST(AdvantageGolden, OfSeveralRewardsAreTrls) {
  Json cases = read_golden("trl_advantage.json").at("objectives");
  for (const Json& expected : cases) {
    std::map<std::string, double> weights;
    std::vector<RewardSpec> specs;
    for (const Json& weight : expected.at("weights")) {
      specs.push_back({.name = "reward" + std::to_string(specs.size()), .weight = weight});
      weights[specs.back().name] = weight;
    }
    const size_t size = expected.at("num_generations");
    std::vector<Group> groups(expected.at("rewards").size() / size);
    for (size_t i = 0; i < expected.at("rewards").size(); ++i) {
      std::vector<Score> parts;
      for (const Json& value : expected.at("rewards")[i]) {
        Score part{.status = Status::wrong};
        if (!value.is_null()) part.value = value.get<float>();
        parts.push_back(part);
      }
      groups[i / size].rollouts.push_back({.completion = {.tokens = {1}}, .score = weigh(specs, parts)});
    }
    compute_advantages(groups, {.multi_objective_aggregation = expected.at("aggregation")}, weights);
    for (size_t i = 0; i < expected.at("rewards").size(); ++i)
      EXPECT_NEAR(groups[i / size].rollouts[i % size].advantage, expected.at("advantages")[i].get<double>(), 5e-6)
          << expected.at("name") << " " << expected.at("aggregation") << " " << i;
  }
  EXPECT_EQ(cases.size(), 10u);
}

TEST(AdvantageGolden, RewardMetricsAreTrls) {
  for (const Json& expected : read_golden("trl_advantage.json").at("cases")) {
    const Json &rewards = expected.at("rewards"), &metrics = expected.at("metrics");
    Json ours = group_metrics(groups_of(rewards, expected.at("num_generations")));
    for (const char* name : {"reward", "rewards/reward/mean", "rewards/reward/std"})
      EXPECT_NEAR(ours.at(name).get<double>(), metrics.at(name).get<double>(), 1e-6) << name;
    bool all_scored = std::none_of(rewards.begin(), rewards.end(), [](const Json& r) { return r.is_null(); });
    if (!all_scored || expected.at("scale_rewards") == "batch") continue;  // TRL's share is of other groups there
    EXPECT_NEAR(ours.at("frac_reward_zero_std").get<double>(), metrics.at("frac_reward_zero_std").get<double>(), 1e-6);
  }
}

}  // namespace
}  // namespace cohort
