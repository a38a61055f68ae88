// The blocks that families share: each adds its tensors to the spec, under the names that HF files give them.
#pragma once
#include "policy/models/families.h"

namespace cohort {

/// Vocabulary, sizes and the embedding, by the keys that all families have.
ModelSpec begin_spec(const Json& config, int32_t max_position, float epsilon);
/// The final norm and the head.
void end_spec(ModelSpec& spec);

/// Heads by the usual keys; `head_dim` 0: hidden_size / num_attention_heads where the config names none.
AttentionSpec grouped_attention(const Json& config, int32_t kv_heads = 0, int32_t head_dim = 0);

struct GroupedNames {
  bool qkv_bias = false, o_bias = false;
  std::string q_norm = "q_norm", k_norm = "k_norm";
};
/// q, k, v and o of layer.attention below `at` ("model.layers.0.self_attn.").
void add_grouped(ModelSpec& spec, const std::string& at, LayerSpec& layer, const GroupedNames& names = {});

/// gate, up and down of a dense block of `ffn` inner dimensions.
void add_dense(ModelSpec& spec, const std::string& at, LayerSpec& layer, int32_t ffn, bool bias = false);

struct MixtureNames {
  std::string router = "gate.weight", bias = "gate.e_score_correction_bias", shared = "shared_experts.";
  std::string gate = "gate_proj", up = "up_proj", down = "down_proj";  // of an expert
};
/// Router and experts of layer.moe below `at` ("model.layers.0.mlp.").
void add_mixture(ModelSpec& spec, const std::string& at, LayerSpec& layer, const MixtureNames& names = {});

/// Layer `l`: norm, attention, norm and feed-forward, added by the functions given: (path of the layer, its number,
/// it).
template <class Attention, class FeedForward>
LayerSpec add_layer(ModelSpec& spec, int32_t l, Attention attention, FeedForward feed_forward) {
  const std::string at = "model.layers." + std::to_string(l) + ".";
  LayerSpec layer;
  layer.offsets.attention_norm = add_parameter(spec, at + "input_layernorm.weight", {spec.dim});
  attention(at + "self_attn.", l, layer);
  layer.offsets.ffn_norm = add_parameter(spec, at + "post_attention_layernorm.weight", {spec.dim});
  feed_forward(at, l, layer);
  return layer;
}

template <class Attention, class FeedForward>
void add_layers(ModelSpec& spec, int32_t count, Attention attention, FeedForward feed_forward) {
  for (int32_t l = 0; l < count; ++l) spec.layers.push_back(add_layer(spec, l, attention, feed_forward));
}

/// Refuses a choice that cannot be made: top_k experts out of top_groups of groups.
void expect_choosable(const MoeSpec& moe);
/// The share of a head that is rotated (partial_rotary_factor, or rotary_dim), in dimensions.
int32_t rotated_dim(const Json& config, int32_t head_dim, double share);
/// sliding_window where it is a number, else 0.
int32_t sliding_window(const Json& config, int32_t otherwise);

}  // namespace cohort
