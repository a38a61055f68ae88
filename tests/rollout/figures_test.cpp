// What an evaluation says in numbers: shares, intervals, lengths, and tables by column.
#include "rollout/figures.h"

#include <gtest/gtest.h>

#include "configs/error.h"

namespace cohort {
namespace {

/// A group of completions of these lengths; a negative one is wrong, one of 10 or more cut off.
Group group(const std::string& level, const std::vector<int>& lengths) {
  Group g{.task = {.id = level + "/" + std::to_string(lengths.size()), .answer = "4", .extra = {{"level", level}}}};
  for (int length : lengths) {
    const bool correct = length > 0;
    Rollout r{.text = correct ? "\\boxed{4}" : "\\boxed{5}",
              .score = {.value = correct, .status = correct ? Status::correct : Status::wrong}};
    r.completion.tokens.resize(size_t(std::abs(length)));
    r.completion.finish = std::abs(length) >= 10 ? FinishReason::length : FinishReason::stop;
    g.rollouts.push_back(std::move(r));
  }
  return g;
}

std::vector<Group> three() {
  std::vector<Group> groups = {group("Level 2", {1, 2, -3, -4}), group("Level 10", {-5, -6, -7, -20}),
                               group("Level 2", {8, 9, 10, 11})};
  groups[1].rollouts[0].score = {.status = Status::error, .reason = "down"};
  return groups;
}

TEST(Figures, AreSharesOfTasksAndOfCompletions) {
  const std::vector<int64_t> ks = {1, 2, 4};
  const Json f = figures_of(three(), ks, std::vector<std::string>{"level"});
  EXPECT_EQ(f["tasks"], 3);
  EXPECT_EQ(f["rollouts"], 12);
  EXPECT_EQ(f["errors"], 1);
  EXPECT_DOUBLE_EQ(f["pass@1"], 0.5);                    // 2/4, 0, 4/4
  EXPECT_DOUBLE_EQ(f["pass@2"], (5.0 / 6 + 0 + 1) / 3);  // of six pairs of the first, five hold a correct one
  EXPECT_DOUBLE_EQ(f["pass@4"], 2.0 / 3);
  EXPECT_DOUBLE_EQ(f["maj@2"], 2.0 / 3);
  EXPECT_DOUBLE_EQ(f["mean_length"], (10 + 38 + 38) / 12.0);
  EXPECT_DOUBLE_EQ(f["truncated"], 3.0 / 12);
  EXPECT_EQ(f["median_length"], 7);
  EXPECT_EQ(f["max_length"], 20);
  for (const char* ci : {"ci95", "pass@2_ci95", "pass@4_ci95", "maj@2_ci95", "maj@4_ci95"}) {
    ASSERT_EQ(f[ci].size(), 2u) << ci;
    EXPECT_LE(f[ci][0], f[ci][1]);
  }
  EXPECT_FALSE(f.contains("maj@1"));
  ASSERT_EQ(f["by"]["level"].size(), 2u);
  const Json &second = f["by"]["level"][0], &tenth = f["by"]["level"][1];
  EXPECT_EQ(second["value"], "Level 2");
  EXPECT_EQ(tenth["value"], "Level 10");
  EXPECT_EQ(second["tasks"], 2);
  EXPECT_DOUBLE_EQ(second["pass@1"], 0.75);
  EXPECT_DOUBLE_EQ(tenth["pass@1"], 0);
  EXPECT_DOUBLE_EQ(tenth["truncated"], 0.25);
  EXPECT_DOUBLE_EQ(second["pass@4"], 1);
}

TEST(Figures, AVoteNeedsReferenceAnswers) {
  std::vector<Group> groups = three();
  groups[1].task.answer.clear();  // programs have none
  const Json f = figures_of(groups, std::vector<int64_t>{4}, {});
  EXPECT_TRUE(f.contains("pass@4"));
  EXPECT_FALSE(f.contains("maj@4"));
}

TEST(Figures, TablesAreOfColumnsThatTellTasksApart) {
  std::vector<Group> groups = three();
  EXPECT_EQ(table_columns(groups), std::vector<std::string>{"level"});
  for (Group& g : groups) g.task.extra["type"] = "Algebra", g.task.extra["grade"] = 3;
  groups[0].task.extra["grade"] = 4;
  EXPECT_EQ(table_columns(groups), (std::vector<std::string>{"level", "grade"})) << "all of one type";
  groups[2].task.extra.erase("level");
  EXPECT_EQ(table_columns(groups), std::vector<std::string>{"grade"});
  EXPECT_EQ(table_columns({}), std::vector<std::string>());
  const std::vector<Task> tasks = {groups[0].task, groups[2].task};
  EXPECT_THROW(expect_column(tasks, "level"), UsageError);
  EXPECT_NO_THROW(expect_column(tasks, "grade"));
}

TEST(Figures, NumbersInValuesAreOrderedAsNumbers) {
  EXPECT_TRUE(comes_before("Level 2", "Level 10"));
  EXPECT_FALSE(comes_before("Level 10", "Level 2"));
  EXPECT_TRUE(comes_before("3", "12"));
  EXPECT_TRUE(comes_before("Algebra", "Geometry"));
  EXPECT_TRUE(comes_before("Level", "Level 1"));
  EXPECT_FALSE(comes_before("a", "a"));
}

TEST(Figures, AreReadable) {
  const Json f = figures_of(three(), std::vector<int64_t>{1, 4}, std::vector<std::string>{"level"});
  const std::string text = figures_text(f);
  for (const char* part : {"pass@1          50.0 %  [", "pass@4          66.7 %", "maj@4", "12 completions",
                           "truncated", "1 verdicts failed", "Level 2 ", "Level 10", "75.0 %"})
    EXPECT_NE(text.find(part), text.npos) << part << "\n" << text;
  EXPECT_LT(text.find("Level 2 "), text.find("Level 10"));
}

}  // namespace
}  // namespace cohort
