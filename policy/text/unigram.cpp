#include "policy/text/unigram.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "configs/error.h"
#include "policy/text/decoder.h"
#include "policy/text/unicode.h"

namespace cohort {
namespace {

constexpr double unknown_penalty = 10;  // below the lowest score, as sentencepiece has it
constexpr uint32_t none = UINT32_MAX;

}  // namespace

Unigram::Unigram(UnigramSettings settings, const std::vector<ScoredToken>& tokens) : settings_(settings) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const ScoredToken& token : tokens) {
    scores_.push_back(token.score);
    lowest = std::min(lowest, token.score);
  }
  unknown_score_ = lowest - unknown_penalty;
  for (size_t id = tokens.size(); id-- > 0;) ids_.insert(tokens[id].text, static_cast<int32_t>(id));
  for (int byte = 0; byte < 256; ++byte) byte_ids_.push_back(ids_.find(byte_token(byte)));
  build_trie(tokens);
}

/// Level by level: a node stands for the tokens (sorted) that share its spelling so far.
void Unigram::build_trie(const std::vector<ScoredToken>& tokens) {
  std::vector<int32_t> order(tokens.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int32_t a, int32_t b) { return tokens[a].text < tokens[b].text; });
  struct Range {
    size_t begin, end, depth;
  };
  std::vector<Range> ranges = {{0, order.size(), 0}};  // by node
  nodes_.emplace_back();
  labels_.push_back(0);
  for (size_t node = 0; node < nodes_.size(); ++node) {
    auto [at, end, depth] = ranges[node];
    for (; at < end && tokens[order[at]].text.size() == depth; ++at)
      if (depth > 0) nodes_[node].id = order[at];
    nodes_[node].first_child = static_cast<uint32_t>(nodes_.size());
    while (at < end) {
      const char label = tokens[order[at]].text[depth];
      const size_t begin = at;
      while (at < end && tokens[order[at]].text[depth] == label) ++at;
      ranges.push_back({begin, at, depth + 1});
      nodes_.emplace_back();
      labels_.push_back(static_cast<uint8_t>(label));
      ++nodes_[node].children;
    }
  }
}

void Unigram::find_best(std::string_view piece, UnigramScratch& scratch) const {
  std::vector<UnigramScratch::Best>& best = scratch.best;
  best.assign(piece.size() + 1, {});
  const auto offer = [&](size_t begin, size_t end, double score, int32_t id) {
    const double total = score + best[begin].score;
    if (best[end].begin == none || total > best[end].score) best[end] = {total, static_cast<uint32_t>(begin), id};
  };
  for (size_t at = 0, length; at < piece.size(); at += length) {
    length = unicode::char_at(piece, at).length;
    bool has_character = false;
    uint32_t node = 0;
    for (size_t end = at; end < piece.size();) {
      const uint8_t* children = labels_.data() + nodes_[node].first_child;
      const auto* child =
          static_cast<const uint8_t*>(std::memchr(children, static_cast<uint8_t>(piece[end]), nodes_[node].children));
      if (!child) break;
      node = static_cast<uint32_t>(child - labels_.data());
      ++end;
      const int32_t id = nodes_[node].id;
      if (id < 0) continue;
      offer(at, end, scores_[id], id);
      has_character |= end == at + length;
    }
    if (has_character) continue;
    if (!settings_.unk)
      throw UsageError("the text has the character \"" + std::string(piece.substr(at, length)) +
                       "\", which no token of the tokenizer spells, and its Unigram model has no unk_id");
    offer(at, at + length, unknown_score_, *settings_.unk);
  }
}

/// Adjacent unknown characters are one.
void Unigram::collect(UnigramScratch& scratch, uint32_t end) const {
  auto& tokens = scratch.tokens;
  tokens.clear();
  bool after_unknown = false;
  for (; end > 0; end = scratch.best[end].begin) {
    const bool unknown = settings_.unk && scratch.best[end].id == *settings_.unk;
    if (unknown && after_unknown) {
      tokens.back().first = scratch.best[end].begin;
    } else {
      tokens.emplace_back(scratch.best[end].begin, end);
    }
    after_unknown = unknown;
  }
}

void Unigram::append(std::string_view token, std::vector<int32_t>& ids) const {
  if (const int32_t id = ids_.find(token); id >= 0) return ids.push_back(id);
  const auto byte_id = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (settings_.byte_fallback && std::ranges::all_of(token, [&](char c) { return byte_id(c) >= 0; })) {
    for (const char c : token) ids.push_back(byte_id(c));
  } else {
    ids.push_back(*settings_.unk);
  }
}

void Unigram::encode(std::string_view piece, UnigramScratch& scratch, std::vector<int32_t>& ids) const {
  if (piece.empty()) return;
  const uint64_t hash = hash_bytes(piece);
  if (scratch.cache.append(piece, hash, ids)) return;
  find_best(piece, scratch);
  collect(scratch, static_cast<uint32_t>(piece.size()));
  const size_t before = ids.size();
  for (auto token = scratch.tokens.rbegin(); token != scratch.tokens.rend(); ++token)
    append(piece.substr(token->first, token->second - token->first), ids);
  scratch.cache.keep(piece, hash, ids, before);
}

}  // namespace cohort
