// Ids one by one → text as soon as it is complete.
#pragma once
#include <cstdint>
#include <string>

#include "policy/text/tokenizer.h"

namespace cohort {

/// The texts that push and finish return, joined, are Tokenizer::decode of the ids, except that ill-formed <0x..> runs
/// of byte-fallback tokenizers give one U+FFFD for each maximal subpart. No returned text splits a UTF-8 character.
class StreamDecoder {
 public:
  /// The tokenizer outlives the decoder.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true);
  std::string push(int32_t id);
  /// What was held back; an incomplete character becomes U+FFFD.
  std::string finish();

 private:
  std::string stripped(std::string text);

  const Tokenizer& tokenizer_;
  bool skip_special_tokens_;
  bool first_ = true;
  size_t strip_left_;    // how often the start may still be stripped
  std::string pending_;  // bytes of a character that is not complete
};

}  // namespace cohort
