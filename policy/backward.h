// Gradients of the forward by hand, deterministic: every sum has an order that is a function of shape alone, so any
// number of threads gives the same bits. Oracle: LibTorch autograd over policy/reference.cpp.
#pragma once
#include "policy/forward.h"

namespace cohort {

/// Packs element (n, k) = parameters[offset + n · n_stride + k · k_stride] in fp32, with the values that the forward
/// reads: rounded where the store is bf16.
void pack_as_read(const CausalLM& model, const Compute& compute, int64_t offset, int64_t n, int64_t k, int64_t n_stride,
                  int64_t k_stride, Buffer& out);

/// The same values of a matrix out of the packed store, as k rows of n: panels for a product with its transpose.
void pack_transposed(const CausalLM& model, const Compute& compute, const PackedMatrix& matrix, int64_t index,
                     Buffer& out);

constexpr int64_t kSumRows = 256;  // rows of one panel of a weight gradient: 64 KB, stays in L2

/// Scratch that lives from one backward pass to the next.
struct BackwardState {
  Buffer weight_panels, input_panels;  // packed operands of the two products
  Buffer d_ffn_TD, d_h_TD, d_mid_T, d_act_T, d_gate_up_T;
  Buffer d_k_TGd, rotated;  // grouped-query
  Buffer d_attention_T, d_latent_out, d_q_THd, d_in_T, d_q_a_T, p, ds, d_keys, d_values;
  Buffer d_expert_out, d_expert_act, d_expert_gate_up, d_expert_in, d_scores_TE;
  Buffer low_rank;  // x·Aᵀ of an adapter and its gradient
};

/// Bytes of BackwardState after a pass over so many rows of sequences with at most `longest` positions.
int64_t backward_bytes(const ModelSpec& spec, int64_t rows, int64_t longest, int64_t num_blocks);

/// d_weight[n, k] += Σ_t d_out[t, n] · in[row(t), k], t in order; row(t) = in_rows[t], or t.
void weight_gradient(const Compute&, const float* d_out, int64_t out_row, int64_t n, const float* in, int64_t in_row,
                     const int32_t* in_rows, int64_t k, int64_t rows, Buffer& panels, float* d_weight);

/// Adds the gradient of Σ hidden·d_hidden to `gradient`, in the layout of trained_values(model).
/// `state` and `kv` come from a forward over the same rows that kept inputs or all; d_hidden_TD [T, D] is overwritten.
void backward(const CausalLM& model, const Compute& compute, const Rows& rows, KvStore& kv, ForwardState& state,
              BackwardState& scratch, float* d_hidden_TD, float* gradient);

/// The same through the multi-token-prediction layer: Σ mtp.hidden·d_mtp. Adds the gradient of
/// the model's hidden states to d_hidden_TD: backward() comes after.
void backward_mtp(const CausalLM& model, const Compute& compute, const Rows& rows, const KvStore& kv,
                  ForwardState& state, MtpState& mtp, BackwardState& scratch, const float* d_mtp_TD, float* d_hidden_TD,
                  float* gradient);

}  // namespace cohort
