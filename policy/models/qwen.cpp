// Qwen2 and 2.5 (arXiv 2412.15115; R1-Distill-Qwen is one): biases on q, k, v. Qwen3 (arXiv 2505.09388): none, queries
// and keys normed head by head. Qwen3-MoE: softmax over all experts. Rules: transformers models/qwen2, qwen3,
// qwen3_moe.
#include <algorithm>

#include "configs/error.h"
#include "policy/models/blocks.h"

namespace cohort {
namespace {

/// The window of layer l: by layer_types where the config names them, else from max_window_layers on.
int32_t window_of(const Json& c, int32_t l) {
  if (!optional_flag(c, "use_sliding_window", false)) return 0;
  const int32_t window = sliding_window(c, 4096);
  if (c.contains("layer_types") && c["layer_types"].is_array())
    return c["layer_types"].at(size_t(l)) == "sliding_attention" ? window : 0;
  return l >= optional_int(c, "max_window_layers", 28, 0) ? window : 0;
}

bool is_dense(const Json& c, int32_t l) {
  const Json dense = c.value("mlp_only_layers", Json::array());
  const bool named = dense.is_array() && std::ranges::find(dense, Json(l)) != dense.end();
  return named || (l + 1) % optional_int(c, "decoder_sparse_step", 1) != 0;
}

MoeSpec mixture(const Json& c) {
  const char* experts = c.contains("num_experts") ? "num_experts" : "num_local_experts";
  return {.experts = optional_int(c, experts, 128),
          .top_k = optional_int(c, "num_experts_per_tok", 8),
          .expert_dim = optional_int(c, "moe_intermediate_size", 768),
          .sigmoid_scores = false,
          .normalize = optional_flag(c, "norm_topk_prob", false)};
}

}  // namespace

ModelSpec qwen2_spec(const Json& c) {
  ModelSpec spec = begin_spec(c, 32768, 1e-6f);
  const AttentionSpec a = grouped_attention(c, 32);
  spec.rope = rope_spec(c, a.head_dim, false);
  add_layers(
      spec, required_int(c, "num_hidden_layers"),
      [&](const std::string& at, int32_t l, LayerSpec& layer) {
        layer.attention = a, layer.attention.window = window_of(c, l);
        add_grouped(spec, at, layer, {.qkv_bias = true});
      },
      [&](const std::string& at, int32_t, LayerSpec& layer) {
        add_dense(spec, at + "mlp.", layer, required_int(c, "intermediate_size"));
      });
  end_spec(spec);
  return spec;
}

ModelSpec qwen3_spec(const Json& c) {
  ModelSpec spec = begin_spec(c, 32768, 1e-6f);
  AttentionSpec a = grouped_attention(c, 32, 128);
  a.qk_norm = QkNorm::heads;
  spec.rope = rope_spec(c, a.head_dim, false);
  const bool bias = optional_flag(c, "attention_bias", false);
  add_layers(
      spec, required_int(c, "num_hidden_layers"),
      [&](const std::string& at, int32_t l, LayerSpec& layer) {
        layer.attention = a, layer.attention.window = window_of(c, l);
        add_grouped(spec, at, layer, {.qkv_bias = bias, .o_bias = bias});
      },
      [&](const std::string& at, int32_t, LayerSpec& layer) {
        add_dense(spec, at + "mlp.", layer, required_int(c, "intermediate_size"));
      });
  end_spec(spec);
  return spec;
}

ModelSpec qwen3_moe_spec(const Json& c) {
  ModelSpec spec = begin_spec(c, 32768, 1e-6f);
  AttentionSpec a = grouped_attention(c, 4);
  a.qk_norm = QkNorm::heads;
  a.window = optional_flag(c, "use_sliding_window", false) ? sliding_window(c, 4096) : 0;
  spec.rope = rope_spec(c, a.head_dim, false);
  const bool bias = optional_flag(c, "attention_bias", false);
  add_layers(
      spec, required_int(c, "num_hidden_layers"),
      [&](const std::string& at, int32_t, LayerSpec& layer) {
        layer.attention = a;
        add_grouped(spec, at, layer, {.qkv_bias = bias, .o_bias = bias});
      },
      [&](const std::string& at, int32_t l, LayerSpec& layer) {
        if (is_dense(c, l)) return add_dense(spec, at + "mlp.", layer, required_int(c, "intermediate_size"));
        layer.moe = mixture(c);
        add_mixture(spec, at + "mlp.", layer);
      });
  end_spec(spec);
  return spec;
}

}  // namespace cohort
