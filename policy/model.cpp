#include "policy/model.h"

#include <cmath>
#include <numbers>

#include "policy/kernels/philox.h"
#include "policy/repack_part.h"

namespace cohort {
namespace {

struct Layout {
  bool coded = false;
  int64_t size = 0;
  std::vector<PackedMatrix> matrices;
  PackedMatrix add(int64_t n, int64_t k, int64_t count = 1) {
    PackedMatrix matrix{size, coded ? coded_size(n, k) : packed_size(n, k), n, k, count};
    size += matrix.size * count;
    matrices.push_back(matrix);
    return matrix;
  }
};

PackedLayer plan_layer(Layout& layout, const ModelSpec& spec, const LayerSpec& layer) {
  const AttentionSpec& a = layer.attention;
  PackedLayer p;
  p.in = layout.add(a.in_rows(), spec.dim);
  if (a.q_lora_rank) p.q_b = layout.add(a.heads * a.head_dim, a.q_lora_rank);
  if (a.latent) {
    p.k_up = layout.add(a.kv_lora_rank, a.nope_dim, a.heads);
    p.v_up = layout.add(a.value_head_dim, a.kv_lora_rank, a.heads);
  }
  p.o = layout.add(spec.dim, a.heads * a.value_head_dim);
  if (layer.ffn_dim()) {
    p.gate_up = layout.add(2 * layer.ffn_dim(), spec.dim);
    p.down = layout.add(spec.dim, layer.ffn_dim());
  }
  if (!layer.dense_dim) p.router = layout.add(layer.moe.experts, spec.dim);
  for (size_t e = 0; e < layer.offsets.expert_gate_up.size(); ++e) {
    p.expert_gate_up.push_back(layout.add(2 * layer.moe.expert_dim, spec.dim));
    p.expert_down.push_back(layout.add(spec.dim, layer.moe.expert_dim));
  }
  return p;
}

/// Packs element (n, k) = source[n·n_stride + k·k_stride] into the model's store.
void pack(CausalLM& model, const Compute& compute, const PackedMatrix& matrix, const float* source, int64_t n_stride,
          int64_t k_stride, int64_t index = 0) {
  int64_t offset = matrix.offset + index * matrix.size;
  if (model.bf16)
    pack_coded(compute, source, matrix.n, matrix.k, n_stride, k_stride, model.coded.data() + offset);
  else
    pack_matrix(compute, source, matrix.n, matrix.k, n_stride, k_stride, model.packed.data() + offset);
}

ParameterPart all_parameters(const CausalLM& model) {
  return {model.parameters.data(), 0};
}

void pack_layer(CausalLM& model, const Compute& compute, const PackedLayer& p, const LayerSpec& layer,
                const ParameterPart& from) {
  const AttentionSpec& a = layer.attention;
  const LayerOffsets& o = layer.offsets;
  const auto pack_rows = [&](const PackedMatrix& matrix, int64_t offset) {
    pack(model, compute, matrix, from.at(offset), matrix.k, 1);
  };
  pack_rows(p.in, o.in);
  if (a.q_lora_rank) pack_rows(p.q_b, o.q_b);
  for (int32_t h = 0; a.latent && h < a.heads; ++h) {  // kv_b: for each head nope rows, then value rows, of [latent]
    const float* rows = from.at(o.kv_b) + int64_t(h) * (a.nope_dim + a.value_head_dim) * a.kv_lora_rank;
    pack(model, compute, p.k_up, rows, 1, a.kv_lora_rank, h);
    pack(model, compute, p.v_up, rows + int64_t(a.nope_dim) * a.kv_lora_rank, a.kv_lora_rank, 1, h);
  }
  pack_rows(p.o, o.o);
  if (layer.ffn_dim()) pack_rows(p.gate_up, o.gate_up), pack_rows(p.down, o.down);
  if (!layer.dense_dim) pack_rows(p.router, o.router);
  for (size_t e = 0; e < o.expert_gate_up.size(); ++e) {
    pack_rows(p.expert_gate_up[e], o.expert_gate_up[e]);
    pack_rows(p.expert_down[e], o.expert_down[e]);
  }
}

/// Box–Muller on one Philox draw of its own.
float normal(uint64_t seed, uint64_t index) {
  auto bits = philox({uint32_t(index), uint32_t(index >> 32), 0x696e6974u, 0}, {uint32_t(seed), uint32_t(seed >> 32)});
  double u = (bits[0] + 0.5) * 0x1p-32, v = (bits[1] + 0.5) * 0x1p-32;
  return float(std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
}

}  // namespace

CausalLM make_model(ModelSpec spec, bool bf16) {
  return make_model(std::move(spec), bf16, Weights::all);
}

CausalLM make_model(ModelSpec spec, bool bf16, Weights weights) {
  CausalLM model{.spec = std::move(spec), .weights = weights, .bf16 = bf16};
  Layout layout{bf16};
  for (const LayerSpec& layer : model.spec.layers) model.layers.push_back(plan_layer(layout, model.spec, layer));
  model.head = layout.add(model.spec.vocab, model.spec.dim);
  if (const auto& mtp = model.spec.mtp)
    model.mtp = {layout.add(model.spec.dim, 2 * model.spec.dim), plan_layer(layout, model.spec, mtp->layer)};
  model.matrices = std::move(layout.matrices);
  model.parameters.resize(model.spec.num_parameters);
  if (weights == Weights::parameters) return model;
  if (bf16)
    model.coded.resize(layout.size);
  else
    model.packed.resize(layout.size);
  return model;
}

void initial_values(const ModelSpec& spec, const ParameterSpec& p, uint64_t seed, int64_t first, std::span<float> out) {
  const float range = spec.config.value("initializer_range", 0.02f);
  const bool is_norm = p.shape.size() == 1 && p.name.find("norm") != std::string::npos;
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = p.shape.size() > 1 ? range * normal(seed, uint64_t(p.offset + first) + i) : is_norm ? 1.0f : 0.0f;
}

void initialize(CausalLM& model, uint64_t seed) {
  for (const ParameterSpec& p : model.spec.parameters)
    initial_values(model.spec, p, seed, 0, {model.at(p.offset), size_t(p.size())});
}

void repack_layer(CausalLM& model, const Compute& compute, size_t layer, const ParameterPart& from) {
  pack_layer(model, compute, model.layers[layer], model.spec.layers[layer], from);
}

void repack_layer(CausalLM& model, const Compute& compute, size_t layer) {
  repack_layer(model, compute, layer, all_parameters(model));
}

void repack_head(CausalLM& model, const Compute& compute, const ParameterPart& from) {
  pack(model, compute, model.head, from.at(model.spec.head), model.head.k, 1);
}

void repack_head(CausalLM& model, const Compute& compute) {
  repack_head(model, compute, all_parameters(model));
}

void repack_mtp(CausalLM& model, const Compute& compute) {
  if (!model.spec.mtp) return;
  const ParameterPart from = all_parameters(model);
  pack(model, compute, model.mtp.projection, from.at(model.spec.mtp->projection), model.mtp.projection.k, 1);
  pack_layer(model, compute, model.mtp.layer, model.spec.mtp->layer, from);
}

void repack(CausalLM& model, const Compute& compute) {
  if (model.adapter) return repack(*model.adapter, compute);
  for (size_t l = 0; l < model.layers.size(); ++l) repack_layer(model, compute, l);
  repack_head(model, compute);
  repack_mtp(model, compute);
}

void extend_rope(CausalLM& model, int64_t count) {
  if (count <= model.rope_positions) return;
  count = round_up(count, 1024);
  for (int64_t position = model.rope_positions; position < count; ++position)
    for (float f : model.spec.rope.inv_freq) {
      double angle = float(position) * f;  // the product in fp32, as transformers takes it
      model.rope_cos.push_back(float(std::cos(angle)) * model.spec.rope.amplitude);
      model.rope_sin.push_back(float(std::sin(angle)) * model.spec.rope.amplitude);
    }
  model.rope_positions = count;
}

void rotate(const CausalLM& model, int32_t position, float* x, float direction) {
  const RopeSpec& rope = model.spec.rope;
  const int32_t half = rope.dim / 2, step = rope.interleaved ? 2 : 1, other = rope.interleaved ? 1 : half;
  const float* cosine = model.rope_cos.data() + int64_t(position) * half;
  const float* sine = model.rope_sin.data() + int64_t(position) * half;
  for (int32_t j = 0; j < half; ++j) {
    const float a = x[j * step], b = x[j * step + other], s = sine[j] * direction;
    x[j * step] = a * cosine[j] - b * s;
    x[j * step + other] = b * cosine[j] + a * s;
  }
}

Gemm product(const CausalLM& model, const PackedMatrix& matrix, int64_t index) {
  const int64_t offset = matrix.offset + index * matrix.size;
  const void* b = model.bf16 ? static_cast<const void*>(model.coded.data() + offset) : model.packed.data() + offset;
  return {.b = b, .b_is_bf16 = model.bf16, .n = matrix.n, .k = matrix.k};
}

static void add_coded_pieces(const uint8_t* coded, const PackedMatrix& matrix,
                             std::vector<std::span<const uint8_t>>& pieces) {
  for (int64_t b = 0; b < ceil_div(matrix.n, kBlock); ++b) {
    const CodedBlock block = coded_block(coded, matrix.n, matrix.k, b);
    pieces.emplace_back(block.block, size_t(coded_block_bytes(matrix.k)));
    for (int64_t pair = 0; pair < coded_pairs(matrix.k); ++pair)
      if (block.is_wide(pair)) pieces.emplace_back(block.wide + pair * kWidePairBytes, size_t(kWidePairBytes));
  }
}

std::vector<std::span<const uint8_t>> stored_pieces(const CausalLM& model) {
  std::vector<std::span<const uint8_t>> pieces;
  for (const PackedMatrix& matrix : model.matrices)
    for (int64_t i = 0; i < matrix.count; ++i) {
      const int64_t at = matrix.offset + i * matrix.size;
      if (model.bf16)
        add_coded_pieces(model.coded.data() + at, matrix, pieces);
      else
        pieces.emplace_back(reinterpret_cast<const uint8_t*>(model.packed.data() + at),
                            sizeof(float) * size_t(matrix.size));
    }
  return pieces;
}

double bytes_per_weight(const CausalLM& model) {
  double bytes = 0, weights = 0;
  for (std::span<const uint8_t> piece : stored_pieces(model)) bytes += double(piece.size());
  for (const PackedMatrix& matrix : model.matrices) weights += double(matrix.count * packed_size(matrix.n, matrix.k));
  return bytes / weights;
}

void embed(const CausalLM& model, int32_t token, float* out) {
  const ModelSpec& spec = model.spec;
  if (spec.tied_embeddings) {  // a row of the head
    const int64_t block = token / kBlock, column = token % kBlock;
    if (model.bf16) {
      const uint8_t* matrix = model.coded.data() + model.head.offset;
      return decode_column(coded_block(matrix, model.head.n, spec.dim, block), spec.dim, int(column), out);
    }
    const float* from = model.packed.data() + model.head.offset + block * spec.dim * kBlock + column;
    for (int64_t d = 0; d < spec.dim; ++d) out[d] = from[d * kBlock];
    return;
  }
  const float* row = model.at(spec.embedding) + int64_t(token) * spec.dim;
  for (int32_t d = 0; d < spec.dim; ++d) out[d] = model.bf16 ? to_float(to_bfloat16(row[d])) : row[d];
}

}  // namespace cohort
