#include "policy/kv_store.h"

#include <algorithm>
#include <cstring>

namespace cohort {
namespace {

void copy_rows(Buffer& buffer, int64_t stride, int32_t row, const TailCopy& c) {
  if (buffer.size())
    std::memcpy(buffer.data() + c.to * stride, buffer.data() + c.from * stride,
                sizeof(float) * size_t(c.lanes) * size_t(row));
}
void copy_columns(Buffer& buffer, int64_t stride, const TailCopy& c) {
  if (!buffer.size()) return;
  const float* from = buffer.data() + c.from * stride;
  float* to = buffer.data() + c.to * stride;
  for (int64_t d = 0; d < stride; d += kKeyBlock) std::memcpy(to + d, from + d, sizeof(float) * size_t(c.lanes));
}
}  // namespace

void copy_lanes(KvStore::Layer& kv, const AttentionSpec& a, const TailCopy& c) {
  int32_t G = a.kv_heads, value_row = a.latent ? a.key_dim() : a.value_dim();
  for (int32_t g = 0; g < G; ++g) {
    TailCopy head{c.from * G + g, c.to * G + g, c.lanes};
    copy_columns(kv.keys, kKeyBlock * a.key_dim(), head);
    copy_rows(kv.values, kKeyBlock * value_row, value_row, head);
    copy_rows(kv.key_rows, kKeyBlock * a.key_dim(), a.key_dim(), head);
    copy_columns(kv.values_t, kKeyBlock * a.value_dim(), head);
  }
}

KvStore::KvStore(std::span<const LayerSpec> specs, int64_t count, bool training, bool cleared, bool one)
    : num_blocks(count), for_training(training), one_for_all(one) {
  for (const LayerSpec& layer : specs) {
    const AttentionSpec& a = layer.attention;
    const int64_t lanes = count * a.kv_heads * kKeyBlock;
    if (layers.empty() || !one_for_all) layers.emplace_back();
    Layer& kv = layers.back();
    const auto hold = [](Buffer& b, int64_t size) { b.resize(std::max(b.size(), size)); };
    hold(kv.keys, lanes * a.key_dim());
    hold(kv.values, lanes * (a.latent ? a.key_dim() : a.value_dim()));
    if (training && !a.latent) hold(kv.key_rows, lanes * a.key_dim()), hold(kv.values_t, lanes * a.value_dim());
  }
  // Lanes beyond a sequence's end enter products whose results are masked: they must be finite.
  for (Layer& kv : layers)
    for (Buffer* b : {&kv.keys, &kv.values, &kv.key_rows, &kv.values_t})
      if (cleared) std::fill_n(b->data(), b->size(), 0.0f);
}

void KvStore::clear_block(int32_t block) {
  for (Layer& kv : layers)
    for (Buffer* b : {&kv.keys, &kv.values, &kv.key_rows, &kv.values_t})
      std::fill_n(b->data() + b->size() / num_blocks * block, b->size() / num_blocks, 0.0f);
}

int64_t KvStore::bytes() const {
  int64_t total = 0;
  for (const Layer& kv : layers)
    total += kv.keys.bytes() + kv.values.bytes() + kv.key_rows.bytes() + kv.values_t.bytes();
  return total;
}

void copy_lanes(KvStore& store, const ModelSpec& spec, const TailCopy& copy) {
  for (size_t l = 0; l < store.layers.size(); ++l) copy_lanes(store.layers[l], spec.layers[l].attention, copy);
}

}  // namespace cohort
