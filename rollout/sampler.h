// Chooses a token from one row of logits: a function of the logits, the settings, the tokens before it and one uniform
// number, the same bits on every instruction set.
// Order: logit_bias, repetition_penalty, frequency_penalty and presence_penalty, temperature, top_k, top_p
// (renormalised; the token that crosses is kept), min_p. Of equally likely tokens the lower ids are kept.
// Log-probabilities are those of the distribution that is sampled, before it is cut: biases and penalties are in them
// (importance ratios against them are right), the cuts only with keep_sampling_mask.
// The kept set is found by a threshold, without sorting the vocabulary; sampler_reference.h sorts.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "configs/config.h"
#include "policy/kernels/buffer.h"
#include "policy/kernels/kernels.h"

namespace cohort {

struct SamplingConfig {
  double temperature = 1.0;  // 0: the most likely token
  double top_p = 1.0;
  int32_t top_k = 0;                    // 0: all
  double min_p = 0.0;                   // drops tokens less likely than min_p × the most likely
  int32_t max_completion_length = 512;  // tokens
  int32_t min_tokens = 0;               // stop tokens are not chosen before
  std::vector<std::string> stop;        // a completion ends once its text holds one of these
  std::vector<int32_t> stop_token_ids;  // end a completion as the model's own stop tokens do
  double repetition_penalty = 1.0;      // 1: none
  double presence_penalty = 0.0, frequency_penalty = 0.0;
  std::map<int32_t, double> logit_bias;  // by token id
  bool keep_sampling_mask = false;
};
// Keys of a JSON object are texts. token_biases throws UsageError for one that is no token id.
std::map<std::string, double> named_biases(const std::map<int32_t, double>& by_id);
std::map<int32_t, double> token_biases(const std::map<std::string, double>& by_name);

template <class V>
void visit_fields(V& v, SamplingConfig& c) {
  v.field("temperature", c.temperature, "of the softmax over the vocabulary; 0 takes the most likely token",
          between(0, 100));
  v.field("top_p", c.top_p, "keep the most likely tokens that together reach this probability",
          between(open(0), closed(1)));
  v.field("top_k", c.top_k, "keep this many of the most likely tokens; 0 keeps all", at_least(0));
  v.field("min_p", c.min_p, "drop tokens less likely than this share of the most likely", between(0, 1));
  v.field("max_completion_length", c.max_completion_length, "tokens a completion may have", at_least(1));
  v.field("min_tokens", c.min_tokens, "tokens before a stop token may be chosen", at_least(0));
  v.field("stop", c.stop, "texts that end a completion");
  v.field("stop_token_ids", c.stop_token_ids, "token ids that end a completion beside the model's own", at_least(0));
  v.field("repetition_penalty", c.repetition_penalty,
          "logits of tokens that prompt or completion hold are divided by it, negative ones multiplied; 1: none",
          between(0.01, 100));
  v.field("presence_penalty", c.presence_penalty, "taken from the logit of every token that the completion holds",
          between(-100, 100));
  v.field("frequency_penalty", c.frequency_penalty,
          "taken from the logit of a token for each time that the completion holds it", between(-100, 100));
  std::map<std::string, double> biases = named_biases(c.logit_bias);
  v.field("logit_bias", biases, "token id -> added to its logit", between(-1e6, 1e6));
  c.logit_bias = token_biases(biases);
  v.field(
      "keep_sampling_mask", c.keep_sampling_mask,
      "log-probabilities, when sampled and in training, over the tokens that top_k, top_p and min_p keep; their ids "
      "are stored");
}

/// Throws UsageError for settings that this vocabulary refuses: ids outside it.
void expect_in_vocabulary(const SamplingConfig& settings, int32_t vocab);
/// Whether logits are changed before the temperature.
bool has_penalties(const SamplingConfig& settings);

/// What stands before the token that is chosen.
struct SamplingContext {
  std::span<const int32_t> prompt, completion;  // ids; read for penalties alone
  std::span<const int32_t> banned;              // ids that are not chosen
};

/// Memory that one thread reuses from row to row.
struct SamplerScratch {
  Buffer weights, group_max;                    // of SamplingRow
  BufferOf<double> run_sums;                    // of SamplingRow
  BufferOf<uint64_t> candidates;                // keys in the order of their ids
  std::vector<uint64_t> bucket;                 // keys whose weights begin with the same bits
  std::vector<float> maxima, kept_logits;       //
  std::vector<int32_t> counts;                  // [V] zeros between two rows
  std::vector<std::pair<double, size_t>> runs;  // sum of each run that has a kept weight, and its first candidate
  std::vector<int32_t> kept;                    // what the last choice was made from, ascending; empty: nothing was cut
};

struct Choice {
  int32_t token;
  float logprob, entropy;  // after temperature (of temperature 1 where it is 0)
};

/// `logits` [V] are changed by biases and penalties.
Choice choose_token(const Kernels& kernels, std::span<float> logits, const SamplingConfig& settings,
                    const SamplingContext& context, float uniform, SamplerScratch& scratch);

/// Applies logit_bias and penalties; `counts` [V] holds zeros before and after.
void apply_penalties(std::span<float> logits, const SamplingConfig& settings, const SamplingContext& context,
                     std::vector<int32_t>& counts);

/// Weights as top_p adds them up: whole multiples of 2^−44 of the largest, so that no order of adding changes a sum.
inline uint64_t probability_mass(float weight) {
  return uint64_t(double(weight) * 0x1p44);
}
/// What the kept tokens have to reach of `total` (a sum of weights).
inline uint64_t wanted_mass(double top_p, double total) {
  return std::max<uint64_t>(1, uint64_t(top_p * total * 0x1p44));
}

}  // namespace cohort
