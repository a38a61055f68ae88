#include "policy/kernels/kernels.h"

#include <algorithm>
#include <cstdlib>

#include "configs/error.h"
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

template <class T>
void pack_matrix(const Compute& compute, const float* source, int64_t n, int64_t k, int64_t n_stride, int64_t k_stride,
                 T* out) {
  auto convert = [](float x) {
    if constexpr (std::is_same_v<T, float>)
      return x;
    else
      return to_bfloat16(x);
  };
  compute.pool.parallel_for(ceil_div(n, kBlock), [&](int64_t block) {
    T* to = out + block * k * kBlock;
    int64_t first = block * kBlock, count = std::min<int64_t>(kBlock, n - first);
    for (int64_t j = count; j < kBlock; ++j)
      for (int64_t i = 0; i < k; ++i) to[i * kBlock + j] = T{};
    const float* from = source + first * n_stride;
    if (n_stride == 1) {
      for (int64_t i = 0; i < k; ++i)
        for (int64_t j = 0; j < count; ++j) to[i * kBlock + j] = convert(from[i * k_stride + j]);
      return;
    }
    for (int64_t i0 = 0; i0 < k; i0 += 16)  // 16 inputs at a time: a cache line of the source, 4 KB of the target
      for (int64_t j = 0; j < count; ++j)
        for (int64_t i = i0; i < std::min(i0 + 16, k); ++i)
          to[i * kBlock + j] = convert(from[j * n_stride + i * k_stride]);
  });
}
template void pack_matrix(const Compute&, const float*, int64_t, int64_t, int64_t, int64_t, float*);
template void pack_matrix(const Compute&, const float*, int64_t, int64_t, int64_t, int64_t, bfloat16*);

void gemm(const Compute& compute, const Gemm& g, int64_t rows) {
  if (rows == 0 || g.n == 0) return;
  int64_t blocks = ceil_div(g.n, kBlock), threads = compute.pool.num_threads();
  // Enough tiles to balance the threads, but long runs of rows over one block of B, which stays in L2.
  int64_t chunks = std::clamp<int64_t>(ceil_div(4 * threads, blocks), 1, std::max<int64_t>(1, rows / 24));
  int64_t chunk_rows = round_up(ceil_div(rows, chunks), 6);
  chunks = ceil_div(rows, chunk_rows);
  compute.pool.parallel_for(blocks * chunks, [&](int64_t task) {
    int64_t begin = task % chunks * chunk_rows;
    compute.kernels->gemm_tile(g, begin, std::min(rows, begin + chunk_rows), task / chunks);
  });
}

}  // namespace cohort
