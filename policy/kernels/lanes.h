// A virtual vector of 16 floats: one AVX-512 register, two AVX2 registers, or a plain array. Every operation is
// correctly rounded lane by lane and the reduction trees are fixed, so the three give the same bits.
// Included by *_isa.cpp only, which are compiled once for each instruction set in a namespace of its name.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(COHORT_ISA_avx2) || defined(COHORT_ISA_avx512)
#include <immintrin.h>
#endif

#include "policy/kernels/bfloat16.h"

namespace cohort::COHORT_ISA {

constexpr int kLanes = 16;

/// Into the second cache.
inline void prefetch(const float* p) {
  __builtin_prefetch(p, 0, 2);
}

#if defined(COHORT_ISA_avx512)

struct Lanes {
  __m512 v;
};
inline Lanes load(const float* p) {
  return {_mm512_loadu_ps(p)};
}
inline Lanes load(const float* p, int count) {
  return {_mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), p)};
}
inline Lanes load(const bfloat16* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16))};
}
inline void store(float* p, Lanes a) {
  _mm512_storeu_ps(p, a.v);
}
inline void store(float* p, Lanes a, int count) {
  _mm512_mask_storeu_ps(p, __mmask16((1u << count) - 1), a.v);
}
inline Lanes broadcast(float x) {
  return {_mm512_set1_ps(x)};
}
inline Lanes fma(Lanes a, Lanes b, Lanes c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
inline Lanes operator+(Lanes a, Lanes b) {
  return {_mm512_add_ps(a.v, b.v)};
}
inline Lanes operator-(Lanes a, Lanes b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
inline Lanes operator*(Lanes a, Lanes b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
inline Lanes operator/(Lanes a, Lanes b) {
  return {_mm512_div_ps(a.v, b.v)};
}
inline Lanes max(Lanes a, Lanes b) {
  return {_mm512_max_ps(a.v, b.v)};
}  // b where either is NaN
inline Lanes min(Lanes a, Lanes b) {
  return {_mm512_min_ps(a.v, b.v)};
}
inline Lanes sqrt(Lanes a) {
  return {_mm512_sqrt_ps(a.v)};
}
/// Per lane: a < b ? x : y.
inline Lanes where_less(Lanes a, Lanes b, Lanes x, Lanes y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
/// One bit a lane: a ≥ b.
inline uint32_t at_least(Lanes a, Lanes b) {
  return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ);
}
/// 2^n for lanes that hold n + 1.5·2^23 (the sum that rounds to an integer), −126 ≤ n ≤ 127.
inline Lanes exp2_of_shifted(Lanes shifted) {
  __m512i n = _mm512_sub_epi32(_mm512_castps_si512(shifted.v), _mm512_set1_epi32(0x4B400000 - 127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(n, 23))};
}

#elif defined(COHORT_ISA_avx2)

struct Lanes {
  __m256 lo, hi;
};
inline Lanes load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
inline Lanes load(const float* p, int count) {
  alignas(32) float padded[16] = {};
  std::memcpy(padded, p, sizeof(float) * count);
  return load(padded);
}
inline __m256 widen(const bfloat16* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)), 16));
}
inline Lanes load(const bfloat16* p) {
  return {widen(p), widen(p + 8)};
}
inline void store(float* p, Lanes a) {
  _mm256_storeu_ps(p, a.lo), _mm256_storeu_ps(p + 8, a.hi);
}
inline void store(float* p, Lanes a, int count) {
  alignas(32) float padded[16];
  store(padded, a);
  std::memcpy(p, padded, sizeof(float) * count);
}
inline Lanes broadcast(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
inline Lanes fma(Lanes a, Lanes b, Lanes c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline Lanes operator+(Lanes a, Lanes b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
inline Lanes operator-(Lanes a, Lanes b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
inline Lanes operator*(Lanes a, Lanes b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
inline Lanes operator/(Lanes a, Lanes b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
inline Lanes max(Lanes a, Lanes b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
inline Lanes min(Lanes a, Lanes b) {
  return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
inline Lanes sqrt(Lanes a) {
  return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)};
}
inline Lanes where_less(Lanes a, Lanes b, Lanes x, Lanes y) {
  return {_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
inline uint32_t at_least(Lanes a, Lanes b) {
  return uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_GE_OQ))) |
         uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_GE_OQ))) << 8;
}
inline __m256 exp2_half(__m256 shifted) {
  __m256i n = _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(0x4B400000 - 127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(n, 23));
}
inline Lanes exp2_of_shifted(Lanes shifted) {
  return {exp2_half(shifted.lo), exp2_half(shifted.hi)};
}

#else

struct Lanes {
  float v[16];
};
template <class F>
inline Lanes each(F f) {
  Lanes r;
  for (int i = 0; i < kLanes; ++i) r.v[i] = f(i);
  return r;
}
inline Lanes load(const float* p) {
  return each([&](int i) { return p[i]; });
}
inline Lanes load(const float* p, int count) {
  return each([&](int i) { return i < count ? p[i] : 0.0f; });
}
inline Lanes load(const bfloat16* p) {
  return each([&](int i) { return to_float(p[i]); });
}
inline void store(float* p, Lanes a) {
  std::memcpy(p, a.v, sizeof a.v);
}
inline void store(float* p, Lanes a, int count) {
  std::memcpy(p, a.v, sizeof(float) * count);
}
inline Lanes broadcast(float x) {
  return each([&](int) { return x; });
}
inline Lanes fma(Lanes a, Lanes b, Lanes c) {
  return each([&](int i) { return std::fma(a.v[i], b.v[i], c.v[i]); });
}
inline Lanes operator+(Lanes a, Lanes b) {
  return each([&](int i) { return a.v[i] + b.v[i]; });
}
inline Lanes operator-(Lanes a, Lanes b) {
  return each([&](int i) { return a.v[i] - b.v[i]; });
}
inline Lanes operator*(Lanes a, Lanes b) {
  return each([&](int i) { return a.v[i] * b.v[i]; });
}
inline Lanes operator/(Lanes a, Lanes b) {
  return each([&](int i) { return a.v[i] / b.v[i]; });
}
inline Lanes max(Lanes a, Lanes b) {
  return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Lanes min(Lanes a, Lanes b) {
  return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Lanes sqrt(Lanes a) {
  return each([&](int i) { return std::sqrt(a.v[i]); });
}
inline Lanes where_less(Lanes a, Lanes b, Lanes x, Lanes y) {
  return each([&](int i) { return a.v[i] < b.v[i] ? x.v[i] : y.v[i]; });
}
inline uint32_t at_least(Lanes a, Lanes b) {
  uint32_t bits = 0;
  for (int i = 0; i < kLanes; ++i) bits |= uint32_t(a.v[i] >= b.v[i]) << i;
  return bits;
}
inline Lanes exp2_of_shifted(Lanes shifted) {
  return each([&](int i) {
    uint32_t bits;
    std::memcpy(&bits, &shifted.v[i], 4);
    bits = (bits - (0x4B400000u - 127u)) << 23;
    float power;
    std::memcpy(&power, &bits, 4);
    return power;
  });
}

#endif

/// Sum of the lanes by a fixed tree: i + (i+8), then +4, +2, +1.
inline float sum(Lanes a) {
  alignas(64) float v[16];
  store(v, a);
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) v[i] = v[i] + v[i + half];
  return v[0];
}
inline float largest(Lanes a) {
  alignas(64) float v[16];
  store(v, a);
  float best = v[0];
  for (int i = 1; i < kLanes; ++i) best = v[i] > best ? v[i] : best;
  return best;
}

/// e^x, relative error below 2e-7; 0 below −87. Cody–Waite reduction by ln 2, then a Taylor polynomial of degree 7.
inline Lanes exp(Lanes x) {
  Lanes clamped = max(min(x, broadcast(88.0f)), broadcast(-87.0f));
  Lanes shifted = fma(clamped, broadcast(1.44269504f), broadcast(12582912.0f));
  Lanes n = shifted - broadcast(12582912.0f);
  Lanes r = fma(n, broadcast(-0.693359375f), clamped);
  r = fma(n, broadcast(2.12194440e-4f), r);
  Lanes p = broadcast(1.0f / 5040);
  p = fma(p, r, broadcast(1.0f / 720));
  p = fma(p, r, broadcast(1.0f / 120));
  p = fma(p, r, broadcast(1.0f / 24));
  p = fma(p, r, broadcast(1.0f / 6));
  p = fma(p, r, broadcast(0.5f));
  p = fma(p, r, broadcast(1.0f));
  p = fma(p, r, broadcast(1.0f));
  return where_less(x, broadcast(-87.0f), broadcast(0.0f), p * exp2_of_shifted(shifted));
}

inline Lanes sigmoid(Lanes x) {
  return broadcast(1.0f) / (broadcast(1.0f) + exp(broadcast(0.0f) - x));
}

}  // namespace cohort::COHORT_ISA
