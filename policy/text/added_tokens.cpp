#include "policy/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "policy/text/unicode.h"

namespace cohort {
namespace {

/// Word characters of Unicode's regular expressions (UTS 18): alphabetic, marks, digits, connectors, joiners.
bool is_word(char32_t code) {
  using namespace unicode;
  const bool circled = (code >= 0x24B6 && code <= 0x24E9) || (code >= 0x1F130 && code <= 0x1F149) ||
                       (code >= 0x1F150 && code <= 0x1F169) || (code >= 0x1F170 && code <= 0x1F189);
  return circled || code == 0x200C || code == 0x200D || is_in(code, letters | marks | bit(Nd) | bit(Nl) | bit(Pc));
}

size_t last_char_at(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

bool ends_with_word(std::string_view text) {
  return !text.empty() && is_word(unicode::char_at(text, last_char_at(text)).code);
}
bool starts_with_word(std::string_view text) {
  return !text.empty() && is_word(unicode::char_at(text, 0).code);
}

size_t trailing_space(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    const size_t at = last_char_at(text.substr(0, end));
    if (!unicode::is_space(unicode::char_at(text, at).code)) break;
    end = at;
  }
  return text.size() - end;
}

size_t leading_space(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const unicode::Char c = unicode::char_at(text, at);
    if (!unicode::is_space(c.code)) break;
    at += c.length;
  }
  return at;
}

}  // namespace

void AddedTokenFinder::add(std::string_view content, AddedToken token) {
  if (content.empty()) return;
  uint32_t node = 0;
  for (const char c : content) {
    const uint64_t edge = static_cast<uint64_t>(node) << 8 | static_cast<unsigned char>(c);
    const auto [next, added] = edges_.try_emplace(edge, static_cast<uint32_t>(ends_.size()));
    if (added) ends_.push_back(-1);
    node = next->second;
  }
  starts_[static_cast<unsigned char>(content[0])] = true;
  ends_[node] = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(std::move(token));
}

AddedTokenFinder::Match AddedTokenFinder::longest_at(std::string_view text, size_t at) const {
  Match longest;
  uint32_t node = 0;
  for (size_t end = at; end < text.size();) {
    const auto edge = edges_.find(static_cast<uint64_t>(node) << 8 | static_cast<unsigned char>(text[end]));
    if (edge == edges_.end()) break;
    node = edge->second;
    ++end;
    if (ends_[node] >= 0) longest = {end - at, &tokens_[ends_[node]]};
  }
  return longest;
}

void AddedTokenFinder::split(std::string_view text, const std::function<void(std::string_view, int32_t)>& found) const {
  size_t done = 0;  // what has been handed on
  for (size_t at = 0; at < text.size();) {
    const Match match = starts_[static_cast<unsigned char>(text[at])] ? longest_at(text, at) : Match{};
    if (match.length == 0) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + match.length;
    at = end;
    if (match.token->single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end))))
      continue;
    if (match.token->lstrip) begin -= trailing_space(text.substr(0, begin));
    if (match.token->rstrip) end += leading_space(text.substr(end));
    begin = std::max(begin, done);
    if (begin > done) found(text.substr(done, begin - done), -1);
    found(text.substr(begin, end - begin), match.token->id);
    done = at = end;
  }
  if (done < text.size()) found(text.substr(done), -1);
}

}  // namespace cohort
