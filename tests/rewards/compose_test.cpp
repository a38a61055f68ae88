#include "rewards/compose.h"

#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <thread>

#include "configs/error.h"
#include "rewards/rules.h"
#include "tests/rewards/judging.h"

namespace cohort {
namespace {

TEST(Specs, FromText) {
  const RewardSpec spec = parse_reward("exact:extract=boxed,ignore_case=true");
  EXPECT_EQ(spec.name, "exact");
  EXPECT_EQ(spec.options, (Json{{"extract", "boxed"}, {"ignore_case", true}}));
  EXPECT_EQ(parse_reward("accuracy:digits=8").options, (Json{{"digits", 8}}));
  EXPECT_EQ(parse_reward("accuracy:weight=2").weight, 2);
  EXPECT_EQ(parse_reward("python:my.py:f").name, "python:my.py:f");
  EXPECT_THROW(parse_reward("exact:boxed"), UsageError);
  EXPECT_THROW(parse_reward("exact:extract=boxed,extract=none"), UsageError);
  EXPECT_THROW(parse_reward("{broken"), UsageError);
}

TEST(Specs, FromJson) {
  const RewardSpec spec = reward_from_json({{"name", "cosine"}, {"weight", 0.5}, {"options", {{"max_len", 10}}}});
  EXPECT_EQ(spec.weight, 0.5);
  EXPECT_EQ(spec.options["max_len"], 10);
  EXPECT_EQ(reward_from_json("format").name, "format");
  EXPECT_THROW(reward_from_json({{"name", "format"}, {"wieght", 1}}), UsageError);
  EXPECT_THROW(reward_from_json({{"weight", 1}}), UsageError);
  EXPECT_THROW(reward_from_json(Json(1)), UsageError);
}

std::string message_of(const RewardSpec& spec) {
  try {
    make_reward(spec);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(Specs, UnknownNamesNameTheNearest) {
  EXPECT_NE(message_of({.name = "acuracy"}).find("\"accuracy\""), std::string::npos);
  EXPECT_NE(message_of({.name = "format", .options = {{"thnk", "x"}}}).find("\"think\""), std::string::npos);
  EXPECT_NE(message_of({.name = "format", .options = {{"prefilled", "x"}}}).find("prefilled"), std::string::npos);
}

TEST(Scores, JsonRoundTripIsExact) {
  const Score score{.value = 0.1F,
                    .status = Status::partial,
                    .reason = "half \"right\"",
                    .components = {{"a", 0.1}, {"b", -1e-300}},
                    .seconds = 0.012345678901234567,
                    .extra_logs = {{"x", {1, "y"}}},
                    .num_errors = 2};
  const Score back = score_from_json(Json::parse(to_json(score).dump()));
  EXPECT_EQ(back.value, score.value);
  EXPECT_EQ(back.status, score.status);
  EXPECT_EQ(back.reason, score.reason);
  EXPECT_EQ(back.components, score.components);
  EXPECT_EQ(back.seconds, score.seconds);
  EXPECT_EQ(back.extra_logs, score.extra_logs);
  EXPECT_EQ(back.num_errors, score.num_errors);
  EXPECT_FALSE(score_from_json(to_json(Score{})).value);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(status_from(to_string(static_cast<Status>(i))), static_cast<Status>(i));
}

TEST(Scores, BrokenJsonIsRefused) {
  EXPECT_THROW(score_from_json(Json::object()), UsageError);
  EXPECT_THROW(score_from_json({{"value", "1"}, {"status", "correct"}}), UsageError);
  EXPECT_THROW(score_from_json({{"value", 1}, {"status", "right"}}), UsageError);
  EXPECT_THROW(score_from_json({{"value", 1}, {"status", "correct"}, {"components", {{"a", nullptr}}}}), UsageError);
}

TEST(Weigh, WeightedSumWithComponents) {
  const std::vector<RewardSpec> rewards = {{"accuracy", 1.0}, {"format", 0.5}, {"format", 2.0}};
  const Score score = weigh(rewards, {verdict(true), verdict(true), graded(0.25, 0, 1)});
  EXPECT_FLOAT_EQ(*score.value, 2.0F);
  EXPECT_EQ(score.components, (std::map<std::string, double>{{"accuracy", 1}, {"format", 1}, {"format#2", 0.25}}));
  EXPECT_EQ(score.status, Status::partial);
}

TEST(Weigh, NullsAreLeftOut) {
  const std::vector<RewardSpec> rewards = {{"a", 1.0}, {"b", 3.0}};
  const Score score = weigh(rewards, {no_score("lost"), verdict(true)});
  EXPECT_FLOAT_EQ(*score.value, 3.0F);
  EXPECT_EQ(score.status, Status::correct);
  EXPECT_EQ(score.components.count("a"), 0U);
  EXPECT_EQ(score.reason, "a: lost");
  const Score none = weigh(rewards, {no_score("x"), no_score("y")});
  EXPECT_FALSE(none.value);
  EXPECT_EQ(none.status, Status::error);
}

TEST(Weigh, AHackOutweighsTheRest) {
  const std::vector<RewardSpec> rewards = {{"a", 1.0}, {"b", 1.0}};
  EXPECT_EQ(weigh(rewards, {verdict(true), {.value = 0.0F, .status = Status::hack}}).status, Status::hack);
}

Score guard(const RewardFn& reward, double seconds = 10) {
  const Task task;
  return guarded(reward, {&task, ""}, {std::chrono::duration<double>(seconds)});
}

TEST(Guarded, ABrokenRewardIsAnErrorAndNeverZero) {
  const std::vector<RewardFn> broken = {
      [](auto, auto) -> std::vector<Score> { throw std::runtime_error("boom"); },
      [](auto, auto) -> std::vector<Score> { throw 7; },
      [](auto, auto) -> std::vector<Score> { return {}; },
      [](auto, auto) -> std::vector<Score> {
        return {verdict(true), verdict(true)};
      },
      [](auto, auto) -> std::vector<Score> {
        return {{.value = std::numeric_limits<float>::quiet_NaN(), .status = Status::correct}};
      },
      [](auto, auto) -> std::vector<Score> {
        return {{.value = std::numeric_limits<float>::infinity(), .status = Status::correct}};
      },
      [](auto, auto) -> std::vector<Score> { return {{.value = 1.0F, .status = Status::error}}; }};
  for (const RewardFn& reward : broken) {
    const Score score = guard(reward);
    EXPECT_FALSE(score.value);
    EXPECT_EQ(score.status, Status::error);
  }
  EXPECT_NE(guard(broken[0]).reason.find("boom"), std::string::npos);
}

TEST(Guarded, ALateVerdictIsAnErrorWithBothTimes) {
  const Score score = guard(
      [](auto, auto) -> std::vector<Score> {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        return {verdict(true)};
      },
      0.001);
  EXPECT_FALSE(score.value);
  EXPECT_NE(score.reason.find("deadline"), std::string::npos);
  EXPECT_GE(score.seconds, 0.02);
}

TEST(Scorer, SameScoresInOrderWhateverTheWorkers) {
  std::vector<Task> tasks(200);
  std::vector<std::string> texts(200);
  std::vector<Judged> batch;
  for (size_t i = 0; i < tasks.size(); ++i) {
    tasks[i].answer = std::to_string(i);
    texts[i] = "<think>x</think><answer>" + std::to_string(i % 3 == 0 ? i : i + 1) + "</answer>";
    batch.push_back({&tasks[i], texts[i]});
  }
  for (int workers : {1, 2, 8}) {
    const std::vector<Score> scores = Scorer({{"accuracy", 1.0}, {"format", 0.5}}, workers).judge(batch);
    for (size_t i = 0; i < scores.size(); ++i) EXPECT_FLOAT_EQ(*scores[i].value, i % 3 == 0 ? 1.5F : 0.5F);
  }
}

TEST(Scorer, ManyBatchesAtOnce) {
  const Scorer scorer({{"accuracy", 1.0}}, 2);
  Task task;
  task.answer = "\\sqrt{2}/2";
  const std::vector<Judged> batch(20, Judged{&task, "\\boxed{\\sin 45^\\circ}"});
  std::atomic<int> correct{0};
  std::vector<std::jthread> callers;
  for (int i = 0; i < 16; ++i) {
    callers.emplace_back([&] {
      for (const Score& score : scorer.judge(batch)) correct += score.status == Status::correct ? 1 : 0;
    });
  }
  callers.clear();
  EXPECT_EQ(correct, 320);
}

TEST(Scorer, RefusesNothingToDo) {
  EXPECT_THROW(Scorer({}, 1), UsageError);
  EXPECT_THROW(Scorer({{"format"}}, 0), UsageError);
  EXPECT_TRUE(Scorer({{"format"}}, 2).judge({}).empty());
}

}  // namespace
}  // namespace cohort
