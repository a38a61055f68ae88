// Ids of pieces met before in one text: the same words come again and again.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cohort {

class PieceCache {
 public:
  /// Appends the ids of a piece that is known; false when it is not.
  bool append(std::string_view piece, uint64_t hash, std::vector<int32_t>& ids) const {
    if (slots_.empty()) return false;
    const Slot& slot = slots_[hash & (slots_.size() - 1)];
    if (slot.hash != hash || slot.length != piece.size() ||
        std::string_view(texts_).substr(slot.text, slot.length) != piece)
      return false;
    ids.insert(ids.end(), ids_.begin() + slot.first, ids_.begin() + slot.first + slot.count);
    return true;
  }

  /// Keeps the ids from `before` to the end of `ids` for `piece`.
  void keep(std::string_view piece, uint64_t hash, const std::vector<int32_t>& ids, size_t before) {
    if (piece.size() > longest || (slots_.empty() && ++pieces_ < fewest)) return;
    if (slots_.empty() || texts_.size() > most_bytes) {
      slots_.assign(num_slots, {});
      texts_.clear();
      ids_.clear();
    }
    slots_[hash & (num_slots - 1)] = {hash, static_cast<uint32_t>(texts_.size()), static_cast<uint32_t>(piece.size()),
                                      static_cast<uint32_t>(ids_.size()), static_cast<uint32_t>(ids.size() - before)};
    texts_ += piece;
    ids_.insert(ids_.end(), ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end());
  }

 private:
  static constexpr size_t longest = 64;         // bytes of a piece that is kept
  static constexpr size_t fewest = 64;          // a short text needs no cache
  static constexpr size_t num_slots = 1 << 14;  // a power of two
  static constexpr size_t most_bytes = 1 << 20;
  struct Slot {
    uint64_t hash = 0;
    uint32_t text = 0, length = UINT32_MAX;  // in texts_
    uint32_t first = 0, count = 0;           // in ids_
  };
  std::vector<Slot> slots_;
  std::string texts_;
  std::vector<int32_t> ids_;
  size_t pieces_ = 0;
};

}  // namespace cohort
