#include "policy/text/bpe.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <utility>

#include "policy/text/decoder.h"
#include "policy/text/unicode.h"

namespace cohort {
namespace {

using Symbol = BpeScratch::Symbol;
constexpr uint32_t none = UINT32_MAX;
constexpr size_t most_short = 40;  // symbols: with fewer a scan for the lowest rank beats a heap

void push(std::vector<uint64_t>& queue, uint32_t rank, uint32_t position) {
  queue.push_back(static_cast<uint64_t>(rank) << 32 | position);
  std::push_heap(queue.begin(), queue.end(), std::greater<>());
}

}  // namespace

Bpe::Bpe(BpeSettings settings, TokenTable pieces, MergeTable merges, int32_t ids)
    : settings_(settings), pieces_(std::move(pieces)), merges_(std::move(merges)), whole_(ids, unknown) {
  for (int byte = 0; byte < 256; ++byte) {
    const char character = static_cast<char>(byte);
    byte_ids_[byte] = pieces_.find(settings_.byte_level ? std::string(1, character) : byte_token(byte));
  }
}

void Bpe::encode(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& ids) const {
  constexpr std::string_view space = "\u2581";
  while (settings_.words) {
    size_t end = 0;
    while (piece.substr(end).starts_with(space)) end += space.size();
    end = piece.find(space, end);
    if (end == std::string_view::npos) break;
    encode_word(piece.substr(0, end), scratch, ids);
    piece.remove_prefix(end);
  }
  encode_word(piece, scratch, ids);
}

void Bpe::encode_word(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& ids) const {
  const uint64_t hash = hash_bytes(piece);
  const int32_t id = pieces_.find(piece, hash);
  if (id >= 0) {
    const uint8_t whole = std::atomic_ref(whole_[id]).load(std::memory_order_relaxed);
    if (settings_.ignore_merges || whole == merges_to_itself) return ids.push_back(id);
  }
  if (scratch.cache.append(piece, hash, ids)) return;
  start_symbols(piece, scratch.symbols);
  if (scratch.symbols.empty()) return;
  const size_t before = ids.size();
  scratch.symbols.size() <= most_short ? merge_short(scratch, ids) : merge_long(scratch, ids);
  scratch.cache.keep(piece, hash, ids, before);
  if (id < 0) return;
  const uint8_t whole = ids.size() == before + 1 && ids.back() == id ? merges_to_itself : splits;
  std::atomic_ref(whole_[id]).store(whole, std::memory_order_relaxed);
}

void Bpe::start_symbols(std::string_view piece, std::vector<Symbol>& symbols) const {
  symbols.clear();
  if (settings_.byte_level) {
    for (const char c : piece) {
      const int32_t id = byte_ids_[static_cast<unsigned char>(c)];
      id >= 0 ? symbols.push_back({id, none, none, none}) : add_unknown(symbols);
    }
  } else {
    for (size_t at = 0, length; at < piece.size(); at += length) {
      length = unicode::char_at(piece, at).length;
      const int32_t id = pieces_.find(piece.substr(at, length));
      id >= 0 ? symbols.push_back({id, none, none, none}) : start_unknown(piece.substr(at, length), symbols);
    }
  }
  for (uint32_t i = 0; i < symbols.size(); ++i) {
    symbols[i].previous = i == 0 ? none : i - 1;
    symbols[i].next = i + 1 == symbols.size() ? none : i + 1;
  }
}

void Bpe::start_unknown(std::string_view character, std::vector<Symbol>& symbols) const {
  const auto byte_id = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (settings_.byte_fallback && std::ranges::all_of(character, [&](char c) { return byte_id(c) >= 0; })) {
    for (const char c : character) symbols.push_back({byte_id(c), none, none, none});
    return;
  }
  add_unknown(symbols);
}

void Bpe::add_unknown(std::vector<Symbol>& symbols) const {
  if (!settings_.unk || (settings_.fuse_unk && !symbols.empty() && symbols.back().id == *settings_.unk)) return;
  symbols.push_back({*settings_.unk, none, none, none});
}

/// Looks through all pairs for each merge.
void Bpe::merge_short(BpeScratch& scratch, std::vector<int32_t>& ids) const {
  auto& symbols = scratch.symbols;
  auto& pairs = scratch.pairs;
  pairs.clear();
  for (size_t at = 0; at + 1 < symbols.size(); ++at) pairs.push_back(merges_.find(symbols[at].id, symbols[at + 1].id));
  while (!pairs.empty()) {
    const auto best = std::ranges::min_element(pairs, {}, &MergeTable::Merge::rank);
    if (best->rank == none) break;
    const auto at = best - pairs.begin();
    symbols[at].id = best->id;
    symbols.erase(symbols.begin() + at + 1);
    pairs.erase(best);
    if (at > 0) pairs[at - 1] = merges_.find(symbols[at - 1].id, symbols[at].id);
    if (static_cast<size_t>(at) < pairs.size()) pairs[at] = merges_.find(symbols[at].id, symbols[at + 1].id);
  }
  for (const Symbol& symbol : symbols) ids.push_back(symbol.id);
}

void Bpe::merge_long(BpeScratch& scratch, std::vector<int32_t>& ids) const {
  auto& symbols = scratch.symbols;
  auto& queue = scratch.queue;
  queue.clear();
  const auto rank = [&](uint32_t at) {  // of the pair that starts at `at`
    if (at == none) return;
    Symbol& symbol = symbols[at];
    symbol.rank = symbol.next == none ? none : merges_.find(symbol.id, symbols[symbol.next].id).rank;
    if (symbol.rank != none) push(queue, symbol.rank, at);
  };
  for (uint32_t at = 0; at < symbols.size(); ++at) rank(at);
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    const auto at = static_cast<uint32_t>(queue.back());
    const auto ranked = static_cast<uint32_t>(queue.back() >> 32);
    queue.pop_back();
    Symbol& left = symbols[at];
    if (left.rank != ranked) continue;  // one of the pair has been merged since
    Symbol& right = symbols[left.next];
    left.id = merges_.find(left.id, right.id).id;
    left.next = right.next;
    right.rank = none;
    if (left.next != none) symbols[left.next].previous = at;
    rank(at);
    rank(left.previous);
  }
  for (uint32_t at = 0; at != none; at = symbols[at].next) ids.push_back(symbols[at].id);
}

}  // namespace cohort
