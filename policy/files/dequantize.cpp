#include "policy/files/dequantize.h"

#include <cstring>
#include <stdexcept>

#include "configs/error.h"

namespace cohort {
namespace {

constexpr int64_t kBlockSide = 128;  // of FP8 weights that share a scale

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

float load_f16(const std::byte* at) {
  return f32_from_f16(load<uint16_t>(at));
}

// 32 elements: f16 scale, 16 bytes of nibbles, low nibbles first.
void q4_0_block(const std::byte* block, float* out) {
  const float scale = load_f16(block);
  for (int i = 0; i < 16; ++i) {
    const int packed = static_cast<int>(block[2 + i]);
    out[i] = scale * static_cast<float>((packed & 15) - 8);
    out[i + 16] = scale * static_cast<float>((packed >> 4) - 8);
  }
}

// 32 elements: f16 scale, f16 minimum, 16 bytes of nibbles, low nibbles first.
void q4_1_block(const std::byte* block, float* out) {
  const float scale = load_f16(block), minimum = load_f16(block + 2);
  for (int i = 0; i < 16; ++i) {
    const int packed = static_cast<int>(block[4 + i]);
    out[i] = scale * static_cast<float>(packed & 15) + minimum;
    out[i + 16] = scale * static_cast<float>(packed >> 4) + minimum;
  }
}

// 32 elements: f16 scale, 32 signed bytes.
void q8_0_block(const std::byte* block, float* out) {
  const float scale = load_f16(block);
  for (int i = 0; i < 32; ++i) out[i] = scale * static_cast<float>(static_cast<int8_t>(block[2 + i]));
}

// 256 elements in 8 sub-blocks of 32: f16 scale of scales, f16 scale of minima, 8 six-bit scales and 8 six-bit minima
// in 12 bytes, 128 bytes of nibbles (32 bytes serve two sub-blocks: low nibbles the even, high nibbles the odd one).
void q4_k_block(const std::byte* block, float* out) {
  const float scale_of_scales = load_f16(block), scale_of_minima = load_f16(block + 2);
  const auto packed = [&](int i) { return static_cast<int>(block[4 + i]); };
  for (int sub = 0; sub < 8; ++sub) {
    const int high = sub - 4;  // sub-blocks 4..7 keep their low four bits in bytes 8..11, their top two in bytes 0..7
    const int six_scale = sub < 4 ? packed(sub) & 63 : (packed(8 + high) & 15) | (packed(high) >> 6 << 4);
    const int six_minimum = sub < 4 ? packed(4 + sub) & 63 : (packed(8 + high) >> 4) | (packed(4 + high) >> 6 << 4);
    const float scale = scale_of_scales * static_cast<float>(six_scale);
    const float minimum = scale_of_minima * static_cast<float>(six_minimum);
    const std::byte* nibbles = block + 16 + sub / 2 * 32;
    const int shift = sub % 2 * 4;
    for (int i = 0; i < 32; ++i)
      out[sub * 32 + i] = scale * static_cast<float>((static_cast<int>(nibbles[i]) >> shift) & 15) - minimum;
  }
}

// 256 elements in 16 sub-blocks of 16: 128 bytes of low nibbles, 64 bytes of top bit pairs, 16 signed scales, f16 scale
// of scales. Each half of 128 elements is four runs of 32: nibbles of bytes 0..31 low, 32..63 low, then both high.
void q6_k_block(const std::byte* block, float* out) {
  const float scale_of_scales = load_f16(block + 208);
  for (int run = 0; run < 8; ++run) {
    const int half = run / 4, quarter = run % 4;
    const std::byte* nibbles = block + half * 64 + quarter % 2 * 32;
    const std::byte* pairs = block + 128 + half * 32;
    for (int i = 0; i < 32; ++i) {
      const float scale = scale_of_scales * static_cast<float>(static_cast<int8_t>(block[192 + run * 2 + i / 16]));
      const int low = (static_cast<int>(nibbles[i]) >> (quarter / 2 * 4)) & 15;
      const int high = (static_cast<int>(pairs[i]) >> (quarter * 2)) & 3;
      out[run * 32 + i] = scale * static_cast<float>((low | high << 4) - 32);
    }
  }
}

template <auto decode_block>
void decode_blocks(const TensorView& tensor, float* out) {
  const DTypeTraits& type = traits(tensor.dtype);
  const std::byte* const end = tensor.bytes.data() + tensor.bytes.size();
  for (const std::byte* block = tensor.bytes.data(); block != end;
       block += type.block_bytes, out += type.block_elements)
    decode_block(block, out);
}

template <class Stored, auto decode>
void decode_elements(const TensorView& tensor, std::span<float> out) {
  const std::byte* bytes = tensor.bytes.data();
  for (size_t i = 0; i < out.size(); ++i) out[i] = decode(load<Stored>(bytes + i * sizeof(Stored)));
}

void check_size(const TensorView& tensor, std::span<const float> out) {
  if (num_bytes(tensor.dtype, tensor.shape) != static_cast<int64_t>(tensor.bytes.size()) ||
      tensor.num_elements() != static_cast<int64_t>(out.size()))
    throw std::logic_error("[dequantize] tensor " + quote_name(tensor.name) + " has " +
                           std::to_string(tensor.num_elements()) + " elements, the output has room for " +
                           std::to_string(out.size()) + ".");
}

}  // namespace

void dequantize(const TensorView& tensor, std::span<float> out) {
  check_size(tensor, out);
  switch (tensor.dtype) {
    case DType::f32:
      if (!out.empty()) std::memcpy(out.data(), tensor.bytes.data(), tensor.bytes.size());
      return;
    case DType::f64:
      return decode_elements<double, [](double v) { return static_cast<float>(v); }>(tensor, out);
    case DType::f16:
      return decode_elements<uint16_t, f32_from_f16>(tensor, out);
    case DType::bf16:
      return decode_elements<uint16_t, f32_from_bf16>(tensor, out);
    case DType::f8_e4m3:
      return decode_elements<uint8_t, f32_from_f8_e4m3>(tensor, out);
    case DType::f8_e5m2:
      return decode_elements<uint8_t, f32_from_f8_e5m2>(tensor, out);
    case DType::q4_0:
      return decode_blocks<q4_0_block>(tensor, out.data());
    case DType::q4_1:
      return decode_blocks<q4_1_block>(tensor, out.data());
    case DType::q8_0:
      return decode_blocks<q8_0_block>(tensor, out.data());
    case DType::q4_k:
      return decode_blocks<q4_k_block>(tensor, out.data());
    case DType::q6_k:
      return decode_blocks<q6_k_block>(tensor, out.data());
    default:
      throw UsageError("Tensor " + quote_name(tensor.name) + " holds " + std::string(to_string(tensor.dtype)) +
                       ", expected a floating-point or quantised type.");
  }
}

void expect_fp8_blocks(const TensorView& weight, const TensorView& scale_inv) {
  const auto refuse = [&](const std::string& what) {
    throw UsageError("Tensor " + quote_name(weight.name) + ": " + what);
  };
  if (weight.dtype != DType::f8_e4m3 || weight.shape.size() != 2)
    refuse("block scales need a matrix of F8_E4M3, found " + std::string(to_string(weight.dtype)) + " with " +
           std::to_string(weight.shape.size()) + " dimensions.");
  const std::vector<int64_t> scale_shape{(weight.shape[0] + kBlockSide - 1) / kBlockSide,
                                         (weight.shape[1] + kBlockSide - 1) / kBlockSide};
  if (scale_inv.dtype != DType::f32 || scale_inv.shape != scale_shape)
    refuse("its scales " + quote_name(scale_inv.name) + " must be F32 of shape [" + std::to_string(scale_shape[0]) +
           ", " + std::to_string(scale_shape[1]) + "], one for each block of 128 x 128.");
}

void dequantize_fp8_blocks(const TensorView& weight, const TensorView& scale_inv, std::span<float> out) {
  expect_fp8_blocks(weight, scale_inv);
  check_size(weight, out);
  const int64_t rows = weight.shape[0], columns = weight.shape[1], scales = scale_inv.shape[1];
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column) {
      const int64_t scale = row / kBlockSide * scales + column / kBlockSide, element = row * columns + column;
      out[element] = f32_from_f8_e4m3(static_cast<uint8_t>(weight.bytes[element])) *
                     load<float>(scale_inv.bytes.data() + scale * sizeof(float));
    }
}

}  // namespace cohort
