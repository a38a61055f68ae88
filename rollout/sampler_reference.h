// The sampler in the plainest form, with a sort of the whole vocabulary: what choose_token is tested against.
#pragma once
#include "rollout/sampler.h"

namespace cohort {

struct ReferenceChoice {
  Choice choice;
  std::vector<int32_t> kept;  // every token that could have been chosen, ascending
};

/// The same choice as choose_token, to the bit.
ReferenceChoice choose_token_reference(const Kernels& kernels, std::span<float> logits, const SamplingConfig& settings,
                                       const SamplingContext& context, float uniform);

}  // namespace cohort
