#include "grpo/sampling/refill.h"

#include <gtest/gtest.h>

namespace cohort {
namespace {

/// A group of two completions, of one token and of two, with these scores.
Group group(const std::string& id, double first, double second) {
  Group group{.task = {.id = id}};
  for (double value : {first, second}) {
    Rollout rollout;
    rollout.completion.tokens.assign(group.rollouts.size() + 1, 7);
    rollout.score.value = float(value);
    group.rollouts.push_back(rollout);
  }
  return group;
}
Group dull(const std::string& id) {
  return group(id, 1, 1);
}
Group telling(const std::string& id) {
  return group(id, 0, 1);
}

std::vector<std::string> ids(const std::vector<Group>& groups) {
  std::vector<std::string> ids;
  for (const Group& g : groups) ids.push_back(g.task.id);
  return ids;
}

/// Batches that are handed out in turn; each has to be asked for in its size.
struct Batches {
  std::vector<std::vector<Group>> batches;
  size_t next = 0;
  std::vector<Group> operator()(int64_t count) {
    std::vector<Group> batch = batches.at(next++);
    EXPECT_EQ(int64_t(batch.size()), count) << "batch " << next;
    return batch;
  }
};

TEST(Refill, GroupsWithSignalTakeTheFirstPlacesWithout) {
  std::vector<Group> groups = {telling("a"), dull("b"), telling("c"), dull("d"), dull("e")};
  Batches batches{{{dull("f"), telling("g"), telling("h")}, {dull("i")}, {telling("j")}}};
  const Refills refills = refill(groups, {.max_refill_batches = 5}, std::ref(batches));
  EXPECT_EQ(ids(groups), (std::vector<std::string>{"a", "g", "c", "h", "j"}));
  EXPECT_EQ(refills.batches, 3) << "as many as were needed";
  EXPECT_EQ(refills.refilled, 3);
  EXPECT_EQ(refills.without_signal, 0);
  EXPECT_EQ(refills.discarded_tokens, 3 * 5) << "b, d, e, f and i have three tokens each";
}

TEST(Refill, WithinTheBudgetThenWhatThereIsStays) {
  std::vector<Group> groups = {dull("a"), dull("b"), telling("c")};
  Batches batches{{{dull("d"), telling("e")}, {dull("f")}}};
  const Refills refills = refill(groups, {.max_refill_batches = 2}, std::ref(batches));
  EXPECT_EQ(ids(groups), (std::vector<std::string>{"e", "b", "c"}));
  EXPECT_EQ(refills.batches, 2);
  EXPECT_EQ(refills.refilled, 1);
  EXPECT_EQ(refills.without_signal, 1);
  EXPECT_EQ(refills.discarded_tokens, 3 * 3) << "a, d and f";
}

TEST(Refill, NothingIsSampledWhereNothingIsWanting) {
  std::vector<Group> groups = {telling("a")};
  Batches none;
  const Refills refills = refill(groups, {.max_refill_batches = 3}, std::ref(none));
  EXPECT_EQ(refills.batches + refills.refilled + refills.without_signal + refills.discarded_tokens, 0);
}

}  // namespace
}  // namespace cohort
