// The one forward: packed rows in, normalised hidden states out, for prefill, decoding and training alike.
// Rows of a sequence follow one another; a row attends to the positions of its sequence up to its own, found through
// a table of key/value blocks of 16 positions. Sequences with a common prefix share its full blocks.
// Legend: T rows, D model, H heads, G key/value heads, E experts, K experts per token, V vocabulary.
#pragma once
#include <span>

#include "policy/kv_store.h"

namespace cohort {

/// What a forward leaves for the backward pass: nothing, what each layer took in (from which the backward computes the
/// rest again, to the same bits: gradient checkpointing, arXiv 1604.06174), or all.
enum class Activations { none, inputs, all };

/// What a layer computed from its input.
struct LayerState {
  Buffer inverse_rms_T, h_TD, in_T, q_a_T, q_a_inverse_T, kv_inverse_T;
  Buffer q_inverse, k_inverse;  // [H, T], [G, T] (or [1, T]) of the norms of queries and keys
  Buffer q_THd, k_TGd;          // [T, H, key_dim], rotated, absorbed; grouped-query: the keys alike
  Buffer max_TH, sum_TH;        // softmax statistics
  Buffer latent_out_THr;        // latent attention: before v_up
  Buffer attention_T;           // [T, H·value_head_dim], what o_proj reads
  Buffer mid_TD, mid_inverse_rms_T, h2_TD;
  Buffer gate_up_T, act_T;                        // dense, or the shared expert
  Buffer scores_TE, weight_TK;                    // router: scores, weights of the chosen
  BufferOf<int32_t> expert_TK;                    // the chosen, ascending
  BufferOf<int32_t> slot_TK;                      // where (t, k) stands in expert order
  BufferOf<int32_t> row_of_slot;                  // [T·K] its row
  std::vector<int64_t> expert_begin;              // [E+1] slots of each expert
  Buffer expert_gate_up, expert_act, expert_out;  // [T·K, 2I], [T·K, I], [T·K, D]
};

struct ForwardState {
  Activations kept = Activations::none;
  std::vector<Buffer> inputs_TD;    // of each layer; none: one for all layers in turn
  std::vector<LayerState> layers;   // all: of each layer; else one for all in turn
  Buffer x_TD, inverse_rms_T;       // after the last layer, before the final norm
  Buffer hidden_TD;                 // after the final norm
  Buffer ffn_TD, scores, low_rank;  // scratch; x·Aᵀ of an adapter
  BufferOf<int32_t> position_T, sequence_T;
  std::vector<double> expert_load;  // [moe layers · E] tokens each expert received in this forward
};

/// Attention of row t in key/value head g, as the forward and the backward kernel both read it; scratch not set.
Attend attend_row(const AttentionSpec& a, const Rows& rows, const KvStore::Layer& kv, LayerState& s, int32_t sequence,
                  int32_t position, int64_t t, int64_t g);

/// Fills state.hidden_TD; experts chosen per row go to `routing` ([T, moe layers, K]) when it is not empty.
void forward(const CausalLM& model, const Compute& compute, const Rows& rows, KvStore& kv, Activations keep,
             ForwardState& state, std::span<uint16_t> routing = {});

/// Bytes of ForwardState after a forward over so many rows.
int64_t activation_bytes(const ModelSpec& spec, Activations kept, int64_t rows);

/// Computes what layer `layer` left in state.layers[0] again from its input, which a forward with Activations::inputs
/// over the same rows kept.
void forward_again(const CausalLM& model, const Compute& compute, const Rows& rows, KvStore& kv, size_t layer,
                   ForwardState& state);

/// What the multi-token-prediction layer computed.
struct MtpState {
  Buffer embedded_TD, embedding_inverse_T, hidden_inverse_T;
  Buffer both_T2D, d_both_T2D;  // normed embeddings and hidden states, and their gradient
  Buffer input_TD;
  LayerState layer;
  Buffer x_TD, inverse_rms_T, hidden_TD;  // after the layer, and after its final norm
};

/// Whether row t of T reads an embedding: not at position 0, and not where its sequence ends.
inline bool mtp_reads_next(const ForwardState& state, int64_t t, int64_t T) {
  return state.position_T[t] > 0 && t + 1 < T && state.sequence_T[t + 1] == state.sequence_T[t];
}

/// The multi-token-prediction layer over the rows that `state` was computed for: row t reads its hidden state beside
/// the embedding of row t + 1's token, zeros at position 0, and hidden_TD of it predicts the token behind that. Each
/// sequence is whole (its rows begin at position 0); its last row predicts nothing. `kv` has this one layer.
void forward_mtp(const CausalLM& model, const Compute& compute, const Rows& rows, KvStore& kv, ForwardState& state,
                 MtpState& mtp);

/// logits[n, V] of hidden rows; row n is hidden_TD[row_index[n]] (null: row n).
void logits(const CausalLM& model, const Compute& compute, const float* hidden_TD, const int32_t* row_index,
            int64_t count, float* logits_NV);

}  // namespace cohort
