// The model families: each maps a config.json to blocks and names (no forward of its own).
#pragma once
#include "policy/model_spec.h"

namespace cohort {

ModelSpec llama_spec(const Json& config);
ModelSpec deepseek_v3_spec(const Json& config);

/// Adds a parameter behind those there are; returns its offset.
int64_t add_parameter(ModelSpec& spec, const std::string& name, std::vector<int64_t> shape, bool gradient = true);
/// config[key], or UsageError naming the key and the family.
int32_t required_int(const Json& config, const char* key);
/// The same, or `otherwise` where it is absent or null.
int32_t optional_int(const Json& config, const char* key, int32_t otherwise);
/// Plain, llama3 and yarn rope from config.json in its old and new spelling; `dim` dimensions are rotated.
RopeSpec rope_spec(const Json& config, int32_t dim, bool interleaved);
/// The rope_scaling (or rope_parameters) object, null if there is none.
Json rope_scaling(const Json& config);

}  // namespace cohort
