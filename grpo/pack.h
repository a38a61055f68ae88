// Groups and rows of supervised tuning → micro-batches: packed rows without padding, a prompt once for all completions
// of its group that share the micro-batch, and the beginning that prompts have in common once for all of them.
#pragma once
#include <span>

#include "grpo/loss/loss.h"
#include "policy/forward.h"
#include "rollout/completion.h"

namespace cohort {

struct MicroBatch {
  std::vector<int32_t> tokens;  // [T]
  std::vector<RowSpan> spans;
  std::vector<TailCopy> copies;
  std::vector<std::vector<int32_t>> tables;  // block tables, to which the spans point
  int64_t num_blocks = 0;
  std::vector<int32_t> target_row;    // [N] row whose hidden state predicts the token
  std::vector<int32_t> target_token;  // [N]
  // [N] ids that each token was chosen from, none: all; in the groups' memory. Empty where no set was kept.
  std::vector<std::span<const int32_t>> target_kept;
  TokenBatch loss;  // its arrays of [N]; log-probabilities are the learner's to fill
  Rows rows() const { return {tokens, spans, copies}; }
};

/// Rows whose hidden state predicts a token each.
struct Targets {
  std::vector<int32_t> row, token;  // [N]
};
/// Targets of a multi-token-prediction layer: a row predicts what the row behind it predicts in the model itself, so
/// the first row of a sequence has none to take over. For batches of whole sequences (pack_sequences).
Targets mtp_targets(const MicroBatch& batch);

struct PackConfig {
  int64_t max_tokens_per_batch = 4096;  // rows of a micro-batch (one completion may exceed it)
  bool mask_truncated_completions = false;
};
template <class V>
void visit_fields(V& v, PackConfig& c) {
  v.field("max_tokens_per_batch", c.max_tokens_per_batch,
          "tokens passed at once by the learner; a longer completion stands alone", at_least(1));
  v.field("mask_truncated_completions", c.mask_truncated_completions,
          "completions cut off by the length limit do not count in the loss");
}

/// Completions whose advantage and mask are not zero have signal; the others change no gradient when β is 0.
enum class Keep { all, with_signal, without_signal };

/// Tokens of a completion whose loss counts.
int64_t learned_tokens(const Completion& completion, const PackConfig& config);

std::vector<MicroBatch> pack(std::span<const Group> groups, const PackConfig& config, Keep keep);

/// Divisors of one optimizer step, from all of its groups, whatever was dropped.
LossScale loss_scale(std::span<const Group> groups, const PackConfig& config, int64_t max_completion_length);

/// A row of supervised tuning as ids; mask[i] = 1 where token i is learned (never token 0).
struct SftSequence {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> mask;
};
/// Rows that learn nothing are left out.
std::vector<MicroBatch> pack_sequences(std::span<const SftSequence> sequences, const PackConfig& config);

}  // namespace cohort
