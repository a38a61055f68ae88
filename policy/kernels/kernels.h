// The arithmetic of the engine, chosen once for the instruction set at hand. Contract (the reason that training and
// sampling agree to the bit): every output row depends only on its own inputs, by a reduction order that is a function
// of shape and key position, never of the number of rows, the batch slot, the thread count or the phase.
//
// Legend: T rows (tokens), D model, N outputs and K inputs of a matrix, H heads of one key/value head, V vocabulary.
#pragma once
#include <cstdint>
#include <string>

#include "policy/kernels/coded_bfloat16.h"
#include "policy/kernels/thread_pool.h"

namespace cohort {

constexpr int kBlock = 64;     // columns of a packed matrix that lie together: [N/64][K][64]
constexpr int kKeyBlock = 16;  // positions of a key/value block; lane = position mod 16

/// C[T,N] (+)= A[T,K] · B[K,N] (+ bias). Each output is one chain of fused multiply-adds over k = 0, 1, 2, …
struct Gemm {
  const float* a = nullptr;         // element (t, k) at a[row(t) * a_row + k * a_k]
  int64_t a_row = 0, a_k = 1;       //
  const int32_t* a_rows = nullptr;  // row(t) = a_rows[t]; null: row(t) = t
  const void* b = nullptr;          // packed [ceil(N/64)][K][64], zeros beyond N
  bool b_is_bf16 = false;           // b is coded blocks (coded_bfloat16.h), else floats
  int64_t n = 0, k = 0;             //
  float* c = nullptr;               // element (t, n) at c[t * c_row + n]
  int64_t c_row = 0;                //
  const float* bias = nullptr;      // [N], the chain starts from it; null: from 0
  bool accumulate = false;          // the chain starts from C
};

/// One query row of H heads over the first `num_keys` positions of a sequence (a sliding window starts at first_key).
struct Attend {
  const float* q = nullptr;         // [H, key_dim]
  const int32_t* blocks = nullptr;  // block table: position p lies in block blocks[p / 16], lane p % 16
  const float* keys = nullptr;      // block b at keys + b * key_stride: [key_dim][16]
  const float* values = nullptr;    // block b at values + b * value_stride: [16][value_row], value_dim used
  int64_t key_stride = 0, value_stride = 0, value_row = 0;
  int32_t heads = 0, key_dim = 0, value_dim = 0, first_key = 0, num_keys = 0;
  float scale = 1;          // of the scores, before softmax
  float* scores = nullptr;  // scratch [H, round_up(num_keys, 16)]
  float* out = nullptr;     // [H, value_dim]
  float* max = nullptr;     // [H] largest scaled score, and
  float* sum = nullptr;     // [H] sum of exp(score − max); both may be null
  // The row that this thread attends next, whose keys are fetched meanwhile; null: none. Values do not depend on it.
  const int32_t* next_blocks = nullptr;
  int32_t next_num_keys = 0;
};

/// Gradients of Attend for one row: fills P and dS (the scratch of the key-side pass) and dQ.
struct AttendBackward {
  Attend forward;                   // out: the forward's output; max and sum: its statistics
  const float* d_out = nullptr;     // [H, value_dim]
  const float* values_t = nullptr;  // block b at values_t + b * value_t_stride: [value_dim][16]
  const float* key_rows = nullptr;  // block b at key_rows + b * key_row_stride: [16][key_dim]
  int64_t value_t_stride = 0, key_row_stride = 0, ld = 0;
  float* p = nullptr;    // [H, ld] probabilities, zero in the padding of the last block
  float* ds = nullptr;   // [H, ld] gradient of the unscaled score
  float* d_q = nullptr;  // [H, key_dim]
};

/// out[key, d] += Σ over rows, heads in order of coefficient[row, head, key] · vector[row, head, d], for one key block.
struct OuterSum {
  const float* coefficients = nullptr;  // element (i, key) at coefficients[i * ld + key]; i counts (row, head) pairs
  int64_t ld = 0;                       //
  const float* vectors = nullptr;       // element (row, head, d) at vectors[row * vector_row + head * vector_head + d]
  int64_t vector_row = 0, vector_head = 0;
  int64_t rows = 0, heads = 0, dim = 0;
  int64_t coefficient_row = 0;  // coefficients of (row, head) start at row * coefficient_row + head * ld
  float* out = nullptr;         // [16, out_row]
  int64_t out_row = 0;
};

struct AdamW {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  float correction1, correction2;  // 1 − beta1^step, 1 − beta2^step
  float gradient_scale;            // from clipping
};

/// What one row of logits says about one token, after temperature: log-probability and entropy of the whole vocabulary.
struct TokenStatistics {
  float logprob, entropy, max, sum;  // max of the logits; sum of exp((logit − max)/temperature)
};

/// A row of logits as a sampler reads it.
struct SamplingRow {
  static constexpr int64_t kRun = 64, kChunk = 1024;
  float* weights;    // [V] exp((logit − max)/temperature)
  double* run_sums;  // [ceil(V/64)] of 64 weights one after another: lanes i mod 4, then (0 + 1) + (2 + 3)
  float* group_max;  // [16·ceil(V/1024)] the largest of the weights 1024·c + 16·j + l, j = 0 … 63, at 16·c + l
};

struct Kernels {
  const char* isa;
  void (*gemm_tile)(const Gemm&, int64_t row_begin, int64_t row_end, int64_t column_block);
  void (*attend)(const Attend&);
  void (*attend_backward)(const AttendBackward&);
  void (*outer_sum)(const OuterSum&);
  /// y = x / rms(x) · weight, rms² = mean(x²) + epsilon; returns 1 / rms.
  float (*rms_norm)(const float* x, const float* weight, int64_t dim, float epsilon, float* y);
  /// d_x = gradient through the norm of one row (added to d_x where `accumulate`).
  void (*rms_norm_backward)(const float* x, const float* weight, float inverse_rms, const float* d_y, int64_t dim,
                            bool accumulate, float* d_x);
  /// d_weight[columns] += Σ_t d_y · x · inverse_rms, rows in order, for 16 columns from `column` on.
  void (*rms_norm_weight_gradient)(const float* x_TD, int64_t x_row, const float* inverse_rms_T, const float* d_y_TD,
                                   int64_t dy_row, int64_t rows, int64_t column, int64_t columns, float* d_weight);
  /// out = silu(gate) · up
  void (*swiglu)(const float* gate, const float* up, int64_t dim, float* out);
  void (*swiglu_backward)(const float* gate, const float* up, const float* d_out, int64_t dim, float* d_gate,
                          float* d_up);
  void (*sigmoid)(const float* x, int64_t dim, float* out);
  void (*softmax)(const float* x, int64_t dim, float* out);
  float (*dot)(const float* a, const float* b, int64_t dim);
  void (*add)(const float* a, const float* b, int64_t dim, float* out);      // out = a + b
  void (*add_scaled)(const float* a, float scale, int64_t dim, float* out);  // out += scale · a
  TokenStatistics (*token_statistics)(const float* logits, int64_t vocab, float temperature, int32_t token);
  /// probabilities[v] = exp((logit − max)/temperature), unnormalised; returns their sum (the same bits as
  /// token_statistics)
  float (*exponentials)(const float* logits, int64_t vocab, float temperature, float max, float* out);
  /// One pass for a sampler: fills the row; its statistics have the bits of token_statistics, logprob left out.
  TokenStatistics (*sampling_row)(const float* logits, int64_t vocab, float temperature, const SamplingRow& row);
  /// log p of a token with this logit, as token_statistics gives it.
  float (*token_logprob)(float logit, float temperature, const TokenStatistics& statistics);
  /// Keys of the weights that are at least `least`, in the order of their ids; returns how many. The larger key has the
  /// larger weight, among equals the lower id: bits of the weight (not negative), then those of ~id.
  int64_t (*keys_from)(const float* weights, int64_t count, float least, uint64_t* keys);
  /// d_logits of d_logprob · ∂logprob + d_entropy · ∂entropy
  void (*logits_gradient)(const float* logits, int64_t vocab, float temperature, int32_t token,
                          TokenStatistics statistics, float d_logprob, float d_entropy, float* d_logits);
  void (*adamw)(float* weight, float* mean, float* variance, const float* gradient, int64_t count, const AdamW&);
  double (*sum_of_squares)(const float* x, int64_t count);
};

/// The best table this machine runs; COHORT_ISA=scalar|avx2|avx512 in the environment lowers it.
const Kernels& best_kernels();
/// The table of that name, or null where the machine lacks it.
const Kernels* kernels_for(const std::string& isa);

/// Where work runs: the arithmetic and the threads. Passed by reference to everything that computes.
struct Compute {
  explicit Compute(int num_threads) : pool(num_threads) {}
  const Kernels* kernels = &best_kernels();
  mutable ThreadPool pool;
};

inline int64_t round_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}
inline int64_t ceil_div(int64_t n, int64_t d) {
  return (n + d - 1) / d;
}
/// Elements of a packed [N, K] matrix.
inline int64_t packed_size(int64_t n, int64_t k) {
  return round_up(n, kBlock) * k;
}

/// Packs element (n, k) = source[n * n_stride + k * k_stride] into [ceil(N/64)][K][64], zeros beyond N.
void pack_matrix(const Compute&, const float* source, int64_t n, int64_t k, int64_t n_stride, int64_t k_stride,
                 float* out);
/// The same, rounded to bfloat16, into coded blocks (coded_bfloat16.h).
void pack_coded(const Compute&, const float* source, int64_t n, int64_t k, int64_t n_stride, int64_t k_stride,
                uint8_t* out);

/// C = A·B over the pool, split by output tiles; `rows` of A.
void gemm(const Compute&, const Gemm&, int64_t rows);

}  // namespace cohort
