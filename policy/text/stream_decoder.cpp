#include "policy/text/stream_decoder.h"

#include <utility>

#include "policy/text/tokenizer_parts.h"
#include "policy/text/unicode.h"

namespace cohort {

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(tokenizer),
      skip_special_tokens_(skip_special_tokens),
      strip_left_(tokenizer.parts().decoder.strip_count) {}

std::string StreamDecoder::push(int32_t id) {
  const TokenizerParts& parts = tokenizer_.parts();
  if (id < 0 || id >= tokenizer_.size() || parts.tokens[id].empty() ||
      (skip_special_tokens_ && tokenizer_.is_special(id)))
    return {};
  pending_ += first_ ? parts.decoder.spell(parts.tokens[id], true) : parts.spelled[id];
  first_ = false;
  std::string complete;
  while (!pending_.empty()) {
    bool incomplete = false;
    const size_t valid = unicode::valid_prefix(pending_, &incomplete);
    complete.append(pending_, 0, valid);
    pending_.erase(0, valid);
    if (pending_.empty() || incomplete) break;
    unicode::append(complete, unicode::replacement);
    pending_.erase(0, unicode::ill_formed_length(pending_));
  }
  return stripped(std::move(complete));
}

std::string StreamDecoder::finish() {
  return stripped(unicode::repaired(std::exchange(pending_, {})));
}

/// Tokens of one word each: what is stripped is one character, so a text is never empty while more could be stripped.
std::string StreamDecoder::stripped(std::string text) {
  const std::string& what = tokenizer_.parts().decoder.stripped;
  while (strip_left_ > 0 && !text.empty()) {
    if (!text.starts_with(what)) {
      strip_left_ = 0;
      break;
    }
    text.erase(0, what.size());
    --strip_left_;
  }
  return text;
}

}  // namespace cohort
