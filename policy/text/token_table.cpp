#include "policy/text/token_table.h"

#include <bit>
#include <cstring>
#include <utility>

namespace cohort {
namespace {

constexpr uint64_t odd = 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio

uint64_t mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a ^ odd) * (b ^ 0xD6E8FEB86659FD93u);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t load(const char* p, size_t n) {
  uint64_t word = 0;
  std::memcpy(&word, p, n);
  return word;
}

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

uint64_t hash_bytes(std::string_view bytes) {
  uint64_t hash = bytes.size();
  const char* p = bytes.data();
  size_t left = bytes.size();
  for (; left > 8; p += 8, left -= 8) hash = mix(hash, load(p, 8));
  return mix(hash, load(p, left));
}

void TokenTable::reserve(size_t tokens, size_t bytes) {
  arena_.reserve(bytes);
  entries_.reserve(tokens);
  rehash(std::bit_ceil(2 * tokens + 2));
}

void TokenTable::rehash(size_t slots) {
  slots_.assign(slots, 0);
  for (size_t i = 0; i < entries_.size(); ++i) {
    size_t at = entries_[i].hash & (slots - 1);
    while (slots_[at] != 0) at = (at + 1) & (slots - 1);
    slots_[at] = static_cast<uint32_t>(i + 1);
  }
}

void TokenTable::insert(std::string_view token, int32_t id) {
  if (find(token) >= 0) return;
  entries_.push_back(
      {hash_bytes(token), static_cast<uint32_t>(arena_.size()), static_cast<uint32_t>(token.size()), id});
  arena_.append(token);
  if (2 * entries_.size() > slots_.size()) return rehash(std::bit_ceil(4 * entries_.size()));
  size_t at = entries_.back().hash & (slots_.size() - 1);
  while (slots_[at] != 0) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = static_cast<uint32_t>(entries_.size());
}

int32_t TokenTable::find(std::string_view token, uint64_t hash) const {
  if (slots_.empty()) return -1;
  for (size_t at = hash & (slots_.size() - 1); slots_[at] != 0; at = (at + 1) & (slots_.size() - 1)) {
    const Entry& entry = entries_[slots_[at] - 1];
    if (entry.hash == hash && entry.length == token.size() &&
        std::memcmp(arena_.data() + entry.offset, token.data(), token.size()) == 0)
      return entry.id;
  }
  return -1;
}

void MergeTable::reserve(size_t merges) {
  std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(std::bit_ceil(2 * merges + 2)));
  for (const Slot& slot : old)
    if (slot.key != UINT64_MAX) slots_[slot_of(slot.key)] = slot;
}

size_t MergeTable::slot_of(uint64_t key) const {
  size_t at = mix(key, odd) & (slots_.size() - 1);
  while (slots_[at].key != UINT64_MAX && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
  return at;
}

void MergeTable::insert(int32_t left, int32_t right, Merge merge) {
  if (2 * (used_ + 1) > slots_.size()) reserve(slots_.size());
  Slot& slot = slots_[slot_of(pair_key(left, right))];
  used_ += slot.key == UINT64_MAX;
  slot = {pair_key(left, right), merge};
}

MergeTable::Merge MergeTable::find(int32_t left, int32_t right) const {
  return slots_[slot_of(pair_key(left, right))].merge;
}

}  // namespace cohort
