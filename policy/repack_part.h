// Packing from parameters that are not (or no longer) where CausalLM keeps them.
#pragma once
#include "policy/model.h"

namespace cohort {

/// Parameters begin, begin + 1, … of the flat vector.
struct ParameterPart {
  const float* values = nullptr;
  int64_t begin = 0;
  const float* at(int64_t offset) const { return values + (offset - begin); }
};

void repack_layer(CausalLM& model, const Compute& compute, size_t layer, const ParameterPart& from);
void repack_head(CausalLM& model, const Compute& compute, const ParameterPart& from);

}  // namespace cohort
