// Element types of the files Cohort reads, and the conversions between them and fp32.
// A quantised type (q8_0 …, names of ggml) stores whole blocks of elements, each block with scales of its own.
#pragma once
#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace cohort {

/// The plain types stand in the order in which safetensors files lay out their tensors (last first).
enum class DType : uint8_t {
  boolean,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  f64,
  i64,
  u64,
  q4_0,
  q4_1,
  q8_0,
  q4_k,
  q6_k
};

struct DTypeTraits {
  std::string_view
      name;  // as people write it: F32, BF16, F8_E4M3, Q4_K; safetensors files use the same for plain types
  int64_t block_elements;        // 1 for plain types
  int64_t block_bytes;           //
  std::optional<uint32_t> ggml;  // number of the type in a GGUF file, where it has one
  bool plain;                    // may stand in a safetensors file
};

const DTypeTraits& traits(DType dtype);
inline std::string_view to_string(DType dtype) {
  return traits(dtype).name;
}

/// Empty for a name or number that is not in the table.
std::optional<DType> dtype_from_safetensors(std::string_view name);
std::optional<DType> dtype_from_ggml(uint32_t type);

/// fp32 to 16 bits, round to nearest, ties to even; overflow becomes infinity, NaN stays a (quiet) NaN.
inline uint16_t bf16_from_f32(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
uint16_t f16_from_f32(float value);

inline float f32_from_bf16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

/// Exact, subnormals too, also while the processor flushes fp32 subnormals to zero.
inline float f32_from_f16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu, mantissa = bits & 0x3ffu;
  const uint32_t subnormal = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(mantissa)) * 0x1p-24f);
  const uint32_t normal = ((exponent + (exponent == 31 ? 224u : 112u)) << 23) | (mantissa << 13);
  return std::bit_cast<float>(sign | (exponent == 0 ? subnormal : normal));
}

/// OCP FP8 E4M3 without infinities: bias 7, 0x7f and 0xff are NaN.
float f32_from_f8_e4m3(uint8_t bits);
/// OCP FP8 E5M2: the upper half of an fp16.
inline float f32_from_f8_e5m2(uint8_t bits) {
  return f32_from_f16(static_cast<uint16_t>(bits << 8));
}

}  // namespace cohort
