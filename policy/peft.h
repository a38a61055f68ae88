// Adapters as PEFT keeps them: a folder with adapter_config.json and adapter_model.safetensors, whose tensors are named
// base_model.model.MODULE.lora_A.weight. Goals: PEFT, vLLM and SGLang load what is written here, and what PEFT wrote
// for these modules is read. Not goals: DoRA, biases, modules kept whole, ranks by pattern other than as stored.
#pragma once
#include <filesystem>

#include "policy/load.h"
#include "policy/lora_config.h"

namespace cohort {

bool is_adapter_folder(const std::filesystem::path& folder);

/// The model reference of the frozen weights. Throws UsageError naming the file and what it lacks.
std::string adapter_base(const std::filesystem::path& folder);

/// Adapters of the folder, laid out for this model. Throws UsageError naming the tensor or key that is not of its kind.
Adapter read_adapter(const std::filesystem::path& folder, const ModelSpec& spec);

/// Writes the model's adapter into `folder` (which exists), and the tokenizer's files where there is one.
void save_adapter(const CausalLM& model, const Tokenizer* tokenizer, const std::filesystem::path& folder);

/// The model of a run that learns: all its parameters, or frozen weights with new adapters (those of the reference
/// where it is a PEFT folder).
LoadedModel load_to_learn(const std::string& reference, const Compute& compute, bool bf16, const LoraConfig& lora,
                          uint64_t seed);

}  // namespace cohort
