// Runs whose losses ask for more than the step's own pass: the policy at the start of a rollout, the reference's word
// on the reward, entropies of the whole step.
#include <gtest/gtest.h>

#include "tests/program/job.h"

namespace cohort {
namespace {

std::vector<Json> rows_of(const TinyJob& job, const Json& changes, const std::string& name,
                          const Arguments& more = {}) {
  const std::string out = job.out() + "-" + name;
  Arguments all = {"train", job.write(job.config(changes).dump()), "--out", out};
  all.insert(all.end(), more.begin(), more.end());
  const Outcome outcome = run_program(all);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return json_lines(fs::path(out) / "metrics.jsonl");
}

TEST(LossesIntegration, EveryLossTrainsAndNamesItsClipping) {
  const TinyJob job;
  const std::map<std::string, std::string> own = {{"cispo", "cispo_clip_ratio"}, {"vespo", "vespo/phi_seq_mean"}};
  for (const char* type : {"grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo"}) {
    const std::vector<Json> rows = rows_of(job, {{"loss_type", type}, {"epsilon_high", 1.5}, {"max_steps", 3}}, type);
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_EQ(rows[0]["ratio/max"], 1.0);
    EXPECT_NE(rows[2]["ratio/max"], 1.0) << "the rollout's third step: the weights have moved";
    EXPECT_GT(rows[2]["grad_norm"], 0.0);
    const std::string name = own.contains(type) ? own.at(type) : "clip_ratio/region_mean";
    EXPECT_EQ(rows[2].contains(name), type != std::string("sapo")) << type;
  }
}

/// Groups sampled by "another policy": the stored log-probabilities lie 0.2 lower and higher in turn.
fs::path groups_of_another_policy(const TinyJob& job) {
  rows_of(job, {{"max_steps", 1}, {"steps_per_generation", 1}, {"num_iterations", 1}}, "sampled");
  const fs::path groups = job.folder / "groups.jsonl";
  std::string text;
  for (Json group : json_lines(job.out() + "-sampled/completions/step-000001.jsonl")) {
    for (Json& rollout : group["rollouts"])
      for (size_t i = 0; i < rollout["logprobs"].size(); ++i)
        rollout["logprobs"][i] = rollout["logprobs"][i].get<double>() + (i % 2 ? 0.2 : -0.2);
    text += group.dump() + "\n";
  }
  write_file(groups, text);
  return groups;
}

TEST(LossesIntegration, ACorrectionTakesRatiosToTheStartOfTheRollout) {
  const TinyJob job;
  const Arguments frozen = {"--groups", groups_of_another_policy(job).string(), "--set", "max_tokens_per_batch=40"};
  const Json plain = {{"max_steps", 2}, {"steps_per_generation", 1}};
  Json corrected = plain;
  corrected["importance_sampling_correction"] = "token_truncate", corrected["importance_sampling_clip_max"] = 1.1;
  const Json without = rows_of(job, plain, "plain", frozen).at(0);
  EXPECT_NEAR(without["ratio/max"].get<double>(), std::exp(0.2), 1e-5);
  const std::vector<Json> rows = rows_of(job, corrected, "corrected", frozen);
  EXPECT_EQ(rows.at(0)["ratio/min"], 1.0);
  EXPECT_EQ(rows[0]["ratio/max"], 1.0);
  EXPECT_NE(rows.at(1)["ratio/max"], 1.0);
  for (const Json& row : rows) {
    EXPECT_EQ(row["sampling/importance_sampling_ratio/max"], 1.1);
    EXPECT_NEAR(row["sampling/importance_sampling_ratio/min"].get<double>(), std::exp(-0.2), 1e-5);
  }
  EXPECT_NEAR(rows[0]["sampling/sampling_logp_difference/max"].get<double>(), 0.2, 1e-5);
}

/// Ratios of the later steps are taken to weights that are gone by then, and the entropy bonus to the entropy of the
/// step before.
TEST(LossesIntegration, WhatALossRemembersIsResumedInTheMiddleOfARollout) {
  const TinyJob job;
  const Arguments frozen = {"--groups", groups_of_another_policy(job).string()};
  Json changes = {{"steps_per_generation", 2},
                  {"num_iterations", 3},
                  {"max_steps", 5},
                  {"importance_sampling_correction", "token_mask"},
                  {"use_adaptive_entropy", true},
                  {"entropy_coef", 0.01},
                  {"entropy_target", 50}};
  const std::vector<Json> whole = rows_of(job, changes, "whole", frozen);
  changes["max_steps"] = 3;
  rows_of(job, changes, "resumed", frozen);
  changes["max_steps"] = 5;
  Arguments resume = frozen;
  resume.push_back("--resume");
  const std::vector<Json> resumed = rows_of(job, changes, "resumed", resume);
  ASSERT_EQ(resumed.size(), 5u);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(without_times(resumed[i]), without_times(whole.at(i)));
}

TEST(LossesIntegration, KlInTheRewardLowersScoresAndLeavesTheLoss) {
  const TinyJob job;
  const std::vector<Json> rows =
      rows_of(job, {{"beta", 0.5}, {"kl_in_reward", true}, {"kl_estimator", "k3"}, {"max_steps", 5}}, "kl");
  for (const Json& row : rows) {
    EXPECT_FALSE(row.contains("kl"));
    EXPECT_EQ(row["loss"], row["policy_loss"]);
    const double penalty = row["rewards/kl/mean"];
    EXPECT_EQ(penalty == 0, row["step"] <= 4) << "the reference is the policy of the first rollout";
    EXPECT_LE(penalty, 0);
    EXPECT_NEAR(row["reward"].get<double>(), row["rewards/regex/mean"].get<double>() + penalty, 1e-6);
    EXPECT_EQ(row["logprob_bit_mismatches"], 0);
  }
}

TEST(LossesIntegration, AdaptiveEntropyMovesItsCoefficientAndActsBelowItsTarget) {
  const TinyJob job;
  const Json adaptive = {{"use_adaptive_entropy", true}, {"entropy_coef", 0.01}, {"entropy_coef_delta", 0.005},
                         {"entropy_target", 50},         {"max_steps", 3},       {"top_entropy_quantile", 0.5},
                         {"max_tokens_per_batch", 64}};
  const std::vector<Json> rows = rows_of(job, adaptive, "adaptive");
  EXPECT_NEAR(rows.at(0)["loss"].get<double>(), rows[0]["policy_loss"].get<double>(), 1e-9)
      << "no entropy is known yet";
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(rows.at(i)["entropy_coef"].get<double>(), 0.015 + 0.005 * double(i), 1e-9);
  const double bonus = rows[1]["policy_loss"].get<double>() - rows[1]["loss"].get<double>();
  EXPECT_GT(bonus, 0.015 * rows[1]["entropy"].get<double>()) << "the mean over the tokens of highest entropy";
}

TEST(LossesIntegration, TheSelfTestHoldsWithEveryExtra) {
  const TinyJob job;
  const std::vector<Json> rows = rows_of(job,
                                         {{"importance_sampling_correction", "sequence_mask"},
                                          {"top_entropy_quantile", 0.5},
                                          {"off_policy_mask_threshold", 0.1},
                                          {"entropy_coef", 0.01},
                                          {"beta", 0.1},
                                          {"kl_in_reward", true},
                                          {"kl_estimator", "k1"}},
                                         "extras", {"--self-test"});
  EXPECT_EQ(rows.size(), 9u);
}

}  // namespace
}  // namespace cohort
