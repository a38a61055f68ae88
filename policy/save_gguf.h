// A model and its tokenizer into one GGUF file, as llama.cpp loads it.
#pragma once
#include <filesystem>

#include "policy/files/dtype.h"
#include "policy/model.h"
#include "policy/text/tokenizer.h"

namespace cohort {

/// The file is whole or absent. `dtype`: F32, F16, BF16 or Q8_0, of the matrices; vectors and routers stay F32, and a
/// matrix whose rows are no whole number of Q8_0's blocks becomes F16. Throws UsageError where llama.cpp has no such
/// model or tokenizer.
void save_gguf(const CausalLM& model, const Tokenizer* tokenizer, const std::filesystem::path& path, DType dtype);

}  // namespace cohort
