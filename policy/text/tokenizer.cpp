#include "policy/text/tokenizer.h"

#include <utility>

#include "policy/text/tokenizer_parts.h"
#include "policy/text/unicode.h"

namespace cohort {
namespace {

/// Ill-formed runs of <0x..> bytes become one U+FFFD a byte, as ByteFallback has it.
class FallbackText {
 public:
  void byte(char b) { run_ += b; }
  void text(std::string_view part) {
    flush();
    text_ += part;
  }
  std::string finish() {
    flush();
    return std::move(text_);
  }

 private:
  void flush() {
    if (unicode::valid_prefix(run_) == run_.size()) {
      text_ += run_;
    } else {
      for (size_t i = 0; i < run_.size(); ++i) unicode::append(text_, unicode::replacement);
    }
    run_.clear();
  }
  std::string text_, run_;
};

void strip_start(std::string& text, const Decoder& decoder) {
  for (size_t i = 0; i < decoder.strip_count && text.starts_with(decoder.stripped); ++i)
    text.erase(0, decoder.stripped.size());
}

}  // namespace

Tokenizer::Tokenizer(TokenizerParts parts) : parts_(std::make_unique<const TokenizerParts>(std::move(parts))) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  std::string repaired;
  if (unicode::valid_prefix(text) != text.size()) text = repaired = unicode::repaired(text);
  std::vector<int32_t> ids;
  if (add_special_tokens) ids = parts_->prefix;
  BpeScratch bpe_scratch;
  UnigramScratch unigram_scratch;
  const std::function<void(std::string_view)> encode_piece = [&](std::string_view piece) {
    parts_->bpe ? parts_->bpe->encode(piece, bpe_scratch, ids) : parts_->unigram->encode(piece, unigram_scratch, ids);
  };
  parts_->raw_added.split(text, [&](std::string_view part, int32_t id) {
    if (id >= 0) return ids.push_back(id);
    const std::string normalized = parts_->normalizer.empty() ? std::string() : parts_->normalizer.apply(part);
    const std::string_view whole = parts_->normalizer.empty() ? part : normalized;
    parts_->normalized_added.split(whole, [&](std::string_view piece, int32_t piece_id) {
      if (piece_id >= 0) return ids.push_back(piece_id);
      const bool at_start = part.data() == text.data() && piece.data() == whole.data();
      parts_->pre_tokenizer.split(piece, at_start, encode_piece);
    });
  });
  if (add_special_tokens) ids.insert(ids.end(), parts_->suffix.begin(), parts_->suffix.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  const Decoder& decoder = parts_->decoder;
  FallbackText fallback;
  std::string bytes;
  bool first = true;
  for (const int32_t id : ids) {
    if (id < 0 || id >= size() || parts_->tokens[id].empty() || (skip_special_tokens && is_special(id))) continue;
    const std::string& token = parts_->tokens[id];
    const std::string spelled = first ? decoder.spell(token, true) : parts_->spelled[id];
    first = false;
    if (!decoder.byte_fallback) {
      bytes += spelled;
    } else if (byte_of_token(token) >= 0) {
      fallback.byte(spelled[0]);
    } else {
      fallback.text(spelled);
    }
  }
  std::string text = unicode::repaired(decoder.byte_fallback ? fallback.finish() : bytes);
  strip_start(text, decoder);
  return text;
}

int32_t Tokenizer::size() const {
  return static_cast<int32_t>(parts_->tokens.size());
}

std::optional<int32_t> Tokenizer::id(std::string_view token) const {
  const int32_t found = parts_->ids.find(token);
  return found < 0 ? std::nullopt : std::optional(found);
}

std::string Tokenizer::token(int32_t id) const {
  return id < 0 || id >= size() ? std::string() : parts_->tokens[id];
}
bool Tokenizer::is_special(int32_t id) const {
  return id >= 0 && id < size() && parts_->special[id];
}
const SpecialTokens& Tokenizer::special_tokens() const {
  return parts_->special_tokens;
}
const std::string& Tokenizer::chat_template() const {
  return parts_->chat_template;
}
const std::map<std::string, std::string>& Tokenizer::files() const {
  return parts_->files;
}

}  // namespace cohort
