// Decoders: how the tokens of an id sequence become text again.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cohort {

using Json = nlohmann::json;

struct Decoder {
  bool byte_level = false;                                    // each character of a token is a byte
  bool byte_fallback = false;                                 // <0x..> tokens are bytes
  std::vector<std::pair<std::string, std::string>> replaced;  // within each token, in order
  std::string metaspace;                                      // becomes a space, nothing in the first token
  std::string separator;                                      // between tokens
  std::string stripped;                                       // taken off the start of the text,
  size_t strip_count = 0;                                     // so many times at most

  /// The bytes a token adds to the text. `first`: of the text.
  std::string spell(std::string_view token, bool first) const;
};

/// From the field `decoder` of tokenizer.json (null: tokens joined by spaces). Throws UsageError on a kind not known.
Decoder decoder_from(const Json& description);

/// GPT-2's alphabet: a printable character for each byte. -1 or empty when the text is not written in it.
char32_t byte_character(unsigned char byte);
std::string to_byte_characters(std::string_view bytes);
bool from_byte_characters(std::string_view token, std::string& bytes);

/// The token <0x..> that stands for a byte, and the byte of such a token, or -1.
std::string byte_token(int byte);
int byte_of_token(std::string_view token);

}  // namespace cohort
