// Hand-computed advantages.
#include "grpo/advantage.h"

#include <gtest/gtest.h>

#include <cmath>

namespace cohort {
namespace {

Group group_of(std::vector<std::optional<float>> rewards) {
  Group group;
  for (const auto& value : rewards) group.rollouts.push_back({.score = {.value = value}, .advantage = 99});
  return group;
}

std::vector<float> advantages(std::vector<Group> groups, const std::string& scale) {
  compute_advantages(groups, {.scale_rewards = scale});
  std::vector<float> all;
  for (const Group& group : groups)
    for (const Rollout& r : group.rollouts) all.push_back(r.advantage);
  return all;
}

void expect_near(const std::vector<float>& found, const std::vector<double>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-6) << i;
}

TEST(Advantage, GroupDividesByTheUnbiasedStd) {
  expect_near(advantages({group_of({1, 0, 0, 0})}, "group"),
              {0.75 / 0.5001, -0.25 / 0.5001, -0.25 / 0.5001, -0.25 / 0.5001});
}

TEST(Advantage, NoneOnlyTakesTheMeanAway) {
  expect_near(advantages({group_of({3, 1}), group_of({0, 10})}, "none"), {1, -1, -5, 5});
}

TEST(Advantage, BatchDividesAllGroupsByOneStd) {
  double std = std::sqrt((4 + 0 + 4 + 0) / 3.0) + 1e-4;  // of 4, 2, 0, 2
  expect_near(advantages({group_of({4, 2}), group_of({0, 2})}, "batch"), {1 / std, -1 / std, -1 / std, 1 / std});
}

TEST(Advantage, WhatHasNoValueGetsZeroAndDoesNotCount) {
  for (const char* scale : {"group", "batch", "none"}) {
    std::vector<float> with = advantages({group_of({1, std::nullopt, 0, std::nullopt})}, scale),
                       without = advantages({group_of({1, 0})}, scale);
    EXPECT_EQ(with, (std::vector<float>{without[0], 0, without[1], 0})) << scale;
  }
}

TEST(Advantage, NothingToLearnIsExactlyZero) {
  const std::optional<float> none;
  for (const char* scale : {"group", "batch", "none"})
    EXPECT_EQ(
        advantages({group_of({1, 1, 1}), group_of({0, 0, 0}), group_of({none, none, none}), group_of({none, 5, none})},
                   scale),
        std::vector<float>(12, 0.0f))
        << scale;
}

TEST(Advantage, EqualRewardsThatAreNoBinaryFractionsAreExactlyZero) {
  for (const char* scale : {"group", "batch", "none"})
    for (int size : {3, 5, 6, 7, 11, 16})
      EXPECT_EQ(
          advantages({group_of(std::vector<std::optional<float>>(size_t(size), 0.1f)), group_of({0.3f, 0.7f})}, scale)
              .front(),
          0.0f)
          << scale << " " << size;
}

TEST(Advantage, ZeroStd) {
  EXPECT_TRUE(has_zero_std(group_of({0.1f, 0.1f, 0.1f})));
  EXPECT_TRUE(has_zero_std(group_of({1, std::nullopt, 1})));
  EXPECT_TRUE(has_zero_std(group_of({std::nullopt, std::nullopt})));
  EXPECT_FALSE(has_zero_std(group_of({1, 0.999f})));
}

TEST(Overlong, ThePenaltyGrowsOverTheLastTokens) {
  auto scored = [](OverlongConfig config) {
    std::vector<Group> groups{group_of({1.0f, 1.0f, 1.0f, 1.0f, std::nullopt})};
    const size_t lengths[] = {80, 81, 90, 100, 100};
    for (size_t i = 0; i < 5; ++i) groups[0].rollouts[i].completion.tokens.resize(lengths[i]);
    penalize_length(groups, config, 100);
    return groups[0].rollouts;
  };
  std::vector<Rollout> rollouts = scored({.soft_cache = 20});
  const float expected[] = {1.0f, 0.95f, 0.5f,
                            0.0f};  // trl.rewards.get_soft_overlong_punishment(100, 20): 0, -0.05, -0.5, -1
  for (size_t i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(*rollouts[i].score.value, expected[i]);
  EXPECT_FALSE(rollouts[4].score.value.has_value());  // an error stays one
  EXPECT_DOUBLE_EQ(rollouts[2].score.components.at("overlong"), -0.5);
  EXPECT_FLOAT_EQ(*scored({.soft_cache = 20, .penalty = 0.4})[3].score.value, 0.6f);
  EXPECT_EQ(*scored({})[3].score.value, 1.0f);
  EXPECT_EQ(scored({})[3].score.components.count("overlong"), 0u);
}

}  // namespace
}  // namespace cohort
