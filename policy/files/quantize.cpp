#include "policy/files/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

namespace cohort {
namespace {

constexpr size_t kBlock = 32;  // elements of Q8_0 that share a scale

void store(uint16_t bits, std::byte* at) {
  std::memcpy(at, &bits, sizeof bits);
}

/// Half away from zero, as ggml rounds; what does not fit (only where values are no numbers) goes to the nearest end.
int8_t rounded(float value) {
  if (std::isnan(value)) return 0;
  return static_cast<int8_t>(std::clamp(std::round(value), -128.0f, 127.0f));
}

void q8_0_block(const float* values, std::byte* out) {
  float largest = 0;
  for (size_t i = 0; i < kBlock; ++i) largest = std::max(largest, std::fabs(values[i]));
  const float scale = largest / 127, inverse = scale == 0 ? 0 : 1 / scale;
  store(f16_from_f32(scale), out);
  for (size_t i = 0; i < kBlock; ++i) out[2 + i] = static_cast<std::byte>(rounded(values[i] * inverse));
}

}  // namespace

bool is_writable(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16 || dtype == DType::q8_0;
}

void quantize(std::span<const float> values, DType dtype, std::span<std::byte> out) {
  const DTypeTraits& type = traits(dtype);
  const size_t block = static_cast<size_t>(type.block_elements), bytes = static_cast<size_t>(type.block_bytes);
  if (!is_writable(dtype) || values.size() % block != 0 || out.size() != values.size() / block * bytes)
    throw std::logic_error("[quantize] " + std::to_string(values.size()) + " values into " +
                           std::to_string(out.size()) + " bytes of " + std::string(type.name));
  if (dtype == DType::f32) {
    if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
    return;
  }
  if (dtype == DType::q8_0) {
    for (size_t b = 0; b < values.size() / block; ++b) q8_0_block(values.data() + b * block, out.data() + b * bytes);
    return;
  }
  for (size_t i = 0; i < values.size(); ++i)
    store(dtype == DType::bf16 ? bf16_from_f32(values[i]) : f16_from_f32(values[i]), out.data() + 2 * i);
}

}  // namespace cohort
