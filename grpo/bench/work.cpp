// How many operations and bytes a model's work takes (engine.md §4).
#include <algorithm>
#include <cmath>

#include "grpo/bench/bench.h"

namespace cohort {

double attention_flops(const ModelSpec& spec, double context) {
  double flops = 0;
  for (const LayerSpec& layer : spec.layers) {
    const AttentionSpec& a = layer.attention;
    flops += 2.0 * context * a.heads * (a.key_dim() + a.value_dim());
  }
  return flops;
}

double touched_parameters(const ModelSpec& spec, double batch) {
  double touched = double(spec.active_parameters());
  for (const LayerSpec& layer : spec.layers) {
    if (layer.dense_dim) continue;
    double chosen = layer.moe.top_k, all = layer.moe.experts;
    double reached = all * (1 - std::pow(1 - chosen / all, batch));  // experts that at least one row chose
    touched += 3.0 * spec.dim * layer.moe.expert_dim * (reached - chosen);
  }
  return touched;
}

double kv_elements(const ModelSpec& spec) {
  double elements = 0;
  for (const LayerSpec& layer : spec.layers) {
    const AttentionSpec& a = layer.attention;
    elements += a.latent ? a.key_dim() : double(a.kv_heads) * (a.key_dim() + a.value_dim());
  }
  return elements;
}

Work prefill_work(const CausalLM& model, double prompt_length) {
  double flops = prompt_length *
                 (2.0 * double(model.spec.active_parameters()) + attention_flops(model.spec, (prompt_length + 1) / 2));
  return {flops, bytes_per_weight(model) * touched_parameters(model.spec, prompt_length)};
}

Work decode_work(const CausalLM& model, double batch, double context) {
  double flops = batch * (2.0 * double(model.spec.active_parameters()) + attention_flops(model.spec, context));
  return {flops, bytes_per_weight(model) * touched_parameters(model.spec, batch) +
                     4.0 * batch * context * kv_elements(model.spec)};
}

double training_flops(const ModelSpec& spec, std::span<const RowSpan> rows) {
  double flops = 0;
  for (const RowSpan& span : rows) {
    double mean_context = span.first_position + (double(span.num_rows) + 1) / 2;
    flops +=
        double(span.num_rows) * (6.0 * double(spec.active_parameters()) + 3.0 * attention_flops(spec, mean_context));
  }
  return flops;
}

double Roofs::seconds(const Work& work) const {
  return std::max(work.flops / flops, work.bytes / bandwidth);
}

Roofs measure_roofs(const Compute& compute, const CausalLM& model, double kv_tokens, double seconds) {
  double bytes =
      bytes_per_weight(model) * double(model.spec.num_parameters) + 4.0 * kv_tokens * kv_elements(model.spec);
  return {measure_peak_flops(compute, seconds), measure_read_bandwidth(compute, int64_t(bytes), seconds)};
}

}  // namespace cohort
