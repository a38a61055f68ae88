#include "policy/save.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <span>
#include <stdexcept>
#include <utility>

#include "configs/durable_file.h"
#include "configs/error.h"
#include "policy/files/safetensors.h"
#include "policy/models/families.h"
#include "policy/peft.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

const char* torch_name(DType dtype) {
  return dtype == DType::bf16 ? "bfloat16" : dtype == DType::f16 ? "float16" : "float32";
}

void save_configs(const ModelSpec& spec, DType dtype, const fs::path& folder) {
  Json config = spec.config, generation = spec.generation;
  config["architectures"] = Json::array({family_of(spec.model_type).architecture});
  config["dtype"] = torch_name(dtype);
  if (config.contains("num_nextn_predict_layers")) config["num_nextn_predict_layers"] = spec.mtp ? 1 : 0;
  config.erase("torch_dtype"), config.erase("quantization_config");
  if (spec.layers[0].attention.latent)  // MLA ignores it, transformers' eager attention divides by it
    config["num_key_value_heads"] = config.at("num_attention_heads");
  if (!spec.stop_ids.empty())
    config["eos_token_id"] = generation["eos_token_id"] =
        spec.stop_ids.size() == 1 ? Json(spec.stop_ids[0]) : Json(spec.stop_ids);
  write_durably(folder / "config.json", config.dump(2) + "\n");
  write_durably(folder / "generation_config.json", generation.dump(2) + "\n");
}

/// The parameters of one file in their stored type.
class StoredTensors {
 public:
  void add(const CausalLM& model, const ParameterSpec& p, DType dtype) {
    const std::span<const float> values(model.at(p.offset), size_t(p.size()));
    if (dtype == DType::f32) {
      tensors_.push_back({p.name, dtype, p.shape, std::as_bytes(values)});
      return;
    }
    std::vector<uint16_t>& halves = halves_.emplace_back(values.size());
    std::transform(values.begin(), values.end(), halves.begin(), dtype == DType::bf16 ? bf16_from_f32 : f16_from_f32);
    tensors_.push_back({p.name, dtype, p.shape, std::as_bytes(std::span(halves))});
  }
  std::span<const TensorView> tensors() const { return tensors_; }

 private:
  std::vector<TensorView> tensors_;
  std::vector<std::vector<uint16_t>> halves_;
};

DType stored_type(const ParameterSpec& p, DType dtype) {
  return p.gradient ? dtype : DType::f32;
}

/// The parameters in files of at most shard_bytes, none of them empty.
std::vector<std::vector<const ParameterSpec*>> shards_of(const ModelSpec& spec, const SaveOptions& options) {
  std::vector<std::vector<const ParameterSpec*>> shards(1);
  int64_t filled = 0;
  std::vector<const ParameterSpec*> all;
  for (const ParameterSpec& p : spec.parameters) all.push_back(&p);
  for (const ParameterSpec& p : spec.copies) all.push_back(&p);
  for (const ParameterSpec* p : all) {
    const int64_t size = *num_bytes(stored_type(*p, options.dtype), p->shape);
    if (filled > 0 && filled + size > options.shard_bytes) shards.emplace_back(), filled = 0;
    shards.back().push_back(p);
    filled += size;
  }
  return shards;
}

std::string shard_name(size_t index, size_t count) {
  if (count == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

void save_parameters(const CausalLM& model, const SaveOptions& options, const fs::path& folder) {
  const auto shards = shards_of(model.spec, options);
  Json files = Json::object();
  int64_t total = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    StoredTensors stored;
    for (const ParameterSpec* p : shards[i]) {
      stored.add(model, *p, stored_type(*p, options.dtype));
      files[p->name] = shard_name(i, shards.size());
      total += int64_t(stored.tensors().back().bytes.size());
    }
    write_safetensors(folder / shard_name(i, shards.size()), stored.tensors());
  }
  if (shards.size() == 1) return;
  const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", files}};
  write_durably(folder / "model.safetensors.index.json", index.dump(2) + "\n");
}

/// "model.layers.3.mlp…" → {3, "mlp…"}; −1 for what belongs to no layer.
std::pair<int32_t, std::string> layer_of(const std::string& name) {
  constexpr std::string_view kStart = "model.layers.";
  if (!name.starts_with(kStart)) return {-1, name};
  const size_t dot = name.find('.', kStart.size());
  return {std::stoi(name.substr(kStart.size(), dot - kStart.size())), name.substr(dot + 1)};
}

/// config.json of the kept layers: their number, and what it says of each by itself. The multi-token-prediction layer,
/// made for the hidden states of all of them, stays behind.
Json config_of_layers(const ModelSpec& spec, const std::vector<int32_t>& kept) {
  Json config = spec.config;
  config["num_hidden_layers"] = kept.size();
  for (const char* of_each :
       {"layer_types", "mlp_layer_types", "moe_topk", "num_shared_expert", "moe_intermediate_size"}) {
    if (!config.contains(of_each) || !config[of_each].is_array()) continue;
    const Json all = std::exchange(config[of_each], Json::array());
    for (int32_t layer : kept) config[of_each].push_back(all.at(size_t(layer)));
  }
  if (config.contains("mlp_only_layers")) {
    const auto dense = config["mlp_only_layers"].get<std::vector<int32_t>>();
    config["mlp_only_layers"] = Json::array();
    for (size_t i = 0; i < kept.size(); ++i)
      if (std::ranges::count(dense, kept[i])) config["mlp_only_layers"].push_back(i);
  }
  if (config.contains("first_k_dense_replace"))
    config["first_k_dense_replace"] = std::count_if(
        kept.begin(), kept.end(), [&](int32_t layer) { return spec.layers[size_t(layer)].dense_dim > 0; });
  return config;
}

}  // namespace

void save_model(const CausalLM& model, const Tokenizer* tokenizer, const fs::path& folder, const SaveOptions& options) {
  if (model.adapter) return save_adapter(model, tokenizer, folder);
  if (model.weights == Weights::packed) throw std::logic_error("save_model: the parameters were given back");
  save_configs(model.spec, options.dtype, folder);
  save_parameters(model, options, folder);
  if (tokenizer) save_tokenizer(*tokenizer, folder);
}

CausalLM keep_layers(const CausalLM& model, const std::vector<int32_t>& kept) {
  const ModelSpec& from = model.spec;
  for (size_t i = 0; i < kept.size(); ++i)
    if (kept[i] < 0 || size_t(kept[i]) >= from.layers.size() || (i > 0 && kept[i] <= kept[i - 1]))
      throw UsageError("layers to keep: " + std::to_string(kept[i]) + ", expected ascending numbers from 0 to " +
                       std::to_string(from.layers.size() - 1));
  if (kept.empty()) throw UsageError("layers to keep: none are named");
  ModelSpec spec = model_spec(config_of_layers(from, kept));
  spec.generation = from.generation, spec.stop_ids = from.stop_ids;
  std::map<std::string, const ParameterSpec*> sources;
  for (const ParameterSpec& p : from.parameters) sources[p.name] = &p;
  for (size_t i = 0; i < kept.size(); ++i)
    if (spec.layers[i].attention.window != from.layers[size_t(kept[i])].attention.window)
      throw UsageError("layers to keep: layer " + std::to_string(kept[i]) + " has another window than place " +
                       std::to_string(i) + " of a " + from.model_type + " has");
  CausalLM left = make_model(std::move(spec), model.bf16, Weights::parameters);
  for (const ParameterSpec& p : left.spec.parameters) {
    const auto [layer, rest] = layer_of(p.name);
    const auto source =
        sources.find(layer < 0 ? p.name : "model.layers." + std::to_string(kept[size_t(layer)]) + "." + rest);
    if (source == sources.end() || source->second->shape != p.shape)
      throw UsageError("layers to keep: a " + from.model_type + " cannot have layer " +
                       std::to_string(kept[size_t(std::max(layer, 0))]) + " in place " + std::to_string(layer) + " (" +
                       rest + ")");
    std::memcpy(left.at(p.offset), model.at(source->second->offset), size_t(p.size()) * sizeof(float));
  }
  return left;
}

}  // namespace cohort
