// Models into files.
#pragma once
#include <filesystem>
#include <vector>

#include "policy/files/dtype.h"
#include "policy/model.h"
#include "policy/text/tokenizer.h"

namespace cohort {

struct SaveOptions {
  DType dtype = DType::f32;             // or bf16, f16; router correction biases stay F32
  int64_t shard_bytes = 5'000'000'000;  // more becomes several files and an index
};

/// Writes an HF folder's files into `folder` (which exists): config.json, generation_config.json, model.safetensors or
/// its shards, tokenizer files. Of a model with an adapter the adapter alone, as PEFT does.
void save_model(const CausalLM& model, const Tokenizer* tokenizer, const std::filesystem::path& folder,
                const SaveOptions& options = {});

/// The parameters of the model that is left of the layers `kept` (numbers from 0, ascending). Throws UsageError
/// where the family cannot say so in its config.json.
CausalLM keep_layers(const CausalLM& model, const std::vector<int32_t>& kept);

}  // namespace cohort
