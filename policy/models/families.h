// The model families: each maps a config.json to blocks and names (no forward of its own).
#pragma once
#include "policy/model_spec.h"

namespace cohort {

ModelSpec llama_spec(const Json& config);
ModelSpec mistral_spec(const Json& config);
ModelSpec mixtral_spec(const Json& config);
ModelSpec qwen2_spec(const Json& config);
ModelSpec qwen3_spec(const Json& config);
ModelSpec qwen3_moe_spec(const Json& config);
ModelSpec glm4_moe_spec(const Json& config);
ModelSpec minimax_m2_spec(const Json& config);
ModelSpec hunyuan_v1_dense_spec(const Json& config);
ModelSpec hunyuan_v1_moe_spec(const Json& config);
ModelSpec deepseek_v2_spec(const Json& config);
ModelSpec deepseek_v3_spec(const Json& config);
void add_deepseek_v3_mtp(ModelSpec& spec);

/// A family: model_type of config.json, what transformers calls its causal model, its mapping, and that of
/// its multi-token-prediction layer.
struct Family {
  const char* model_type;
  const char* architecture;
  ModelSpec (*spec)(const Json& config);
  void (*add_mtp)(ModelSpec& spec) = nullptr;
};
/// Throws UsageError naming those there are.
const Family& family_of(const std::string& model_type);

/// Adds a parameter behind those there are; returns its offset.
int64_t add_parameter(ModelSpec& spec, const std::string& name, std::vector<int64_t> shape, bool gradient = true);
/// config[key], at least `least`; UsageError naming the key and the family when it is absent or out of range.
int32_t required_int(const Json& config, const char* key, int32_t least = 1);
/// The same, or `otherwise` where it is absent or null.
int32_t optional_int(const Json& config, const char* key, int32_t otherwise, int32_t least = 1);
/// config[key] of the type that it has to be, or `otherwise` where it is absent or null; UsageError naming the key.
bool optional_flag(const Json& config, const char* key, bool otherwise);
double optional_number(const Json& config, const char* key, double otherwise);
std::string optional_text(const Json& config, const char* key, const std::string& otherwise);
/// Refuses a key that asks for arithmetic other than the one there is.
void expect_only(const Json& config, const char* key, const Json& only);
/// rms_norm_eps, or `otherwise` where it is absent.
float norm_epsilon(const Json& config, float otherwise);
/// eos_token_id of a config: an id, a list of them or null. Refuses what is outside the vocabulary.
void add_stop_ids(ModelSpec& spec, const Json& eos);
/// Plain, llama3 and yarn rope from config.json in its old and new spelling; `dim` dimensions are rotated.
RopeSpec rope_spec(const Json& config, int32_t dim, bool interleaved);
double rope_theta(const Json& config);
/// The rope_scaling (or rope_parameters) object, null if there is none. Refuses other types.
Json rope_scaling(const Json& config);

}  // namespace cohort
