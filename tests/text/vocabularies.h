// The real vocabularies that tests/text/fetch_vocabularies.sh and `make smollm2` put into .deps.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "policy/text/tokenizer.h"
#include "tests/text/gguf_metadata.h"

namespace cohort {

inline constexpr const char* vocabulary_names[] = {"deepseek",   "qwen",          "llama3",        "mistral_v1",
                                                   "mistral_v3", "tekken_240718", "tekken_240911", "smollm2"};

inline std::filesystem::path smollm2_file() {
  if (const char* path = std::getenv("COHORT_SMOLLM2_GGUF")) return path;
  return std::filesystem::path(COHORT_SOURCE_DIR) / ".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf";
}

/// Where a vocabulary lies: a folder, or SmolLM2's file.
inline std::filesystem::path vocabulary_path(const std::string& name) {
  return name == "smollm2" ? smollm2_file() : std::filesystem::path(COHORT_SOURCE_DIR) / ".deps/tokenizers" / name;
}

inline std::string how_to_get(const std::string& name) {
  return "no " + vocabulary_path(name).string() + ": " +
         (name == "smollm2" ? "make smollm2" : "tests/text/fetch_vocabularies.sh") + " fetches it";
}

/// Empty where it has not been fetched.
inline std::optional<Tokenizer> load_vocabulary(const std::string& name) {
  const auto path = vocabulary_path(name);
  if (!std::filesystem::exists(path)) return std::nullopt;
  return name == "smollm2" ? tokenizer_from_gguf(GgufMetadata(path).read()) : load_tokenizer(path);
}

}  // namespace cohort
