// bfloat16: the upper half of a float; rounding to nearest, ties to even.
#pragma once
#include <bit>
#include <cstdint>

namespace cohort {

struct bfloat16 {
  uint16_t bits;
};
inline float to_float(bfloat16 x) {
  return std::bit_cast<float>(uint32_t(x.bits) << 16);
}
inline bfloat16 to_bfloat16(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {uint16_t((bits >> 16) | 0x40u)};  // NaN stays NaN
  return {uint16_t((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

}  // namespace cohort
