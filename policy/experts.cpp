#include <algorithm>

#include "policy/layer_forward.h"

namespace cohort {
namespace {

/// Chooses top_k experts by score + bias among the best groups; ids ascending, weights from the unbiased scores.
void choose_experts(const MoeSpec& m, const float* scores, const float* bias, int32_t* expert, float* weight) {
  float biased[kMostExperts];
  for (int32_t e = 0; e < m.experts; ++e) biased[e] = scores[e] + (bias ? bias[e] : 0.0f);
  int32_t size = m.experts / m.groups;
  bool open[kMostGroups];
  if (m.top_groups < m.groups) {
    float group_score[kMostGroups];
    for (int32_t g = 0; g < m.groups; ++g) {
      float first = -1e30f, second = -1e30f;
      for (int32_t e = g * size; e < (g + 1) * size; ++e) {
        if (biased[e] > first)
          second = first, first = biased[e];
        else if (biased[e] > second)
          second = biased[e];
      }
      group_score[g] = m.group_by_best ? first : first + second, open[g] = false;
    }
    for (int32_t n = 0; n < m.top_groups; ++n) {
      int32_t best = -1;
      for (int32_t g = 0; g < m.groups; ++g)
        if (!open[g] && (best < 0 || group_score[g] > group_score[best])) best = g;
      open[best] = true;
    }
  }
  bool taken[kMostExperts] = {};
  for (int32_t k = 0; k < m.top_k; ++k) {  // ties to the lower id
    int32_t best = -1;
    for (int32_t e = 0; e < m.experts; ++e)
      if (!taken[e] && (m.top_groups == m.groups || open[e / size]) && (best < 0 || biased[e] > biased[best])) best = e;
    taken[best] = true;
  }
  float total = 0;
  for (int32_t e = 0, k = 0; e < m.experts; ++e)
    if (taken[e]) expert[k] = e, weight[k++] = scores[e], total += scores[e];
  for (int32_t k = 0; k < m.top_k; ++k) weight[k] = (m.normalize ? weight[k] / (total + 1e-20f) : weight[k]) * m.scale;
}

void route(const ForwardStep& st) {
  const MoeSpec& m = st.layer.moe;
  for_rows(st.compute, st.T, [&](int64_t t) {
    float* scores = st.s.scores_TE.data() + t * m.experts;
    Gemm g = product(st.model, st.packed.router);
    g.a = st.s.h2_TD.data() + t * st.model.spec.dim, g.a_row = st.model.spec.dim, g.c = scores, g.c_row = m.experts;
    for (int64_t block = 0; block < ceil_div(m.experts, kBlock); ++block) st.compute.kernels->gemm_tile(g, 0, 1, block);
    if (m.sigmoid_scores)
      st.compute.kernels->sigmoid(scores, m.experts, scores);
    else
      st.compute.kernels->softmax(scores, m.experts, scores);
    const float* bias = m.correction_bias ? st.model.at(st.layer.offsets.router_bias) : nullptr;
    choose_experts(m, scores, bias, st.s.expert_TK.data() + t * m.top_k, st.s.weight_TK.data() + t * m.top_k);
  });
}

/// Counting sort of (row, choice) by expert, rows in order within each.
void sort_by_expert(const MoeSpec& m, int64_t T, LayerState& s) {
  s.expert_begin.assign(size_t(m.experts) + 1, 0);
  for (int64_t i = 0; i < T * m.top_k; ++i) ++s.expert_begin[size_t(s.expert_TK[i]) + 1];
  for (int32_t e = 0; e < m.experts; ++e) s.expert_begin[size_t(e) + 1] += s.expert_begin[size_t(e)];
  std::vector<int64_t> next = s.expert_begin;
  for (int64_t i = 0; i < T * m.top_k; ++i) {
    int64_t slot = next[size_t(s.expert_TK[i])]++;
    s.slot_TK[i] = int32_t(slot), s.row_of_slot[slot] = int32_t(i / m.top_k);
  }
}

/// The slots of an expert: its rows of A, through row_of_slot where `gather`, and of C.
Gemm over_slots(const ForwardStep& st, Gemm g, size_t expert, const float* a, int64_t a_row, bool gather, float* c) {
  const int64_t begin = st.s.expert_begin[expert];
  g.a = gather ? a : a + begin * a_row, g.a_row = a_row;
  g.a_rows = gather ? st.s.row_of_slot.data() + begin : nullptr;
  g.c = c + begin * g.n, g.c_row = g.n;
  return g;
}

/// One product for each expert over its own slots.
void project_experts(const ForwardStep& st, const std::vector<PackedMatrix>& matrices, const float* a, int64_t a_row,
                     bool gather, float* c) {
  int64_t blocks = ceil_div(matrices[0].n, kBlock), experts = int64_t(matrices.size());
  st.compute.pool.parallel_for(experts * blocks, [&](int64_t task) {
    size_t e = size_t(task / blocks);
    const int64_t rows = st.s.expert_begin[e + 1] - st.s.expert_begin[e];
    if (!rows) return;
    st.compute.kernels->gemm_tile(over_slots(st, product(st.model, matrices[e]), e, a, a_row, gather, c), 0, rows,
                                  task % blocks);
  });
}

/// Adds what the experts' adapters give.
void add_low_rank(const ForwardStep& st, const std::vector<LowRank>& adapters, const float* a, int64_t a_row,
                  bool gather, float* c) {
  int64_t most = 0;
  for (const LowRank& r : adapters) most = std::max(most, r.rank);
  st.low_rank.resize(st.T * st.layer.moe.top_k * most);
  st.compute.pool.parallel_for(int64_t(adapters.size()), [&](int64_t task) {
    const size_t e = size_t(task);
    const LowRank& r = adapters[e];
    const int64_t begin = st.s.expert_begin[e], rows = st.s.expert_begin[e + 1] - begin;
    if (!rows || !r.rank) return;
    Gemm down = over_slots(st, product_a(*st.model.adapter, r), e, a, a_row, gather, nullptr),
         up = product_b(*st.model.adapter, r);
    down.c = st.low_rank.data() + begin * most, down.c_row = r.rank;
    for (int64_t block = 0; block < ceil_div(r.rank, kBlock); ++block)
      st.compute.kernels->gemm_tile(down, 0, rows, block);
    up.a = down.c, up.a_row = r.rank, up.c = c + begin * r.n, up.c_row = r.n, up.accumulate = true;
    for (int64_t block = 0; block < ceil_div(r.n, kBlock); ++block) st.compute.kernels->gemm_tile(up, 0, rows, block);
  });
}

}  // namespace

void mixture(const ForwardStep& st) {
  const MoeSpec& m = st.layer.moe;
  route(st);
  sort_by_expert(m, st.T, st.s);
  project_experts(st, st.packed.expert_gate_up, st.s.h2_TD.data(), st.model.spec.dim, true, st.s.expert_gate_up.data());
  if (st.adapter)
    add_low_rank(st, st.adapter->expert_gate_up, st.s.h2_TD.data(), st.model.spec.dim, true,
                 st.s.expert_gate_up.data());
  for_rows(st.compute, st.T * m.top_k, [&](int64_t slot) {
    const float* gate = st.s.expert_gate_up.data() + slot * 2 * m.expert_dim;
    st.compute.kernels->swiglu(gate, gate + m.expert_dim, m.expert_dim, st.s.expert_act.data() + slot * m.expert_dim);
  });
  project_experts(st, st.packed.expert_down, st.s.expert_act.data(), m.expert_dim, false, st.s.expert_out.data());
  if (st.adapter)
    add_low_rank(st, st.adapter->expert_down, st.s.expert_act.data(), m.expert_dim, false, st.s.expert_out.data());
}

void combine_experts(const ForwardStep& st, int64_t t, float* ffn) {
  const MoeSpec& m = st.layer.moe;
  for (int32_t k = 0; k < m.top_k; ++k)
    st.compute.kernels->add_scaled(st.s.expert_out.data() + int64_t(st.s.slot_TK[t * m.top_k + k]) * st.model.spec.dim,
                                   st.s.weight_TK[t * m.top_k + k], st.model.spec.dim, ffn);
}

}  // namespace cohort
