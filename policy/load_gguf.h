// A model's parameters and tokenizer out of a GGUF file.
#pragma once
#include <filesystem>
#include <memory>

#include "policy/files/gguf.h"
#include "policy/model.h"
#include "policy/text/tokenizer.h"

namespace cohort {

/// Throws UsageError naming the file and the key.
ModelSpec gguf_spec(const GgufFile& gguf, const std::filesystem::path& file);
/// Throws UsageError naming the file and the tensor when the file does not hold that model's parameters.
void expect_parameters(const ModelSpec& spec, const GgufFile& gguf, const std::filesystem::path& file);
/// Fills and packs a model of that spec; throws likewise.
void read_gguf(CausalLM& model, const GgufFile& gguf, const std::filesystem::path& file, const Compute& compute);
/// Null for a file without a tokenizer.
std::unique_ptr<Tokenizer> gguf_tokenizer(const GgufFile& gguf, const std::filesystem::path& file);

}  // namespace cohort
