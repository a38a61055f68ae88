// Mixtral (arXiv 2401.04088): Mistral's attention, softmax over the chosen experts (the same as over all,
// renormalised). MiniMax-M2: sigmoid routing with a correction bias, queries and keys normed as whole rows, part of a
// head rotated. Rules: transformers models/mixtral, models/minimax_m2.
#include "policy/models/blocks.h"

namespace cohort {
namespace {

const MixtureNames kNames{.bias = "e_score_correction_bias", .gate = "w1", .up = "w3", .down = "w2"};

ModelSpec mixture_spec(const Json& c, ModelSpec spec, const AttentionSpec& a, const MoeSpec& moe) {
  add_layers(
      spec, required_int(c, "num_hidden_layers"),
      [&](const std::string& at, int32_t, LayerSpec& layer) {
        layer.attention = a;
        add_grouped(spec, at, layer);
      },
      [&](const std::string& at, int32_t, LayerSpec& layer) {
        layer.moe = moe;
        add_mixture(spec, at + "block_sparse_moe.", layer, kNames);
      });
  end_spec(spec);
  return spec;
}

}  // namespace

ModelSpec mixtral_spec(const Json& c) {
  ModelSpec spec = begin_spec(c, 4096 * 32, 1e-5f);
  AttentionSpec a = grouped_attention(c, 8);
  a.window = sliding_window(c, 0);
  spec.rope = rope_spec(c, a.head_dim, false);
  return mixture_spec(c, std::move(spec), a,
                      {.experts = optional_int(c, "num_local_experts", 8),
                       .top_k = optional_int(c, "num_experts_per_tok", 2),
                       .expert_dim = required_int(c, "intermediate_size"),
                       .sigmoid_scores = false});
}

ModelSpec minimax_m2_spec(const Json& c) {
  ModelSpec spec = begin_spec(c, 196608, 1e-6f);
  AttentionSpec a = grouped_attention(c, 8, 128);
  if (optional_flag(c, "use_qk_norm", true)) a.qk_norm = QkNorm::whole;
  expect_only(c, "qk_norm_type", "per_layer"), expect_only(c, "scoring_func", "sigmoid"),
      expect_only(c, "shared_intermediate_size", 0);
  spec.rope = rope_spec(c, rotated_dim(c, a.head_dim, 1), false);
  return mixture_spec(c, std::move(spec), a,
                      {.experts = optional_int(c, "num_local_experts", 256),
                       .top_k = optional_int(c, "num_experts_per_tok", 8),
                       .expert_dim = required_int(c, "intermediate_size"),
                       .correction_bias = true});
}

}  // namespace cohort
