// Coded weights (coded_bfloat16.h) as floats, row by row. Included by *_isa.cpp only.
#pragma once
#include "policy/kernels/coded_bfloat16.h"
#include "policy/kernels/lanes.h"

namespace cohort::COHORT_ISA {

#if defined(COHORT_ISA_avx512)
struct Bytes {
  static constexpr int kSize = 64;
  __m512i v;
};
inline Bytes load_bytes(const uint8_t* p) {
  return {_mm512_loadu_si512(p)};
}
inline Bytes all_bytes(int x) {
  return {_mm512_set1_epi8(char(x))};
}
inline Bytes operator&(Bytes a, Bytes b) {
  return {_mm512_and_si512(a.v, b.v)};
}
inline Bytes operator|(Bytes a, Bytes b) {
  return {_mm512_or_si512(a.v, b.v)};
}
/// Bit by bit: mask ? a : b.
inline Bytes choose(Bytes mask, Bytes a, Bytes b) {
  return {_mm512_ternarylogic_epi32(mask.v, a.v, b.v, 0xCA)};
}
template <int n>
inline Bytes right(Bytes a) {
  return {_mm512_srli_epi16(a.v, n)};
}
template <int n>
inline Bytes left(Bytes a) {
  return {_mm512_slli_epi16(a.v, n)};
}
inline Bytes look_up(Bytes table, Bytes codes) {
  return {_mm512_shuffle_epi8(table.v, codes.v)};
}
inline Bytes table_of(__m128i sixteen) {
  return {_mm512_broadcast_i32x4(sixteen)};
}
/// Floats of bfloat16 words, given their lower and upper bytes.
inline void join(Bytes low, Bytes high, int /*part*/, Lanes* out) {
  const __m512i odd = _mm512_set1_epi32(int(0xffff0000));
  const __m512i front = _mm512_unpacklo_epi8(low.v, high.v), back = _mm512_unpackhi_epi8(low.v, high.v);
  out[0] = {_mm512_castsi512_ps(_mm512_slli_epi32(front, 16))};
  out[1] = {_mm512_castsi512_ps(_mm512_and_si512(front, odd))};
  out[2] = {_mm512_castsi512_ps(_mm512_slli_epi32(back, 16))};
  out[3] = {_mm512_castsi512_ps(_mm512_and_si512(back, odd))};
}

#elif defined(COHORT_ISA_avx2)
struct Bytes {
  static constexpr int kSize = 32;
  __m256i v;
};
inline Bytes load_bytes(const uint8_t* p) {
  return {_mm256_loadu_si256((const __m256i*)p)};
}
inline Bytes all_bytes(int x) {
  return {_mm256_set1_epi8(char(x))};
}
inline Bytes operator&(Bytes a, Bytes b) {
  return {_mm256_and_si256(a.v, b.v)};
}
inline Bytes operator|(Bytes a, Bytes b) {
  return {_mm256_or_si256(a.v, b.v)};
}
inline Bytes choose(Bytes mask, Bytes a, Bytes b) {
  return {_mm256_or_si256(_mm256_and_si256(mask.v, a.v), _mm256_andnot_si256(mask.v, b.v))};
}
template <int n>
inline Bytes right(Bytes a) {
  return {_mm256_srli_epi16(a.v, n)};
}
template <int n>
inline Bytes left(Bytes a) {
  return {_mm256_slli_epi16(a.v, n)};
}
inline Bytes look_up(Bytes table, Bytes codes) {
  return {_mm256_shuffle_epi8(table.v, codes.v)};
}
inline Bytes table_of(__m128i sixteen) {
  return {_mm256_broadcastsi128_si256(sixteen)};
}
inline void join(Bytes low, Bytes high, int part, Lanes* out) {
  const __m256i odd = _mm256_set1_epi32(int(0xffff0000));
  const __m256i front = _mm256_unpacklo_epi8(low.v, high.v), back = _mm256_unpackhi_epi8(low.v, high.v);
  __m256 Lanes::*const half = part ? &Lanes::hi : &Lanes::lo;
  out[0].*half = _mm256_castsi256_ps(_mm256_slli_epi32(front, 16));
  out[1].*half = _mm256_castsi256_ps(_mm256_and_si256(front, odd));
  out[2].*half = _mm256_castsi256_ps(_mm256_slli_epi32(back, 16));
  out[3].*half = _mm256_castsi256_ps(_mm256_and_si256(back, odd));
}
#endif

#if defined(COHORT_ISA_avx512) || defined(COHORT_ISA_avx2)

/// Reads rows of pairs; the exponent of each code lies in two tables, its upper seven bits and its lowest bit as they
/// lie in the bytes of a bfloat16.
struct PairReader {
  Bytes upper_seven, lowest_bit;

  explicit PairReader(uint8_t lowest) {
    const __m128i codes = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m128i is_zero = _mm_cmpeq_epi8(codes, _mm_setzero_si128());
    const __m128i exponents = _mm_andnot_si128(is_zero, _mm_add_epi8(codes, _mm_set1_epi8(char(lowest))));
    upper_seven = table_of(_mm_and_si128(_mm_srli_epi16(exponents, 1), _mm_set1_epi8(0x7f)));
    lowest_bit = table_of(_mm_and_si128(_mm_slli_epi16(exponents, 7), _mm_set1_epi8(char(0x80))));
  }
  template <int kRow, bool kWide>
  void row(const uint8_t* pair, const uint8_t* wide, Lanes* out) const {
    const Bytes nibble = all_bytes(15), sign = all_bytes(0x80);
    for (int at = 0; at < 64; at += Bytes::kSize) {
      const Bytes both = load_bytes(pair + at), codes = (kRow ? right<4>(both) : both) & nibble;
      const Bytes bytes = load_bytes(pair + 64 + 64 * kRow + at);  // signs and mantissas
      Bytes upper, lower;
      if constexpr (kWide) {
        const Bytes upper_halves = load_bytes(wide + at);
        const Bytes exponents = codes | ((kRow ? upper_halves : left<4>(upper_halves)) & all_bytes(0xf0));
        upper = right<1>(exponents) & all_bytes(0x7f), lower = left<7>(exponents) & sign;
      } else {
        upper = look_up(upper_seven, codes), lower = look_up(lowest_bit, codes);
      }
      join(choose(sign, lower, bytes), choose(sign, bytes, upper), at / Bytes::kSize, out);
    }
  }
};

#else

struct PairReader {
  int lowest;

  explicit PairReader(uint8_t exponent) : lowest(exponent) {}
  template <int kRow, bool kWide>
  void row(const uint8_t* pair, const uint8_t* wide, Lanes* out) const {
    for (int column = 0; column < 64; ++column) {
      const int position = coded_position(column), shift = kRow ? 4 : 0;
      const int code = pair[position] >> shift & 15, byte = pair[64 + 64 * kRow + position];
      int exponent = code ? lowest + code : 0;
      if (kWide) exponent = (wide[position] >> shift & 15) << 4 | code;
      out[column / 16].v[column % 16] = to_float({uint16_t((byte & 0x80) << 8 | exponent << 7 | (byte & 0x7f))});
    }
  }
};

#endif

/// Wide pairs lie apart: without this each of them waits for memory, and one of 75 costs a third of all the time.
inline void prefetch_wide(const CodedBlock& from, int64_t k) {
  for (int64_t begin = 0; begin < coded_header_bytes(k); begin += 8) {
    uint64_t flags;
    std::memcpy(&flags, from.block + begin, sizeof flags);
    if (begin == 0) flags &= ~uint64_t(255);  // the lowest exponent
    for (; flags; flags &= flags - 1)
      __builtin_prefetch(from.wide + (8 * begin + __builtin_ctzll(flags) - 8) * kWidePairBytes);
  }
}

/// Calls f(row, vectors) for every row of a block in order; vectors: its 64 weights as four Lanes.
template <class F>
inline __attribute__((always_inline)) void for_coded_rows(const CodedBlock& from, int64_t k, F f) {
  prefetch_wide(from, k);
  const PairReader reader(from.block[0]);
  const uint8_t* pair = from.block + coded_header_bytes(k);
  for (int64_t row = 0; row < k; row += 2, pair += kCodedPairBytes) {
    Lanes w[4];
    if (from.is_wide(row / 2)) [[unlikely]] {
      const uint8_t* wide = from.wide + row / 2 * kWidePairBytes;
      reader.row<0, true>(pair, wide, w);
      f(row, w);
      if (row + 1 == k) break;
      reader.row<1, true>(pair, wide, w);
      f(row + 1, w);
    } else {
      reader.row<0, false>(pair, nullptr, w);
      f(row, w);
      if (row + 1 == k) break;
      reader.row<1, false>(pair, nullptr, w);
      f(row + 1, w);
    }
  }
}

}  // namespace cohort::COHORT_ISA
