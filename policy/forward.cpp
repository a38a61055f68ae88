#include "policy/layer_forward.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace cohort {
/// Threads that wait fetch the front and the end of this matrix.
void reads_next(const ForwardStep& st, const PackedMatrix& matrix) {
  const Gemm g = product(st.model, matrix);
  const int64_t blocks = ceil_div(matrix.n, kBlock);
  st.compute.pool.reads_next(g.b, blocks * (g.b_is_bf16 ? coded_block_bytes(matrix.k) : matrix.k * kBlock * 4));
}

void project(const ForwardStep& st, const PackedMatrix& matrix, const LowRank* adapter, const float* a, int64_t a_row,
             float* c, int64_t c_row, const float* bias) {
  Gemm g = product(st.model, matrix);
  g.a = a, g.a_row = a_row, g.c = c, g.c_row = c_row, g.bias = bias;
  gemm(st.compute, g, st.T);
  if (!adapter) return;
  st.low_rank.resize(st.T * adapter->rank);
  Gemm down = product_a(*st.model.adapter, *adapter), up = product_b(*st.model.adapter, *adapter);
  down.a = a, down.a_row = a_row, down.c = st.low_rank.data(), down.c_row = adapter->rank;
  gemm(st.compute, down, st.T);
  up.a = st.low_rank.data(), up.a_row = adapter->rank, up.c = c, up.c_row = c_row, up.accumulate = true;
  gemm(st.compute, up, st.T);
}

namespace {

const float* bias_at(const ForwardStep& st, int64_t offset) {
  return offset >= 0 ? st.model.at(offset) : nullptr;
}

/// One product for each head: C[t, h] = A[t, h] · matrix[h].
void project_heads(const ForwardStep& st, const PackedMatrix& matrix, const float* a, int64_t a_row, int64_t a_head,
                   float* c, int64_t c_row, int64_t c_head) {
  int64_t blocks = ceil_div(matrix.n, kBlock), chunk = 48, chunks = ceil_div(st.T, chunk);
  st.compute.pool.parallel_for(matrix.count * blocks * chunks, [&](int64_t task) {
    int64_t head = task / (blocks * chunks), block = task / chunks % blocks, begin = task % chunks * chunk;
    Gemm g = product(st.model, matrix, head);
    g.a = a + head * a_head, g.a_row = a_row, g.c = c + head * c_head, g.c_row = c_row;
    st.compute.kernels->gemm_tile(g, begin, std::min(st.T, begin + chunk), block);
  });
}

/// A column of 16 lanes apart, and a row: one key written both ways.
void put_column(float* block, int32_t lane, const float* x, int32_t dim) {
  for (int32_t d = 0; d < dim; ++d) block[d * kKeyBlock + lane] = x[d];
}
void put_row(float* block, int32_t lane, const float* x, int32_t dim) {
  std::memcpy(block + int64_t(lane) * dim, x, sizeof(float) * size_t(dim));
}

/// The norm of row t's queries or keys, in place: `norms` rows of `dim` elements; 1 / rms goes to inverse [norms, T].
void norm_heads(const ForwardStep& st, int64_t t, int64_t weight, int32_t norms, int32_t dim, float* x,
                Buffer& inverse) {
  for (int32_t n = 0; n < norms; ++n, x += dim)
    inverse[n * st.T + t] = st.compute.kernels->rms_norm(x, st.model.at(weight), dim, st.model.spec.norm_epsilon, x);
}

/// Row t's queries from x [H, head_dim], in place: normed where the family does so, and rotated; keys alike.
void turn(const ForwardStep& st, int64_t t, bool is_key, float* x) {
  const AttentionSpec& a = st.layer.attention;
  const int32_t heads = is_key ? a.kv_heads : a.heads, norms = is_key ? a.k_norms() : a.q_norms();
  const int64_t weight = is_key ? st.layer.offsets.k_norm : st.layer.offsets.q_norm;
  const bool has_norm = a.qk_norm != QkNorm::none, after = a.qk_norm == QkNorm::heads_after_rope;
  Buffer& inverse = is_key ? st.s.k_inverse : st.s.q_inverse;
  if (has_norm && !after) norm_heads(st, t, weight, norms, heads * a.head_dim / norms, x, inverse);
  for (int32_t h = 0; h < heads; ++h) rotate(st.model, st.position[t], x + h * a.head_dim);
  if (after) norm_heads(st, t, weight, norms, heads * a.head_dim / norms, x, inverse);
}

/// Grouped-query: norms and rotates q and k; writes keys and values into their blocks.
void place_grouped(const ForwardStep& st) {
  const AttentionSpec& a = st.layer.attention;
  int32_t d = a.head_dim, G = a.kv_heads;
  for_rows(st.compute, st.T, [&](int64_t t) {
    const float* in = st.s.in_T.data() + t * a.in_rows();
    float* q = st.s.q_THd.data() + t * a.heads * d;
    std::memcpy(q, in, sizeof(float) * size_t(a.heads * d));
    turn(st, t, false, q);
    float* keys = st.s.k_TGd.data() + t * G * d;
    std::memcpy(keys, in + a.heads * d, sizeof(float) * size_t(G * d));
    turn(st, t, true, keys);
    int32_t block = block_of(st.rows, st.sequence, st.position, t), lane = st.position[t] % kKeyBlock;
    for (int32_t g = 0; g < G; ++g) {
      const float* key = keys + g * d;
      const float* value = in + (a.heads + G + g) * d;
      int64_t at = (int64_t(block) * G + g) * kKeyBlock * d;
      put_column(st.kv.keys.data() + at, lane, key, d);
      put_row(st.kv.values.data() + at, lane, value, d);
      if (st.kv.key_rows.size())
        put_row(st.kv.key_rows.data() + at, lane, key, d), put_column(st.kv.values_t.data() + at, lane, value, d);
    }
  });
}

/// Latent: norms the latent, rotates the shared key and the queries' rope parts, absorbs k_up into the queries.
void place_latent(const ForwardStep& st) {
  const AttentionSpec& a = st.layer.attention;
  const LayerOffsets& o = st.layer.offsets;
  int32_t in_rows = a.in_rows(), first = in_rows - a.kv_lora_rank - a.rope_dim, key_dim = a.key_dim(),
          q_row = a.heads * a.head_dim;
  const float* q = st.s.in_T.data();  // [T, H, nope + rope], inside `in` or behind q_b
  if (a.q_lora_rank) {
    for_rows(st.compute, st.T, [&](int64_t t) {
      st.s.q_a_inverse_T[t] =
          st.compute.kernels->rms_norm(st.s.in_T.data() + t * in_rows, st.model.at(o.q_a_norm), a.q_lora_rank,
                                       a.lora_norm_epsilon, st.s.q_a_T.data() + t * (a.q_lora_rank + q_row));
    });
    project(st, st.packed.q_b, low_rank(st.adapter, &AdapterLayer::q_b), st.s.q_a_T.data(), a.q_lora_rank + q_row,
            st.s.q_a_T.data() + a.q_lora_rank, a.q_lora_rank + q_row);
    q = st.s.q_a_T.data() + a.q_lora_rank;
  }
  int64_t q_stride = a.q_lora_rank ? a.q_lora_rank + q_row : in_rows;
  project_heads(st, st.packed.k_up, q, q_stride, a.head_dim, st.s.q_THd.data(), int64_t(a.heads) * key_dim, key_dim);
  for_rows(st.compute, st.T, [&](int64_t t) {
    for (int32_t h = 0; h < a.heads; ++h) {
      float* rope = st.s.q_THd.data() + (t * a.heads + h) * key_dim + a.kv_lora_rank;
      std::memcpy(rope, q + t * q_stride + h * a.head_dim + a.nope_dim, sizeof(float) * size_t(a.rope_dim));
      rotate(st.model, st.position[t], rope);
    }
    float key[kMostLatent];
    const float* latent = st.s.in_T.data() + t * in_rows + first;
    st.s.kv_inverse_T[t] =
        st.compute.kernels->rms_norm(latent, st.model.at(o.kv_a_norm), a.kv_lora_rank, a.lora_norm_epsilon, key);
    std::memcpy(key + a.kv_lora_rank, latent + a.kv_lora_rank, sizeof(float) * size_t(a.rope_dim));
    rotate(st.model, st.position[t], key + a.kv_lora_rank);
    int64_t at = int64_t(block_of(st.rows, st.sequence, st.position, t)) * kKeyBlock * key_dim;
    put_column(st.kv.keys.data() + at, st.position[t] % kKeyBlock, key, key_dim);
    put_row(st.kv.values.data() + at, st.position[t] % kKeyBlock, key, key_dim);
  });
}

void attention(const ForwardStep& st, Buffer& scratch) {
  const AttentionSpec& a = st.layer.attention;
  int32_t G = a.kv_heads, heads = a.heads / G;
  int64_t longest = 0;
  for (const RowSpan& span : st.rows.sequences)
    longest = std::max<int64_t>(longest, span.first_position + span.num_rows);
  // Scratch is by task: a task is a few neighbouring rows of one key/value head.
  int64_t per_task = heads * round_up(longest, kKeyBlock),
          rows_per_task = std::clamp<int64_t>(st.T / (8 * st.compute.pool.num_threads()), 1, 8),
          tasks = ceil_div(st.T, rows_per_task) * G;
  scratch.resize(per_task * tasks);
  st.compute.pool.parallel_for(tasks, [&](int64_t task) {
    int64_t g = task % G;
    for (int64_t t = task / G * rows_per_task; t < std::min(st.T, (task / G + 1) * rows_per_task); ++t) {
      Attend row = attend_row(a, st.rows, st.kv, st.s, st.sequence[t], st.position[t], t, g);
      row.scores = scratch.data() + task * per_task;
      if (t + 1 < st.T && st.sequence[t + 1] != st.sequence[t]) {  // decoding: every row has keys of its own
        row.next_blocks = st.rows.sequences[size_t(st.sequence[t + 1])].blocks;
        row.next_num_keys = st.position[t + 1] + 1;
      }
      st.compute.kernels->attend(row);
    }
  });
  if (a.latent)
    project_heads(st, st.packed.v_up, st.s.latent_out_THr.data(), int64_t(a.heads) * a.value_dim(), a.value_dim(),
                  st.s.attention_T.data(), int64_t(a.heads) * a.value_head_dim, a.value_head_dim);
}

/// Feed-forward of the normed rows into ffn_TD: dense or shared expert first, then the routed ones by ascending id.
void feed_forward(const ForwardStep& st, float* ffn_TD) {
  int32_t D = st.model.spec.dim, F = st.layer.ffn_dim();
  if (!st.layer.dense_dim) mixture(st);
  if (F) {
    const LayerOffsets& o = st.layer.offsets;
    reads_next(st, st.packed.down);
    project(st, st.packed.gate_up, low_rank(st.adapter, &AdapterLayer::gate_up), st.s.h2_TD.data(), D,
            st.s.gate_up_T.data(), 2 * F, bias_at(st, o.gate_up_bias));
    for_rows(st.compute, st.T, [&](int64_t t) {
      const float* gate = st.s.gate_up_T.data() + t * 2 * F;
      st.compute.kernels->swiglu(gate, gate + F, F, st.s.act_T.data() + t * F);
    });
    reads_next(st, st.after);
    project(st, st.packed.down, low_rank(st.adapter, &AdapterLayer::down), st.s.act_T.data(), F, ffn_TD, D,
            bias_at(st, o.down_bias));
  } else {
    std::memset(ffn_TD, 0, sizeof(float) * size_t(st.T * D));
  }
}

void resize(LayerState& s, const ModelSpec& spec, const LayerSpec& layer, int64_t T) {
  const AttentionSpec& a = layer.attention;
  const MoeSpec& m = layer.moe;
  int64_t D = spec.dim, F = layer.ffn_dim(), H = a.heads;
  s.inverse_rms_T.resize(T), s.h_TD.resize(T * D), s.in_T.resize(T * a.in_rows());
  if (a.q_lora_rank) s.q_a_T.resize(T * (a.q_lora_rank + H * a.head_dim)), s.q_a_inverse_T.resize(T);
  if (a.latent) s.kv_inverse_T.resize(T), s.latent_out_THr.resize(T * H * a.value_dim());
  if (!a.latent) s.k_TGd.resize(T * a.kv_heads * a.head_dim);
  if (a.qk_norm != QkNorm::none) s.q_inverse.resize(T * a.q_norms()), s.k_inverse.resize(T * a.k_norms());
  s.q_THd.resize(T * H * a.key_dim()), s.max_TH.resize(T * H), s.sum_TH.resize(T * H),
      s.attention_T.resize(T * H * a.value_head_dim);
  s.mid_TD.resize(T * D), s.mid_inverse_rms_T.resize(T), s.h2_TD.resize(T * D);
  s.gate_up_T.resize(T * 2 * F), s.act_T.resize(T * F);
  if (layer.dense_dim) return;
  int64_t slots = T * m.top_k;
  s.scores_TE.resize(T * m.experts), s.weight_TK.resize(slots), s.expert_TK.resize(slots), s.slot_TK.resize(slots),
      s.row_of_slot.resize(slots);
  s.expert_gate_up.resize(slots * 2 * m.expert_dim), s.expert_act.resize(slots * m.expert_dim),
      s.expert_out.resize(slots * D);
}

/// One layer: x_TD in; the result goes to next_TD ([T, D], may be the same memory).
void layer_forward(const ForwardStep& st, ForwardState& state, float* next_TD) {
  const Kernels& k = *st.compute.kernels;
  int32_t D = st.model.spec.dim;
  const AttentionSpec& a = st.layer.attention;
  const LayerOffsets& o = st.layer.offsets;
  for_rows(st.compute, st.T, [&](int64_t t) {
    st.s.inverse_rms_T[t] = k.rms_norm(st.x_TD + t * D, st.model.at(o.attention_norm), D, st.model.spec.norm_epsilon,
                                       st.s.h_TD.data() + t * D);
  });
  reads_next(st, st.packed.o);
  project(st, st.packed.in, low_rank(st.adapter, &AdapterLayer::in), st.s.h_TD.data(), D, st.s.in_T.data(), a.in_rows(),
          bias_at(st, o.in_bias));
  if (a.latent)
    place_latent(st);
  else
    place_grouped(st);
  for (const TailCopy& copy : st.rows.copies) copy_lanes(st.kv, a, copy);
  attention(st, state.scores);
  if (st.layer.ffn_dim()) reads_next(st, st.packed.gate_up);
  project(st, st.packed.o, low_rank(st.adapter, &AdapterLayer::o), st.s.attention_T.data(),
          int64_t(a.heads) * a.value_head_dim, st.s.mid_TD.data(), D, bias_at(st, o.o_bias));
  for_rows(st.compute, st.T, [&](int64_t t) {
    float* mid = st.s.mid_TD.data() + t * D;
    k.add(st.x_TD + t * D, mid, D, mid);
    st.s.mid_inverse_rms_T[t] =
        k.rms_norm(mid, st.model.at(o.ffn_norm), D, st.model.spec.norm_epsilon, st.s.h2_TD.data() + t * D);
  });
  feed_forward(st, state.ffn_TD.data());
  for_rows(st.compute, st.T, [&](int64_t t) {
    float* ffn = state.ffn_TD.data() + t * D;
    if (!st.layer.dense_dim) combine_experts(st, t, ffn);
    k.add(st.s.mid_TD.data() + t * D, ffn, D, next_TD + t * D);
  });
}

/// Position and sequence of every row.
int64_t number_rows(const Rows& rows, ForwardState& state) {
  int64_t T = int64_t(rows.tokens.size());
  int64_t longest = 0;
  state.position_T.resize(T), state.sequence_T.resize(T);
  for (size_t i = 0; i < rows.sequences.size(); ++i) {
    const RowSpan& span = rows.sequences[i];
    for (int64_t r = 0; r < span.num_rows; ++r) {
      state.position_T[span.first_row + r] = span.first_position + int32_t(r);
      state.sequence_T[span.first_row + r] = int32_t(i);
    }
    longest = std::max<int64_t>(longest, span.first_position + span.num_rows);
  }
  return longest;
}

}  // namespace

Attend attend_row(const AttentionSpec& a, const Rows& rows, const KvStore::Layer& kv, LayerState& s, int32_t sequence,
                  int32_t position, int64_t t, int64_t g) {
  const int32_t heads = a.heads / a.kv_heads, key_dim = a.key_dim(), value_dim = a.value_dim(),
                value_row = a.latent ? key_dim : value_dim;
  const int64_t head = t * a.heads + g * heads;
  Buffer& out = a.latent ? s.latent_out_THr : s.attention_T;
  return {.q = s.q_THd.data() + head * key_dim,
          .blocks = rows.sequences[size_t(sequence)].blocks,
          .keys = kv.keys.data() + g * kKeyBlock * key_dim,
          .values = kv.values.data() + g * kKeyBlock * value_row,
          .key_stride = int64_t(a.kv_heads) * kKeyBlock * key_dim,
          .value_stride = int64_t(a.kv_heads) * kKeyBlock * value_row,
          .value_row = value_row,
          .heads = heads,
          .key_dim = key_dim,
          .value_dim = value_dim,
          .first_key = a.first_key(position),
          .num_keys = position + 1,
          .scale = a.scale,
          .out = out.data() + head * value_dim,
          .max = s.max_TH.data() + head,
          .sum = s.sum_TH.data() + head};
}

static ForwardStep step_of(const CausalLM& model, const Compute& compute, const Rows& rows, KvStore& kv, size_t l,
                           ForwardState& state) {
  const bool is_last = l + 1 == model.spec.layers.size();
  return {model,
          compute,
          rows,
          model.spec.layers[l],
          model.layers[l],
          kv.of(l),
          state.layers[state.kept == Activations::all ? l : 0],
          state.inputs_TD[state.kept == Activations::none ? 0 : l].data(),
          state.position_T.data(),
          state.sequence_T.data(),
          int64_t(rows.tokens.size()),
          is_last ? model.head : model.layers[l + 1].in,
          model.adapter ? &model.adapter->layers[l] : nullptr,
          state.low_rank};
}

int64_t activation_bytes(const ModelSpec& spec, Activations kept, int64_t rows) {
  int64_t most = 0, all = 0;
  for (const LayerSpec& layer : spec.layers) {
    LayerState s;  // never touched, it takes no memory
    resize(s, spec, layer, rows);
    int64_t bytes = s.expert_TK.bytes() + s.slot_TK.bytes() + s.row_of_slot.bytes();
    for (const Buffer* b : {&s.inverse_rms_T,  &s.h_TD,           &s.in_T,       &s.q_a_T,
                            &s.q_a_inverse_T,  &s.kv_inverse_T,   &s.q_inverse,  &s.k_inverse,
                            &s.q_THd,          &s.k_TGd,          &s.max_TH,     &s.sum_TH,
                            &s.latent_out_THr, &s.attention_T,    &s.mid_TD,     &s.mid_inverse_rms_T,
                            &s.h2_TD,          &s.gate_up_T,      &s.act_T,      &s.scores_TE,
                            &s.weight_TK,      &s.expert_gate_up, &s.expert_act, &s.expert_out})
      bytes += b->bytes();
    most = std::max(most, bytes), all += bytes;
  }
  const int64_t inputs = kept == Activations::none ? 1 : int64_t(spec.layers.size());
  return (kept == Activations::all ? all : most) + (inputs + 3) * rows * spec.dim * int64_t(sizeof(float));
}

void forward_again(const CausalLM& model, const Compute& compute, const Rows& rows, KvStore& kv, size_t layer,
                   ForwardState& state) {
  resize(state.layers[0], model.spec, model.spec.layers[layer], int64_t(rows.tokens.size()));
  layer_forward(step_of(model, compute, rows, kv, layer, state), state, state.ffn_TD.data());
}

void forward(const CausalLM& model, const Compute& compute, const Rows& rows, KvStore& kv, Activations keep,
             ForwardState& state, std::span<uint16_t> routing) {
  const ModelSpec& spec = model.spec;
  int64_t T = int64_t(rows.tokens.size()), D = spec.dim, moe_layers = spec.moe_layers(), moe = 0;
  if (number_rows(rows, state) > model.rope_positions)
    throw std::logic_error("[forward] a position lies beyond the rope table: call extend_rope first");
  const size_t num_layers = spec.layers.size();
  state.kept = keep;
  const size_t inputs = keep == Activations::none ? 1 : num_layers, layers = keep == Activations::all ? num_layers : 1;
  if (state.inputs_TD.size() < inputs) state.inputs_TD.resize(inputs);  // never fewer: memory is kept for the next pass
  if (state.layers.size() < layers) state.layers.resize(layers);
  for (size_t l = 0; l < inputs; ++l) state.inputs_TD[l].resize(T * D);
  state.x_TD.resize(T * D), state.inverse_rms_T.resize(T), state.hidden_TD.resize(T * D), state.ffn_TD.resize(T * D);
  state.expert_load.clear();
  for_rows(compute, T, [&](int64_t t) { embed(model, rows.tokens[size_t(t)], state.inputs_TD[0].data() + t * D); });
  for (size_t l = 0; l < num_layers; ++l) {
    LayerState& s = state.layers[keep == Activations::all ? l : 0];
    resize(s, spec, spec.layers[l], T);
    Buffer& next = l + 1 == num_layers ? state.x_TD : state.inputs_TD[keep == Activations::none ? 0 : l + 1];
    layer_forward(step_of(model, compute, rows, kv, l, state), state, next.data());
    if (spec.layers[l].dense_dim) continue;
    const MoeSpec& m = spec.layers[l].moe;
    for (int32_t e = 0; e < m.experts; ++e)
      state.expert_load.push_back(double(s.expert_begin[size_t(e) + 1] - s.expert_begin[size_t(e)]));
    for (int64_t i = 0; !routing.empty() && i < T * m.top_k; ++i)
      routing[size_t((i / m.top_k * moe_layers + moe) * m.top_k + i % m.top_k)] = uint16_t(s.expert_TK[i]);
    ++moe;
  }
  for_rows(compute, T, [&](int64_t t) {
    state.inverse_rms_T[t] = compute.kernels->rms_norm(state.x_TD.data() + t * D, model.at(spec.final_norm), D,
                                                       spec.norm_epsilon, state.hidden_TD.data() + t * D);
  });
}

void forward_mtp(const CausalLM& model, const Compute& compute, const Rows& rows, KvStore& kv, ForwardState& state,
                 MtpState& mtp) {
  const MtpSpec& m = *model.spec.mtp;
  const Kernels& k = *compute.kernels;
  const int64_t T = int64_t(rows.tokens.size()), D = model.spec.dim;
  const float epsilon = model.spec.norm_epsilon;
  for (Buffer* b : {&mtp.embedded_TD, &mtp.input_TD, &mtp.x_TD, &mtp.hidden_TD}) b->resize(T * D);
  for (Buffer* b : {&mtp.embedding_inverse_T, &mtp.hidden_inverse_T, &mtp.inverse_rms_T}) b->resize(T);
  mtp.both_T2D.resize(T * 2 * D);
  resize(mtp.layer, model.spec, m.layer, T);
  for_rows(compute, T, [&](int64_t t) {
    float *embedded = mtp.embedded_TD.data() + t * D, *both = mtp.both_T2D.data() + t * 2 * D;
    if (mtp_reads_next(state, t, T))
      embed(model, rows.tokens[size_t(t) + 1], embedded);
    else
      std::fill_n(embedded, D, 0.0f);
    mtp.embedding_inverse_T[t] = k.rms_norm(embedded, model.at(m.embedding_norm), int32_t(D), epsilon, both);
    mtp.hidden_inverse_T[t] =
        k.rms_norm(state.hidden_TD.data() + t * D, model.at(m.hidden_norm), int32_t(D), epsilon, both + D);
  });
  const ForwardStep st{model,
                       compute,
                       rows,
                       m.layer,
                       model.mtp.layer,
                       kv.layers[0],
                       mtp.layer,
                       mtp.input_TD.data(),
                       state.position_T.data(),
                       state.sequence_T.data(),
                       T,
                       model.head,
                       nullptr,
                       state.low_rank};
  project(st, model.mtp.projection, nullptr, mtp.both_T2D.data(), 2 * D, mtp.input_TD.data(), D);
  layer_forward(st, state, mtp.x_TD.data());
  for_rows(compute, T, [&](int64_t t) {
    mtp.inverse_rms_T[t] =
        k.rms_norm(mtp.x_TD.data() + t * D, model.at(m.final_norm), int32_t(D), epsilon, mtp.hidden_TD.data() + t * D);
  });
}

void logits(const CausalLM& model, const Compute& compute, const float* hidden_TD, const int32_t* row_index,
            int64_t count, float* logits_NV) {
  Gemm g = product(model, model.head);
  g.a = hidden_TD, g.a_row = model.spec.dim, g.a_rows = row_index, g.c = logits_NV, g.c_row = model.spec.vocab;
  gemm(compute, g, count);
}

}  // namespace cohort
