#include "rollout/text_stream.h"

#include <algorithm>

#include "policy/text/tokenizer_parts.h"

namespace cohort {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD: the end may be half a character

/// Bytes spelled as <0x..> tokens become text only once the run of them has ended.
bool is_inside_bytes(const Tokenizer& tokenizer, int32_t token) {
  return tokenizer.parts().decoder.byte_fallback && byte_of_token(tokenizer.token(token)) >= 0;
}

}  // namespace

TextStream::TextStream(const Tokenizer* tokenizer, const std::vector<std::string>& stops, int32_t min_tokens)
    : tokenizer_(tokenizer), min_tokens_(min_tokens) {
  for (const std::string& stop : stops) {
    if (stop.empty()) continue;
    stops_.push_back(stop);
    longest_stop_ = std::max(longest_stop_, stop.size());
  }
}

/// Decodes behind the last certain tokens, for how a token is spelled depends on whether it is the text's first.
void TextStream::decode_pending(int32_t token) {
  pending_.push_back(token);
  std::vector<int32_t> window = context_;
  window.insert(window.end(), pending_.begin(), pending_.end());
  tail_ = tokenizer_->decode(window).substr(context_text_);
  if (tail_.ends_with(kReplacement) || is_inside_bytes(*tokenizer_, token)) return;
  text_ += tail_;
  tail_.clear(), pending_.clear();
  size_t begin = window.size();
  std::string spelled;
  while (begin > 0 && spelled.empty()) spelled = tokenizer_->decode(std::span(window).subspan(--begin));
  context_.assign(window.begin() + std::ptrdiff_t(begin), window.end());
  context_text_ = spelled.size();
}

void TextStream::find_stop(size_t certain_before) {
  const size_t reach = certain_before > longest_stop_ ? certain_before - longest_stop_ : 0,
               from = std::max(reach, search_from_ > taken_ ? search_from_ - taken_ : 0);
  const std::string searched =
      from < text_.size() ? text_.substr(from) + tail_ : tail_.substr(std::min(from - text_.size(), tail_.size()));
  for (const std::string& stop : stops_)
    if (const size_t at = searched.find(stop); at != std::string::npos)
      stop_at_ = std::min(stop_at_, taken_ + from + at);
}

bool TextStream::push(int32_t token) {
  const size_t certain_before = text_.size();
  decode_pending(token);
  if (++num_tokens_ <= min_tokens_)
    search_from_ = taken_ + text_.size() + tail_.size();
  else if (!stops_.empty())
    find_stop(certain_before);
  return stop_at_ != std::string::npos;
}

/// Bytes at the end of text_ that begin a stop string.
size_t TextStream::held_back() const {
  size_t held = 0;
  for (const std::string& stop : stops_)
    for (size_t length = std::min(stop.size() - 1, text_.size()); length > held; --length)
      if (std::string_view(text_).ends_with(std::string_view(stop).substr(0, length))) held = length;
  return held;
}

std::string TextStream::take(bool ended) {
  size_t length = text_.size();
  if (stop_at_ != std::string::npos || ended)
    text_ += tail_, tail_.clear(), length = std::min(text_.size(), stop_at_ - taken_);
  else
    length -= held_back();
  std::string piece = text_.substr(0, length);
  text_.erase(0, length), taken_ += length;
  return piece;
}

}  // namespace cohort
