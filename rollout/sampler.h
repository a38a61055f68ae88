// Chooses a token from one row of logits. A function of the logits, the settings and one uniform number.
// Order: temperature, top_k, top_p (renormalised; the token that crosses is kept), min_p.
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "configs/config.h"
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
  double repetition_penalty = 1.0;      // 1: none
  double presence_penalty = 0.0, frequency_penalty = 0.0;
  std::map<int32_t, double> logit_bias;  // by token id
};
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
}

struct Choice {
  int32_t token;
  float logprob, entropy;  // over the whole vocabulary after temperature (of temperature 1 where it is 0)
};

/// `logits` [V] may be changed (banned tokens); `scratch` [V].
Choice choose_token(const Kernels& kernels, std::span<float> logits, const SamplingConfig& settings,
                    std::span<const int32_t> banned, float uniform, std::span<float> scratch);

}  // namespace cohort
