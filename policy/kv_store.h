// Keys and values of sequences, in blocks of 16 positions that sequences with a common prefix share.
// Legend: G key/value heads.
#pragma once
#include <span>

#include "policy/model.h"
#include "policy/rows.h"

namespace cohort {

/// Keys and values of every layer in blocks of 16 positions, blocks numbered from 0.
class KvStore {
 public:
  /// `for_training` keeps the transposed copies that the backward pass reads as well. Blocks that are not
  /// `cleared` hold anything, and take no memory, until clear_block. With `one_for_all` the layers share one's memory
  /// in turn: for passes over whole sequences that need no earlier layer's keys again.
  KvStore(std::span<const LayerSpec> layers, int64_t num_blocks, bool for_training, bool cleared = true,
          bool one_for_all = false);
  KvStore(const ModelSpec& spec, int64_t num_blocks, bool for_training, bool cleared = true, bool one_for_all = false)
      : KvStore(std::span(spec.layers), num_blocks, for_training, cleared, one_for_all) {}

  struct Layer {
    Buffer keys;      // [block, G, key_dim, 16]
    Buffer values;    // [block, G, 16, value_row]; latent attention: [16, key_dim], the latent first
    Buffer key_rows;  // training, grouped-query: [block, G, 16, key_dim]
    Buffer values_t;  // training, grouped-query: [block, G, value_dim, 16]
  };
  std::vector<Layer> layers;
  int64_t num_blocks = 0;
  bool for_training = false, one_for_all = false;
  Layer& of(size_t layer) { return layers[one_for_all ? 0 : layer]; }
  int64_t bytes() const;
  void clear_block(int32_t block);
};

void copy_lanes(KvStore::Layer& kv, const AttentionSpec& a, const TailCopy& copy);
void copy_lanes(KvStore& store, const ModelSpec& spec, const TailCopy& copy);  // all layers

}  // namespace cohort
