#include "policy/layer_backward.h"

#include <algorithm>
#include <cstring>

namespace cohort {
namespace {

/// Shared expert or dense block: d_h2 (+)= through gate, up and down.
void dense_gradient(const BackwardStep& st, const float* d_ffn, bool accumulate) {
  int32_t D = st.model.spec.dim, F = st.layer.ffn_dim();
  const LayerOffsets& o = st.layer.offsets;
  st.b.d_act_T.resize(st.T * F), st.b.d_gate_up_T.resize(st.T * 2 * F);
  bias_gradient(st, o.down_bias, d_ffn, D);
  product_gradient(st, {st.packed.down, o.down, low_rank(st.adapter, &AdapterLayer::down)}, d_ffn, D,
                   {st.s.act_T.data(), F}, st.T, false, st.b.d_act_T.data(), F);
  for_rows(st.compute, st.T, [&](int64_t t) {
    const float* gate = st.s.gate_up_T.data() + t * 2 * F;
    float* d_gate = st.b.d_gate_up_T.data() + t * 2 * F;
    st.compute.kernels->swiglu_backward(gate, gate + F, st.b.d_act_T.data() + t * F, F, d_gate, d_gate + F);
  });
  bias_gradient(st, o.gate_up_bias, st.b.d_gate_up_T.data(), 2 * F);
  product_gradient(st, {st.packed.gate_up, o.gate_up, low_rank(st.adapter, &AdapterLayer::gate_up)},
                   st.b.d_gate_up_T.data(), 2 * F, {st.s.h2_TD.data(), D}, st.T, accumulate, st.b.d_h_TD.data(), D);
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
void mixture_gradient(const BackwardStep& st, const float* d_ffn) {
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
    product_gradient(st,
                     {st.packed.expert_down[e], o.expert_down[e], low_rank(st.adapter, &AdapterLayer::expert_down, e)},
                     d_out, D, {st.s.expert_act.data() + begin * I, I}, rows, false, d_act, I);
    for_rows(st.compute, rows, [&](int64_t r) {
      const float* gate = st.s.expert_gate_up.data() + (begin + r) * 2 * I;
      k.swiglu_backward(gate, gate + I, d_act + r * I, I, d_gate_up + r * 2 * I, d_gate_up + r * 2 * I + I);
    });
    product_gradient(
        st, {st.packed.expert_gate_up[e], o.expert_gate_up[e], low_rank(st.adapter, &AdapterLayer::expert_gate_up, e)},
        d_gate_up, 2 * I, {st.s.h2_TD.data(), D, st.s.row_of_slot.data() + begin}, rows, false,
        st.b.d_expert_in.data() + begin * D, D);
  }
  for_rows(st.compute, st.T, [&](int64_t t) {
    for (int32_t i = 0; i < m.top_k; ++i)
      k.add_scaled(st.b.d_expert_in.data() + int64_t(st.s.slot_TK[t * m.top_k + i]) * D, 1.0f, D,
                   st.b.d_h_TD.data() + t * D);
  });
  product_gradient(st, {st.packed.router, o.router}, st.b.d_scores_TE.data(), m.experts, {st.s.h2_TD.data(), D}, st.T,
                   true, st.b.d_h_TD.data(), D);
}

/// d_x [T, D]: gradient of the layer's output in, of its input out.
void layer_gradient(const BackwardStep& st, float* d_x) {
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
  const BackwardStep st = backward_step(model, compute, rows, m.layer, model.mtp.layer, kv.layers[0], state, mtp.layer,
                                        mtp.input_TD.data(), scratch, gradient, kv.num_blocks);
  scratch.d_ffn_TD.resize(T * D);
  float* d_x = scratch.d_ffn_TD.data();
  norm_gradient(st, m.final_norm, mtp.x_TD.data(), D, mtp.inverse_rms_T.data(), d_mtp_TD, D, D, false, d_x, D);
  layer_gradient(st, d_x);
  mtp.d_both_T2D.resize(T * 2 * D);
  product_gradient(st, {model.mtp.projection, m.projection}, d_x, D, {mtp.both_T2D.data(), 2 * D}, T, false,
                   mtp.d_both_T2D.data(), 2 * D);
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
    BackwardStep st =
        backward_step(model, compute, rows, spec.layers[l], model.layers[l], kv.of(l), state,
                      state.layers[all_kept ? l : 0], state.inputs_TD[l].data(), scratch, gradient, kv.num_blocks);
    st.adapter = model.adapter ? &model.adapter->layers[l] : nullptr;
    return st;
  };
  scratch.d_ffn_TD.resize(T * D);
  float* d_x = scratch.d_ffn_TD.data();
  norm_gradient(step(0), spec.final_norm, state.x_TD.data(), D, state.inverse_rms_T.data(), d_hidden_TD, D, D, false,
                d_x, D);
  for (size_t l = spec.layers.size(); l-- > 0;) {
    if (!all_kept) forward_again(model, compute, rows, kv, l, state);
    layer_gradient(step(l), d_x);
  }
  if (model.adapter) return;
  // Embedding: rows in order, a task owns its columns.
  compute.pool.parallel_for(ceil_div(D, 16), [&](int64_t i) {
    for (int64_t t = 0; t < T; ++t)
      compute.kernels->add_scaled(d_x + t * D + i * 16, 1.0f, std::min<int64_t>(16, D - i * 16),
                                  gradient + spec.embedding + int64_t(rows.tokens[size_t(t)]) * D + i * 16);
  });
}

}  // namespace cohort
