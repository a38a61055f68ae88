#include <algorithm>
#include <cstring>

#include "policy/layer_backward.h"

namespace cohort {
namespace {

/// Neighbouring sequences whose probabilities are kept at once: they are read again, key block by key block, and should
/// still be in the cache by then.
struct Stretch {
  std::span<const RowSpan> sequences;
  int64_t first_row = 0, num_rows = 0;
};

std::vector<Stretch> stretches_of(std::span<const RowSpan> sequences) {
  std::vector<Stretch> stretches;
  for (size_t i = 0; i < sequences.size(); ++i) {
    if (stretches.empty() || stretches.back().num_rows >= kStretchRows)
      stretches.push_back({sequences.subspan(i, 0), sequences[i].first_row, 0});
    Stretch& s = stretches.back();
    s.sequences = {s.sequences.data(), s.sequences.size() + 1};
    s.num_rows += sequences[i].num_rows;
  }
  return stretches;
}

/// Rows of every sequence that has `block` in its table at an index: (first row, count, index), sequences in order.
struct Readers {
  int64_t first_row, count, index;
};
std::vector<std::vector<Readers>> readers_of_blocks(const BackwardStep& st, const Stretch& stretch) {
  std::vector<std::vector<Readers>> readers(static_cast<size_t>(st.num_blocks));
  for (const RowSpan& span : stretch.sequences) {
    int64_t last = span.first_position + span.num_rows - 1, window = st.layer.attention.window;
    for (int64_t index = 0; index <= last / kKeyBlock; ++index) {
      // Rows before the block see none of it, nor do rows whose window begins behind it.
      int64_t skip = std::max<int64_t>(0, index * kKeyBlock - span.first_position), end = span.num_rows;
      if (window) end = std::min(end, index * kKeyBlock + kKeyBlock - 1 + window - span.first_position);
      if (end > skip) readers[size_t(span.blocks[index])].push_back({span.first_row + skip, end - skip, index});
    }
  }
  return readers;
}

/// d_q of every row, and for the key side P and dS of every row.
void attention_rows(const BackwardStep& st, const Stretch& stretch, const float* d_out, int64_t ld) {
  const AttentionSpec& a = st.layer.attention;
  int32_t G = a.kv_heads, heads = a.heads / G, key_dim = a.key_dim(), value_dim = a.value_dim();
  const Buffer& key_rows = a.latent ? st.kv.values : st.kv.key_rows;
  const Buffer& values_t = a.latent ? st.kv.keys : st.kv.values_t;
  int64_t value_t_block = int64_t(kKeyBlock) * (a.latent ? key_dim : value_dim);
  st.compute.pool.parallel_for(ceil_div(stretch.num_rows, 4) * G, [&](int64_t task) {
    int64_t g = task % G;
    for (int64_t row = task / G * 4; row < std::min(stretch.num_rows, (task / G + 1) * 4); ++row) {
      const int64_t t = stretch.first_row + row, head = t * a.heads + g * heads, kept = row * a.heads + g * heads;
      st.compute.kernels->attend_backward(
          {.forward = attend_row(a, st.rows, st.kv, st.s, st.sequence[t], st.position[t], t, g),
           .d_out = d_out + head * value_dim,
           .values_t = values_t.data() + g * value_t_block,
           .key_rows = key_rows.data() + g * kKeyBlock * key_dim,
           .value_t_stride = G * value_t_block,
           .key_row_stride = int64_t(G) * kKeyBlock * key_dim,
           .ld = ld,
           .p = st.b.p.data() + kept * ld,
           .ds = st.b.ds.data() + kept * ld,
           .d_q = st.b.d_q_THd.data() + head * key_dim});
    }
  });
}

/// d_keys and d_values of every block: each block sums over the rows that read it, sequences and rows in order.
void attention_blocks(const BackwardStep& st, const Stretch& stretch, const float* d_out, int64_t ld) {
  const AttentionSpec& a = st.layer.attention;
  int32_t G = a.kv_heads, heads = a.heads / G, key_dim = a.key_dim(), value_dim = a.value_dim(),
          value_row = a.latent ? key_dim : value_dim;
  auto readers = readers_of_blocks(st, stretch);
  st.compute.pool.parallel_for(st.num_blocks * G, [&](int64_t task) {
    int64_t g = task % G;
    float* d_keys = st.b.d_keys.data() + task * kKeyBlock * key_dim;
    float* d_values =
        a.latent ? d_keys : st.b.d_values.data() + task * kKeyBlock * value_dim;  // a latent is key and value
    for (const Readers& r : readers[size_t(task / G)]) {
      const int64_t head = r.first_row * a.heads + g * heads, kept = head - stretch.first_row * a.heads;
      OuterSum sum{.coefficients = st.b.ds.data() + kept * ld + r.index * kKeyBlock,
                   .ld = ld,
                   .vectors = st.s.q_THd.data() + head * key_dim,
                   .vector_row = int64_t(a.heads) * key_dim,
                   .vector_head = key_dim,
                   .rows = r.count,
                   .heads = heads,
                   .dim = key_dim,
                   .coefficient_row = a.heads * ld,
                   .out = d_keys,
                   .out_row = key_dim};
      st.compute.kernels->outer_sum(sum);
      sum.coefficients = st.b.p.data() + kept * ld + r.index * kKeyBlock, sum.vectors = d_out + head * value_dim;
      sum.vector_row = int64_t(a.heads) * value_dim, sum.vector_head = value_dim, sum.dim = value_dim,
      sum.out = d_values, sum.out_row = value_row;
      st.compute.kernels->outer_sum(sum);
    }
  });
}

/// What the copies of a prompt's last block received belongs to the prompt's own rows.
void gather_copies(const BackwardStep& st) {
  const AttentionSpec& a = st.layer.attention;
  const int32_t G = a.kv_heads, key_dim = a.key_dim(), value_dim = a.value_dim();
  for (const TailCopy& copy : st.rows.copies)
    for (int32_t g = 0; g < G; ++g) {
      int64_t from = int64_t(copy.from) * G + g, to = int64_t(copy.to) * G + g;
      st.compute.kernels->add_scaled(st.b.d_keys.data() + to * kKeyBlock * key_dim, 1.0f, int64_t(copy.lanes) * key_dim,
                                     st.b.d_keys.data() + from * kKeyBlock * key_dim);
      if (!a.latent)
        st.compute.kernels->add_scaled(st.b.d_values.data() + to * kKeyBlock * value_dim, 1.0f,
                                       int64_t(copy.lanes) * value_dim,
                                       st.b.d_values.data() + from * kKeyBlock * value_dim);
    }
}

/// What the norm and the rotation of queries (or keys) took in and gave, for their gradients.
struct Turned {
  const BackwardStep& st;
  int32_t heads, norms, norm_dim;
  int64_t weight;         // of the norm
  const float* x;         // [T], rows of in_rows(): before both
  float* d_x;             // the same of d_in_T
  float* d_y;             // [T, heads · head_dim], after both
  const Buffer& inverse;  // [norms, T]
  float* rotated;         // [T, heads · head_dim], where the norm comes after the rotation
};

void rotate_heads(const Turned& u, int64_t t, float* x, float direction) {
  const int32_t d = u.st.layer.attention.head_dim;
  for (int32_t h = 0; h < u.heads; ++h) rotate(u.st.model, u.st.position[t], x + h * d, direction);
}

void norm_backward(const Turned& u, int64_t t, const float* x, const float* d_y, float* d_x) {
  for (int32_t n = 0; n < u.norms; ++n)
    u.st.compute.kernels->rms_norm_backward(x + n * u.norm_dim, u.st.model.at(u.weight), u.inverse[n * u.st.T + t],
                                            d_y + n * u.norm_dim, u.norm_dim, false, d_x + n * u.norm_dim);
}

/// Row t of d_x from row t of d_y; where the norm comes first, d_y becomes what its weight's gradient is read from.
void turn_back(const Turned& u, int64_t t) {
  const AttentionSpec& a = u.st.layer.attention;
  const int64_t row = int64_t(u.heads) * a.head_dim;
  const float* x = u.x + t * a.in_rows();
  float *d_x = u.d_x + t * a.in_rows(), *d_y = u.d_y + t * row;
  if (a.qk_norm == QkNorm::heads_after_rope) {
    float* rotated = u.rotated + t * row;
    std::memcpy(rotated, x, sizeof(float) * size_t(row));
    rotate_heads(u, t, rotated, 1);
    norm_backward(u, t, rotated, d_y, d_x);
    rotate_heads(u, t, d_x, -1);
    return;
  }
  rotate_heads(u, t, d_y, -1);
  if (a.qk_norm == QkNorm::none)
    std::memcpy(d_x, d_y, sizeof(float) * size_t(row));
  else
    norm_backward(u, t, x, d_y, d_x);
}

void norm_weight_gradient(const Turned& u) {
  if (u.st.adapter) return;
  const AttentionSpec& a = u.st.layer.attention;
  const bool after = a.qk_norm == QkNorm::heads_after_rope;
  const int64_t row = int64_t(u.heads) * a.head_dim, x_row = after ? row : a.in_rows();
  const float* x = after ? u.rotated : u.x;
  u.st.compute.pool.parallel_for(ceil_div(u.norm_dim, 16), [&](int64_t i) {
    for (int32_t n = 0; n < u.norms; ++n)
      u.st.compute.kernels->rms_norm_weight_gradient(
          x + n * u.norm_dim, x_row, u.inverse.data() + n * u.st.T, u.d_y + n * u.norm_dim, row, u.st.T, i * 16,
          std::min<int64_t>(16, u.norm_dim - i * 16), u.st.gradient + u.weight);
  });
}

void grouped_inputs(const BackwardStep& st) {
  const AttentionSpec& a = st.layer.attention;
  const LayerOffsets& o = st.layer.offsets;
  int32_t d = a.head_dim, G = a.kv_heads, in_rows = a.in_rows();
  st.b.d_k_TGd.resize(st.T * G * d);
  if (a.qk_norm == QkNorm::heads_after_rope) st.b.rotated.resize(st.T * (a.heads + G) * d);
  const float* in = st.s.in_T.data();
  float* d_in = st.b.d_in_T.data();
  const Turned q{st, a.heads, a.q_norms(),         a.q_norm_dim(), o.q_norm,
                 in, d_in,    st.b.d_q_THd.data(), st.s.q_inverse, st.b.rotated.data()};
  const Turned k{st,
                 G,
                 a.k_norms(),
                 a.k_norm_dim(),
                 o.k_norm,
                 in + a.heads * d,
                 d_in + a.heads * d,
                 st.b.d_k_TGd.data(),
                 st.s.k_inverse,
                 st.b.rotated.data() + st.T * a.heads * d};
  for_rows(st.compute, st.T, [&](int64_t t) {
    int64_t at =
        (int64_t(block_of(st.rows, st.sequence, st.position, t)) * G * kKeyBlock + st.position[t] % kKeyBlock) * d;
    for (int32_t g = 0; g < G; ++g) {
      const int64_t key = at + int64_t(g) * kKeyBlock * d;
      std::memcpy(st.b.d_k_TGd.data() + (t * G + g) * d, st.b.d_keys.data() + key, sizeof(float) * size_t(d));
      std::memcpy(d_in + t * in_rows + (a.heads + G + g) * d, st.b.d_values.data() + key, sizeof(float) * size_t(d));
    }
    turn_back(q, t);
    turn_back(k, t);
  });
  if (a.qk_norm != QkNorm::none) norm_weight_gradient(q), norm_weight_gradient(k);
}

void latent_inputs(const BackwardStep& st) {
  const AttentionSpec& a = st.layer.attention;
  const LayerOffsets& o = st.layer.offsets;
  int32_t in_rows = a.in_rows(), r = a.kv_lora_rank, first = in_rows - r - a.rope_dim, key_dim = a.key_dim(),
          q_row = a.heads * a.head_dim;
  int64_t q_stride = a.q_lora_rank ? a.q_lora_rank + q_row : in_rows, dq_stride = a.q_lora_rank ? q_row : in_rows;
  const float* q = a.q_lora_rank ? st.s.q_a_T.data() + a.q_lora_rank : st.s.in_T.data();
  if (a.q_lora_rank) st.b.d_q_a_T.resize(st.T * (q_row + a.q_lora_rank));
  float* d_q = a.q_lora_rank ? st.b.d_q_a_T.data() : st.b.d_in_T.data();
  for (int32_t h = 0; h < a.heads; ++h) {  // through the absorbed k_up: q_abs = q_nope · W, W [nope, latent]
    int64_t w = o.kv_b + int64_t(h) * (a.nope_dim + a.value_head_dim) * r;
    const float* d_absorbed = st.b.d_q_THd.data() + h * key_dim;
    input_gradient(st, {.matrix = st.packed.k_up, .offset = w, .index = h, .is_transposed = true}, d_absorbed,
                   int64_t(a.heads) * key_dim, st.T, false, d_q + h * a.head_dim, dq_stride);
    weight_gradient(st, w, q + h * a.head_dim, q_stride, a.nope_dim, {d_absorbed, int64_t(a.heads) * key_dim}, r, st.T);
  }
  for_rows(st.compute, st.T, [&](int64_t t) {
    for (int32_t h = 0; h < a.heads; ++h) {
      float* rope = d_q + t * dq_stride + h * a.head_dim + a.nope_dim;
      std::memcpy(rope, st.b.d_q_THd.data() + (t * a.heads + h) * key_dim + r, sizeof(float) * size_t(a.rope_dim));
      rotate(st.model, st.position[t], rope, -1);
    }
    float* rope =
        st.b.d_keys.data() +
        (int64_t(block_of(st.rows, st.sequence, st.position, t)) * kKeyBlock + st.position[t] % kKeyBlock) * key_dim +
        r;
    rotate(st.model, st.position[t], rope, -1);
    std::memcpy(st.b.d_in_T.data() + t * in_rows + first + r, rope, sizeof(float) * size_t(a.rope_dim));
  });
  // The latent's norm: gather the gradient of each row's key, then as any norm.
  st.b.d_values.resize(st.T * r);
  for_rows(st.compute, st.T, [&](int64_t t) {
    std::memcpy(st.b.d_values.data() + t * r,
                st.b.d_keys.data() +
                    (int64_t(block_of(st.rows, st.sequence, st.position, t)) * kKeyBlock + st.position[t] % kKeyBlock) *
                        key_dim,
                sizeof(float) * size_t(r));
  });
  norm_gradient(st, o.kv_a_norm, st.s.in_T.data() + first, in_rows, st.s.kv_inverse_T.data(), st.b.d_values.data(), r,
                r, false, st.b.d_in_T.data() + first, in_rows);
  if (!a.q_lora_rank) return;
  int64_t row = a.q_lora_rank + q_row;
  float* d_normed = st.b.d_q_a_T.data() + st.T * q_row;
  product_gradient(st, {st.packed.q_b, o.q_b, low_rank(st.adapter, &AdapterLayer::q_b)}, d_q, q_row,
                   {st.s.q_a_T.data(), row}, st.T, false, d_normed, a.q_lora_rank);
  norm_gradient(st, o.q_a_norm, st.s.in_T.data(), in_rows, st.s.q_a_inverse_T.data(), d_normed, a.q_lora_rank,
                a.q_lora_rank, false, st.b.d_in_T.data(), in_rows);
}

/// From the gradient of what attention returns to those of its queries, keys and values.
void scores_gradient(const BackwardStep& st, const float* d_out, int64_t ld) {
  const AttentionSpec& a = st.layer.attention;
  const int64_t keys = st.num_blocks * a.kv_heads * kKeyBlock;
  st.b.d_q_THd.resize(st.T * a.heads * a.key_dim());
  st.b.d_keys.resize(keys * a.key_dim());
  std::fill_n(st.b.d_keys.data(), keys * a.key_dim(), 0.0f);
  if (!a.latent) st.b.d_values.resize(keys * a.value_dim());
  if (!a.latent) std::fill_n(st.b.d_values.data(), keys * a.value_dim(), 0.0f);
  for (const Stretch& stretch : stretches_of(st.rows.sequences)) {
    st.b.p.resize(stretch.num_rows * a.heads * ld), st.b.ds.resize(stretch.num_rows * a.heads * ld);
    attention_rows(st, stretch, d_out, ld);
    attention_blocks(st, stretch, d_out, ld);
  }
  gather_copies(st);
}

}  // namespace

void attention_gradient(const BackwardStep& st, float* d_x) {
  const AttentionSpec& a = st.layer.attention;
  const LayerOffsets& o = st.layer.offsets;
  int64_t D = st.model.spec.dim, A = int64_t(a.heads) * a.value_head_dim, r = a.kv_lora_rank;
  st.b.d_attention_T.resize(st.T * A);
  bias_gradient(st, o.o_bias, d_x, D);
  product_gradient(st, {st.packed.o, o.o, low_rank(st.adapter, &AdapterLayer::o)}, d_x, D, {st.s.attention_T.data(), A},
                   st.T, false, st.b.d_attention_T.data(), A);
  const float* d_out = st.b.d_attention_T.data();
  if (a.latent) {
    st.b.d_latent_out.resize(st.T * a.heads * r);
    for (int32_t h = 0; h < a.heads; ++h) {
      int64_t w = o.kv_b + (int64_t(h) * (a.nope_dim + a.value_head_dim) + a.nope_dim) * r;
      const float* d_head = d_out + h * a.value_head_dim;
      input_gradient(st, {.matrix = st.packed.v_up, .offset = w, .index = h}, d_head, A, st.T, false,
                     st.b.d_latent_out.data() + h * r, a.heads * r);
      weight_gradient(st, w, d_head, A, a.value_head_dim, {st.s.latent_out_THr.data() + h * r, a.heads * r}, r, st.T);
    }
    d_out = st.b.d_latent_out.data();
  }
  int64_t longest = 0;
  for (const RowSpan& span : st.rows.sequences)
    longest = std::max<int64_t>(longest, span.first_position + span.num_rows);
  int64_t ld = round_up(longest, kKeyBlock);
  scores_gradient(st, d_out, ld);
  st.b.d_in_T.resize(st.T * a.in_rows());
  if (a.latent)
    latent_inputs(st);
  else
    grouped_inputs(st);
  bias_gradient(st, o.in_bias, st.b.d_in_T.data(), a.in_rows());
  product_gradient(st, {st.packed.in, o.in, low_rank(st.adapter, &AdapterLayer::in)}, st.b.d_in_T.data(), a.in_rows(),
                   {st.s.h_TD.data(), D}, st.T, false, st.b.d_h_TD.data(), D);
  norm_gradient(st, o.attention_norm, st.x_TD, D, st.s.inverse_rms_T.data(), st.b.d_h_TD.data(), D, D, true, d_x, D);
}

}  // namespace cohort
