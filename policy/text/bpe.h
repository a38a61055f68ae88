// Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) of one piece of text: the pair of lowest rank is merged
// first, the leftmost of equals. Byte-level models start from bytes, others from characters.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "policy/text/piece_cache.h"
#include "policy/text/token_table.h"

namespace cohort {

struct BpeSettings {
  bool byte_level = false;     // pieces are raw bytes; otherwise UTF-8 characters
  bool ignore_merges = false;  // a piece that is a token is that token, merges or not (Llama 3)
  bool byte_fallback = false;  // a character without a token becomes <0x..> tokens
  bool fuse_unk = false;       // adjacent unknown characters are one unknown token
  std::optional<int32_t> unk;  // without it an unknown character is dropped
  bool words = false;          // no merge joins a U+2581 to what stands before it, so words are merged one by one
};

/// Scratch of one encode call; a thread has its own.
struct BpeScratch {
  struct Symbol {
    int32_t id;
    uint32_t rank;  // of the merge with the next symbol
    uint32_t previous, next;
  };
  std::vector<Symbol> symbols;
  std::vector<uint64_t> queue;           // rank << 32 | position, a min-heap
  std::vector<MergeTable::Merge> pairs;  // of a short piece: the merge of each symbol with the next
  PieceCache cache;
};

class Bpe {
 public:
  /// `pieces`: what a token spells (raw bytes for byte-level models) → id. `ids`: number of ids.
  Bpe(BpeSettings settings, TokenTable pieces, MergeTable merges, int32_t ids);
  /// Appends the ids of `piece`. Thread-safe.
  void encode(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& ids) const;
  const TokenTable& pieces() const { return pieces_; }

 private:
  void encode_word(std::string_view word, BpeScratch& scratch, std::vector<int32_t>& ids) const;
  enum Whole : uint8_t { unknown, merges_to_itself, splits };  // what merging the spelling of a token gives
  void start_symbols(std::string_view piece, std::vector<BpeScratch::Symbol>& symbols) const;
  void start_unknown(std::string_view character, std::vector<BpeScratch::Symbol>& symbols) const;
  void add_unknown(std::vector<BpeScratch::Symbol>& symbols) const;  // the token of what the vocabulary lacks, if any
  void merge_short(BpeScratch& scratch, std::vector<int32_t>& ids) const;
  void merge_long(BpeScratch& scratch, std::vector<int32_t>& ids) const;

  BpeSettings settings_;
  TokenTable pieces_;
  MergeTable merges_;
  std::array<int32_t, 256> byte_ids_;   // of single bytes, or of <0x..> tokens; -1 when absent
  mutable std::vector<uint8_t> whole_;  // Whole by id, found on first use; racing writers write the same
};

}  // namespace cohort
