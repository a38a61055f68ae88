#include "policy/text/decoder.h"

#include <array>
#include <nlohmann/json.hpp>

#include "configs/error.h"
#include "policy/text/unicode.h"

namespace cohort {
namespace {

constexpr size_t longest_text = size_t{1} << 20;  // bytes that a token may spell

struct ByteAlphabet {
  std::array<char32_t, 256> character;
  std::array<int, 512> byte;  // by character, -1 where none

  ByteAlphabet() {
    byte.fill(-1);
    char32_t next = 256;  // bytes that do not print stand in order from U+0100
    for (int b = 0; b < 256; ++b) {
      const bool prints = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      character[b] = prints ? static_cast<char32_t>(b) : next++;
      byte[character[b]] = b;
    }
  }
};

const ByteAlphabet& alphabet() {
  static const ByteAlphabet instance;
  return instance;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty() || text.find(from) == std::string::npos) return;
  std::string replaced;
  size_t done = 0;
  for (size_t at; (at = text.find(from, done)) != std::string::npos; done = at + from.size()) {
    replaced.append(text, done, at - done).append(to);
    if (replaced.size() > longest_text)
      throw UsageError("the decoder Replace of tokenizer.json makes a token of more than " +
                       std::to_string(longest_text) + " bytes");
  }
  text = replaced.append(text, done);
}

void add_decoder(const Json& description, Decoder& decoder) {
  const std::string type = description.at("type");
  if (type == "Sequence") {
    for (const Json& step : description.at("decoders")) add_decoder(step, decoder);
  } else if (type == "ByteLevel") {
    decoder.byte_level = true;
  } else if (type == "ByteFallback") {
    decoder.byte_fallback = true;
  } else if (type == "Metaspace") {
    const std::string replacement = description.value("replacement", "\u2581");
    const std::string scheme =
        description.value("prepend_scheme", description.value("add_prefix_space", true) ? "always" : "never");
    if (scheme == "never") {
      decoder.replaced.emplace_back(replacement, " ");
    } else {
      decoder.metaspace = replacement;
    }
  } else if (type == "Replace" && description.at("pattern").contains("String")) {
    decoder.replaced.emplace_back(description.at("pattern").at("String"), description.at("content"));
  } else if (type == "Strip" && description.value("stop", 0) == 0) {
    decoder.stripped = description.at("content");
    if (decoder.stripped.empty()) throw UsageError("the decoder Strip has no content, expected one character");
    decoder.strip_count = description.value("start", size_t{0});
  } else if (type != "Fuse") {
    throw UsageError("the decoder \"" + type +
                     "\" is not supported as it stands in tokenizer.json; ByteLevel, Metaspace, and sequences of "
                     "Replace, ByteFallback, Fuse and a Strip of the start are");
  }
}

}  // namespace

char32_t byte_character(unsigned char byte) {
  return alphabet().character[byte];
}

std::string to_byte_characters(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) unicode::append(text, byte_character(static_cast<unsigned char>(c)));
  return text;
}

bool from_byte_characters(std::string_view token, std::string& bytes) {
  bytes.clear();
  for (size_t at = 0; at < token.size();) {
    const unicode::Char c = unicode::char_at(token, at);
    if (c.code >= alphabet().byte.size() || alphabet().byte[c.code] < 0) return false;
    bytes.push_back(static_cast<char>(alphabet().byte[c.code]));
    at += c.length;
  }
  return true;
}

std::string byte_token(int byte) {
  constexpr char digits[] = "0123456789ABCDEF";
  return {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
}

int byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int byte = 0;
  for (const char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return -1;
    byte = byte * 16 + digit;
  }
  return byte;
}

std::string Decoder::spell(std::string_view token, bool first) const {
  std::string bytes;
  if (byte_level) return from_byte_characters(token, bytes) ? bytes : std::string(token);
  if (byte_fallback)
    if (const int byte = byte_of_token(token); byte >= 0) return {static_cast<char>(byte)};
  std::string text(token);
  for (const auto& [from, to] : replaced) replace_all(text, from, to);
  if (!metaspace.empty()) replace_all(text, metaspace, first ? "" : " ");
  return first ? text : separator + text;
}

Decoder decoder_from(const Json& description) {
  Decoder decoder;
  if (description.is_null()) {
    decoder.separator = " ";
  } else {
    add_decoder(description, decoder);
  }
  return decoder;
}

}  // namespace cohort
