// DeepSeek-V2 (arXiv 2405.04434) and V3 (arXiv 2412.19437; R1, Kimi-K2): latent attention, first dense layers, then
// routed experts beside shared ones: by softmax in V2, by sigmoid and a correction bias in V3. Rules: DeepSeek's
// inference/model.py and modeling_deepseek.py, transformers models/deepseek_v2 and deepseek_v3, whose defaults stand
// for absent keys (a config.json that transformers writes leaves them out).
#include <cmath>

#include "configs/error.h"
#include "policy/models/blocks.h"

namespace cohort {
namespace {

/// (nope + rope)^-½ · m², m = 0.1·mscale_all_dim·ln(factor) + 1 under YaRN.
float softmax_scale(const Json& config, int32_t qk_dim) {
  double scale = 1.0 / std::sqrt(double(qk_dim));
  Json s = rope_scaling(config);
  if (s.is_object() && optional_number(s, "mscale_all_dim", 0) != 0 && optional_number(s, "factor", 1) > 1) {
    double m = 0.1 * s["mscale_all_dim"].get<double>() * std::log(s["factor"].get<double>()) + 1;
    scale *= m * m;
  }
  return float(scale);
}

AttentionSpec attention(const Json& c) {
  AttentionSpec a{.latent = true, .heads = required_int(c, "num_attention_heads"), .kv_heads = 1};
  if (optional_flag(c, "attention_bias", false))
    throw UsageError("config.json has attention_bias true, which DeepSeek's models do not use: set it to false");
  Json q_lora = c.value("q_lora_rank", Json(1536));  // null: a plain projection
  a.q_lora_rank = q_lora.is_null() ? 0 : required_int({{"q_lora_rank", q_lora}}, "q_lora_rank");
  a.kv_lora_rank = optional_int(c, "kv_lora_rank", 512), a.nope_dim = optional_int(c, "qk_nope_head_dim", 128),
  a.rope_dim = optional_int(c, "qk_rope_head_dim", 64);
  a.head_dim = a.nope_dim + a.rope_dim, a.value_head_dim = optional_int(c, "v_head_dim", 128);
  a.scale = softmax_scale(c, a.head_dim);
  return a;
}

/// Null: none, as in DeepSeek's own code.
int32_t shared_experts(const Json& c, int32_t otherwise) {
  const bool is_null = c.contains("n_shared_experts") && c["n_shared_experts"].is_null();
  return is_null ? 0 : optional_int(c, "n_shared_experts", otherwise, 0);
}

/// DeepSeek's own code either normalises the chosen weights or scales them; transformers scales them and never
/// normalises: "topk_weights": "transformers" in config.json asks for that.
MoeSpec mixture_v2(const Json& c) {
  const std::string method = optional_text(c, "topk_method", "greedy");
  if (method != "greedy" && method != "group_limited_greedy")
    throw UsageError("config.json has topk_method \"" + method + "\": expected greedy or group_limited_greedy");
  const bool limited = method != "greedy", normed = optional_flag(c, "norm_topk_prob", false);
  const bool as_transformers = optional_text(c, "topk_weights", "deepseek") == "transformers";
  MoeSpec m{.experts = optional_int(c, "n_routed_experts", 64),
            .top_k = required_int(c, "num_experts_per_tok"),
            .groups = limited ? optional_int(c, "n_group", 1) : 1,
            .top_groups = limited ? optional_int(c, "topk_group", 1) : 1,
            .expert_dim = optional_int(c, "moe_intermediate_size", 1407),
            .sigmoid_scores = false,
            .group_by_best = true};
  m.normalize = normed && m.top_k > 1 && !as_transformers;
  m.scale = m.normalize ? 1.0f : float(optional_number(c, "routed_scaling_factor", 1.0));
  m.shared_dim = m.expert_dim * shared_experts(c, 2);
  return m;
}

MoeSpec mixture_v3(const Json& c) {
  MoeSpec m{.experts = optional_int(c, "n_routed_experts", 256),
            .top_k = optional_int(c, "num_experts_per_tok", 8),
            .groups = optional_int(c, "n_group", 8),
            .top_groups = optional_int(c, "topk_group", 4),
            .expert_dim = optional_int(c, "moe_intermediate_size", 2048)};
  m.shared_dim = m.expert_dim * shared_experts(c, 1);
  m.normalize = optional_flag(c, "norm_topk_prob", true),
  m.scale = float(optional_number(c, "routed_scaling_factor", 2.5)), m.correction_bias = true;
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

LayerSpec add_block(ModelSpec& spec, const Json& c, int32_t l, int32_t dense_layers, const MoeSpec& moe) {
  return add_layer(
      spec, l,
      [&](const std::string& at, int32_t, LayerSpec& layer) {
        layer.attention = attention(c);
        add_attention(spec, at, layer.attention, layer.offsets);
      },
      [&](const std::string& at, int32_t, LayerSpec& layer) {
        if (l < dense_layers) return add_dense(spec, at + "mlp.", layer, required_int(c, "intermediate_size"));
        layer.moe = moe;
        add_mixture(spec, at + "mlp.", layer);
      });
}

ModelSpec deepseek_spec(const Json& c, ModelSpec spec, bool interleaved, int32_t first_dense, const MoeSpec& moe) {
  spec.rope = rope_spec(c, attention(c).rope_dim, interleaved);
  const int32_t dense_layers = optional_int(c, "first_k_dense_replace", first_dense, 0);
  for (int32_t l = 0; l < required_int(c, "num_hidden_layers"); ++l)
    spec.layers.push_back(add_block(spec, c, l, dense_layers, moe));
  end_spec(spec);
  return spec;
}

}  // namespace

ModelSpec deepseek_v2_spec(const Json& c) {
  expect_only(c, "moe_layer_freq", 1), expect_only(c, "scoring_func", "softmax"), expect_only(c, "mlp_bias", false);
  return deepseek_spec(c, begin_spec(c, 2048, 1e-6f), true, 0, mixture_v2(c));
}

ModelSpec deepseek_v3_spec(const Json& c) {
  expect_only(c, "moe_layer_freq", 1), expect_only(c, "scoring_func", "sigmoid"),
      expect_only(c, "topk_method", "noaux_tc");
  return deepseek_spec(c, begin_spec(c, 4096, 1e-6f), optional_flag(c, "rope_interleave", true), 3, mixture_v3(c));
}

/// One layer behind the last, always a mixture.
void add_deepseek_v3_mtp(ModelSpec& spec) {
  const int32_t l = int32_t(spec.layers.size());
  const std::string at = "model.layers." + std::to_string(l) + ".";
  MtpSpec mtp{.first_parameter = spec.num_parameters};
  mtp.embedding_norm = add_parameter(spec, at + "enorm.weight", {spec.dim});
  mtp.hidden_norm = add_parameter(spec, at + "hnorm.weight", {spec.dim});
  mtp.projection = add_parameter(spec, at + "eh_proj.weight", {spec.dim, 2 * int64_t(spec.dim)});
  mtp.layer = add_block(spec, spec.config, l, 0, mixture_v3(spec.config));
  mtp.final_norm = add_parameter(spec, at + "shared_head.norm.weight", {spec.dim});
  spec.copies = {{at + "embed_tokens.weight", {spec.vocab, spec.dim}, spec.embedding},
                 {at + "shared_head.head.weight", {spec.vocab, spec.dim}, spec.head}};
  spec.mtp = std::move(mtp);
}

}  // namespace cohort
