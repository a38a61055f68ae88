#include "policy/text/character_map.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>

#include "configs/error.h"
#include "policy/text/unicode.h"

namespace cohort {
namespace {

// A unit of darts-clone's double array: https://github.com/s-yata/darts-clone
constexpr uint32_t leaf_bit = 1u << 8;
constexpr uint32_t label_bits = 1u << 31 | 0xFF;
uint32_t offset_of(uint32_t unit) {
  return (unit >> 10) << ((unit & 1u << 9) >> 6);
}

constexpr size_t largest_replaced_cluster = 5;  // bytes
constexpr size_t longest_text = 1024;           // bytes; U+FDFA makes 33

/// Extended grapheme clusters (UAX 29). A mark newer than utf8proc's tables extends what it stands after.
size_t cluster_end(std::string_view text, size_t at) {
  unicode::Char last = unicode::char_at(text, at);
  utf8proc_int32_t state = 0;
  for (at += last.length; at < text.size();) {
    const unicode::Char next = unicode::char_at(text, at);
    if (last.code < 0x80 && next.code < 0x80 && last.code != '\r') break;
    const bool breaks = utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(last.code),
                                                         static_cast<utf8proc_int32_t>(next.code), &state);
    const bool new_mark =
        unicode::is_in(next.code, unicode::bit(unicode::Mn) | unicode::bit(unicode::Me)) &&
        utf8proc_category(static_cast<utf8proc_int32_t>(next.code)) == UTF8PROC_CATEGORY_CN &&
        !unicode::is_in(last.code, unicode::bit(unicode::Cc) | unicode::bit(unicode::Zl) | unicode::bit(unicode::Zp));
    if (breaks && !new_mark) break;
    last = next;
    at += next.length;
  }
  return at;
}

}  // namespace

CharacterMap::CharacterMap(std::string_view bytes) {
  uint32_t length = 0;
  if (bytes.size() >= sizeof length) std::memcpy(&length, bytes.data(), sizeof length);
  if (length < 4 || length % 4 != 0 || length > bytes.size() - 4)
    throw UsageError("the tokenizer's character map has " + std::to_string(bytes.size()) + " bytes and a trie of " +
                     std::to_string(length) + ", expected a trie that lies within it");
  units_.resize(length / 4);
  std::memcpy(units_.data(), bytes.data() + 4, length);
  texts_ = bytes.substr(4 + length);
  if (unicode::valid_prefix(texts_) != texts_.size())
    throw UsageError("the texts of the tokenizer's character map are not valid UTF-8");
  for (size_t at = 0, end; at < texts_.size(); at = end + 1) {
    end = std::min(texts_.find('\0', at), texts_.size());
    if (end - at > longest_text)
      throw UsageError("the tokenizer's character map has a text of " + std::to_string(end - at) +
                       " bytes, expected at most " + std::to_string(longest_text));
  }
}

std::optional<std::string_view> CharacterMap::replacement(std::string_view text) const {
  uint32_t node = offset_of(units_[0]);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || (units_[node] & label_bits) != byte) return std::nullopt;
    const bool leaf = units_[node] & leaf_bit;
    node ^= offset_of(units_[node]);
    if (!leaf) continue;
    const uint32_t start = node < units_.size() ? units_[node] & ~(1u << 31) : UINT32_MAX;
    if (start >= texts_.size()) return std::nullopt;
    const std::string_view found = std::string_view(texts_).substr(start);
    if ((static_cast<unsigned char>(found[0]) & 0xC0) == 0x80) return std::nullopt;  // inside a character
    return found.substr(0, found.find('\0'));
  }
  return std::nullopt;
}

void CharacterMap::append_cluster(std::string_view cluster, std::string& out) const {
  if (cluster.size() <= largest_replaced_cluster)
    if (const auto found = replacement(cluster)) {
      out += *found;
      return;
    }
  for (size_t at = 0, length; at < cluster.size(); at += length) {
    length = unicode::char_at(cluster, at).length;
    const std::string_view character = cluster.substr(at, length);
    out += replacement(character).value_or(character);
  }
}

std::string CharacterMap::apply(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t end = cluster_end(text, at);
    append_cluster(text.substr(at, end - at), out);
    at = end;
  }
  return out;
}

}  // namespace cohort
