// Groups and rows as micro-batches: what is passed once, what predicts what, and how many fit.
#include "grpo/pack.h"

#include <gtest/gtest.h>

#include "tests/grpo/tiny_groups.h"

namespace cohort {
namespace {

/// The sequence a target belongs to, read back through spans and block tables: the tokens up to `row`.
std::vector<int32_t> context_of(const MicroBatch& m, int64_t row) {
  auto span_of = [&](int64_t r) {
    return *std::find_if(m.spans.begin(), m.spans.end(),
                         [&](const RowSpan& s) { return r >= s.first_row && r < s.first_row + s.num_rows; });
  };
  RowSpan own = span_of(row);
  std::vector<int32_t> ids;
  if (own.first_position) {  // a completion stands behind the nearest span before it that starts at 0
    int64_t r = own.first_row - 1;
    while (span_of(r).first_position) r = span_of(r).first_row - 1;
    RowSpan prompt = span_of(r);
    EXPECT_EQ(prompt.num_rows, own.first_position);
    ids.assign(m.tokens.begin() + prompt.first_row, m.tokens.begin() + prompt.first_row + prompt.num_rows);
  }
  ids.insert(ids.end(), m.tokens.begin() + own.first_row, m.tokens.begin() + row + 1);
  return ids;
}

TEST(Pack, EveryTargetIsPredictedByWhatPrecedesIt) {
  std::vector<Group> groups = tiny_groups();
  for (int64_t max_tokens : {1, 30, 64, 1 << 20}) {
    std::vector<MicroBatch> batches = pack(groups, {.max_tokens_per_batch = max_tokens}, Keep::all);
    size_t batch = 0, n = 0, sequence = 0;
    for (const Group& group : groups)
      for (const Rollout& r : group.rollouts) {
        if (n == batches[batch].target_row.size()) ++batch, n = 0, sequence = 0;
        const MicroBatch& m = batches.at(batch);
        EXPECT_EQ(m.loss.advantages.at(sequence), r.advantage);
        EXPECT_EQ(m.loss.sequence_begin.at(sequence++), int64_t(n));
        std::vector<int32_t> context = group.prompt;
        for (size_t j = 0; j < r.completion.tokens.size(); ++j, ++n) {
          ASSERT_EQ(m.target_token.at(n), r.completion.tokens[j]);
          ASSERT_EQ(context_of(m, m.target_row[n]), context) << "max_tokens " << max_tokens;
          context.push_back(r.completion.tokens[j]);
        }
      }
    EXPECT_EQ(batch + 1, batches.size());
  }
}

TEST(Pack, TargetsHaveTheSetsThatTheirTokensWereChosenFrom) {
  std::vector<Group> groups = tiny_groups();
  for (const MicroBatch& m : pack(groups, {.max_tokens_per_batch = 30}, Keep::all)) EXPECT_TRUE(m.target_kept.empty());
  keep_sets(groups);
  for (int r : {0, 2}) groups[0].rollouts[size_t(r)].completion.kept = {};  // before and after one that has sets
  const std::vector<MicroBatch> batches = pack(groups, {.max_tokens_per_batch = 1 << 20}, Keep::all);
  ASSERT_EQ(batches.at(0).target_kept.size(), batches[0].target_token.size());
  size_t n = 0;
  for (const Group& group : groups)
    for (const Rollout& r : group.rollouts)
      for (size_t j = 0; j < r.completion.tokens.size(); ++j, ++n)
        EXPECT_TRUE(std::ranges::equal(batches[0].target_kept[n], r.completion.kept.of(j))) << n;
}

TEST(Pack, APromptIsPassedOnceAMicroBatch) {
  std::vector<Group> groups = tiny_groups();
  std::vector<MicroBatch> whole = pack(groups, {.max_tokens_per_batch = 1 << 20}, Keep::all);
  ASSERT_EQ(whole.size(), 1u);
  EXPECT_EQ(whole[0].tokens.size(), 5u + 16 + 21 + 117 - 12);
  EXPECT_EQ(whole[0].spans.size(), 3u + 12 - 2);  // completions of one token have no rows
  EXPECT_EQ(whole[0].copies.size(), 3u + 3);      // none behind the prompt of 16, which fills its block
  for (const MicroBatch& m : pack(groups, {.max_tokens_per_batch = 1}, Keep::all))
    EXPECT_EQ(m.loss.advantages.size(), 1u);
}

TEST(Pack, MicroBatchesKeepTheirLimit) {
  std::vector<Group> groups = tiny_groups();
  for (int64_t limit : {44, 50, 80}) {
    std::vector<MicroBatch> batches = pack(groups, {.max_tokens_per_batch = limit}, Keep::all);
    for (const MicroBatch& m : batches) EXPECT_LE(int64_t(m.tokens.size()), limit);
    EXPECT_GT(batches.size(), 1u);
  }
}

TEST(Pack, BlocksOfSequencesAreTheirOwnBeyondThePrompt) {
  std::vector<Group> groups = tiny_groups();
  for (const MicroBatch& m : pack(groups, {.max_tokens_per_batch = 1 << 20}, Keep::all)) {
    std::vector<int> writers(size_t(m.num_blocks), 0);  // a block is written by the rows of one span only
    for (const RowSpan& s : m.spans)
      for (int64_t b = s.first_position / kKeyBlock; b <= (s.first_position + s.num_rows - 1) / kKeyBlock; ++b)
        ++writers.at(size_t(s.blocks[b]));
    for (int count : writers) EXPECT_EQ(count, 1);
  }
}

TEST(Pack, SequencesLearnWhatTheirMaskSays) {
  std::vector<SftSequence> rows = {{.tokens = {10, 11, 12, 13, 14}, .mask = {0, 0, 1, 1, 0}},
                                   {.tokens = {20, 21}, .mask = {0, 0}},
                                   {.tokens = {30, 31}, .mask = {0, 1}}};
  std::vector<MicroBatch> batches = pack_sequences(rows, {});
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].tokens, (std::vector<int32_t>{10, 11, 12, 30}));  // nothing behind the last learned token
  EXPECT_EQ(batches[0].target_row, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(batches[0].target_token, (std::vector<int32_t>{12, 13, 31}));
  EXPECT_EQ(batches[0].loss.sequence_begin, (std::vector<int64_t>{0, 2, 3}));
  EXPECT_EQ(pack_sequences(rows, {.max_tokens_per_batch = 1}).size(), 2u);
  EXPECT_TRUE(pack_sequences(std::span(rows).subspan(1, 1), {}).empty());
}

TEST(Pack, NothingGivesNoMicroBatch) {
  EXPECT_TRUE(pack({}, {}, Keep::all).empty());
  std::vector<Group> groups = tiny_groups();
  for (Rollout& r : groups[0].rollouts) r.completion.tokens.clear(), r.completion.logprobs.clear();
  size_t sequences = 0;
  for (const MicroBatch& m : pack(groups, {}, Keep::all)) sequences += m.loss.advantages.size();
  EXPECT_EQ(sequences, 8u);
}

}  // namespace
}  // namespace cohort
