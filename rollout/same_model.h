// Whether weights may take the place of others: only where everything else that decides the computation is the same.
#pragma once
#include <string>

#include "policy/model_spec.h"

namespace cohort {

/// What decides a model's computation beside its weights, as JSON: sizes, layers, rope. Not the MTP layer, which is not
/// served.
Json computation_of(const ModelSpec& spec);

/// Throws UsageError naming `reference` and the first value that differs.
void expect_same_model(const ModelSpec& served, const ModelSpec& fresh, const std::string& reference);

}  // namespace cohort
