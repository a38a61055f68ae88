// Bytes of a token → id: an open-addressing hash over one arena, because encoding looks up every piece of a text.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cohort {

uint64_t hash_bytes(std::string_view bytes);

class TokenTable {
 public:
  void reserve(size_t tokens, size_t bytes);
  /// The first id given to a token stays.
  void insert(std::string_view token, int32_t id);
  /// -1 when absent.
  int32_t find(std::string_view token) const { return find(token, hash_bytes(token)); }
  int32_t find(std::string_view token, uint64_t hash) const;  // the hash being hash_bytes(token)
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    uint64_t hash;
    uint32_t offset, length;
    int32_t id;
  };
  void rehash(size_t slots);

  std::string arena_;
  std::vector<Entry> entries_;
  std::vector<uint32_t> slots_;  // index into entries_ plus 1, 0 = free; a power of two of them
};

/// Two token ids → the rank of their merge and the token it gives.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank = UINT32_MAX;  // UINT32_MAX: the pair does not merge
    int32_t id = -1;
  };
  void reserve(size_t merges);
  /// The last merge given for a pair stays, as in the `tokenizers` package.
  void insert(int32_t left, int32_t right, Merge merge);
  Merge find(int32_t left, int32_t right) const;

 private:
  struct Slot {
    uint64_t key = UINT64_MAX;
    Merge merge;
  };
  size_t slot_of(uint64_t key) const;

  std::vector<Slot> slots_ = std::vector<Slot>(2);
  size_t used_ = 0;
};

}  // namespace cohort
