// The policy's weights: flat fp32 parameters, and the one packed store that every forward reads, in sampling and in
// training alike. Whoever changes the parameters repacks them; the version tells which weights sampled a token.
#pragma once
#include <filesystem>
#include <optional>
#include <span>

#include "policy/adapter.h"

namespace cohort {

/// A packed [n, k] matrix inside the store, from `offset` on; `count` of them one after another (heads). Offsets and
/// `size`, of one of them, are in floats, or in bytes where the store is coded.
struct PackedMatrix {
  int64_t offset = 0, size = 0, n = 0, k = 0, count = 1;
};

struct PackedLayer {
  PackedMatrix in, q_b, k_up, v_up, o, router, gate_up,
      down;  // k_up: [heads] of nope → latent; v_up: [heads] of latent → value
  std::vector<PackedMatrix> expert_gate_up, expert_down;
};

/// What is in memory of the weights: decoding needs the packed store and, of the parameters, norms, biases and an
/// embedding that is not the head; learning needs both; writing a model the parameters alone.
enum class Weights { all, packed, parameters };

/// The packed matrices of the multi-token-prediction layer.
struct PackedMtp {
  PackedMatrix projection;
  PackedLayer layer;
};

struct CausalLM {
  ModelSpec spec;
  Weights weights = Weights::all;
  Buffer parameters;                   // [num_parameters] fp32 masters
  bool bf16 = false;                   // the packed store holds bfloat16, coded; arithmetic is fp32 all the same
  Buffer packed;                       // the store, when fp32
  BufferOf<uint8_t> coded;             // the store, when bf16 (coded_bfloat16.h)
  std::vector<PackedMatrix> matrices;  // all of the store's
  std::vector<PackedLayer> layers;
  PackedMtp mtp;                          // where spec.mtp is
  PackedMatrix head;                      // [vocab, dim]; also the embedding when tied
  std::optional<Adapter> adapter;         // what learning changes, where it is there
  int64_t version = 0;                    // optimizer steps since the run began
  int64_t rope_positions = 0;             // rows of the table below
  std::vector<float> rope_cos, rope_sin;  // [rope_positions, rope.dim/2]

  const float* at(int64_t offset) const { return parameters.data() + offset; }
  float* at(int64_t offset) { return parameters.data() + offset; }
};

/// Memory for the parameters (values unspecified) and the layout of the packed store.
CausalLM make_model(ModelSpec spec, bool bf16 = false);
CausalLM make_model(ModelSpec spec, bool bf16, Weights weights);
/// Normal(0, initializer_range or 0.02) weights, ones in norms, zeros in biases; a function of the seed alone.
void initialize(CausalLM& model, uint64_t seed);
/// Values first … first + out.size() − 1 of that parameter.
void initial_values(const ModelSpec& spec, const ParameterSpec& p, uint64_t seed, int64_t first, std::span<float> out);
/// Rewrites what forwards read of what learning changes: the packed store, or the adapter's part.
void repack(CausalLM& model, const Compute& compute);
void repack_layer(CausalLM& model, const Compute& compute, size_t layer);
void repack_head(CausalLM& model, const Compute& compute);
void repack_mtp(CausalLM& model, const Compute& compute);
/// cos and sin for positions [0, count).
void extend_rope(CausalLM& model, int64_t count);
/// Turns the pairs of one head by the angles of its position; direction −1 turns them back.
void rotate(const CausalLM& model, int32_t position, float* x, float direction = 1);

/// A product with that matrix (or its `index`-th): b, n and k are set, the rest is the caller's.
Gemm product(const CausalLM& model, const PackedMatrix& matrix, int64_t index = 0);
/// The packed store's bytes in pieces, without the room that coded matrices leave free.
std::vector<std::span<const uint8_t>> stored_pieces(const CausalLM& model);
/// Of that store, 4 or what the coded weights take.
double bytes_per_weight(const CausalLM& model);
/// Row `token` of the embedding, [dim].
void embed(const CausalLM& model, int32_t token, float* out);

}  // namespace cohort
