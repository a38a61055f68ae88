// The text of a completion while its tokens come: exact (the pieces together are the tokenizer's decoding of all
// tokens, cut at the first stop string), never half a character, nothing that may yet become a stop string.
#pragma once
#include <string>
#include <vector>

#include "policy/text/tokenizer.h"

namespace cohort {

class TextStream {
 public:
  TextStream() = default;
  /// Stop strings count only in what follows the first `min_tokens` tokens. The tokenizer must outlive this.
  TextStream(const Tokenizer* tokenizer, const std::vector<std::string>& stops, int32_t min_tokens);

  /// The next token; true where it completed a stop string.
  bool push(int32_t token);
  /// What has become certain since the last call; `ended`: all that is left, up to the stop string.
  std::string take(bool ended);
  /// Bytes before the stop string; npos without one.
  size_t stop_at() const { return stop_at_; }

 private:
  void decode_pending(int32_t token);
  void find_stop(size_t certain_before);
  size_t held_back() const;

  const Tokenizer* tokenizer_ = nullptr;
  std::vector<std::string> stops_;  // none empty
  size_t longest_stop_ = 0;
  int32_t min_tokens_ = 0, num_tokens_ = 0;
  std::vector<int32_t> context_, pending_;  // last tokens of the certain text, and those behind it
  size_t context_text_ = 0;                 // bytes that context_ decodes to
  std::string text_, tail_;                 // certain text not taken yet, and what pending_ looks like so far
  size_t taken_ = 0, search_from_ = 0;      // bytes of the whole text
  size_t stop_at_ = std::string::npos;
};

}  // namespace cohort
