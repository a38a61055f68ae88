// GLM-4.5 (arXiv 2508.06471): grouped-query attention with half of each head rotated and, in the large model, normed
// queries and keys; DeepSeek-V3's experts. Rules: transformers models/glm4_moe.
#include "policy/models/blocks.h"

namespace cohort {

ModelSpec glm4_moe_spec(const Json& c) {
  ModelSpec spec = begin_spec(c, 131072, 1e-5f);
  AttentionSpec a = grouped_attention(c, 8);
  if (optional_flag(c, "use_qk_norm", false)) a.qk_norm = QkNorm::heads;
  spec.rope = rope_spec(c, rotated_dim(c, a.head_dim, 0.5), false);
  MoeSpec moe{.experts = optional_int(c, "n_routed_experts", 128),
              .top_k = optional_int(c, "num_experts_per_tok", 8),
              .groups = optional_int(c, "n_group", 1),
              .top_groups = optional_int(c, "topk_group", 1),
              .expert_dim = optional_int(c, "moe_intermediate_size", 1408),
              .normalize = optional_flag(c, "norm_topk_prob", true),
              .scale = float(optional_number(c, "routed_scaling_factor", 1.0)),
              .correction_bias = true};
  moe.shared_dim = moe.expert_dim * optional_int(c, "n_shared_experts", 1, 0);
  add_layers(
      spec, required_int(c, "num_hidden_layers"),
      [&](const std::string& at, int32_t, LayerSpec& layer) {
        layer.attention = a;
        add_grouped(spec, at, layer, {.qkv_bias = optional_flag(c, "attention_bias", false)});
      },
      [&](const std::string& at, int32_t l, LayerSpec& layer) {
        if (l < optional_int(c, "first_k_dense_replace", 1, 0))
          return add_dense(spec, at + "mlp.", layer, required_int(c, "intermediate_size"));
        layer.moe = moe;
        add_mixture(spec, at + "mlp.", layer);
      });
  end_spec(spec);
  return spec;
}

}  // namespace cohort
