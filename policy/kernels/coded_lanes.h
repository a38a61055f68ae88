// Two rows of 64 coded weights (coded_bfloat16.h) as floats. Included by *_isa.cpp only.
#pragma once
#include "policy/kernels/coded_bfloat16.h"
#include "policy/kernels/lanes.h"

namespace cohort::COHORT_ISA {

#if defined(COHORT_ISA_avx512) || defined(COHORT_ISA_avx2)

/// The exponent of each code, its upper seven bits and its lowest bit apart as they lie in the bytes of a bfloat16.
struct ExponentTable {
  __m128i upper, lowest_bit;
};
inline ExponentTable exponents_above(uint8_t lowest) {
  const __m128i codes = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m128i none = _mm_cmpeq_epi8(codes, _mm_setzero_si128());
  const __m128i exponents = _mm_andnot_si128(none, _mm_add_epi8(codes, _mm_set1_epi8(char(lowest))));
  return {_mm_and_si128(_mm_srli_epi16(exponents, 1), _mm_set1_epi8(0x7f)),
          _mm_and_si128(_mm_slli_epi16(exponents, 7), _mm_set1_epi8(char(0x80)))};
}

#endif
#if defined(COHORT_ISA_avx512)

struct PairDecoder {
  explicit PairDecoder(uint8_t lowest) {
    const ExponentTable table = exponents_above(lowest);
    upper = _mm512_broadcast_i32x4(table.upper), lowest_bit = _mm512_broadcast_i32x4(table.lowest_bit);
  }
  void row(__m512i codes, const uint8_t* signs, Lanes* out) const {
    const __m512i sign_bit = _mm512_set1_epi8(char(0x80)), odd_words = _mm512_set1_epi32(int(0xffff0000));
    const __m512i bytes = _mm512_loadu_si512(signs);
    // Bit by bit: where sign_bit is set the first of the two, else the second.
    const __m512i high = _mm512_ternarylogic_epi32(sign_bit, bytes, _mm512_shuffle_epi8(upper, codes), 0xCA),
                  low = _mm512_ternarylogic_epi32(sign_bit, _mm512_shuffle_epi8(lowest_bit, codes), bytes, 0xCA);
    const __m512i front = _mm512_unpacklo_epi8(low, high), back = _mm512_unpackhi_epi8(low, high);
    out[0] = {_mm512_castsi512_ps(_mm512_slli_epi32(front, 16))};
    out[1] = {_mm512_castsi512_ps(_mm512_and_si512(front, odd_words))};
    out[2] = {_mm512_castsi512_ps(_mm512_slli_epi32(back, 16))};
    out[3] = {_mm512_castsi512_ps(_mm512_and_si512(back, odd_words))};
  }
  void first(const uint8_t* pair, Lanes* out) const {
    row(_mm512_and_si512(_mm512_loadu_si512(pair), _mm512_set1_epi8(15)), pair + 64, out);
  }
  void second(const uint8_t* pair, Lanes* out) const {
    row(_mm512_and_si512(_mm512_srli_epi16(_mm512_loadu_si512(pair), 4), _mm512_set1_epi8(15)), pair + 128, out);
  }
  __m512i upper, lowest_bit;
};

#elif defined(COHORT_ISA_avx2)

struct PairDecoder {
  explicit PairDecoder(uint8_t lowest) {
    const ExponentTable table = exponents_above(lowest);
    upper = _mm256_broadcastsi128_si256(table.upper), lowest_bit = _mm256_broadcastsi128_si256(table.lowest_bit);
  }
  void half(__m256i codes, const uint8_t* signs, __m256 Lanes::*to, Lanes* out) const {
    const __m256i sign_bit = _mm256_set1_epi8(char(0x80)), odd_words = _mm256_set1_epi32(int(0xffff0000));
    const __m256i bytes = _mm256_loadu_si256((const __m256i*)signs);
    const __m256i high = _mm256_or_si256(_mm256_and_si256(sign_bit, bytes), _mm256_shuffle_epi8(upper, codes)),
                  low = _mm256_or_si256(_mm256_andnot_si256(sign_bit, bytes), _mm256_shuffle_epi8(lowest_bit, codes));
    const __m256i front = _mm256_unpacklo_epi8(low, high), back = _mm256_unpackhi_epi8(low, high);
    out[0].*to = _mm256_castsi256_ps(_mm256_slli_epi32(front, 16));
    out[1].*to = _mm256_castsi256_ps(_mm256_and_si256(front, odd_words));
    out[2].*to = _mm256_castsi256_ps(_mm256_slli_epi32(back, 16));
    out[3].*to = _mm256_castsi256_ps(_mm256_and_si256(back, odd_words));
  }
  __m256i codes_at(const uint8_t* p, bool second) const {
    __m256i codes = _mm256_loadu_si256((const __m256i*)p);
    return _mm256_and_si256(second ? _mm256_srli_epi16(codes, 4) : codes, _mm256_set1_epi8(15));
  }
  void first(const uint8_t* pair, Lanes* out) const {
    half(codes_at(pair, false), pair + 64, &Lanes::lo, out),
        half(codes_at(pair + 32, false), pair + 96, &Lanes::hi, out);
  }
  void second(const uint8_t* pair, Lanes* out) const {
    half(codes_at(pair, true), pair + 128, &Lanes::lo, out),
        half(codes_at(pair + 32, true), pair + 160, &Lanes::hi, out);
  }
  __m256i upper, lowest_bit;
};

#else

struct PairDecoder {
  explicit PairDecoder(uint8_t lowest_exponent) : lowest(lowest_exponent) {}
  void row(const uint8_t* codes, int shift, const uint8_t* signs, Lanes* out) const {
    for (int column = 0; column < 64; ++column) {
      const int position = coded_position(column), code = codes[position] >> shift & 15, byte = signs[position];
      const int exponent = code ? lowest + code : 0;
      out[column / 16].v[column % 16] = to_float({uint16_t((byte & 0x80) << 8 | exponent << 7 | (byte & 0x7f))});
    }
  }
  void first(const uint8_t* pair, Lanes* out) const { row(pair, 0, pair + 64, out); }
  void second(const uint8_t* pair, Lanes* out) const { row(pair, 4, pair + 128, out); }
  int lowest;
};

#endif

/// Calls f(row, vectors) for every row of a block in order; vectors: its 64 weights as four Lanes.
template <class F>
inline __attribute__((always_inline)) void for_coded_rows(const uint8_t* block, int64_t k, F f) {
  const uint8_t* chunk = block + coded_header_bytes(k);
  for (int64_t begin = 0; begin < k; begin += kCodedRows, ++block) {
    const int64_t end = k < begin + kCodedRows ? k : begin + kCodedRows;
    Lanes w[4];
    if (*block == kWide) {
      for (int64_t row = begin; row < end; ++row, chunk += 128) {
        for (int v = 0; v < 4; ++v) w[v] = load(reinterpret_cast<const bfloat16*>(chunk) + v * kLanes);
        f(row, w);
      }
      continue;
    }
    const PairDecoder decoder(*block);
    for (int64_t row = begin; row < end; row += 2, chunk += kCodedPairBytes) {
      decoder.first(chunk, w);
      f(row, w);
      if (row + 1 == end) continue;
      decoder.second(chunk, w);
      f(row + 1, w);
    }
  }
}

}  // namespace cohort::COHORT_ISA
