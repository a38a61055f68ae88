#include "policy/peft.h"

#include <cmath>
#include <map>
#include <set>

#include "configs/config.h"
#include "configs/durable_file.h"
#include "configs/error.h"
#include "configs/read_file.h"
#include "policy/files/dequantize.h"
#include "policy/files/safetensors.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "base_model.model.", kA = ".lora_A.weight", kB = ".lora_B.weight";

Json read_config(const fs::path& folder) {
  const fs::path file = folder / "adapter_config.json";
  Json config = parse_config_text(read_file(file), file.string());
  if (!config.is_object()) throw UsageError(file.string() + " holds no JSON object");
  return config;
}

/// What would change the product and is not done here.
void expect_plain(const Json& config, const fs::path& file) {
  const std::pair<const char*, Json> plain[] = {{"peft_type", "LORA"},     {"use_dora", false},
                                                {"fan_in_fan_out", false}, {"bias", "none"},
                                                {"modules_to_save", {}},   {"alpha_pattern", Json::object()},
                                                {"layer_replication", {}}, {"trainable_token_indices", {}},
                                                {"target_parameters", {}}};
  for (const auto& [key, expected] : plain) {
    const Json found = config.value(key, expected);
    if (found != expected && !found.is_null() && !found.empty())
      throw UsageError(file.string() + ": " + key + " is " + found.dump() + ", which is not available here (" +
                       expected.dump() +
                       " is): merge that adapter with PEFT's merge_and_unload() and give the folder "
                       "it saves");
  }
}

template <class T>
T required(const Json& config, const char* key, const fs::path& file) {
  const auto found = config.find(key);
  try {
    if (found != config.end()) return found->get<T>();
  } catch (const Json::exception&) {
  }
  throw UsageError(file.string() + ": " + key + " is " + (found == config.end() ? "missing" : found->dump()));
}

/// "base_model.model.X.lora_A.weight" → X; empty for other tensors.
std::string module_of(const std::string& tensor, std::string_view ending) {
  if (!tensor.starts_with(kPrefix) || !tensor.ends_with(ending)) return "";
  return tensor.substr(kPrefix.size(), tensor.size() - kPrefix.size() - ending.size());
}

std::vector<TargetModule> targets_of(const SafetensorsFolder& files, const fs::path& folder) {
  std::vector<TargetModule> targets;
  for (const TensorView& tensor : files.tensors) {
    const std::string of_a = module_of(tensor.name, kA);
    if (of_a.empty() && module_of(tensor.name, kB).empty())
      throw UsageError(folder.string() + ": tensor " + quote_name(tensor.name) +
                       " is no LoRA matrix of a module (base_model.model.MODULE.lora_A.weight or lora_B.weight)");
    if (!of_a.empty()) targets.push_back({of_a, tensor.shape.empty() ? 0 : int32_t(tensor.shape[0])});
  }
  return targets;
}

/// Last parts of names where they say it all, else whole names: either is a target_modules of PEFT.
std::set<std::string> target_names(const Adapter& adapter, const ModelSpec& spec) {
  std::set<std::string> modules, ends;
  for (const ParameterSpec& p : adapter.parameters)
    if (p.name.ends_with(kA)) modules.insert(p.name.substr(0, p.name.size() - kA.size()));
  for (const std::string& module : modules) ends.insert(module.substr(module.rfind('.') + 1));
  for (const ParameterSpec& p : spec.parameters) {
    const size_t end = p.name.rfind('.');
    if (p.shape.size() < 2 || end == std::string::npos) continue;
    const std::string module = p.name.substr(0, end);
    if (ends.contains(module.substr(module.rfind('.') + 1)) && !modules.contains(module)) return modules;
  }
  return ends;
}

}  // namespace

bool is_adapter_folder(const fs::path& folder) {
  std::error_code none;
  return fs::exists(folder / "adapter_config.json", none) && !fs::exists(folder / "config.json", none);
}

std::string adapter_base(const fs::path& folder) {
  const fs::path file = folder / "adapter_config.json";
  return required<std::string>(read_config(folder), "base_model_name_or_path", file);
}

Adapter read_adapter(const fs::path& folder, const ModelSpec& spec) {
  const fs::path file = folder / "adapter_config.json";
  const Json config = read_config(folder);
  expect_plain(config, file);
  const SafetensorsFolder files = open_safetensors(folder / "adapter_model.safetensors");
  const std::vector<TargetModule> targets = targets_of(files, folder);
  Adapter adapter = adapter_of(spec, targets);
  if (adapter.parameters.size() != 2 * targets.size()) {
    std::set<std::string> known;
    for (const ParameterSpec& p : adapter.parameters) known.insert(p.name);
    for (const TargetModule& target : targets)
      if (!known.contains(target.name + std::string(kA)))
        throw UsageError(folder.string() + ": module " + quote_name(target.name) +
                         " has an adapter, but this model has no such module, or none that takes one here");
  }
  adapter.base = required<std::string>(config, "base_model_name_or_path", file);
  adapter.alpha = required<double>(config, "lora_alpha", file), adapter.rank = required<int32_t>(config, "r", file);
  adapter.is_rslora = config.value("use_rslora", false);
  if (adapter.rank < 1)
    throw UsageError(file.string() + ": r is " + std::to_string(adapter.rank) + ", expected 1 or more");
  for (const TargetModule& target : targets)
    if (target.rank != adapter.rank)
      throw UsageError(folder.string() + ": the adapter of " + quote_name(target.name) + " has rank " +
                       std::to_string(target.rank) + ", r is " + std::to_string(adapter.rank) +
                       ": ranks by pattern are not available here");
  adapter.scale = lora_scale(adapter);
  for (const ParameterSpec& p : adapter.parameters) {
    const TensorView* tensor = files.find(std::string(kPrefix) + p.name);
    if (!tensor) throw UsageError(folder.string() + " has no tensor " + std::string(kPrefix) + p.name);
    if (tensor->shape != p.shape)
      throw UsageError(folder.string() + ": tensor " + tensor->name + " has the shape " + Json(tensor->shape).dump() +
                       ", the base model asks for " + Json(p.shape).dump());
    dequantize(*tensor, {adapter.values.data() + p.offset, size_t(p.size())});
  }
  return adapter;
}

void save_adapter(const CausalLM& model, const Tokenizer* tokenizer, const fs::path& folder) {
  const Adapter& adapter = *model.adapter;
  const Json config = {{"peft_type", "LORA"},
                       {"task_type", "CAUSAL_LM"},
                       {"base_model_name_or_path", adapter.base},
                       {"r", adapter.rank},
                       {"lora_alpha", adapter.alpha},
                       {"use_rslora", adapter.is_rslora},
                       {"target_modules", target_names(adapter, model.spec)},
                       {"lora_dropout", 0.0},
                       {"bias", "none"},
                       {"fan_in_fan_out", false},
                       {"inference_mode", true}};
  write_durably(folder / "adapter_config.json", config.dump(2) + "\n");
  std::vector<TensorView> tensors;
  for (const ParameterSpec& p : adapter.parameters)
    tensors.push_back({std::string(kPrefix) + p.name, DType::f32, p.shape,
                       std::as_bytes(std::span(adapter.values.data() + p.offset, size_t(p.size())))});
  write_safetensors(folder / "adapter_model.safetensors", tensors);
  if (tokenizer) save_tokenizer(*tokenizer, folder);
}

LoadedModel load_to_learn(const std::string& reference, const Compute& compute, bool bf16, const LoraConfig& lora,
                          uint64_t seed) {
  LoadedModel loaded = load_with_tokenizer(reference, compute, bf16, lora.use_peft ? Weights::packed : Weights::all);
  if (!lora.use_peft || loaded.model.adapter) return loaded;
  loaded.model.adapter = make_adapter(loaded.model.spec, lora, reference, seed);
  repack(*loaded.model.adapter, compute);
  return loaded;
}

}  // namespace cohort
