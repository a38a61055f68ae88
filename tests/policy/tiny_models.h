// Small random models of every block variant, for tests.
#pragma once
#include <cmath>

#include "policy/model.h"

namespace cohort {

inline Json tiny_llama(bool tied = true) {
  return {{"model_type", "llama"},       {"vocab_size", 97},
          {"hidden_size", 48},           {"intermediate_size", 80},
          {"num_hidden_layers", 2},      {"num_attention_heads", 6},
          {"num_key_value_heads", 2},    {"max_position_embeddings", 512},
          {"rms_norm_eps", 1e-5},        {"rope_theta", 10000.0},
          {"tie_word_embeddings", tied}, {"initializer_range", 0.15}};
}

inline Json tiny_deepseek(int q_lora = 0, int groups = 1) {
  Json config = {{"model_type", "deepseek_v3"},
                 {"vocab_size", 97},
                 {"hidden_size", 48},
                 {"intermediate_size", 72},
                 {"moe_intermediate_size", 40},
                 {"num_hidden_layers", 3},
                 {"num_attention_heads", 4},
                 {"n_routed_experts", 8},
                 {"num_experts_per_tok", 3},
                 {"n_shared_experts", 1},
                 {"n_group", groups},
                 {"topk_group", groups > 1 ? groups / 2 : 1},
                 {"norm_topk_prob", true},
                 {"routed_scaling_factor", 1.8},
                 {"first_k_dense_replace", 1},
                 {"kv_lora_rank", 32},
                 {"qk_nope_head_dim", 16},
                 {"qk_rope_head_dim", 8},
                 {"v_head_dim", 12},
                 {"max_position_embeddings", 512},
                 {"rms_norm_eps", 1e-6},
                 {"rope_theta", 10000.0},
                 {"initializer_range", 0.15}};
  config["q_lora_rank"] = q_lora ? Json(q_lora) : Json();
  return config;
}

/// The small llama as another family, with what that family has.
inline Json tiny_family(const char* model_type, const Json& changes = {}) {
  Json config = tiny_llama(false);
  config["model_type"] = model_type;
  for (const auto& [key, value] : changes.items()) config[key] = value;
  return config;
}

/// The keys of a small mixture.
inline Json tiny_mixture(const Json& changes = {}) {
  Json keys = {
      {"num_experts", 8}, {"num_local_experts", 8},      {"n_routed_experts", 8},      {"num_experts_per_tok", 3},
      {"moe_topk", 3},    {"moe_intermediate_size", 40}, {"first_k_dense_replace", 1}, {"routed_scaling_factor", 1.8}};
  for (const auto& [key, value] : changes.items()) keys[key] = value;
  return keys;
}

/// Vectors get values of their own as well, so that norms and biases show in what comes out; correction biases stay 0.
inline void shake_vectors(CausalLM& model) {
  for (const ParameterSpec& p : model.spec.parameters)
    for (int64_t i = 0; p.gradient && p.shape.size() == 1 && i < p.size(); ++i)
      *model.at(p.offset + i) += 0.2f * std::sin(float(7 * (p.offset + i) % 1009));
}

inline CausalLM random_model(const Json& config, const Compute& compute, uint64_t seed = 1, bool bf16 = false) {
  ModelSpec spec = model_spec(config);
  add_mtp(spec);
  CausalLM model = make_model(std::move(spec), bf16);
  initialize(model, seed);
  shake_vectors(model);
  repack(model, compute);
  extend_rope(model, 512);
  return model;
}

}  // namespace cohort
