#include "policy/models/blocks.h"

#include <cmath>

#include "configs/error.h"

namespace cohort {

ModelSpec begin_spec(const Json& c, int32_t max_position, float epsilon) {
  ModelSpec spec;
  spec.vocab = required_int(c, "vocab_size"), spec.dim = required_int(c, "hidden_size");
  spec.max_position = optional_int(c, "max_position_embeddings", max_position);
  expect_only(c, "hidden_act", "silu");
  spec.norm_epsilon = norm_epsilon(c, epsilon);
  spec.tied_embeddings = optional_flag(c, "tie_word_embeddings", false);
  spec.embedding = add_parameter(spec, "model.embed_tokens.weight", {spec.vocab, spec.dim});
  return spec;
}

void end_spec(ModelSpec& spec) {
  spec.final_norm = add_parameter(spec, "model.norm.weight", {spec.dim});
  spec.head = spec.tied_embeddings ? spec.embedding : add_parameter(spec, "lm_head.weight", {spec.vocab, spec.dim});
}

AttentionSpec grouped_attention(const Json& c, int32_t kv_heads, int32_t head_dim) {
  AttentionSpec a{.heads = required_int(c, "num_attention_heads")};
  a.kv_heads = optional_int(c, "num_key_value_heads", kv_heads ? kv_heads : a.heads);
  a.head_dim = optional_int(c, "head_dim", head_dim ? head_dim : required_int(c, "hidden_size") / a.heads);
  a.value_head_dim = a.head_dim;
  a.scale = 1.0f / std::sqrt(float(a.head_dim));
  return a;
}

void add_grouped(ModelSpec& spec, const std::string& at, LayerSpec& layer, const GroupedNames& names) {
  const AttentionSpec& a = layer.attention;
  LayerOffsets& o = layer.offsets;
  const int64_t q = int64_t(a.heads) * a.head_dim, kv = int64_t(a.kv_heads) * a.head_dim;
  o.in = add_parameter(spec, at + "q_proj.weight", {q, spec.dim});
  add_parameter(spec, at + "k_proj.weight", {kv, spec.dim});
  add_parameter(spec, at + "v_proj.weight", {kv, spec.dim});
  if (names.qkv_bias) {
    o.in_bias = add_parameter(spec, at + "q_proj.bias", {q});
    add_parameter(spec, at + "k_proj.bias", {kv});
    add_parameter(spec, at + "v_proj.bias", {kv});
  }
  if (a.qk_norm != QkNorm::none) {
    o.q_norm = add_parameter(spec, at + names.q_norm + ".weight", {a.q_norm_dim()});
    o.k_norm = add_parameter(spec, at + names.k_norm + ".weight", {a.k_norm_dim()});
  }
  o.o = add_parameter(spec, at + "o_proj.weight", {spec.dim, q});
  if (names.o_bias) o.o_bias = add_parameter(spec, at + "o_proj.bias", {spec.dim});
}

void add_dense(ModelSpec& spec, const std::string& at, LayerSpec& layer, int32_t ffn, bool bias) {
  LayerOffsets& o = layer.offsets;
  layer.dense_dim = ffn;
  o.gate_up = add_parameter(spec, at + "gate_proj.weight", {ffn, spec.dim});
  add_parameter(spec, at + "up_proj.weight", {ffn, spec.dim});
  o.down = add_parameter(spec, at + "down_proj.weight", {spec.dim, ffn});
  if (!bias) return;
  o.gate_up_bias = add_parameter(spec, at + "gate_proj.bias", {ffn});
  add_parameter(spec, at + "up_proj.bias", {ffn});
  o.down_bias = add_parameter(spec, at + "down_proj.bias", {spec.dim});
}

void add_mixture(ModelSpec& spec, const std::string& at, LayerSpec& layer, const MixtureNames& names) {
  const MoeSpec& m = layer.moe;
  LayerOffsets& o = layer.offsets;
  expect_choosable(m);
  o.router = add_parameter(spec, at + names.router, {m.experts, spec.dim});
  if (m.correction_bias) o.router_bias = add_parameter(spec, at + names.bias, {m.experts}, false);
  for (int32_t e = 0; e < m.experts; ++e) {
    const std::string expert = at + "experts." + std::to_string(e) + ".";
    o.expert_gate_up.push_back(add_parameter(spec, expert + names.gate + ".weight", {m.expert_dim, spec.dim}));
    add_parameter(spec, expert + names.up + ".weight", {m.expert_dim, spec.dim});
    o.expert_down.push_back(add_parameter(spec, expert + names.down + ".weight", {spec.dim, m.expert_dim}));
  }
  if (!m.shared_dim) return;
  o.gate_up = add_parameter(spec, at + names.shared + "gate_proj.weight", {m.shared_dim, spec.dim});
  add_parameter(spec, at + names.shared + "up_proj.weight", {m.shared_dim, spec.dim});
  o.down = add_parameter(spec, at + names.shared + "down_proj.weight", {spec.dim, m.shared_dim});
}

void expect_choosable(const MoeSpec& m) {
  if (m.experts % m.groups || m.top_groups > m.groups || m.top_k > m.experts / m.groups * m.top_groups)
    throw UsageError("config.json: num_experts_per_tok " + std::to_string(m.top_k) + " cannot be chosen from n_group " +
                     std::to_string(m.groups) + ", topk_group " + std::to_string(m.top_groups) + " of " +
                     std::to_string(m.experts) + " experts");
}

int32_t rotated_dim(const Json& c, int32_t head_dim, double share) {
  if (c.contains("rotary_dim") && !c["rotary_dim"].is_null()) return required_int(c, "rotary_dim");
  const Json scaling = rope_scaling(c);
  share = optional_number(c, "partial_rotary_factor", share);
  if (scaling.is_object()) share = optional_number(scaling, "partial_rotary_factor", share);
  if (!(share > 0 && share <= 1))
    throw UsageError("config.json has partial_rotary_factor " + std::to_string(share) + ", expected (0, 1]");
  return int32_t(head_dim * share);
}

int32_t sliding_window(const Json& c, int32_t otherwise) {
  if (!c.contains("sliding_window")) return otherwise;
  return c["sliding_window"].is_null() ? 0 : required_int(c, "sliding_window");
}

}  // namespace cohort
