// An engine over weights that change between rollouts, as long as the prompts that it has met.
#pragma once
#include <memory>

#include "grpo/train.h"

namespace cohort {

struct SamplingEngine {
  CausalLM& model;
  const Compute& compute;
  int64_t longest_prompt = 0;      // that the engine takes, a multiple of 16
  std::unique_ptr<Engine> engine;  // null at first
};

/// Makes the engine where there is none, or a longer one where a prompt of so many tokens does not fit, and lengthens
/// the model's rope table; what is sampled does not depend on its length.
void make_room(SamplingEngine& sampling, const TrainConfig& config, const Tokenizer& tokenizer, int64_t prompt_tokens);

}  // namespace cohort
