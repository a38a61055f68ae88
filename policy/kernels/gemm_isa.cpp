// Packed matrix product. Lane = output column; a tile of rows × 64 columns stays in registers while k runs.
#include "policy/kernels/lanes.h"
#include "policy/kernels/tables.h"

namespace cohort::COHORT_ISA {
namespace {

#if defined(COHORT_ISA_avx512)
constexpr int kTileRows = 6, kTileVectors = 4;  // 24 accumulators of 32 registers
#else
constexpr int kTileRows = 6, kTileVectors = 1;  // AVX2: 12 accumulators of 16 registers
#endif

template <int R, int NV, class B, bool kUnitStep>
inline void tile(const Gemm& g, const float* const* a, const B* b, int64_t row, int64_t column, int last_count) {
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
  for (int64_t k = 0; k < g.k; ++k, b += kBlock) {
    Lanes w[NV];
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) w[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      Lanes x = broadcast(a[r][k * step]);
#pragma GCC unroll 16
      for (int v = 0; v < NV; ++v) acc[r][v] = fma(x, w[v], acc[r][v]);
    }
  }
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

template <int NV, class B, bool kUnitStep>
void columns(const Gemm& g, const B* b, int64_t row_begin, int64_t row_end, int64_t column, int last_count) {
  auto row_of = [&](int64_t t) { return g.a + int64_t(g.a_rows ? g.a_rows[t] : t) * g.a_row; };
  const float* a[kTileRows];
  int64_t row = row_begin;
  for (; row + kTileRows <= row_end; row += kTileRows) {
    for (int r = 0; r < kTileRows; ++r) a[r] = row_of(row + r);
    tile<kTileRows, NV, B, kUnitStep>(g, a, b, row, column, last_count);
  }
  for (int r = 0; row + r < row_end; ++r) a[r] = row_of(row + r);
  switch (row_end - row) {
    case 1:
      return tile<1, NV, B, kUnitStep>(g, a, b, row, column, last_count);
    case 2:
      return tile<2, NV, B, kUnitStep>(g, a, b, row, column, last_count);
    case 3:
      return tile<3, NV, B, kUnitStep>(g, a, b, row, column, last_count);
    case 4:
      return tile<4, NV, B, kUnitStep>(g, a, b, row, column, last_count);
    case 5:
      return tile<5, NV, B, kUnitStep>(g, a, b, row, column, last_count);
    default:
      return;
  }
}

template <class B, bool kUnitStep>
void block(const Gemm& g, int64_t row_begin, int64_t row_end, int64_t column_block) {
  const B* b = static_cast<const B*>(g.b) + column_block * g.k * kBlock;
  int64_t column = column_block * kBlock, end = g.n < column + kBlock ? g.n : column + kBlock;
  while (column < end) {
    int64_t left = end - column, vectors = (left + kLanes - 1) / kLanes;
    int take = int(vectors < kTileVectors ? vectors : kTileVectors);
    int last = int(left >= take * kLanes ? kLanes : left - (take - 1) * kLanes);
    switch (take) {
      case 1:
        columns<1, B, kUnitStep>(g, b, row_begin, row_end, column, last);
        break;
#if defined(COHORT_ISA_avx512)
      case 2:
        columns<2, B, kUnitStep>(g, b, row_begin, row_end, column, last);
        break;
      case 3:
        columns<3, B, kUnitStep>(g, b, row_begin, row_end, column, last);
        break;
      case 4:
        columns<4, B, kUnitStep>(g, b, row_begin, row_end, column, last);
        break;
#endif
    }
    column += take * kLanes, b += take * kLanes;
  }
}

}  // namespace

void gemm_tile(const Gemm& g, int64_t row_begin, int64_t row_end, int64_t column_block) {
  if (g.b_is_bf16) {
    if (g.a_k == 1)
      block<bfloat16, true>(g, row_begin, row_end, column_block);
    else
      block<bfloat16, false>(g, row_begin, row_end, column_block);
  } else {
    if (g.a_k == 1)
      block<float, true>(g, row_begin, row_end, column_block);
    else
      block<float, false>(g, row_begin, row_end, column_block);
  }
}

}  // namespace cohort::COHORT_ISA
