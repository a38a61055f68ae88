// DeepSeek-V3 (arXiv 2412.19437): latent attention, first dense layers, then sigmoid-routed experts with a correction
// bias and a shared expert. Rules: DeepSeek's inference/model.py and transformers models/deepseek_v3, whose defaults
// stand for absent keys (a config.json that transformers writes leaves them out).
#include <cmath>

#include "configs/error.h"
#include "policy/models/families.h"

namespace cohort {
namespace {

/// (nope + rope)^-½ · m², m = 0.1·mscale_all_dim·ln(factor) + 1 under YaRN.
float softmax_scale(const Json& config, int32_t qk_dim) {
  double scale = 1.0 / std::sqrt(double(qk_dim));
  Json s = rope_scaling(config);
  if (s.is_object() && s.value("mscale_all_dim", 0.0) != 0 && s.value("factor", 1.0) > 1) {
    double m = 0.1 * s["mscale_all_dim"].get<double>() * std::log(s["factor"].get<double>()) + 1;
    scale *= m * m;
  }
  return float(scale);
}

AttentionSpec attention(const Json& c) {
  AttentionSpec a{.latent = true, .heads = required_int(c, "num_attention_heads"), .kv_heads = 1};
  if (c.value("attention_bias", false))
    throw UsageError("config.json has attention_bias true, which deepseek_v3 models do not use: set it to false");
  Json q_lora = c.value("q_lora_rank", Json(1536));  // null: a plain projection
  a.q_lora_rank = q_lora.is_null() ? 0 : required_int({{"q_lora_rank", q_lora}}, "q_lora_rank");
  a.kv_lora_rank = required_int(c, "kv_lora_rank"), a.nope_dim = required_int(c, "qk_nope_head_dim"),
  a.rope_dim = required_int(c, "qk_rope_head_dim");
  a.head_dim = a.nope_dim + a.rope_dim, a.value_head_dim = required_int(c, "v_head_dim");
  a.scale = softmax_scale(c, a.head_dim);
  return a;
}

MoeSpec mixture(const Json& c) {
  MoeSpec m{.experts = required_int(c, "n_routed_experts"),
            .top_k = required_int(c, "num_experts_per_tok"),
            .groups = optional_int(c, "n_group", 8),
            .top_groups = optional_int(c, "topk_group", 4),
            .expert_dim = required_int(c, "moe_intermediate_size")};
  m.shared_dim = m.expert_dim * optional_int(c, "n_shared_experts", 1, 0);
  m.normalize = c.value("norm_topk_prob", true), m.scale = c.value("routed_scaling_factor", 2.5f),
  m.correction_bias = true;
  if (m.experts % m.groups || m.top_k > m.experts / m.groups * m.top_groups)
    throw UsageError("config.json: num_experts_per_tok " + std::to_string(m.top_k) + " cannot be chosen from n_group " +
                     std::to_string(m.groups) + ", topk_group " + std::to_string(m.top_groups) + " of " +
                     std::to_string(m.experts) + " experts");
  return m;
}

void add_attention(ModelSpec& spec, const std::string& at, const AttentionSpec& a, LayerOffsets& o) {
  if (a.q_lora_rank)
    o.in = add_parameter(spec, at + "q_a_proj.weight", {a.q_lora_rank, spec.dim});
  else
    o.in = add_parameter(spec, at + "q_proj.weight", {a.heads * a.head_dim, spec.dim});
  add_parameter(spec, at + "kv_a_proj_with_mqa.weight", {a.kv_lora_rank + a.rope_dim, spec.dim});
  if (a.q_lora_rank) {
    o.q_a_norm = add_parameter(spec, at + "q_a_layernorm.weight", {a.q_lora_rank});
    o.q_b = add_parameter(spec, at + "q_b_proj.weight", {a.heads * a.head_dim, a.q_lora_rank});
  }
  o.kv_a_norm = add_parameter(spec, at + "kv_a_layernorm.weight", {a.kv_lora_rank});
  o.kv_b = add_parameter(spec, at + "kv_b_proj.weight", {a.heads * (a.nope_dim + a.value_head_dim), a.kv_lora_rank});
  o.o = add_parameter(spec, at + "o_proj.weight", {spec.dim, a.heads * a.value_head_dim});
}

int64_t add_gate_up(ModelSpec& spec, const std::string& at, int32_t ffn, int64_t& down) {
  int64_t gate = add_parameter(spec, at + "gate_proj.weight", {ffn, spec.dim});
  add_parameter(spec, at + "up_proj.weight", {ffn, spec.dim});
  down = add_parameter(spec, at + "down_proj.weight", {spec.dim, ffn});
  return gate;
}

void add_mixture(ModelSpec& spec, const std::string& at, const MoeSpec& m, LayerOffsets& o) {
  o.router = add_parameter(spec, at + "gate.weight", {m.experts, spec.dim});
  o.router_bias = add_parameter(spec, at + "gate.e_score_correction_bias", {m.experts}, false);
  for (int32_t e = 0; e < m.experts; ++e) {
    o.expert_down.push_back(0);
    o.expert_gate_up.push_back(
        add_gate_up(spec, at + "experts." + std::to_string(e) + ".", m.expert_dim, o.expert_down.back()));
  }
  if (m.shared_dim) o.gate_up = add_gate_up(spec, at + "shared_experts.", m.shared_dim, o.down);
}

}  // namespace

ModelSpec deepseek_v3_spec(const Json& c) {
  ModelSpec spec;
  spec.vocab = required_int(c, "vocab_size"), spec.dim = required_int(c, "hidden_size");
  spec.max_position = optional_int(c, "max_position_embeddings", 4096);
  expect_only(c, "hidden_act", "silu"), expect_only(c, "moe_layer_freq", 1), expect_only(c, "scoring_func", "sigmoid"),
      expect_only(c, "topk_method", "noaux_tc");
  spec.norm_epsilon = norm_epsilon(c);
  spec.tied_embeddings = c.value("tie_word_embeddings", false);
  AttentionSpec a = attention(c);
  spec.rope = rope_spec(c, a.rope_dim, c.value("rope_interleave", true));
  int32_t first_dense = c.value("first_k_dense_replace", 3), dense = c.value("intermediate_size", 0);
  spec.embedding = add_parameter(spec, "model.embed_tokens.weight", {spec.vocab, spec.dim});
  for (int32_t l = 0; l < required_int(c, "num_hidden_layers"); ++l) {
    std::string at = "model.layers." + std::to_string(l) + ".";
    LayerSpec layer{.attention = a};
    LayerOffsets& o = layer.offsets;
    o.attention_norm = add_parameter(spec, at + "input_layernorm.weight", {spec.dim});
    add_attention(spec, at + "self_attn.", a, o);
    o.ffn_norm = add_parameter(spec, at + "post_attention_layernorm.weight", {spec.dim});
    if (l < first_dense) {
      layer.dense_dim = dense > 0 ? dense : required_int(c, "intermediate_size");
      o.gate_up = add_gate_up(spec, at + "mlp.", layer.dense_dim, o.down);
    } else {
      layer.moe = mixture(c);
      add_mixture(spec, at + "mlp.", layer.moe, o);
    }
    spec.layers.push_back(std::move(layer));
  }
  spec.final_norm = add_parameter(spec, "model.norm.weight", {spec.dim});
  spec.head = spec.tied_embeddings ? spec.embedding : add_parameter(spec, "lm_head.weight", {spec.vocab, spec.dim});
  return spec;
}

}  // namespace cohort
