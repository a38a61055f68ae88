// Models out of files. A model reference is an HF folder, a .gguf file, init:CONFIG.json[?seed=N], or a PEFT folder,
// which names the model that it adapts.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "policy/model.h"
#include "policy/text/tokenizer.h"

namespace cohort {

struct LoadedModel {
  CausalLM model;                        // packed and ready
  std::unique_ptr<Tokenizer> tokenizer;  // null where the source has none
};

/// Throws UsageError naming file and tensor or key. An init: config may hold "tokenizer": {"bytes": [special tokens]}.
LoadedModel load_model(const std::string& reference, const Compute& compute, bool bf16 = false,
                       Weights weights = Weights::all);

/// The same, for what cannot do without a tokenizer.
LoadedModel load_with_tokenizer(const std::string& reference, const Compute& compute, bool bf16 = false,
                                Weights weights = Weights::all);

/// config.json alone of a reference, weights untouched.
ModelSpec load_spec(const std::string& reference);

/// The tokenizer alone; null where the source has none.
std::unique_ptr<Tokenizer> tokenizer_of(const std::string& reference);
Tokenizer expect_tokenizer(const std::string& reference);  // UsageError where there is none

/// Whether the files' matrices are bfloat16, so that Weights::packed keeps them so.
bool is_bf16(const std::string& reference);

/// Reads the parameters of `folder`/model.safetensors (the adapter's, where the model has one) into a model of the same
/// shape, and packs them.
void load_parameters(CausalLM& model, const std::filesystem::path& folder, const Compute& compute);

}  // namespace cohort
