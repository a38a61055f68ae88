// The rotation of queries and keys as config.json and as GGUF files describe it.
#pragma once
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "policy/model_spec.h"

namespace cohort {

/// Llama 3's rope_scaling out of the numbers by which its frequencies theta^(-2j/dim) are divided; `length` is what
/// original_max_position_embeddings is taken for where they do not say. Null for divisors that are none of its.
Json llama3_scaling(std::span<const float> divisors, double theta, double length = 8192);

/// Those numbers; empty for a model whose frequencies are scaled otherwise or not at all.
std::vector<float> llama3_divisors(const ModelSpec& spec);

/// Keys behind "ARCHITECTURE.rope.": freq_base, dimension_count, scaling.*. Throws UsageError for a rotation that
/// llama.cpp computes otherwise.
nlohmann::ordered_json gguf_rope_keys(const ModelSpec& spec);

}  // namespace cohort
