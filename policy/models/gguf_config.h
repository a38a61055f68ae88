// The metadata of a GGUF file and the config.json that says the same, both ways. The keys are those that llama.cpp's
// models read. To add an architecture: a line in the table of gguf_config.cpp, and its keys where they are its own.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "policy/files/gguf.h"
#include "policy/models/gguf_tensors.h"

namespace cohort {

/// An HF config. Throws UsageError naming the file and the key: an architecture that is not known, keys that are
/// absent or ask for arithmetic that there is not.
Json config_from_gguf(const GgufFile& gguf, const std::filesystem::path& file);

/// How the file arranges the parameters of that config.
GgufLayout layout_of_gguf(const GgufFile& gguf);
GgufLayout layout_in_gguf(const ModelSpec& spec);

/// The model's part of the metadata. Throws UsageError where llama.cpp computes another model from any file.
nlohmann::ordered_json gguf_model_metadata(const ModelSpec& spec, const std::string& name, DType dtype);

}  // namespace cohort
