// A killed evaluation goes on where it stood, and only the same evaluation does.
#include "rollout/unfinished_groups.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/rollout/byte_models.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

struct UnfinishedGroupsTest : testing::Test {
  UnfinishedGroupsTest() { fs::create_directories(folder); }
  ~UnfinishedGroupsTest() override { fs::remove_all(folder); }

  std::vector<std::string> lines() const {
    std::vector<std::string> all;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }
  void write(const std::string& text) const { std::ofstream(file, std::ios::binary) << text; }
  static Group group(int64_t number) {
    Group g{.task = {.id = std::to_string(number), .prompt = {{"", "p"}}}, .prompt = {1, 2}};
    g.rollouts.resize(1);
    g.rollouts[0].completion.tokens = {int32_t(number)}, g.rollouts[0].completion.logprobs = {-0.25f};
    return g;
  }

  fs::path folder = fs::temp_directory_path() / ("cohort-unfinished-" + std::to_string(::getpid()));
  fs::path out = folder / "eval.jsonl", file = folder / "eval.jsonl.unfinished";
};

TEST_F(UnfinishedGroupsTest, WhatWasKeptIsFoundAgainByTheSameEvaluationAlone) {
  {
    UnfinishedGroups first(out, {{"seed", 1}});
    for (int64_t i : {0, 2}) first.store().keep(i, group(i));
  }
  {
    UnfinishedGroups again(out, {{"seed", 1}});
    EXPECT_EQ(again.found(), 2);
    EXPECT_EQ(again.store().find(2)->rollouts[0].completion.tokens, std::vector<int32_t>{2});
    EXPECT_FALSE(again.store().find(1).has_value());
  }
  EXPECT_EQ(UnfinishedGroups(out, {{"seed", 2}}).found(), 0);
  EXPECT_FALSE(fs::exists(file)) << "nothing of the other was kept, and this one has no group yet";
}

TEST_F(UnfinishedGroupsTest, TornAndDamagedLinesAreSampledAnew) {
  {
    UnfinishedGroups first(out, {{"seed", 1}});
    for (int64_t i : {0, 1, 2}) first.store().keep(i, group(i));
  }
  std::vector<std::string> all = lines();
  ASSERT_EQ(all.size(), 4u);
  all[2].replace(all[2].find("-0.25"), 5, "-0.75");
  write(all[0] + "\n" + all[1] + "\n" + all[2] + "\n" + all[3].substr(0, 40));
  UnfinishedGroups again(out, {{"seed", 1}});
  EXPECT_EQ(again.found(), 1);
  EXPECT_TRUE(again.store().find(0).has_value());
}

TEST_F(UnfinishedGroupsTest, IsGoneOnceNothingIsUnfinished) {
  UnfinishedGroups unfinished(out, {{"seed", 1}});
  unfinished.store().keep(0, group(0));
  EXPECT_TRUE(fs::exists(file));
  unfinished.finish();
  EXPECT_FALSE(fs::exists(file));
}

TEST_F(UnfinishedGroupsTest, AChecksumIsOfTheWeights) {
  const Compute one{1}, two{2};
  CausalLM model = random_model(over_bytes(tiny_deepseek()), two, 5),
           same = random_model(over_bytes(tiny_deepseek()), one, 5),
           other = random_model(over_bytes(tiny_deepseek()), one, 6);
  EXPECT_EQ(weights_checksum(model, one), weights_checksum(same, two));
  EXPECT_NE(weights_checksum(model, one), weights_checksum(other, one));
}

}  // namespace
}  // namespace cohort
