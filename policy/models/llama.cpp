// LLaMA 2/3, DeepSeek-Coder, DeepSeek-Math and SmolLM2: grouped-query attention, SwiGLU. Rules: transformers
// models/llama. Mistral: the same with a window (models/mistral, arXiv 2310.06825).
#include "policy/models/blocks.h"

namespace cohort {
namespace {

ModelSpec dense_spec(const Json& c, ModelSpec spec, const AttentionSpec& a, bool attention_bias, bool mlp_bias) {
  const int32_t ffn = required_int(c, "intermediate_size");
  spec.rope = rope_spec(c, a.head_dim, false);
  add_layers(
      spec, required_int(c, "num_hidden_layers"),
      [&](const std::string& at, int32_t, LayerSpec& layer) {
        layer.attention = a;
        add_grouped(spec, at, layer, {.qkv_bias = attention_bias, .o_bias = attention_bias});
      },
      [&](const std::string& at, int32_t, LayerSpec& layer) { add_dense(spec, at + "mlp.", layer, ffn, mlp_bias); });
  end_spec(spec);
  return spec;
}

}  // namespace

ModelSpec llama_spec(const Json& c) {
  return dense_spec(c, begin_spec(c, 2048, 1e-6f), grouped_attention(c), optional_flag(c, "attention_bias", false),
                    optional_flag(c, "mlp_bias", false));
}

ModelSpec mistral_spec(const Json& c) {
  AttentionSpec a = grouped_attention(c, 8);
  a.window = sliding_window(c, 4096);
  return dense_spec(c, begin_spec(c, 4096 * 32, 1e-6f), a, false, false);
}

}  // namespace cohort
