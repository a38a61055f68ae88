// The character map of a sentencepiece model (the Precompiled normaliser of tokenizer.json): a trie of what is
// replaced, as the double array of darts-clone, and the texts that replace it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cohort {

class CharacterMap {
 public:
  /// Bytes: length of the trie, the trie, then texts that end with a zero. Throws UsageError where that does not fit.
  explicit CharacterMap(std::string_view bytes);
  /// Valid UTF-8 in and out. As in the `tokenizers` package, a grapheme cluster of fewer than six bytes is replaced
  /// whole when something it begins with is in the map; of others each character is looked up alone.
  std::string apply(std::string_view text) const;

 private:
  /// What replaces the shortest beginning of `text` that is in the map.
  std::optional<std::string_view> replacement(std::string_view text) const;
  void append_cluster(std::string_view cluster, std::string& out) const;

  std::vector<uint32_t> units_;
  std::string texts_;
};

}  // namespace cohort
