// tiktoken vocabularies: tokens in the order in which they merge. Lines "base64 rank" (Llama 3, Qwen, Kimi), or Mistral's
// tekken.json, which holds the split pattern and special tokens too.
#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace cohort {

using Json = nlohmann::json;

struct TiktokenVocabulary {
  std::vector<std::string> tokens;              // raw bytes, by rank
  int32_t first_id = 0;                         // of rank 0
  std::string pattern;                          // cuts a text into pieces
  std::map<int32_t, std::string> special_tokens;
  bool nfc = false;                             // normalises first
};

/// Tokens of a file of lines "base64 rank". Throws UsageError naming the line.
std::vector<std::string> read_tiktoken_ranks(std::string_view file);
TiktokenVocabulary read_tekken(const Json& tekken);
/// Adds the special tokens and settings of the family a file is known by: qwen.tiktoken, tokenizer.model (Llama 3) or
/// tiktoken.model (Kimi, whose special tokens stand in tokenizer_config.json).
TiktokenVocabulary known_tiktoken(const std::string& file_name, std::string_view file, const Json& tokenizer_config);
Json tiktoken_tokenizer_json(const TiktokenVocabulary& vocabulary);

}  // namespace cohort
