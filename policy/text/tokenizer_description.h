// Pieces of tokenizer.json: a tokenizer that comes from another kind of file is described as one, built from that
// description, and saved as it.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace cohort {

using Json = nlohmann::json;

// Split patterns of the families, as their own files have them.
inline constexpr const char* llama3_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr const char* qwen2_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Json byte_level_stage(bool use_regex);
Json split_stage(const std::string& pattern);
Json digits_stage();
Json sequence_of(Json stages);
Json added_token(int32_t id, const std::string& content, bool special);

struct BpeDescription {
  Json vocab = Json::object();   // token → id
  Json merges = Json::array();
  bool ignore_merges = false, byte_fallback = false, fuse_unk = false;
  Json unk_token;                // null or a token
};
Json bpe_model(BpeDescription bpe);

/// BOS and EOS around a text, by id; a null is left out. Without either, the byte-level post-processor.
Json around_text(const Json& bos_id, const Json& eos_id, const std::vector<std::string>& tokens);

struct TokenizerDescription {
  Json added_tokens = Json::array();
  Json normalizer, pre_tokenizer, post_processor, decoder, model;
};
Json tokenizer_json_of(TokenizerDescription description);

/// tokenizer_config.json that makes transformers take tokenizer.json as it is.
Json plain_config();

}  // namespace cohort
