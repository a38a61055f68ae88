// The Unigram model (Kudo 2018, arXiv:1804.10959): of all ways to cut a piece into tokens the one of highest total
// score, found by Viterbi's algorithm.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/text/piece_cache.h"
#include "policy/text/token_table.h"

namespace cohort {

struct ScoredToken {
  std::string text;
  double score = 0;  // logarithm of its probability
};

struct UnigramSettings {
  std::optional<int32_t> unk;
  bool byte_fallback = false;  // unknown text becomes <0x..> tokens where all its bytes have one
};

/// Scratch of one encode call; a thread has its own.
struct UnigramScratch {
  struct Best {  // of the ways to cut the text up to a byte
    double score = 0;
    uint32_t begin = UINT32_MAX;  // of its last token; UINT32_MAX: none found
    int32_t id = -1;
  };
  std::vector<Best> best;
  std::vector<std::pair<uint32_t, uint32_t>> tokens;  // begin, end; last first
  PieceCache cache;
};

class Unigram {
 public:
  /// `tokens` by id. Of tokens with the same text the last counts.
  Unigram(UnigramSettings settings, const std::vector<ScoredToken>& tokens);
  /// Appends the ids of `piece`. Thread-safe. Throws UsageError on an unknown character without an unknown token.
  void encode(std::string_view piece, UnigramScratch& scratch, std::vector<int32_t>& ids) const;

 private:
  struct Node {  // of the trie of tokens; children are adjacent and begin with the least byte
    uint32_t first_child = 0;
    uint32_t children = 0;
    int32_t id = -1;
  };
  void build_trie(const std::vector<ScoredToken>& tokens);
  void find_best(std::string_view piece, UnigramScratch& scratch) const;
  void collect(UnigramScratch& scratch, uint32_t end) const;
  void append(std::string_view token, std::vector<int32_t>& ids) const;

  UnigramSettings settings_;
  std::vector<double> scores_;  // by id
  double unknown_score_ = 0;
  TokenTable ids_;
  std::vector<Node> nodes_;      // 0 is the root
  std::vector<uint8_t> labels_;  // by node: the byte that leads to it
  std::vector<int32_t> byte_ids_;
};

}  // namespace cohort
