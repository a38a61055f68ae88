#include "tasks/task_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "configs/error.h"
#include "temp_file.h"

namespace cohort {
namespace {

std::string lines_of(const std::string& name, int count) {
  std::string lines;
  for (int i = 0; i < count; ++i)
    lines += Json{{"id", name + std::to_string(i)}, {"prompt", name + std::to_string(i)}}.dump() + "\n";
  return lines;
}

TaskSource source_of(const std::string& reference, double weight = 1) {
  TaskSource source;
  source.reference = reference;
  source.weight = weight;
  return source;
}

std::vector<std::string> ids(TaskSet& tasks, int64_t count) {
  std::vector<std::string> drawn;
  for (const Task& task : tasks.next(count)) drawn.push_back(task.id);
  return drawn;
}

TEST(TaskSet, AnEpochHoldsEachTaskOnceAndEpochsDiffer) {
  const TempFile file("a.jsonl", lines_of("a", 50));
  TaskSet tasks = open_task_set({source_of(file.path())}, 1);
  const auto first = ids(tasks, 50), second = ids(tasks, 50);
  EXPECT_EQ(std::set<std::string>(first.begin(), first.end()).size(), 50U);
  EXPECT_EQ(std::set<std::string>(second.begin(), second.end()).size(), 50U);
  EXPECT_NE(first, second);
  EXPECT_EQ(tasks.cursor().epochs(), 2);
  TaskSet other_seed = open_task_set({source_of(file.path())}, 2);
  EXPECT_NE(ids(other_seed, 50), first);
}

TEST(TaskSet, BatchSizeDoesNotMatter) {
  const TempFile file("a.jsonl", lines_of("a", 17));
  TaskSet one = open_task_set({source_of(file.path())}, 3), many = open_task_set({source_of(file.path())}, 3);
  std::vector<std::string> singly;
  for (int i = 0; i < 60; ++i) singly.push_back(ids(one, 1)[0]);
  EXPECT_EQ(ids(many, 60), singly);
}

TEST(TaskSet, ResumesAtEveryPosition) {
  const TempFile a("a.jsonl", lines_of("a", 7)), b("b.jsonl", lines_of("b", 3));
  const std::vector<TaskSource> sources = {source_of(a.path(), 2), source_of(b.path()), source_of("arithmetic", 0.5)};
  constexpr int kTotal = 60;
  TaskSet whole = open_task_set(sources, 4);
  const auto expected = ids(whole, kTotal);
  for (int position = 0; position <= kTotal; ++position) {
    TaskSet before = open_task_set(sources, 4);
    before.next(position);
    const std::string state = before.state().dump();
    TaskSet after = open_task_set(sources, 4);
    after.next(position % 5);  // whatever happened before
    after.restore(Json::parse(state));
    EXPECT_EQ(ids(after, kTotal - position), std::vector<std::string>(expected.begin() + position, expected.end()))
        << position;
    EXPECT_EQ(after.state(), whole.state());
  }
}

TEST(TaskSet, WeightsHoldAtEveryMoment) {
  Cursor cursor({{"a", "", 10, 3}, {"b", "", std::nullopt, 1}, {"c", "", 4, 0.5}}, 1);
  std::map<size_t, int> counts;
  for (int i = 1; i <= 2000; ++i) {
    ++counts[cursor.next().source];
    EXPECT_LE(std::abs(counts[0] - i * 3 / 4.5), 1.5) << i;
    EXPECT_LE(std::abs(counts[1] - i * 1 / 4.5), 1.5) << i;
    EXPECT_LE(std::abs(counts[2] - i * 0.5 / 4.5), 1.5) << i;
  }
  EXPECT_EQ(cursor.drawn(), 2000);
}

TEST(TaskSet, TwoSourcesOfOneSizeAreShuffledApart) {
  Cursor cursor({{"a", "", 20, 1}, {"b", "", 20, 1}}, 1);
  std::map<size_t, std::vector<int64_t>> drawn;
  for (int i = 0; i < 40; ++i) {
    const Draw draw = cursor.next();
    drawn[draw.source].push_back(draw.index);
  }
  EXPECT_NE(drawn[0], drawn[1]);
}

TEST(TaskSet, EndlessSourcesAreWalkedInOrder) {
  TaskSet tasks = open_task_set({source_of("arithmetic")}, 9);
  EXPECT_EQ(ids(tasks, 3),
            (std::vector<std::string>{"arithmetic/train/0/0", "arithmetic/train/0/1", "arithmetic/train/0/2"}));
}

TEST(TaskSet, AStateOfOtherTasksIsRefused) {
  const TempFile file("a.jsonl", lines_of("a", 5)), changed("a.jsonl", lines_of("A", 5));
  TaskSet tasks = open_task_set({source_of(file.path())}, 1);
  tasks.next(2);
  const Json state = tasks.state();
  TaskSet other_seed = open_task_set({source_of(file.path())}, 2);
  EXPECT_NE(MESSAGE_OF(UsageError, other_seed.restore(state)).find("seed 1"), std::string::npos);
  TaskSet other_rows = open_task_set({source_of(changed.path())}, 1);
  EXPECT_NE(MESSAGE_OF(UsageError, other_rows.restore(state)).find(changed.path()), std::string::npos);
  TaskSet other_limit = open_task_set({source_of(file.path() + ":limit=4")}, 1);
  EXPECT_THROW(other_limit.restore(state), UsageError);
  TaskSet more = open_task_set({source_of(file.path()), source_of("arithmetic")}, 1);
  EXPECT_THROW(more.restore(state), UsageError);
  TaskSet other_options = open_task_set({source_of("arithmetic:operations=3")}, 1);
  EXPECT_THROW(other_options.restore(open_task_set({source_of("arithmetic")}, 1).state()), UsageError);
  TaskSet moved = open_task_set({source_of(file.path())}, 1);
  EXPECT_NO_THROW(moved.restore(state));
}

TEST(TaskSet, AStateThatIsNoneIsRefused) {
  TaskSet tasks = open_task_set({source_of("arithmetic")}, 1);
  Json wrong_count = tasks.state();
  wrong_count["sources"][0]["drawn"] = -1;
  const Json states[] = {Json(), Json::array(), Json{{"seed", 1}}, Json{{"seed", 1}, {"sources", {5}}}, wrong_count};
  for (const Json& state : states) EXPECT_THROW(tasks.restore(state), UsageError) << state;
}

TEST(TaskSet, SourcesHaveToBeThere) {
  EXPECT_THROW(open_task_set({}, 1), UsageError);
  EXPECT_THROW(open_task_set({source_of("/nowhere.jsonl")}, 1), UsageError);
}

TEST(SftSet, ServesRowsOfTextAndFiles) {
  const TempFile file("rows.jsonl", "{\"prompt\":\"a\",\"completion\":\"b\"}\n");
  SftSet rows = open_sft_set({source_of("arithmetic_text", 3), source_of(file.path(), 1)}, 1);
  int from_file = 0;
  for (const SftRow& row : rows.next(40)) from_file += row.completion == "b";
  EXPECT_EQ(from_file, 10);
  SftSet again = open_sft_set({source_of("arithmetic_text", 3), source_of(file.path(), 1)}, 1);
  again.restore(rows.state());
  EXPECT_EQ(again.next(1)[0].id, rows.next(1)[0].id);
}

}  // namespace
}  // namespace cohort
