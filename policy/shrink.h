// Smaller students out of larger models: fewer heads, fewer feed-forward channels, dense blocks in place of experts.
// Each keeps what weighs most and cuts the rest off, so what is left has to be tuned before it is of use. Layers are
// dropped by keep_layers (save.h). The parameters of the result are there, its packed store is not; the
// multi-token-prediction layer stays behind.
#pragma once
#include <span>

#include "policy/model.h"

namespace cohort {

/// Of every dense block the `intermediate_size` inner channels whose weights weigh most: the largest product of the
/// norms of their gate, up and down weights. Throws UsageError where there are no more than those.
CausalLM keep_channels(const CausalLM& model, int32_t intermediate_size);

/// Of every layer the `num_attention_heads` heads that weigh most, in whole groups that share a key: the largest
/// product of the norms of their query, key, value and output weights (latent attention: query, key and value out of
/// the latent, output). Throws UsageError where these are no whole groups, or no fewer.
CausalLM keep_heads(const CausalLM& model, int32_t num_attention_heads);

/// Of the residual stream the `hidden_size` channels that weigh most: the product of how much is written to them
/// (embedding, attention outputs, down projections) and read from them, each matrix for its share. The norms' weights
/// make up for channels that held nothing. Throws UsageError where there are no more than those.
CausalLM keep_residual(const CausalLM& model, int32_t hidden_size);

/// What the tokens of some texts ask of the experts, by mixture layer.
struct ExpertUsage {
  int64_t tokens = 0;
  std::vector<std::vector<double>> chosen;  // [moe layers][E] tokens that chose it
  std::vector<std::vector<double>> weight;  // [moe layers][E] sum of the weights that those gave it
};
/// Passes each text alone, its last tokens beyond the model's context left out. The model is packed.
ExpertUsage count_experts(CausalLM& model, const Compute& compute, std::span<const std::vector<int32_t>> texts);

/// A dense start from a mixture: each mixture layer becomes one SwiGLU block, its shared experts side by side with its
/// `num_experts` most chosen ones, whose down weights are scaled by the mean weight over all tokens (nothing where an
/// expert is not chosen). A block narrower than another layer's is filled up with channels that add nothing yet: gate
/// and up at random, down zero. Throws UsageError where the family has no dense form.
CausalLM dense_start(const CausalLM& model, const ExpertUsage& usage, int32_t num_experts);

}  // namespace cohort
