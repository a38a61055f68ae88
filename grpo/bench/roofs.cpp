// What the machine can do at most: arithmetic in registers, packed products, reading and copying memory.
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstring>

#include "grpo/bench/bench.h"

namespace cohort {
namespace {

constexpr int64_t kSide = 512;         // of the product's square matrix: 1 MB
constexpr int64_t kLargestRows = 256;  // of a product: a millisecond
constexpr int64_t kRounds = 1 << 14;   // of the chains in one task, about a tenth of a millisecond
constexpr int64_t kTasks = 16;         // for each thread: waking the threads takes as long as one task
constexpr int64_t kCacheBytes = 16 << 20, kMemoryBytes = 256 << 20;
constexpr int64_t kReadBytes = 1 << 18;  // of one task

#if defined(__x86_64__)
// Independent chains: more than latency times issue width (4 × 2), fewer than registers.
constexpr int kChains512 = 24, kChains256 = 12;

__attribute__((target("avx512f"))) float chains_avx512(int64_t rounds) {
  typedef float Vector __attribute__((vector_size(64)));
  Vector sum[kChains512], half = Vector{} + 0.5f, one = Vector{} + 1.0f;
  for (int c = 0; c < kChains512; ++c) sum[c] = Vector{} + float(c);  // equal chains would be computed once
  for (int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 24
    for (int c = 0; c < kChains512; ++c) sum[c] = _mm512_fmadd_ps(sum[c], half, one);
  for (int c = 1; c < kChains512; ++c) sum[0] += sum[c];
  return sum[0][0];
}

__attribute__((target("avx2,fma"))) float chains_avx2(int64_t rounds) {
  typedef float Vector __attribute__((vector_size(32)));
  Vector sum[kChains256], half = Vector{} + 0.5f, one = Vector{} + 1.0f;
  for (int c = 0; c < kChains256; ++c) sum[c] = Vector{} + float(c);  // equal chains would be computed once
  for (int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 12
    for (int c = 0; c < kChains256; ++c) sum[c] = _mm256_fmadd_ps(sum[c], half, one);
  for (int c = 1; c < kChains256; ++c) sum[0] += sum[c];
  return sum[0][0];
}
#endif

struct Chains {
  float (*run)(int64_t rounds) = nullptr;
  double flops_per_round = 0;
};
Chains chains_for([[maybe_unused]] const std::string& isa) {
#if defined(__x86_64__)
  if (isa == "avx512") return {chains_avx512, 2.0 * kChains512 * 16};
  if (isa == "avx2") return {chains_avx2, 2.0 * kChains256 * 8};
#endif
  return {};
}

/// FLOP/s of [rows, side] · [side, side].
double measure_gemm(const Compute& compute, int64_t rows, double seconds) {
  Buffer a(rows * kSide), b(packed_size(kSide, kSide)), c(rows * kSide);
  std::fill_n(a.data(), a.size(), 0.5f);
  std::fill_n(b.data(), b.size(), 0.25f);
  Gemm g{.a = a.data(), .a_row = kSide, .b = b.data(), .n = kSide, .k = kSide, .c = c.data(), .c_row = kSide};
  int64_t repeats = ceil_div(kLargestRows / 4, rows);  // so that a repetition is long enough to time
  double taken = fastest_seconds(seconds, [&] {
    for (int64_t i = 0; i < repeats; ++i) gemm(compute, g, rows);
  });
  return 2.0 * double(repeats * rows * kSide * kSide) / taken;
}

/// Bytes a second moved by a copy, read and written.
double measure_copy_bandwidth(const Compute& compute, int64_t bytes, double seconds) {
  Buffer from(bytes / 8), to(bytes / 8);
  std::fill_n(from.data(), from.size(), 1.0f);
  int64_t piece = kReadBytes / 4, pieces = ceil_div(from.size(), piece);
  double taken = fastest_seconds(seconds, [&] {
    compute.pool.parallel_for(pieces, [&](int64_t i) {
      std::memcpy(to.data() + i * piece, from.data() + i * piece,
                  sizeof(float) * size_t(std::min(piece, from.size() - i * piece)));
    });
  });
  return 8.0 * double(from.size()) / taken;
}

using Line = uint64_t __attribute__((vector_size(64), may_alias));

/// Folds `lines` cache lines into one, by an operation that no memory is slower than.
uint64_t read_lines(const Line* from, int64_t lines) {
  Line first{}, second{};
  int64_t i = 0;
  for (; i + 2 <= lines; i += 2) first ^= from[i], second ^= from[i + 1];
  if (i < lines) first ^= from[i];
  first ^= second;
  return first[0] ^ first[1] ^ first[2] ^ first[3] ^ first[4] ^ first[5] ^ first[6] ^ first[7];
}

std::string megabytes(int64_t bytes) {
  return std::to_string(bytes >> 20) + " MB";
}

}  // namespace

double measure_peak_flops(const Compute& compute, double seconds) {
  Chains chains = chains_for(compute.kernels->isa);
  double product = measure_gemm(compute, kLargestRows, seconds);  // first: meanwhile the threads spread over the cores
  if (!chains.run) return product;
  int64_t tasks = kTasks * compute.pool.num_threads();
  std::vector<float> sums(static_cast<size_t>(tasks));
  double taken = fastest_seconds(
      seconds, [&] { compute.pool.parallel_for(tasks, [&](int64_t i) { sums[size_t(i)] = chains.run(kRounds); }); });
  return std::max(product, chains.flops_per_round * double(kRounds * tasks) / taken);
}

double measure_read_bandwidth(const Compute& compute, int64_t bytes, double seconds) {
  constexpr int64_t kLineFloats = sizeof(Line) / sizeof(float), kPiece = kReadBytes / int64_t(sizeof(Line));
  int64_t lines = std::max<int64_t>(1, bytes / int64_t(sizeof(Line))), pieces = ceil_div(lines, kPiece);
  Buffer buffer(lines * kLineFloats);
  std::fill_n(buffer.data(), buffer.size(), 1.0f);
  std::vector<uint64_t> folded(static_cast<size_t>(pieces));
  const Line* from = reinterpret_cast<const Line*>(buffer.data());
  double taken = fastest_seconds(seconds, [&] {
    compute.pool.parallel_for(pieces, [&](int64_t i) {
      folded[size_t(i)] = read_lines(from + i * kPiece, std::min(kPiece, lines - i * kPiece));
    });
  });
  return double(lines) * double(sizeof(Line)) / taken;
}

void bench_roofs(const Compute& compute, const BenchConfig& config, const BenchReport& report) {
  double peak = measure_peak_flops(compute, config.seconds);
  report({.bench = "roofs",
          .name = std::string("fp32 multiply-adds, ") + compute.kernels->isa,
          .value = peak / 1e9,
          .unit = "GFLOP/s"});
  for (int64_t rows : {1, 8, 32, 64, 256})
    report({.bench = "roofs",
            .name = "packed product, " + std::to_string(rows) + " rows",
            .value = measure_gemm(compute, rows, config.seconds) / 1e9,
            .unit = "GFLOP/s",
            .roof = peak / 1e9,
            .bound = "compute"});
  for (int64_t bytes : {kCacheBytes, kMemoryBytes})
    report({.bench = "roofs",
            .name = "read " + megabytes(bytes),
            .value = measure_read_bandwidth(compute, bytes, config.seconds) / 1e9,
            .unit = "GB/s"});
  report({.bench = "roofs",
          .name = "copy " + megabytes(kMemoryBytes),
          .value = measure_copy_bandwidth(compute, kMemoryBytes, config.seconds) / 1e9,
          .unit = "GB/s"});
}

}  // namespace cohort
