#include "grpo/pack.h"

#include <algorithm>

#include "configs/error.h"

namespace cohort {
namespace {

bool is_masked(const Completion& c, size_t i, const PackConfig& config) {
  if (config.mask_truncated_completions && c.finish == FinishReason::length) return true;
  return !c.loss_mask.empty() && c.loss_mask[i] == 0;
}

/// A block table for `length` positions: the blocks of `shared`, then new ones. Returns its number.
size_t new_table(MicroBatch& m, int64_t length, std::span<const int32_t> shared) {
  std::vector<int32_t> table(shared.begin(), shared.end());
  while (int64_t(table.size()) < ceil_div(length, kKeyBlock)) table.push_back(int32_t(m.num_blocks++));
  m.tables.push_back(std::move(table));
  return m.tables.size() - 1;
}

/// Rows of a whole sequence from position 0 on, or behind the `shared` blocks that an earlier one has in common with
/// it; returns the number of its span.
size_t add_prompt(MicroBatch& m, std::span<const int32_t> prompt, std::span<const int32_t> shared = {}) {
  size_t table = new_table(m, int64_t(prompt.size()), shared);
  std::span<const int32_t> own = prompt.subspan(shared.size() * kKeyBlock);
  m.spans.push_back(
      {int64_t(m.tokens.size()), int64_t(own.size()), int32_t(prompt.size() - own.size()), m.tables[table].data()});
  m.tokens.insert(m.tokens.end(), own.begin(), own.end());
  return m.spans.size() - 1;
}

struct PackedPrompt {
  std::span<const int32_t> prompt;
  size_t span;  // of its micro-batch
};
/// The full blocks of an earlier prompt that this one begins with; its last token is never among them.
std::span<const int32_t> common_blocks(const MicroBatch& m, std::span<const PackedPrompt> earlier,
                                       std::span<const int32_t> prompt) {
  std::span<const int32_t> blocks;
  for (const PackedPrompt& other : earlier) {
    size_t limit = std::min(prompt.size() - 1, other.prompt.size()), same = 0;
    while (same < limit && prompt[same] == other.prompt[same]) ++same;
    if (same / kKeyBlock > blocks.size()) blocks = {m.spans[other.span].blocks, same / kKeyBlock};
  }
  return blocks;
}

/// A completion's rows behind its prompt (its last token predicts nothing and has none), and its targets.
void add_completion(MicroBatch& m, size_t prompt_span, const Rollout& rollout, const PackConfig& config) {
  const Completion& c = rollout.completion;
  const RowSpan prompt = m.spans[prompt_span];
  int64_t P = prompt.first_position + prompt.num_rows, R = int64_t(c.tokens.size()), first = int64_t(m.tokens.size());
  if (R > 1) {
    const std::vector<int32_t>& table = m.tables[new_table(m, P + R - 1, {prompt.blocks, size_t(P / kKeyBlock)})];
    if (P % kKeyBlock)
      m.copies.push_back({prompt.blocks[P / kKeyBlock], table[size_t(P / kKeyBlock)], int32_t(P % kKeyBlock)});
    m.spans.push_back({first, R - 1, int32_t(P), table.data()});
    m.tokens.insert(m.tokens.end(), c.tokens.begin(), c.tokens.end() - 1);
  }
  for (int64_t j = 0; j < R; ++j) {
    m.target_row.push_back(int32_t(j ? first + j - 1 : prompt.first_row + prompt.num_rows - 1));
    m.target_token.push_back(c.tokens[size_t(j)]);
    m.loss.old_logprobs.push_back(c.logprobs[size_t(j)]);
    m.loss.mask.push_back(is_masked(c, size_t(j), config) ? 0.0f : 1.0f);
  }
  m.loss.advantages.push_back(rollout.advantage);
  m.loss.sequence_begin.push_back(int64_t(m.target_row.size()));
}

/// Of a completion whose targets are the last.
void add_kept(MicroBatch& m, const Completion& c) {
  if (c.kept.ids.empty() && m.target_kept.empty()) return;
  m.target_kept.resize(m.target_token.size() - c.tokens.size());
  for (size_t j = 0; j < c.tokens.size(); ++j) m.target_kept.push_back(c.kept.of(j));
}

MicroBatch& last_or_new(std::vector<MicroBatch>& batches, int64_t rows, const PackConfig& config) {
  if (batches.empty() ||
      (!batches.back().tokens.empty() && int64_t(batches.back().tokens.size()) + rows > config.max_tokens_per_batch)) {
    batches.emplace_back();
    batches.back().loss.sequence_begin.push_back(0);
  }
  return batches.back();
}

}  // namespace

int64_t learned_tokens(const Completion& c, const PackConfig& config) {
  int64_t n = 0;
  for (size_t i = 0; i < c.tokens.size(); ++i) n += !is_masked(c, i, config);
  return n;
}

std::vector<MicroBatch> pack(std::span<const Group> groups, const PackConfig& config, Keep keep) {
  std::vector<MicroBatch> batches;
  std::vector<PackedPrompt> packed;  // of the last micro-batch
  for (const Group& group : groups) {
    int64_t P = int64_t(group.prompt.size());
    size_t with_prompt = 0,
           prompt = 0;  // how many micro-batches there were when the prompt was added to the last one; its span
    for (const Rollout& rollout : group.rollouts) {
      if (rollout.completion.tokens.empty()) continue;
      bool signal = rollout.advantage != 0 && learned_tokens(rollout.completion, config) > 0;
      if (keep != Keep::all && signal != (keep == Keep::with_signal)) continue;
      int64_t rows = int64_t(rollout.completion.tokens.size()) - 1;
      MicroBatch& m = last_or_new(batches, rows + (with_prompt && with_prompt == batches.size() ? 0 : P), config);
      if (with_prompt != batches.size()) {
        if (m.tokens.empty()) packed.clear();
        prompt = add_prompt(m, group.prompt, common_blocks(m, packed, group.prompt)), with_prompt = batches.size();
        packed.push_back({group.prompt, prompt});
      }
      add_completion(m, prompt, rollout, config);
      add_kept(m, rollout.completion);
    }
  }
  return batches;
}

LossScale loss_scale(std::span<const Group> groups, const PackConfig& config, int64_t max_completion_length) {
  LossScale scale{.max_completion_length = double(max_completion_length)};
  for (const Group& group : groups)
    for (const Rollout& rollout : group.rollouts) {
      scale.num_sequences += 1;
      scale.num_tokens += double(learned_tokens(rollout.completion, config));
    }
  return scale;
}

std::vector<MicroBatch> pack_sequences(std::span<const SftSequence> sequences, const PackConfig& config) {
  std::vector<MicroBatch> batches;
  for (const SftSequence& s : sequences) {
    size_t last = s.tokens.size();  // tokens behind the last learned one change nothing
    while (last > 1 && !s.mask[last - 1]) --last;
    if (last < 2) continue;
    MicroBatch& m = last_or_new(batches, int64_t(last) - 1, config);
    int64_t first = int64_t(m.tokens.size());
    add_prompt(m, {s.tokens.data(), last - 1});
    for (size_t i = 1; i < last; ++i) {
      if (!s.mask[i]) continue;
      m.target_row.push_back(int32_t(first + int64_t(i) - 1));
      m.target_token.push_back(s.tokens[i]);
      m.loss.mask.push_back(1.0f), m.loss.old_logprobs.push_back(0.0f);
    }
    m.loss.advantages.push_back(1.0f);
    m.loss.sequence_begin.push_back(int64_t(m.target_row.size()));
  }
  return batches;
}

Targets mtp_targets(const MicroBatch& batch) {
  std::vector<uint8_t> is_first(batch.tokens.size());
  for (const RowSpan& span : batch.spans) is_first[size_t(span.first_row)] = 1;
  Targets targets;
  for (size_t n = 0; n < batch.target_row.size(); ++n) {
    if (is_first[size_t(batch.target_row[n])] || batch.loss.mask[n] == 0) continue;
    targets.row.push_back(batch.target_row[n] - 1);
    targets.token.push_back(batch.target_token[n]);
  }
  return targets;
}

}  // namespace cohort
