// Packed matrix product. Lane = output column; a tile of rows × 64 columns stays in registers while k runs.
#include "policy/kernels/coded_lanes.h"
#include "policy/kernels/lanes.h"
#include "policy/kernels/tables.h"

namespace cohort::COHORT_ISA {
namespace {

#if defined(COHORT_ISA_avx512)
constexpr int kTileRows = 6, kTileVectors = 4;  // 24 accumulators of 32 registers
#else
constexpr int kTileRows = 6, kTileVectors = 1;  // AVX2: 12 accumulators of 16 registers
#endif

/// Weights in fp32, [K][64] from the tile's first column on.
struct Floats {
  const float* weights;
  Floats right(int64_t columns) const { return {weights + columns}; }
  template <int NV, class F>
  inline __attribute__((always_inline)) void for_rows(int64_t k, F f) const {
    const float* b = weights;
    for (int64_t row = 0; row < k; ++row, b += kBlock) {
      Lanes w[NV];
#pragma GCC unroll 16
      for (int v = 0; v < NV; ++v) w[v] = load(b + v * kLanes);
      f(row, w);
    }
  }
};

/// Weights of a coded block, whose tiles begin with its first column.
struct Coded {
  CodedBlock block;
  Coded right(int64_t) const { return *this; }
  template <int NV, class F>
  inline __attribute__((always_inline)) void for_rows(int64_t k, F f) const {
    for_coded_rows(block, k, f);
  }
};

template <int R, int NV, class Weights, bool kUnitStep>
inline void tile(const Gemm& g, const float* const* a, Weights b, int64_t row, int64_t column, int last_count) {
  Lanes acc[R][NV];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) {
      const float* c = g.c + (row + r) * g.c_row + column + v * kLanes;
      int count = v == NV - 1 ? last_count : kLanes;
      if (g.accumulate)
        acc[r][v] = load(c, count);
      else if (g.bias)
        acc[r][v] = load(g.bias + column + v * kLanes, count);
      else
        acc[r][v] = broadcast(0.0f);
    }
  const int64_t step = kUnitStep ? 1 : g.a_k;
  b.template for_rows<NV>(
      g.k, [&](int64_t k, const Lanes* w) __attribute__((always_inline)) {
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          Lanes x = broadcast(a[r][k * step]);
#pragma GCC unroll 16
          for (int v = 0; v < NV; ++v) acc[r][v] = fma(x, w[v], acc[r][v]);
        }
      });
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) {
      float* c = g.c + (row + r) * g.c_row + column + v * kLanes;
      if (v == NV - 1 && last_count < kLanes)
        store(c, acc[r][v], last_count);
      else
        store(c, acc[r][v]);
    }
}

template <int NV, class Weights, bool kUnitStep>
void columns(const Gemm& g, Weights b, int64_t row_begin, int64_t row_end, int64_t column, int last_count) {
  auto row_of = [&](int64_t t) { return g.a + int64_t(g.a_rows ? g.a_rows[t] : t) * g.a_row; };
  const float* a[kTileRows];
  int64_t row = row_begin;
  for (; row + kTileRows <= row_end; row += kTileRows) {
    for (int r = 0; r < kTileRows; ++r) a[r] = row_of(row + r);
    tile<kTileRows, NV, Weights, kUnitStep>(g, a, b, row, column, last_count);
  }
  for (int r = 0; row + r < row_end; ++r) a[r] = row_of(row + r);
  switch (row_end - row) {
    case 1:
      return tile<1, NV, Weights, kUnitStep>(g, a, b, row, column, last_count);
    case 2:
      return tile<2, NV, Weights, kUnitStep>(g, a, b, row, column, last_count);
    case 3:
      return tile<3, NV, Weights, kUnitStep>(g, a, b, row, column, last_count);
    case 4:
      return tile<4, NV, Weights, kUnitStep>(g, a, b, row, column, last_count);
    case 5:
      return tile<5, NV, Weights, kUnitStep>(g, a, b, row, column, last_count);
    default:
      return;
  }
}

template <class Weights, bool kUnitStep>
void block(const Gemm& g, Weights b, int64_t row_begin, int64_t row_end, int64_t column_block) {
  int64_t column = column_block * kBlock, end = g.n < column + kBlock ? g.n : column + kBlock;
  while (column < end) {
    int64_t left = end - column, vectors = (left + kLanes - 1) / kLanes;
    int take = int(vectors < kTileVectors ? vectors : kTileVectors);
    int last = int(left >= take * kLanes ? kLanes : left - (take - 1) * kLanes);
    switch (take) {
      case 1:
        columns<1, Weights, kUnitStep>(g, b, row_begin, row_end, column, last);
        break;
#if defined(COHORT_ISA_avx512)
      case 2:
        columns<2, Weights, kUnitStep>(g, b, row_begin, row_end, column, last);
        break;
      case 3:
        columns<3, Weights, kUnitStep>(g, b, row_begin, row_end, column, last);
        break;
      case 4:
        columns<4, Weights, kUnitStep>(g, b, row_begin, row_end, column, last);
        break;
#endif
    }
    column += take * kLanes, b = b.right(take * kLanes);
  }
}

void float_block(const Gemm& g, const float* b, int64_t row_begin, int64_t row_end, int64_t column_block) {
  if (g.a_k == 1)
    block<Floats, true>(g, {b}, row_begin, row_end, column_block);
  else
    block<Floats, false>(g, {b}, row_begin, row_end, column_block);
}

/// A coded block is read as floats into the first cache, a panel of 64 rows at a time; the chains go on from C.
void panels(const Gemm& g, const CodedBlock& coded, int64_t row_begin, int64_t row_end, int64_t column_block) {
  constexpr int64_t kPanel = 64;
  alignas(64) float panel[kPanel * kBlock];
  Gemm part = g;
  auto multiply = [&](int64_t first, int64_t rows) {
    part.a = g.a + first * g.a_k, part.k = rows;
    float_block(part, panel, row_begin, row_end, column_block);
    part.accumulate = true;
  };
  for_coded_rows(coded, g.k, [&](int64_t k, const Lanes* w) {
    for (int v = 0; v < 4; ++v) store(panel + k % kPanel * kBlock + v * kLanes, w[v]);
    if (k % kPanel == kPanel - 1) multiply(k - k % kPanel, kPanel);
  });
  if (g.k % kPanel || g.k == 0) multiply(g.k - g.k % kPanel, g.k % kPanel);
}

}  // namespace

void gemm_tile(const Gemm& g, int64_t row_begin, int64_t row_end, int64_t column_block) {
  if (!g.b_is_bf16)
    return float_block(g, static_cast<const float*>(g.b) + column_block * g.k * kBlock, row_begin, row_end,
                       column_block);
  const CodedBlock coded = coded_block(static_cast<const uint8_t*>(g.b), g.n, g.k, column_block);
#if defined(COHORT_ISA_avx512)
  if (g.a_k == 1) return block<Coded, true>(g, {coded}, row_begin, row_end, column_block);
#endif
  panels(g, coded, row_begin, row_end, column_block);
}

}  // namespace cohort::COHORT_ISA
