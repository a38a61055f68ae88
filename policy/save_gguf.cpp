#include "policy/save_gguf.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "policy/files/gguf_writer.h"
#include "policy/files/quantize.h"
#include "policy/models/gguf_config.h"
#include "policy/models/gguf_rope.h"
#include "policy/text/tokenizer_gguf.h"

namespace cohort {
namespace {

DType stored_type(const GgufPlan& plan, DType dtype) {
  if (plan.shape.size() < 2 || plan.name.ends_with("ffn_gate_inp.weight")) return DType::f32;
  return dtype == DType::q8_0 && plan.shape.back() % 32 != 0 ? DType::f16 : dtype;
}

/// Rows of keys and queries, turned over neighbouring pairs.
void turn_rows(const ParameterSpec& p, const float* values, int64_t head_dim, float* out) {
  const int64_t rows = p.shape[0], size = p.size() / rows;
  for (int64_t row = 0; row < rows; ++row)
    std::memcpy(out + row_in_gguf(row, head_dim) * size, values + row * size, size_t(size) * sizeof(float));
}

/// kv_b is [heads, nope + value, rank]; keys become [heads, rank, nope], values [heads, value, rank].
void cut_kv_b(const AttentionSpec& a, GgufArrangement arrangement, const float* values, float* out) {
  const int64_t rank = a.kv_lora_rank;
  for (int64_t head = 0; head < a.heads; ++head) {
    const float* of_head = values + head * (a.nope_dim + a.value_head_dim) * rank;
    if (arrangement == GgufArrangement::value_up) {
      const int64_t count = a.value_head_dim * rank;
      std::memcpy(out + head * count, of_head + a.nope_dim * rank, size_t(count) * sizeof(float));
      continue;
    }
    for (int64_t k = 0; k < rank; ++k)
      for (int64_t n = 0; n < a.nope_dim; ++n) out[(head * rank + k) * a.nope_dim + n] = of_head[n * rank + k];
  }
}

void arrange(const CausalLM& model, const GgufPlan& plan, std::vector<float>& out) {
  const AttentionSpec& a = model.spec.layers[plan.layer].attention;
  size_t filled = 0;
  for (size_t i : plan.parameters) {
    const ParameterSpec& p = model.spec.parameters[i];
    const float* values = model.at(p.offset);
    if (plan.arrangement == GgufArrangement::rope_pairs)
      turn_rows(p, values, a.head_dim, out.data());
    else if (plan.arrangement != GgufArrangement::plain)
      cut_kv_b(a, plan.arrangement, values, out.data());
    else
      std::memcpy(out.data() + filled, values, size_t(p.size()) * sizeof(float));
    filled += size_t(p.size());
  }
}

/// Ids that end a text: the tokenizer's own, then others of the model as end of turn and end of message.
void set_stop_ids(nlohmann::ordered_json& metadata, const ModelSpec& spec) {
  std::vector<int32_t> stops = spec.stop_ids;
  if (metadata.contains("tokenizer.ggml.eos_token_id")) {
    const int32_t eos = metadata["tokenizer.ggml.eos_token_id"];
    std::erase(stops, eos), stops.insert(stops.begin(), eos);
  }
  const char* const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                              "tokenizer.ggml.eom_token_id"};
  for (size_t i = 0; i < std::min(stops.size(), std::size(keys)); ++i) metadata[keys[i]] = stops[i];
}

}  // namespace

void save_gguf(const CausalLM& model, const Tokenizer* tokenizer, const std::filesystem::path& path, DType dtype) {
  if (model.weights == Weights::packed) throw std::logic_error("save_gguf: the parameters were given back");
  if (model.spec.mtp)
    std::fprintf(stderr, "cohort: llama.cpp has no multi-token-prediction layer for this model: it is left out\n");
  nlohmann::ordered_json metadata = gguf_model_metadata(model.spec, path.stem().string(), dtype);
  metadata.update(tokenizer ? tokenizer_to_gguf(*tokenizer, model.spec.vocab)
                            : nlohmann::ordered_json{{"tokenizer.ggml.model", "none"}});
  set_stop_ids(metadata, model.spec);
  const std::vector<GgufPlan> plans = gguf_plans(model.spec, layout_in_gguf(model.spec));
  std::vector<GgufTensor> tensors;
  for (const GgufPlan& plan : plans) tensors.push_back({plan.name, stored_type(plan, dtype), plan.shape});
  const std::vector<float> divisors = llama3_divisors(model.spec);
  if (!divisors.empty()) tensors.push_back({"rope_freqs.weight", DType::f32, {int64_t(divisors.size())}});
  std::vector<float> values;
  write_gguf(path, metadata, tensors, [&](size_t index, std::span<std::byte> out) {
    if (index == plans.size()) return quantize(divisors, DType::f32, out);
    int64_t count = 1;
    for (int64_t size : tensors[index].shape) count *= size;
    values.resize(size_t(count));
    arrange(model, plans[index], values);
    quantize(values, tensors[index].dtype, out);
  });
}

}  // namespace cohort
