// What the steps of a layer's forward share (forward.cpp, experts.cpp).
#pragma once
#include "policy/forward.h"

namespace cohort {

/// A layer's pass over T rows.
struct ForwardStep {
  const CausalLM& model;
  const Compute& compute;
  const Rows& rows;
  const LayerSpec& layer;
  const PackedLayer& packed;
  KvStore::Layer& kv;
  LayerState& s;
  const float* x_TD;  // the layer's input
  const int32_t* position;
  const int32_t* sequence;
  int64_t T;
  const PackedMatrix& after;    // read first when this layer is done
  const AdapterLayer* adapter;  // null: none
  Buffer& low_rank;             // scratch: x·Aᵀ
};

/// Threads that wait fetch the front and the end of this matrix.
void reads_next(const ForwardStep& st, const PackedMatrix& matrix);
/// C = A · matrix for all rows, its adapter's part added.
void project(const ForwardStep& st, const PackedMatrix& matrix, const LowRank* adapter, const float* a, int64_t a_row,
             float* c, int64_t c_row, const float* bias = nullptr);

/// Routes the normed rows and passes each through its experts, into s.expert_out.
void mixture(const ForwardStep& st);
/// Adds row t's experts, weighed, by ascending id.
void combine_experts(const ForwardStep& st, int64_t t, float* ffn);

}  // namespace cohort
