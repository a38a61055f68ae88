// Losses, their gradients and metrics, and advantages, against TRL's own trainer and verl's functions on stored cases.
#include <gtest/gtest.h>

#include "grpo/advantage.h"
#include "grpo/loss.h"
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

TokenBatch batch_of(const Json& stored, bool with_reference) {
  TokenBatch batch{.sequence_begin = {0},
                   .advantages = stored.at("advantages"),
                   .logprobs = stored.at("logprobs"),
                   .entropies = stored.at("entropies"),
                   .old_logprobs = stored.at("old_logprobs"),
                   .mask = stored.at("mask")};
  if (with_reference) batch.ref_logprobs = stored.at("ref_logprobs").get<std::vector<float>>();
  for (int64_t length : stored.at("lengths")) batch.sequence_begin.push_back(batch.sequence_begin.back() + length);
  return batch;
}

/// The loss over `micro_batches` equal parts, gradients one after another.
LossSums loss_in_parts(const LossConfig& config, const TokenBatch& batch, const LossScale& scale, size_t micro_batches,
                       std::vector<float>& gradient) {
  LossSums sums;
  size_t sequences = batch.advantages.size() / micro_batches;
  gradient.clear();
  for (size_t i = 0; i < micro_batches; ++i) {
    TokenBatch part = part_of(batch, i * sequences, (i + 1) * sequences);
    std::vector<float> d(part.logprobs.size(), NAN);
    sums.add(grpo_loss(config, part, scale, d));
    gradient.insert(gradient.end(), d.begin(), d.end());
  }
  return sums;
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
    TokenBatch batch = batch_of(golden.at("batches").at(expected.at("batch").get<std::string>()), config.beta > 0);
    std::vector<float> gradient;
    LossSums sums =
        loss_in_parts(config, batch, scale_of(batch, golden.at("max_completion_length")), micro_batches, gradient);
    EXPECT_NEAR(sums.loss, expected.at("loss").get<double>(), 1e-6);
    expect_gradient(gradient, expected.at("gradient"));
    if (!expected.contains("metrics")) continue;
    Json ours = step_metrics({.sums = sums}, config, 0);
    for (const auto& [name, value] : expected.at("metrics").items()) {
      if (counts_differ(name, config, batch)) continue;
      EXPECT_NEAR(ours.at(name).get<double>(), value.get<double>(), 1e-6) << name;
      compared[name] += value != 0.0;
    }
  }
  EXPECT_EQ(golden.at("cases").size(), 196u);
  EXPECT_GT(compared["clip_ratio/region_mean"], 30);
  for (const char* name : {"cispo_clip_ratio", "vespo/phi_seq_mean", "kl", "entropy"})
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
    const TokenBatch batch = batch_of(golden.at("batches").at(expected.at("batch").get<std::string>()), false);
    std::vector<float> gradient;
    const LossSums sums =
        loss_in_parts(config, batch, scale_of(batch, golden.at("max_completion_length")), 1, gradient);
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
