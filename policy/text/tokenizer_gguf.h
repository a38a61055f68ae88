// A tokenizer into a GGUF file's metadata, and what reading and writing it share.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "policy/text/tokenizer.h"

namespace cohort {

/// tokenizer.ggml.token_type, as llama.cpp numbers it.
enum class GgufTokenType { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

/// What stands for an id without a token.
inline std::string unused_token(int64_t id) {
  return "[PAD" + std::to_string(id) + "]";
}

/// tokenizer.ggml.pre for these parts of a tokenizer.json; empty when it has no name here.
std::string gguf_pre_of(const Json& pre_tokenizer, bool nfc, bool ignore_merges);

/// tokenizer_from_gguf the other way round, for a model of `vocab` ids. Throws UsageError for a tokenizer that
/// llama.cpp does not have.
nlohmann::ordered_json tokenizer_to_gguf(const Tokenizer& tokenizer, int32_t vocab);

}  // namespace cohort
