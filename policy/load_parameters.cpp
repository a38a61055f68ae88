#include "policy/load_parameters.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>

#include "configs/error.h"
#include "policy/files/dequantize.h"
#include "policy/repack_part.h"

namespace cohort {
namespace {

std::string shape_text(std::span<const int64_t> shape) {
  std::string text;
  constexpr size_t most = 8;
  for (int64_t size : shape.first(std::min(shape.size(), most)))
    text += (text.empty() ? "[" : ", ") + std::to_string(size);
  if (shape.size() > most) text += ", … (" + std::to_string(shape.size()) + " sizes)";
  return (text.empty() ? "[" : text) + "]";
}

void read_parameter(const ParameterSpec& p, const Compute& compute, const ReadRows& read, float* out) {
  compute.pool.parallel_for(ceil_div(p.shape[0], kRowsAtOnce), [&](int64_t piece) {
    const int64_t first = piece * kRowsAtOnce, rows = std::min(kRowsAtOnce, p.shape[0] - first);
    read(p, first, {out + first * row_size(p), size_t(rows * row_size(p))});
  });
}

/// Where the parameters of what is packed together begin: embedding, layers, final norm and head; and the end of all.
std::vector<int64_t> part_begins(const ModelSpec& spec) {
  std::vector<int64_t> begins = {0};
  for (const LayerSpec& layer : spec.layers) begins.push_back(layer.offsets.attention_norm);
  begins.push_back(spec.final_norm);
  begins.push_back(spec.num_parameters);
  return begins;
}

void pack_part(CausalLM& model, const Compute& compute, size_t part, const ParameterPart& from) {
  const size_t num_layers = model.spec.layers.size();
  if (part >= 1 && part <= num_layers) repack_layer(model, compute, part - 1, from);
  if (part == (model.spec.tied_embeddings ? 0 : num_layers + 1)) repack_head(model, compute, from);
}

/// Of what decoding keeps (vectors, an embedding that is not the head), pages of 4 KB: huge ones would hold little else
/// than matrices that were never read.
void expect_few(Buffer& parameters) {
  constexpr uintptr_t kPage = 4096;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(parameters.data()) / kPage * kPage;
  madvise(reinterpret_cast<void*>(begin), size_t(parameters.bytes()), MADV_NOHUGEPAGE);
}

bool is_kept(const ModelSpec& spec, const ParameterSpec& p) {
  return p.shape.size() < 2 || (p.offset == spec.embedding && !spec.tied_embeddings);
}

/// A part in memory of its own, used again for the next one.
void read_and_pack(CausalLM& model, const Compute& compute, const ReadRows& read) {
  const ModelSpec& spec = model.spec;
  const std::vector<int64_t> begins = part_begins(spec);
  expect_few(model.parameters);
  Buffer matrices;
  size_t next = 0;
  for (size_t part = 0; part + 1 < begins.size(); ++part) {
    const int64_t begin = begins[part], size = begins[part + 1] - begin;
    if (matrices.bytes() > 4 * size * int64_t(sizeof(float))) matrices.release();  // after a large embedding
    matrices.resize(size);
    for (; next < spec.parameters.size() && spec.parameters[next].offset < begin + size; ++next) {
      const ParameterSpec& p = spec.parameters[next];
      read_parameter(p, compute, read, is_kept(spec, p) ? model.at(p.offset) : matrices.data() + (p.offset - begin));
    }
    pack_part(model, compute, part, {matrices.data(), begin});
  }
}

}  // namespace

int64_t row_size(const ParameterSpec& p) {
  return p.size() / p.shape[0];
}

void read_parameters(CausalLM& model, const Compute& compute, const ReadRows& read) {
  if (model.weights == Weights::packed) return read_and_pack(model, compute, read);
  for (const ParameterSpec& p : model.spec.parameters) read_parameter(p, compute, read, model.at(p.offset));
  if (model.weights == Weights::all) repack(model, compute);
}

void copy_for_decoding(const CausalLM& from, const Compute& compute, CausalLM& to) {
  if (from.adapter) {  // the frozen weights are the same in all versions
    to = with_adapter(from, copy_adapter(*from.adapter));
    return;
  }
  if (to.matrices.empty()) {
    to = make_model(from.spec, from.bf16, Weights::packed);
    expect_few(to.parameters);
  }
  for (const ParameterSpec& p : from.spec.parameters)
    if (is_kept(from.spec, p)) std::copy_n(from.at(p.offset), p.size(), to.at(p.offset));
  const auto store = [](auto& model) {
    return model.bf16 ? model.coded.data() : reinterpret_cast<decltype(model.coded.data())>(model.packed.data());
  };
  const std::vector<std::span<const uint8_t>> pieces = stored_pieces(from);
  compute.pool.parallel_for(int64_t(pieces.size()), [&](int64_t i) {
    const std::span<const uint8_t> piece = pieces[size_t(i)];
    std::copy(piece.begin(), piece.end(), store(to) + (piece.data() - store(from)));
  });
  extend_rope(to, from.rope_positions);
  to.version = from.version;
}

TensorView rows_of(const TensorView& tensor, int64_t first, int64_t count) {
  TensorView rows = tensor;
  const size_t bytes = tensor.bytes.size() / size_t(tensor.shape[0]);
  rows.shape[0] = count;
  rows.bytes = tensor.bytes.subspan(size_t(first) * bytes, size_t(count) * bytes);
  return rows;
}

void expect_shape(const TensorView& tensor, std::span<const int64_t> expected, const std::string& file) {
  if (std::ranges::equal(tensor.shape, expected)) return;
  throw UsageError(file + ": tensor " + tensor.name + " has the shape " + shape_text(tensor.shape) +
                   ", its config asks for " + shape_text(expected));
}

void expect_readable(const TensorView& tensor, const TensorView* scale_inv, const std::string& file) try {
  if (scale_inv) return expect_fp8_blocks(tensor, *scale_inv);
  if (tensor.dtype == DType::f8_e4m3 || tensor.dtype == DType::f8_e5m2)
    throw UsageError("Tensor " + quote_name(tensor.name) + " is " + std::string(to_string(tensor.dtype)) +
                     " and has no scales " + quote_name(tensor.name + "_scale_inv") + " beside it.");
  dequantize(rows_of(tensor, 0, 0), {});
} catch (const UsageError& error) {
  throw UsageError(file + ": " + error.what());
}

}  // namespace cohort
