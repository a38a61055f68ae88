// What the steps of a layer's backward pass share (backward.cpp, backward_attention.cpp).
#pragma once
#include "policy/backward.h"

namespace cohort {

constexpr int64_t kStretchRows = 256;  // of which attention keeps probabilities, at least, unless fewer are left

/// A layer's pass over T rows.
struct BackwardStep {
  const CausalLM& model;
  const Compute& compute;
  const Rows& rows;
  const LayerSpec& layer;
  const PackedLayer& packed;
  const AdapterLayer* adapter;  // null: all parameters are learned
  const KvStore::Layer& kv;
  LayerState& s;
  const float* x_TD;  // the layer's input
  BackwardState& b;
  float* gradient;  // in the layout of trained_values(model)
  const int32_t* position;
  const int32_t* sequence;
  int64_t num_blocks, T;
};

inline BackwardStep backward_step(const CausalLM& model, const Compute& compute, const Rows& rows,
                                  const LayerSpec& layer, const PackedLayer& packed, const KvStore::Layer& kv,
                                  const ForwardState& state, LayerState& s, const float* x_TD, BackwardState& b,
                                  float* gradient, int64_t num_blocks) {
  return {.model = model,
          .compute = compute,
          .rows = rows,
          .layer = layer,
          .packed = packed,
          .adapter = nullptr,
          .kv = kv,
          .s = s,
          .x_TD = x_TD,
          .b = b,
          .gradient = gradient,
          .position = state.position_T.data(),
          .sequence = state.sequence_T.data(),
          .num_blocks = num_blocks,
          .T = int64_t(rows.tokens.size())};
}

/// A matrix [n, k] where the store holds it and where the parameters do: row-major at `offset`, or [k, n].
struct Weight {
  const PackedMatrix& matrix;
  int64_t offset;
  const LowRank* adapter = nullptr;
  int64_t index = 0;  // among matrix.count
  bool is_transposed = false;
};

/// What a product took in: row t is x[row(t)], row(t) = rows[t] or t.
struct Inputs {
  const float* x;
  int64_t row;
  const int32_t* rows = nullptr;
};

/// Through C = x · Wᵀ over so many rows: the gradients of W, or of its adapter, and d_in (+)= that of x.
void product_gradient(const BackwardStep& st, const Weight& weight, const float* d_out, int64_t out_row,
                      const Inputs& inputs, int64_t rows, bool accumulate, float* d_in, int64_t in_row);

/// The two halves of it, without an adapter; nothing is learned of frozen weights.
void input_gradient(const BackwardStep& st, const Weight& weight, const float* d_out, int64_t out_row, int64_t rows,
                    bool accumulate, float* d_in, int64_t in_row);
void weight_gradient(const BackwardStep& st, int64_t offset, const float* d_out, int64_t out_row, int64_t n,
                     const Inputs& inputs, int64_t k, int64_t rows);

/// d_x gets the gradient through an RMS norm, and the norm's weight its own.
void norm_gradient(const BackwardStep& st, int64_t offset, const float* x, int64_t x_row, const float* inverse_rms,
                   const float* d_y, int64_t dy_row, int64_t dim, bool accumulate, float* d_x, int64_t dx_row);

/// d_bias += Σ_t d_out[t], rows in order; nothing where there is no bias.
void bias_gradient(const BackwardStep& st, int64_t offset, const float* d_out, int64_t n);

/// d_x [T, D]: gradient of what attention's output was added to; adds the attention's part of the gradient of the
/// layer's input to it.
void attention_gradient(const BackwardStep& st, float* d_x);
}  // namespace cohort
