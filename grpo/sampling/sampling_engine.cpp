#include "grpo/sampling/sampling_engine.h"

#include <algorithm>

namespace cohort {

void make_room(SamplingEngine& sampling, const TrainConfig& config, const Tokenizer& tokenizer, int64_t prompt_tokens) {
  const bool is_too_short = !sampling.engine || prompt_tokens > sampling.longest_prompt;
  sampling.longest_prompt = std::max(sampling.longest_prompt, round_up(prompt_tokens, kKeyBlock));
  const int64_t context = sampling.model.spec.max_position,
                length = std::min<int64_t>(context, sampling.longest_prompt + config.sampling.max_completion_length);
  extend_rope(sampling.model, context < 4096 ? context : length);
  if (!is_too_short) return;
  sampling.engine.reset();  // its key/value cache first
  sampling.engine = std::make_unique<Engine>(sampling.model, sampling.compute, &tokenizer, config.engine, length);
}

}  // namespace cohort
