// Text → token ids → text, for the tokenizers of Hugging Face folders and GGUF files; ids are those of the `tokenizers`
// package. Text that is not valid UTF-8 is encoded with U+FFFD for each ill-formed stretch.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cohort {

using Json = nlohmann::json;
struct TokenizerParts;

struct SpecialTokens {
  std::optional<int32_t> bos, eos, pad, unk;
  std::map<std::string, std::string> text;  // "bos_token" → its content, as chat templates see them
};

class Tokenizer {
 public:
  explicit Tokenizer(TokenizerParts parts);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Special tokens that stand in the text are recognised. `add_special_tokens`: also those the tokenizer puts around
  /// every text (BOS, EOS), where it has such a rule.
  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens = false) const;
  /// Always valid UTF-8. An id without a token adds nothing.
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens = true) const;

  int32_t size() const;  // highest id + 1
  std::optional<int32_t> id(std::string_view token) const;
  std::string token(int32_t id) const;  // as in the vocabulary file; empty for an id without a token
  bool is_special(int32_t id) const;
  const SpecialTokens& special_tokens() const;
  const std::string& chat_template() const;                 // Jinja source; empty when there is none
  const std::map<std::string, std::string>& files() const;  // name → bytes of a Hugging Face folder's tokenizer files
  const TokenizerParts& parts() const { return *parts_; }

 private:
  std::unique_ptr<const TokenizerParts> parts_;
};

/// A Hugging Face folder: tokenizer.json, and beside it tokenizer_config.json, special_tokens_map.json and
/// chat_template.jinja where they exist. Without tokenizer.json one is made from tekken.json, a tiktoken vocabulary or
/// a sentencepiece BPE model. Throws UsageError naming the file that is missing or broken.
Tokenizer load_tokenizer(const std::filesystem::path& folder);
/// Whether the folder has a file that load_tokenizer begins with.
bool has_tokenizer(const std::filesystem::path& folder);
Tokenizer tokenizer_from_json(const Json& tokenizer_json, const Json& tokenizer_config);

/// `metadata`: a GGUF file's keys and values as one JSON object (tokenizer.ggml.*, tokenizer.chat_template).
Tokenizer tokenizer_from_gguf(const Json& metadata);

/// One token for each byte (ids 0…255), then `special_tokens`: the tokenizer of demo models. Those not of the form
/// <|…|> are whole tokens that stay in decoded text. Those named
/// <|eos|> and <|pad|> get these roles; without an <|eos|> the first special token ends a text. ChatML is its template.
Tokenizer byte_tokenizer(const std::vector<std::string>& special_tokens);

/// Writes files(), which transformers loads with the same ids. The folder must exist.
void save_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& folder);
/// files() as one object: name → content, parsed where the file is JSON.
Json hf_tokenizer_files(const Tokenizer& tokenizer);

}  // namespace cohort
