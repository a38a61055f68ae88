// Models out of files. A model reference is an HF folder, a .gguf file, or init:CONFIG.json[?seed=N].
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

/// Reads the parameters of `folder`/model.safetensors into a model of the same shape, and packs them.
void load_parameters(CausalLM& model, const std::filesystem::path& folder, const Compute& compute);

}  // namespace cohort
