// Tasks in, scored groups out: order, seeds, and groups that an earlier attempt left.
#include "rollout/collect.h"

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>
#include <thread>

#include "tests/rollout/byte_models.h"

namespace cohort {
namespace {

struct CollectTest : testing::Test {
  Compute compute{2};
  CausalLM model = random_model(over_bytes(tiny_llama()), compute, 5);
  Tokenizer tokenizer = bytes_tokenizer();
  Scorer scorer{{{.name = "regex", .options = {{"pattern", "[aeiou]"}}}}, 2};
  std::vector<Task> tasks;

  CollectTest() {
    for (const char* text : {"first", "a second, longer one", "first", "x"})
      tasks.push_back({.id = std::to_string(tasks.size()), .prompt = {{"", text}}});
  }
  std::vector<Group> collect(int64_t step = 0, const GroupStore& store = {}) {
    Engine engine(model, compute, &tokenizer, {.max_slots = 5}, 64);
    return cohort::collect(
        engine, model, tokenizer, &scorer,
        {.tasks = tasks, .num_generations = 3, .sampling = {.max_completion_length = 10}, .seed = 8, .step = step},
        store);
  }
};

std::vector<int32_t> all_tokens(const Group& group) {
  std::vector<int32_t> ids;
  for (const Rollout& r : group.rollouts) ids.insert(ids.end(), r.completion.tokens.begin(), r.completion.tokens.end());
  return ids;
}

TEST_F(CollectTest, GroupsComeInTaskOrderWithScores) {
  std::vector<Group> groups = collect();
  ASSERT_EQ(groups.size(), 4u);
  int right = 0;
  for (size_t g = 0; g < 4; ++g) {
    EXPECT_EQ(groups[g].task.id, std::to_string(g));
    EXPECT_EQ(groups[g].prompt, tokenizer.encode(tasks[g].prompt[0].content, true));
    ASSERT_EQ(groups[g].rollouts.size(), 3u);
    for (const Rollout& r : groups[g].rollouts) {
      ASSERT_TRUE(r.score.value.has_value());
      EXPECT_EQ(*r.score.value == 1, r.text.find_first_of("aeiou") != std::string::npos);
      EXPECT_EQ(r.text, tokenizer.decode(r.completion.tokens));
      right += *r.score.value == 1;
    }
  }
  EXPECT_GT(right, 0);
  EXPECT_LT(right, 12);
}

/// A group is judged and kept while the engine goes on: its turn never comes on the thread that decodes.
TEST_F(CollectTest, VerifiersRunWhileDecodingGoesOn) {
  std::set<std::thread::id> threads;
  int64_t kept = 0;
  collect(0, {.find = {}, .keep = [&](int64_t, const Group& group) {
                ++kept, threads.insert(std::this_thread::get_id());
                for (const Rollout& r : group.rollouts) EXPECT_TRUE(r.score.value.has_value());
              }});
  EXPECT_EQ(kept, 4);
  EXPECT_FALSE(threads.contains(std::this_thread::get_id()));
}

TEST_F(CollectTest, WhatFailsBesideDecodingIsThrown) {
  const GroupStore full = {.find = {}, .keep = [](int64_t, const Group&) { throw std::runtime_error("disk full"); }};
  EXPECT_THROW(collect(0, full), std::runtime_error);
}

TEST_F(CollectTest, EqualPromptsOfAStepAreSampledAnewAndSoIsTheNextStep) {
  std::vector<Group> groups = collect(0), again = collect(0), next = collect(1);
  EXPECT_EQ(groups[0].prompt, groups[2].prompt);
  EXPECT_NE(all_tokens(groups[0]), all_tokens(groups[2]));
  for (size_t g = 0; g < 4; ++g) {
    EXPECT_EQ(all_tokens(groups[g]), all_tokens(again[g]));
    EXPECT_NE(all_tokens(groups[g]), all_tokens(next[g]));
  }
}

TEST_F(CollectTest, ARolloutInTwoCallsIsTheRolloutInOne) {
  std::map<int64_t, Group> whole, parts;
  const auto keep_in = [](std::map<int64_t, Group>& kept) {
    return GroupStore{.find = {}, .keep = [&](int64_t index, const Group& group) { kept[index] = group; }};
  };
  collect(0, keep_in(whole));
  Engine engine(model, compute, &tokenizer, {.max_slots = 5}, 64);
  PromptCounts counts;
  for (size_t first : {0u, 1u}) {
    const size_t count = first ? 3 : 1;
    cohort::collect(engine, model, tokenizer, &scorer,
                    {.tasks = std::span(tasks).subspan(first, count),
                     .num_generations = 3,
                     .sampling = {.max_completion_length = 10},
                     .seed = 8,
                     .first_index = int64_t(first),
                     .counts = &counts},
                    keep_in(parts));
  }
  ASSERT_EQ(parts.size(), 4u);
  for (const auto& [index, group] : whole) EXPECT_EQ(all_tokens(parts.at(index)), all_tokens(group)) << index;
}

TEST_F(CollectTest, GroupsOfAnEarlierAttemptAreNotSampledAgain) {
  std::map<int64_t, Group> kept;
  GroupStore keeping{.find = {}, .keep = [&](int64_t index, const Group& group) { kept[index] = group; }};
  std::vector<Group> expected = collect(0, keeping);
  ASSERT_EQ(kept.size(), 4u);
  kept.erase(1);
  kept[3].rollouts[0].completion.seed += 1;  // of another run: not to be used
  std::set<int64_t> sampled;
  GroupStore store{.find = [&](int64_t index) { return kept.count(index) ? std::optional(kept[index]) : std::nullopt; },
                   .keep = [&](int64_t index, const Group&) { sampled.insert(index); }};
  std::vector<Group> groups = collect(0, store);
  EXPECT_EQ(sampled, (std::set<int64_t>{1, 3}));
  for (size_t g = 0; g < 4; ++g) EXPECT_EQ(all_tokens(groups[g]), all_tokens(expected[g]));
}

TEST_F(CollectTest, StoredVerdictsThatFailedOrAreOfAnotherAnswerArePassedAnew) {
  std::map<int64_t, Group> kept;
  std::vector<Group> expected = collect(0, {.find = {}, .keep = [&](int64_t index, const Group& group) {
                                              kept[index] = group_from_json(to_json(group));
                                            }});
  kept[0].rollouts[1].score = {.status = Status::error, .reason = "the server was down"};
  kept[2].task.answer = "the answer before it was mended";
  std::set<int64_t> judged;
  GroupStore store{.find = [&](int64_t index) { return std::optional(kept[index]); },
                   .keep = [&](int64_t index, const Group&) { judged.insert(index); }};
  std::vector<Group> groups = collect(0, store);
  EXPECT_EQ(judged, (std::set<int64_t>{0, 2}));
  EXPECT_EQ(groups[2].task.answer, tasks[2].answer);
  for (size_t g = 0; g < 4; ++g)
    for (size_t i = 0; i < 3; ++i) EXPECT_EQ(groups[g].rollouts[i].score.value, expected[g].rollouts[i].score.value);
}

TEST_F(CollectTest, AGroupSurvivesItsLineOfJsonToTheBit) {
  for (const Group& group : collect()) {
    Group back = group_from_json(Json::parse(to_json(group).dump()));
    EXPECT_EQ(back.prompt, group.prompt);
    ASSERT_EQ(back.rollouts.size(), group.rollouts.size());
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_TRUE(same_bits(back.rollouts[i].completion, group.rollouts[i].completion));
      EXPECT_EQ(back.rollouts[i].text, group.rollouts[i].text);
      EXPECT_EQ(back.rollouts[i].score.value, group.rollouts[i].score.value);
    }
  }
}

TEST(RequestSeed, IsExactInJsonAndDependsOnEverything) {
  std::vector<int32_t> a = {1, 2, 3}, b = {1, 2, 4};
  std::set<uint64_t> seeds = {request_seed(0, 0, a, 0), request_seed(1, 0, a, 0), request_seed(0, 1, a, 0),
                              request_seed(0, 0, a, 1), request_seed(0, 0, b, 0), request_seed(1ull << 40, 0, a, 0)};
  EXPECT_EQ(seeds.size(), 6u);
  for (uint64_t seed : seeds) EXPECT_LT(seed, 1ull << 53);
}

}  // namespace
}  // namespace cohort
