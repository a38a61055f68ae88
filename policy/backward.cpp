#include "policy/backward.h"

#include <algorithm>
#include <cstring>

namespace cohort {

void pack_as_read(const CausalLM& model, const Compute& compute, int64_t offset, int64_t n, int64_t k, int64_t n_stride,
                  int64_t k_stride, Buffer& out) {
  out.resize(packed_size(n, k));
  pack_matrix(compute, model.at(offset), n, k, n_stride, k_stride, out.data());
  if (!model.bf16) return;
  compute.pool.parallel_for(ceil_div(n, kBlock), [&](int64_t block) {
    float* panel = out.data() + block * k * kBlock;
    for (int64_t i = 0; i < k * kBlock; ++i) panel[i] = to_float(to_bfloat16(panel[i]));
  });
}

namespace {

constexpr int64_t kSumRows = 256;  // rows of one panel of a weight gradient: 64 KB, stays in L2

/// Packs in[row(t), k] for t in [begin, end) into [K/64][end−begin][64].
void pack_rows(const Compute& compute, const float* in, int64_t in_row, const int32_t* in_rows, int64_t k,
               int64_t begin, int64_t end, float* panels) {
  int64_t count = end - begin;
  compute.pool.parallel_for(ceil_div(k, kBlock), [&](int64_t block) {
    int64_t columns = std::min<int64_t>(kBlock, k - block * kBlock);
    for (int64_t t = 0; t < count; ++t) {
      const float* from = in + int64_t(in_rows ? in_rows[begin + t] : begin + t) * in_row + block * kBlock;
      float* to = panels + (block * count + t) * kBlock;
      std::memcpy(to, from, sizeof(float) * size_t(columns));
      std::fill(to + columns, to + kBlock, 0.0f);
    }
  });
}

struct Step {
  const CausalLM& model;
  const Compute& compute;
  const Rows& rows;
  const LayerSpec& layer;
  const KvStore::Layer& kv;
  LayerState& s;
  const float* x_TD;  // the layer's input
  BackwardState& b;
  float* gradient;
  const int32_t* position;
  const int32_t* sequence;
  int64_t num_blocks, T;
};

/// d_in[t] (+)= d_out[t] · W, W = parameters at `offset`, [n, k] row-major.
void input_gradient(const Step& st, int64_t offset, int64_t n, int64_t k, const float* d_out, int64_t out_row,
                    int64_t rows, bool accumulate, float* d_in, int64_t in_row, int64_t n_stride = -1,
                    int64_t k_stride = 1) {
  if (n_stride < 0) n_stride = k;
  pack_as_read(st.model, st.compute, offset, k, n, k_stride, n_stride, st.b.weight_panels);
  gemm(st.compute,
       {.a = d_out,
        .a_row = out_row,
        .b = st.b.weight_panels.data(),
        .n = k,
        .k = n,
        .c = d_in,
        .c_row = in_row,
        .accumulate = accumulate},
       rows);
}

void weight_gradient(const Step& st, int64_t offset, const float* d_out, int64_t out_row, int64_t n, const float* in,
                     int64_t in_row, int64_t k) {
  cohort::weight_gradient(st.compute, d_out, out_row, n, in, in_row, nullptr, k, st.T, st.b.input_panels,
                          st.gradient + offset);
}

/// d_x gets the gradient through an RMS norm, and the norm's weight its own.
void norm_gradient(const Step& st, int64_t offset, const float* x, int64_t x_row, const float* inverse_rms,
                   const float* d_y, int64_t dy_row, int64_t dim, bool accumulate, float* d_x, int64_t dx_row) {
  for_rows(st.compute, st.T, [&](int64_t t) {
    st.compute.kernels->rms_norm_backward(x + t * x_row, st.model.at(offset), inverse_rms[t], d_y + t * dy_row, dim,
                                          accumulate, d_x + t * dx_row);
  });
  st.compute.pool.parallel_for(ceil_div(dim, 16), [&](int64_t i) {
    st.compute.kernels->rms_norm_weight_gradient(x, x_row, inverse_rms, d_y, dy_row, st.T, i * 16,
                                                 std::min<int64_t>(16, dim - i * 16), st.gradient + offset);
  });
}

/// d_bias += Σ_t d_out[t], rows in order; nothing where there is no bias.
void bias_gradient(const Step& st, int64_t offset, const float* d_out, int64_t n) {
  if (offset < 0) return;
  st.compute.pool.parallel_for(ceil_div(n, kKeyBlock), [&](int64_t i) {
    for (int64_t t = 0; t < st.T; ++t)
      st.compute.kernels->add_scaled(d_out + t * n + i * kKeyBlock, 1.0f,
                                     std::min<int64_t>(kKeyBlock, n - i * kKeyBlock),
                                     st.gradient + offset + i * kKeyBlock);
  });
}

/// Shared expert or dense block: d_h2 (+)= through gate, up and down.
void dense_gradient(const Step& st, const float* d_ffn, bool accumulate) {
  int32_t D = st.model.spec.dim, F = st.layer.ffn_dim();
  const LayerOffsets& o = st.layer.offsets;
  weight_gradient(st, o.down, d_ffn, D, D, st.s.act_T.data(), F, F);
  bias_gradient(st, o.down_bias, d_ffn, D);
  st.b.d_act_T.resize(st.T * F), st.b.d_gate_up_T.resize(st.T * 2 * F);
  input_gradient(st, o.down, D, F, d_ffn, D, st.T, false, st.b.d_act_T.data(), F);
  for_rows(st.compute, st.T, [&](int64_t t) {
    const float* gate = st.s.gate_up_T.data() + t * 2 * F;
    float* d_gate = st.b.d_gate_up_T.data() + t * 2 * F;
    st.compute.kernels->swiglu_backward(gate, gate + F, st.b.d_act_T.data() + t * F, F, d_gate, d_gate + F);
  });
  weight_gradient(st, o.gate_up, st.b.d_gate_up_T.data(), 2 * F, 2 * F, st.s.h2_TD.data(), D, D);
  bias_gradient(st, o.gate_up_bias, st.b.d_gate_up_T.data(), 2 * F);
  input_gradient(st, o.gate_up, 2 * F, D, st.b.d_gate_up_T.data(), 2 * F, st.T, accumulate, st.b.d_h_TD.data(), D);
}

/// ∂/∂score of the chosen weights w_k = scale · s_k / Σ s (or scale · s_k), then through the scoring function.
void router_row(const MoeSpec& m, const float* scores, const int32_t* expert, const float* d_weight, float* d_logits) {
  float total = 1e-20f, along = 0;
  for (int32_t k = 0; k < m.top_k; ++k) total += scores[expert[k]];
  for (int32_t k = 0; k < m.top_k; ++k) along += d_weight[k] * scores[expert[k]];
  float d_score[kMostChosen], mean = 0;
  for (int32_t k = 0; k < m.top_k; ++k) {
    d_score[k] = m.scale * (m.normalize ? (d_weight[k] - along / total) / total : d_weight[k]);
    mean += d_score[k] * scores[expert[k]];
  }
  for (int32_t e = 0; e < m.experts; ++e) d_logits[e] = m.sigmoid_scores ? 0.0f : -scores[e] * mean;
  for (int32_t k = 0; k < m.top_k; ++k) {
    float s = scores[expert[k]];
    d_logits[expert[k]] += m.sigmoid_scores ? d_score[k] * s * (1 - s) : d_score[k] * s;
  }
}

/// d_h2 += through the experts and the router.
void mixture_gradient(const Step& st, const float* d_ffn) {
  const MoeSpec& m = st.layer.moe;
  const LayerOffsets& o = st.layer.offsets;
  const Kernels& k = *st.compute.kernels;
  int64_t D = st.model.spec.dim, I = m.expert_dim, slots = st.T * m.top_k;
  st.b.d_expert_out.resize(slots * D), st.b.d_expert_act.resize(slots * I), st.b.d_expert_gate_up.resize(slots * 2 * I),
      st.b.d_expert_in.resize(slots * D);
  st.b.d_scores_TE.resize(st.T * m.experts);
  for_rows(st.compute, st.T, [&](int64_t t) {
    float d_weight[kMostChosen];
    for (int32_t i = 0; i < m.top_k; ++i) {
      int64_t slot = st.s.slot_TK[t * m.top_k + i];
      d_weight[i] = k.dot(d_ffn + t * D, st.s.expert_out.data() + slot * D, D);
      float* d_out = st.b.d_expert_out.data() + slot * D;
      std::memset(d_out, 0, sizeof(float) * size_t(D));
      k.add_scaled(d_ffn + t * D, st.s.weight_TK[t * m.top_k + i], D, d_out);
    }
    router_row(m, st.s.scores_TE.data() + t * m.experts, st.s.expert_TK.data() + t * m.top_k, d_weight,
               st.b.d_scores_TE.data() + t * m.experts);
  });
  for (size_t e = 0; e < o.expert_down.size(); ++e) {
    int64_t begin = st.s.expert_begin[e], rows = st.s.expert_begin[e + 1] - begin;
    if (!rows) continue;
    const float* d_out = st.b.d_expert_out.data() + begin * D;
    float *d_act = st.b.d_expert_act.data() + begin * I, *d_gate_up = st.b.d_expert_gate_up.data() + begin * 2 * I;
    cohort::weight_gradient(st.compute, d_out, D, D, st.s.expert_act.data() + begin * I, I, nullptr, I, rows,
                            st.b.input_panels, st.gradient + o.expert_down[e]);
    input_gradient(st, o.expert_down[e], D, I, d_out, D, rows, false, d_act, I);
    for_rows(st.compute, rows, [&](int64_t r) {
      const float* gate = st.s.expert_gate_up.data() + (begin + r) * 2 * I;
      k.swiglu_backward(gate, gate + I, d_act + r * I, I, d_gate_up + r * 2 * I, d_gate_up + r * 2 * I + I);
    });
    cohort::weight_gradient(st.compute, d_gate_up, 2 * I, 2 * I, st.s.h2_TD.data(), D, st.s.row_of_slot.data() + begin,
                            D, rows, st.b.input_panels, st.gradient + o.expert_gate_up[e]);
    input_gradient(st, o.expert_gate_up[e], 2 * I, D, d_gate_up, 2 * I, rows, false,
                   st.b.d_expert_in.data() + begin * D, D);
  }
  for_rows(st.compute, st.T, [&](int64_t t) {
    for (int32_t i = 0; i < m.top_k; ++i)
      k.add_scaled(st.b.d_expert_in.data() + int64_t(st.s.slot_TK[t * m.top_k + i]) * D, 1.0f, D,
                   st.b.d_h_TD.data() + t * D);
  });
  weight_gradient(st, o.router, st.b.d_scores_TE.data(), m.experts, m.experts, st.s.h2_TD.data(), D, D);
  input_gradient(st, o.router, m.experts, D, st.b.d_scores_TE.data(), m.experts, st.T, true, st.b.d_h_TD.data(), D);
}

/// Neighbouring sequences whose probabilities are kept at once: they are read again, key block by key block, and should
/// still be in the cache by then.
struct Stretch {
  std::span<const RowSpan> sequences;
  int64_t first_row = 0, num_rows = 0;
};
constexpr int64_t kStretchRows = 256;  // at least, unless fewer are left

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
std::vector<std::vector<Readers>> readers_of_blocks(const Step& st, const Stretch& stretch) {
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
void attention_rows(const Step& st, const Stretch& stretch, const float* d_out, int64_t ld) {
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
void attention_blocks(const Step& st, const Stretch& stretch, const float* d_out, int64_t ld) {
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
void gather_copies(const Step& st) {
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
  const Step& st;
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

void grouped_inputs(const Step& st) {
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

void latent_inputs(const Step& st) {
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
    input_gradient(st, w, r, a.nope_dim, d_absorbed, int64_t(a.heads) * key_dim, st.T, false, d_q + h * a.head_dim,
                   dq_stride, 1, r);
    weight_gradient(st, w, q + h * a.head_dim, q_stride, a.nope_dim, d_absorbed, int64_t(a.heads) * key_dim, r);
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
  weight_gradient(st, o.q_b, d_q, q_row, q_row, st.s.q_a_T.data(), row, a.q_lora_rank);
  float* d_normed = st.b.d_q_a_T.data() + st.T * q_row;
  input_gradient(st, o.q_b, q_row, a.q_lora_rank, d_q, q_row, st.T, false, d_normed, a.q_lora_rank);
  norm_gradient(st, o.q_a_norm, st.s.in_T.data(), in_rows, st.s.q_a_inverse_T.data(), d_normed, a.q_lora_rank,
                a.q_lora_rank, false, st.b.d_in_T.data(), in_rows);
}

/// From the gradient of what attention returns to those of its queries, keys and values.
void scores_gradient(const Step& st, const float* d_out, int64_t ld) {
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

/// d_mid [T, D] in; adds the attention's part of the gradient of the layer's input to it.
void attention_gradient(const Step& st, float* d_x) {
  const AttentionSpec& a = st.layer.attention;
  const LayerOffsets& o = st.layer.offsets;
  int64_t D = st.model.spec.dim, A = int64_t(a.heads) * a.value_head_dim, r = a.kv_lora_rank;
  weight_gradient(st, o.o, d_x, D, D, st.s.attention_T.data(), A, A);
  bias_gradient(st, o.o_bias, d_x, D);
  st.b.d_attention_T.resize(st.T * A);
  input_gradient(st, o.o, D, A, d_x, D, st.T, false, st.b.d_attention_T.data(), A);
  const float* d_out = st.b.d_attention_T.data();
  if (a.latent) {
    st.b.d_latent_out.resize(st.T * a.heads * r);
    for (int32_t h = 0; h < a.heads; ++h) {
      int64_t w = o.kv_b + (int64_t(h) * (a.nope_dim + a.value_head_dim) + a.nope_dim) * r;
      input_gradient(st, w, a.value_head_dim, r, d_out + h * a.value_head_dim, A, st.T, false,
                     st.b.d_latent_out.data() + h * r, a.heads * r);
      weight_gradient(st, w, d_out + h * a.value_head_dim, A, a.value_head_dim, st.s.latent_out_THr.data() + h * r,
                      a.heads * r, r);
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
  weight_gradient(st, o.in, st.b.d_in_T.data(), a.in_rows(), a.in_rows(), st.s.h_TD.data(), D, D);
  bias_gradient(st, o.in_bias, st.b.d_in_T.data(), a.in_rows());
  input_gradient(st, o.in, a.in_rows(), D, st.b.d_in_T.data(), a.in_rows(), st.T, false, st.b.d_h_TD.data(), D);
  norm_gradient(st, o.attention_norm, st.x_TD, D, st.s.inverse_rms_T.data(), st.b.d_h_TD.data(), D, D, true, d_x, D);
}

/// d_x [T, D]: gradient of the layer's output in, of its input out.
void layer_gradient(const Step& st, float* d_x) {
  int64_t D = st.model.spec.dim;
  st.b.d_h_TD.resize(st.T * D);
  if (st.layer.ffn_dim())
    dense_gradient(st, d_x, false);
  else
    std::fill_n(st.b.d_h_TD.data(), st.T * D, 0.0f);
  if (!st.layer.dense_dim) mixture_gradient(st, d_x);
  norm_gradient(st, st.layer.offsets.ffn_norm, st.s.mid_TD.data(), D, st.s.mid_inverse_rms_T.data(), st.b.d_h_TD.data(),
                D, D, true, d_x, D);
  attention_gradient(st, d_x);
}

}  // namespace

void weight_gradient(const Compute& compute, const float* d_out, int64_t out_row, int64_t n, const float* in,
                     int64_t in_row, const int32_t* in_rows, int64_t k, int64_t rows, Buffer& panels, float* d_weight) {
  panels.resize(packed_size(k, kSumRows));
  for (int64_t begin = 0; begin < rows; begin += kSumRows) {  // the chain goes on in d_weight
    int64_t end = std::min(rows, begin + kSumRows);
    pack_rows(compute, in, in_row, in_rows, k, begin, end, panels.data());
    gemm(compute,
         {.a = d_out + begin * out_row,
          .a_row = 1,
          .a_k = out_row,
          .b = panels.data(),
          .n = k,
          .k = end - begin,
          .c = d_weight,
          .c_row = k,
          .accumulate = true},
         n);
  }
}

int64_t backward_bytes(const ModelSpec& spec, int64_t rows, int64_t longest, int64_t num_blocks) {
  int64_t most = 0, most_panel = 0, most_inputs = 0;
  for (const LayerSpec& layer : spec.layers) {
    const AttentionSpec& a = layer.attention;
    const MoeSpec& m = layer.moe;
    const int64_t D = spec.dim, F = layer.ffn_dim(), H = a.heads, A = H * a.value_head_dim,
                  slots = layer.dense_dim ? 0 : rows * m.top_k, positions = num_blocks * kKeyBlock,
                  stretch = std::min(rows, kStretchRows + longest);
    most = std::max(most, rows * (2 * D + 3 * F + a.in_rows() + A + H * a.key_dim() + m.experts) +
                              slots * (2 * D + 3 * m.expert_dim) + 2 * stretch * H * round_up(longest, kKeyBlock) +
                              positions * a.kv_heads * a.key_dim() +
                              (a.latent ? rows * (H + 1) * a.kv_lora_rank
                                        : positions * a.kv_heads * a.value_dim() + rows * a.kv_heads * a.head_dim) +
                              (a.q_lora_rank ? rows * (H * a.head_dim + a.q_lora_rank) : 0) +
                              (a.qk_norm != QkNorm::none ? rows * (H + a.kv_heads) * a.head_dim : 0));
    for (auto [n, k] : {std::pair(a.in_rows(), int32_t(D)), std::pair(int32_t(D), int32_t(A)),
                        std::pair(int32_t(2 * F), int32_t(D)), std::pair(int32_t(D), int32_t(F))})
      most_panel = std::max(most_panel, packed_size(k, n)),
      most_inputs = std::max(most_inputs, packed_size(k, kSumRows));
  }
  return (most + most_panel + most_inputs) * int64_t(sizeof(float));
}

void backward_mtp(const CausalLM& model, const Compute& compute, const Rows& rows, const KvStore& kv,
                  ForwardState& state, MtpState& mtp, BackwardState& scratch, const float* d_mtp_TD, float* d_hidden_TD,
                  float* gradient) {
  const MtpSpec& m = *model.spec.mtp;
  const int64_t T = int64_t(rows.tokens.size()), D = model.spec.dim;
  const Step st{model,
                compute,
                rows,
                m.layer,
                kv.layers[0],
                mtp.layer,
                mtp.input_TD.data(),
                scratch,
                gradient,
                state.position_T.data(),
                state.sequence_T.data(),
                kv.num_blocks,
                T};
  scratch.d_ffn_TD.resize(T * D);
  float* d_x = scratch.d_ffn_TD.data();
  norm_gradient(st, m.final_norm, mtp.x_TD.data(), D, mtp.inverse_rms_T.data(), d_mtp_TD, D, D, false, d_x, D);
  layer_gradient(st, d_x);
  mtp.d_both_T2D.resize(T * 2 * D);
  weight_gradient(st, m.projection, d_x, D, D, mtp.both_T2D.data(), 2 * D, 2 * D);
  input_gradient(st, m.projection, D, 2 * D, d_x, D, T, false, mtp.d_both_T2D.data(), 2 * D);
  norm_gradient(st, m.hidden_norm, state.hidden_TD.data(), D, mtp.hidden_inverse_T.data(), mtp.d_both_T2D.data() + D,
                2 * D, D, true, d_hidden_TD, D);
  norm_gradient(st, m.embedding_norm, mtp.embedded_TD.data(), D, mtp.embedding_inverse_T.data(), mtp.d_both_T2D.data(),
                2 * D, D, false, d_x, D);
  compute.pool.parallel_for(ceil_div(D, 16), [&](int64_t i) {
    for (int64_t t = 0; t < T; ++t)
      if (mtp_reads_next(state, t, T))
        compute.kernels->add_scaled(d_x + t * D + i * 16, 1.0f, std::min<int64_t>(16, D - i * 16),
                                    gradient + model.spec.embedding + int64_t(rows.tokens[size_t(t) + 1]) * D + i * 16);
  });
}

void backward(const CausalLM& model, const Compute& compute, const Rows& rows, KvStore& kv, ForwardState& state,
              BackwardState& scratch, float* d_hidden_TD, float* gradient) {
  const ModelSpec& spec = model.spec;
  int64_t T = int64_t(rows.tokens.size()), D = spec.dim;
  const bool all_kept = state.kept == Activations::all;
  auto step = [&](size_t l) {
    return Step{model,
                compute,
                rows,
                spec.layers[l],
                kv.layers[l],
                state.layers[all_kept ? l : 0],
                state.inputs_TD[l].data(),
                scratch,
                gradient,
                state.position_T.data(),
                state.sequence_T.data(),
                kv.num_blocks,
                T};
  };
  scratch.d_ffn_TD.resize(T * D);
  float* d_x = scratch.d_ffn_TD.data();
  norm_gradient(step(0), spec.final_norm, state.x_TD.data(), D, state.inverse_rms_T.data(), d_hidden_TD, D, D, false,
                d_x, D);
  for (size_t l = spec.layers.size(); l-- > 0;) {
    if (!all_kept) forward_again(model, compute, rows, kv, l, state);
    layer_gradient(step(l), d_x);
  }
  // Embedding: rows in order, a task owns its columns.
  compute.pool.parallel_for(ceil_div(D, 16), [&](int64_t i) {
    for (int64_t t = 0; t < T; ++t)
      compute.kernels->add_scaled(d_x + t * D + i * 16, 1.0f, std::min<int64_t>(16, D - i * 16),
                                  gradient + spec.embedding + int64_t(rows.tokens[size_t(t)]) * D + i * 16);
  });
}

}  // namespace cohort
