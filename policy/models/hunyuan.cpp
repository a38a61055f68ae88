// Hunyuan dense and MoE (arXiv 2411.02265): queries and keys normed after their rotation; softmax routing beside a
// shared block of the same size. Rules: transformers models/hunyuan_v1_dense, models/hunyuan_v1_moe.
#include "configs/error.h"
#include "policy/models/blocks.h"

namespace cohort {
namespace {

/// A number, or a list that holds the same number for every layer.
int32_t same_for_all(const Json& c, const char* key, int32_t otherwise) {
  Json value = c.value(key, Json(otherwise));
  if (value.is_array() && !value.empty()) {
    for (const Json& one : value)
      if (one != value[0])
        throw UsageError(std::string("config.json has ") + key + " that differs from layer to layer: " + value.dump());
    value = value[0];
  }
  return required_int({{key, value}, {"model_type", c.value("model_type", "")}}, key);
}

ModelSpec hunyuan_spec(const Json& c, const MoeSpec* moe) {
  ModelSpec spec = begin_spec(c, 2048, 1e-5f);
  AttentionSpec a = grouped_attention(c);
  a.qk_norm = QkNorm::heads_after_rope;
  spec.rope = rope_spec(c, a.head_dim, false);
  const bool bias = optional_flag(c, "attention_bias", false);
  add_layers(
      spec, required_int(c, "num_hidden_layers"),
      [&](const std::string& at, int32_t, LayerSpec& layer) {
        layer.attention = a;
        add_grouped(spec, at, layer,
                    {.qkv_bias = bias, .o_bias = bias, .q_norm = "query_layernorm", .k_norm = "key_layernorm"});
      },
      [&](const std::string& at, int32_t, LayerSpec& layer) {
        if (!moe) return add_dense(spec, at + "mlp.", layer, required_int(c, "intermediate_size"));
        layer.moe = *moe;
        add_mixture(spec, at + "mlp.", layer, {.router = "gate.wg.weight", .shared = "shared_mlp."});
      });
  end_spec(spec);
  return spec;
}

}  // namespace

ModelSpec hunyuan_v1_dense_spec(const Json& c) {
  return hunyuan_spec(c, nullptr);
}

ModelSpec hunyuan_v1_moe_spec(const Json& c) {
  const char* experts = c.contains("num_experts") ? "num_experts" : "num_local_experts";
  const MoeSpec moe{.experts = same_for_all(c, experts, 1),
                    .top_k = same_for_all(c, "moe_topk", 1),
                    .expert_dim = required_int(c, "intermediate_size"),
                    .shared_dim = required_int(c, "intermediate_size"),
                    .sigmoid_scores = false};
  return hunyuan_spec(c, &moe);
}

}  // namespace cohort
