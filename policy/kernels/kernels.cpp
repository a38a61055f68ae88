#include "policy/kernels/kernels.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "configs/error.h"
#include "policy/kernels/buffer.h"
#include "policy/kernels/coded_bfloat16.h"
#include "policy/kernels/tables.h"

namespace cohort {
namespace {

bool machine_has(const std::string& isa) {
  if (isa == "scalar") return true;
#if defined(__x86_64__)
  if (isa == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == "avx512")
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
  return false;
}

}  // namespace

const Kernels* kernels_for(const std::string& isa) {
  if (!machine_has(isa)) return nullptr;
  return isa == "avx512" ? &avx512::table : isa == "avx2" ? &avx2::table : isa == "scalar" ? &scalar::table : nullptr;
}

const Kernels& best_kernels() {
  if (const char* wanted = std::getenv("COHORT_ISA")) {
    if (const Kernels* table = kernels_for(wanted)) return *table;
    throw UsageError(std::string("COHORT_ISA=") + wanted +
                     " is not an instruction set of this machine: scalar, avx2 or avx512 where the CPU has it");
  }
  for (const char* isa : {"avx512", "avx2"})
    if (const Kernels* table = kernels_for(isa)) return *table;
  return scalar::table;
}

using Four = float __attribute__((vector_size(16)));

static void put_four(Four x, float* to) {
  std::memcpy(to, &x, sizeof x);
}
/// As to_bfloat16.
static void put_four(Four x, bfloat16* to) {
  using Words = uint32_t __attribute__((vector_size(16)));
  using Halves = uint16_t __attribute__((vector_size(8)));
  Words bits;
  std::memcpy(&bits, &x, sizeof bits);
  const Words not_a_number = (bits & 0x7fffffffu) > 0x7f800000u, high = bits >> 16;
  const Words rounded = (bits + 0x7fffu + (high & 1u)) >> 16;
  const Halves halves = __builtin_convertvector((not_a_number & (high | 0x40u)) | (~not_a_number & rounded), Halves);
  std::memcpy(to, &halves, sizeof halves);
}
static void put_one(float x, float* to) {
  *to = x;
}
static void put_one(float x, bfloat16* to) {
  *to = to_bfloat16(x);
}

/// Rows j … j + 3 of four neighbouring inputs each become four rows of neighbouring outputs.
template <class T>
static void transpose_four(const float* from, int64_t stride, T* to) {
  using Order = int32_t __attribute__((vector_size(16)));
  Four row[4];
  for (int j = 0; j < 4; ++j) std::memcpy(&row[j], from + j * stride, sizeof(Four));
  const Order low{0, 4, 1, 5}, high{2, 6, 3, 7}, front{0, 1, 4, 5}, back{2, 3, 6, 7};
  const Four a = __builtin_shuffle(row[0], row[1], low), b = __builtin_shuffle(row[2], row[3], low),
             c = __builtin_shuffle(row[0], row[1], high), d = __builtin_shuffle(row[2], row[3], high);
  const Four column[4] = {__builtin_shuffle(a, b, front), __builtin_shuffle(a, b, back), __builtin_shuffle(c, d, front),
                          __builtin_shuffle(c, d, back)};
  for (int i = 0; i < 4; ++i) put_four(column[i], to + i * kBlock);
}

constexpr int64_t kChunkRows = 16;  // inputs at a time: a cache line of the source, 4 KB of the target

/// Up to 16 rows [rows][64] of a column block: element (i, j) = from[j · n_stride + i · k_stride], zeros from column
/// `count` on.
template <class T>
static void pack_chunk(const float* from, int64_t rows, int64_t count, int64_t n_stride, int64_t k_stride, T* to) {
  for (int64_t j = count; j < kBlock; ++j)
    for (int64_t i = 0; i < rows; ++i) to[i * kBlock + j] = T{};
  if (k_stride == 1 && count == kBlock && rows == kChunkRows) {
    for (int64_t j = 0; j < kBlock; j += 4)
      for (int64_t i = 0; i < rows; i += 4) transpose_four(from + j * n_stride + i, n_stride, to + i * kBlock + j);
    return;
  }
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < count; ++j) put_one(from[j * n_stride + i * k_stride], to + i * kBlock + j);
}

void pack_matrix(const Compute& compute, const float* source, int64_t n, int64_t k, int64_t n_stride, int64_t k_stride,
                 float* out) {
  compute.pool.parallel_for(ceil_div(n, kBlock), [&](int64_t block) {
    const int64_t first = block * kBlock, count = std::min<int64_t>(kBlock, n - first);
    for (int64_t i = 0; i < k; i += kChunkRows)
      pack_chunk(source + first * n_stride + i * k_stride, std::min(kChunkRows, k - i), count, n_stride, k_stride,
                 out + (block * k + i) * kBlock);
  });
}

void pack_coded(const Compute& compute, const float* source, int64_t n, int64_t k, int64_t n_stride, int64_t k_stride,
                uint8_t* out) {
  compute.pool.parallel_for(ceil_div(n, kBlock), [&](int64_t block) {
    const int64_t first = block * kBlock, count = std::min<int64_t>(kBlock, n - first);
    thread_local BufferOf<bfloat16> rows_of_64;  // kept: pages of memory cost more than what is written to them
    rows_of_64.resize(k * kBlock);
    for (int64_t i = 0; i < k; i += kChunkRows)
      pack_chunk(source + first * n_stride + i * k_stride, std::min(kChunkRows, k - i), count, n_stride, k_stride,
                 rows_of_64.data() + i * kBlock);
    encode_block(rows_of_64.data(), k, coded_block(out, n, k, block));
  });
}

/// Rows of A that one task passes with a block of B. Few rows stay together: then B is what is read from memory. Of
/// many rows so many as stay in the second cache while all blocks of B pass, for then it is A.
static int64_t rows_of_task(const Gemm& g, int64_t rows, int64_t blocks, int64_t threads) {
  constexpr int64_t kMany = 192, kLeast = 96, kFloatsOfA = 1 << 16;
  const int64_t balanced = std::clamp<int64_t>(ceil_div(8 * threads, blocks), 1, std::max<int64_t>(1, rows / 24)),
                cached = rows < kMany ? 1 : ceil_div(rows, std::max(kLeast, kFloatsOfA / std::max<int64_t>(1, g.k)));
  return round_up(ceil_div(rows, std::max(balanced, cached)), 6);
}

void gemm(const Compute& compute, const Gemm& g, int64_t rows) {
  if (rows == 0 || g.n == 0) return;
  const int64_t blocks = ceil_div(g.n, kBlock), chunk = rows_of_task(g, rows, blocks, compute.pool.num_threads());
  compute.pool.parallel_for(blocks * ceil_div(rows, chunk), [&](int64_t task) {
    const int64_t begin = task / blocks * chunk;
    compute.kernels->gemm_tile(g, begin, std::min(rows, begin + chunk), task % blocks);
  });
}

}  // namespace cohort
