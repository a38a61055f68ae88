// LLaMA 2/3 and SmolLM2: grouped-query attention, SwiGLU. Rules: transformers models/llama.
#include <cmath>

#include "policy/models/families.h"

namespace cohort {

ModelSpec llama_spec(const Json& c) {
  ModelSpec spec;
  spec.vocab = required_int(c, "vocab_size"), spec.dim = required_int(c, "hidden_size");
  spec.max_position = optional_int(c, "max_position_embeddings", 2048);
  expect_only(c, "hidden_act", "silu"), expect_only(c, "mlp_bias", false), expect_only(c, "attention_bias", false);
  spec.norm_epsilon = norm_epsilon(c);
  spec.tied_embeddings = c.value("tie_word_embeddings", false);
  int32_t heads = required_int(c, "num_attention_heads"), kv_heads = optional_int(c, "num_key_value_heads", heads);
  int32_t head_dim = optional_int(c, "head_dim", spec.dim / heads);
  int32_t ffn = required_int(c, "intermediate_size");
  spec.rope = rope_spec(c, head_dim, false);
  spec.embedding = add_parameter(spec, "model.embed_tokens.weight", {spec.vocab, spec.dim});
  for (int32_t l = 0; l < required_int(c, "num_hidden_layers"); ++l) {
    std::string at = "model.layers." + std::to_string(l) + ".";
    LayerSpec layer{.attention = {.heads = heads,
                                  .kv_heads = kv_heads,
                                  .head_dim = head_dim,
                                  .value_head_dim = head_dim,
                                  .scale = 1.0f / std::sqrt(float(head_dim))},
                    .dense_dim = ffn};
    LayerOffsets& o = layer.offsets;
    o.attention_norm = add_parameter(spec, at + "input_layernorm.weight", {spec.dim});
    o.in = add_parameter(spec, at + "self_attn.q_proj.weight", {heads * head_dim, spec.dim});
    add_parameter(spec, at + "self_attn.k_proj.weight", {kv_heads * head_dim, spec.dim});
    add_parameter(spec, at + "self_attn.v_proj.weight", {kv_heads * head_dim, spec.dim});
    o.o = add_parameter(spec, at + "self_attn.o_proj.weight", {spec.dim, heads * head_dim});
    o.ffn_norm = add_parameter(spec, at + "post_attention_layernorm.weight", {spec.dim});
    o.gate_up = add_parameter(spec, at + "mlp.gate_proj.weight", {ffn, spec.dim});
    add_parameter(spec, at + "mlp.up_proj.weight", {ffn, spec.dim});
    o.down = add_parameter(spec, at + "mlp.down_proj.weight", {spec.dim, ffn});
    spec.layers.push_back(std::move(layer));
  }
  spec.final_norm = add_parameter(spec, "model.norm.weight", {spec.dim});
  spec.head = spec.tied_embeddings ? spec.embedding : add_parameter(spec, "lm_head.weight", {spec.vocab, spec.dim});
  return spec;
}

}  // namespace cohort
