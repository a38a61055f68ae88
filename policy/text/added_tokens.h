// Added tokens: found in the text before anything else cuts it, the longest of those that begin leftmost.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cohort {

struct AddedToken {
  std::string content;
  int32_t id = -1;
  bool special = false;
  bool lstrip = false, rstrip = false;  // takes the whitespace before, after it
  bool single_word = false;             // only where no word character touches it
  bool normalized = false;              // looked for in the normalised text
};

class AddedTokenFinder {
 public:
  /// `content`: how the token is spelled in the text that will be searched.
  void add(std::string_view content, AddedToken token);
  bool empty() const { return tokens_.empty(); }
  /// Calls `found` for each token and each stretch between tokens, in order; a stretch has id −1.
  void split(std::string_view text, const std::function<void(std::string_view part, int32_t id)>& found) const;

 private:
  struct Match {
    size_t length = 0;  // bytes; 0: none
    const AddedToken* token = nullptr;
  };
  Match longest_at(std::string_view text, size_t at) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<uint64_t, uint32_t> edges_;  // node << 8 | byte → node of a trie; 0 is the root
  std::vector<int32_t> ends_ = {-1};              // by node: index of the token that ends there
  bool starts_[256] = {};                         // bytes that begin a token
};

}  // namespace cohort
