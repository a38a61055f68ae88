#include "policy/files/dtype.h"

#include <array>

namespace cohort {
namespace {

constexpr auto no_ggml = std::nullopt;

// In the order of enum DType. Block sizes and type numbers: ggml's block structs and enum ggml_type.
constexpr std::array<DTypeTraits, 20> table{{
    {"BOOL", 1, 1, no_ggml, true},    {"U8", 1, 1, no_ggml, true},      {"I8", 1, 1, 24, true},
    {"F8_E5M2", 1, 1, no_ggml, true}, {"F8_E4M3", 1, 1, no_ggml, true}, {"I16", 1, 2, 25, true},
    {"U16", 1, 2, no_ggml, true},     {"F16", 1, 2, 1, true},           {"BF16", 1, 2, 30, true},
    {"I32", 1, 4, 26, true},          {"U32", 1, 4, no_ggml, true},     {"F32", 1, 4, 0, true},
    {"F64", 1, 8, 28, true},          {"I64", 1, 8, 27, true},          {"U64", 1, 8, no_ggml, true},
    {"Q4_0", 32, 18, 2, false},       {"Q4_1", 32, 20, 3, false},       {"Q8_0", 32, 34, 8, false},
    {"Q4_K", 256, 144, 12, false},    {"Q6_K", 256, 210, 14, false},
}};
static_assert(table.size() == static_cast<size_t>(DType::q6_k) + 1);

constexpr float decode_f8_e4m3(int bits) {
  const int exponent = (bits >> 3) & 15, mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) return std::bit_cast<float>(bits & 0x80 ? 0xffc00000u : 0x7fc00000u);
  float value = exponent == 0 ? static_cast<float>(mantissa) * 0x1p-9f : static_cast<float>(8 + mantissa) * 0x1p-10f;
  for (int e = 0; e < exponent; ++e) value *= 2.0f;
  return bits & 0x80 ? -value : value;
}

constexpr std::array<float, 256> f8_e4m3_values = [] {
  std::array<float, 256> values{};
  for (int bits = 0; bits < 256; ++bits) values[bits] = decode_f8_e4m3(bits);
  return values;
}();

}  // namespace

const DTypeTraits& traits(DType dtype) {
  return table[static_cast<size_t>(dtype)];
}

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  for (size_t i = 0; i < table.size(); ++i)
    if (table[i].plain && table[i].name == name) return static_cast<DType>(i);
  return std::nullopt;
}

std::optional<DType> dtype_from_ggml(uint32_t type) {
  for (size_t i = 0; i < table.size(); ++i)
    if (table[i].ggml == type) return static_cast<DType>(i);
  return std::nullopt;
}

uint16_t f16_from_f32(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // rounds to 65536 or more
  if (magnitude < 0x38800000u) {                        // below 2^-14: a subnormal, in units of 2^-24
    if (magnitude < 0x33000000u) return sign;           // below 2^-25: zero
    const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u, shift = 126 - (magnitude >> 23);
    const uint32_t kept = mantissa >> shift, rest = mantissa & ((1u << shift) - 1), half = 1u << (shift - 1);
    return static_cast<uint16_t>(sign | (kept + (rest > half || (rest == half && (kept & 1)) ? 1 : 0)));
  }
  const uint32_t rebiased = magnitude - (112u << 23);
  return static_cast<uint16_t>(sign | ((rebiased + 0xfffu + ((rebiased >> 13) & 1u)) >> 13));
}

float f32_from_f8_e4m3(uint8_t bits) {
  return f8_e4m3_values[bits];
}

}  // namespace cohort
