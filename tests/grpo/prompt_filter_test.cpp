#include "grpo/sampling/prompt_filter.h"

#include <gtest/gtest.h>

#include <set>

#include "configs/error.h"
#include "rollout/collect.h"
#include "tests/rollout/byte_models.h"

namespace cohort {
namespace {

Task task_of(int64_t length) {
  return {.id = std::to_string(length), .prompt = {{"", std::string(size_t(length), 'x')}}};
}

/// Prompts of 1, 2, … tokens.
Stream<Task> growing(std::optional<int64_t> size) {
  return {.name = "growing", .size = size, .digest = "d", .at = [](int64_t i) { return task_of(i % 10 + 1); }};
}

struct PromptFilter : testing::Test {
  Tokenizer tokenizer = bytes_tokenizer();
};

TEST_F(PromptFilter, LongPromptsOfAFileAreLeftOutAndCounted) {
  testing::internal::CaptureStderr();
  const std::vector<Stream<Task>> kept = without_long_prompts({growing(20)}, tokenizer, 4);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "cohort: growing: 12 of 20 prompts have more than 4 tokens and are left out\n");
  ASSERT_EQ(kept[0].size, 8);
  std::multiset<std::string> ids;
  for (int64_t i = 0; i < 8; ++i) ids.insert(kept[0].at(i).id);
  EXPECT_EQ(ids, (std::multiset<std::string>{"1", "1", "2", "2", "3", "3", "4", "4"}));
  EXPECT_NE(kept[0].digest, "d") << "another row stands at an index";
}

TEST_F(PromptFilter, AnEndlessGeneratorHasAnotherTaskInTheirPlace) {
  const std::vector<Stream<Task>> kept = without_long_prompts({growing(std::nullopt)}, tokenizer, 4);
  EXPECT_FALSE(kept[0].size);
  for (int64_t i = 0; i < 50; ++i) {
    EXPECT_LE(encode_prompt(tokenizer, kept[0].at(i).prompt).size(), 4u);
    EXPECT_EQ(kept[0].at(i).id, kept[0].at(i).id);
    EXPECT_TRUE(i % 10 >= 4 || kept[0].at(i).id == std::to_string(i % 10 + 1)) << "what fits stays: " << i;
  }
}

TEST_F(PromptFilter, HeldOutTasksToo) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(without_long_prompts(std::vector<Task>{task_of(3), task_of(9), task_of(4)}, tokenizer, 4).size(), 2u);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("eval_tasks: 1 of 3 prompts"), std::string::npos);
  EXPECT_TRUE(without_long_prompts(std::vector<Task>{}, tokenizer, 4).empty());
}

TEST_F(PromptFilter, WhereNothingFitsIsRefused) {
  testing::internal::CaptureStderr();
  EXPECT_THROW(without_long_prompts({growing(20)}, tokenizer, 0), UsageError);
  EXPECT_THROW(without_long_prompts({growing(std::nullopt)}, tokenizer, 0)[0].at(3), UsageError);
  EXPECT_THROW(without_long_prompts(std::vector<Task>{task_of(9)}, tokenizer, 4), UsageError);
  testing::internal::GetCapturedStderr();
}

}  // namespace
}  // namespace cohort
