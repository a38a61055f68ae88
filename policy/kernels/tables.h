// The functions that each instruction set implements (see kernels.h for the contracts).
#pragma once
#include "policy/kernels/kernels.h"

#define COHORT_DECLARE_KERNELS(ISA)                                                                                    \
  namespace cohort::ISA {                                                                                              \
  void gemm_tile(const Gemm&, int64_t, int64_t, int64_t);                                                              \
  void attend(const Attend&);                                                                                          \
  void attend_backward(const AttendBackward&);                                                                         \
  void outer_sum(const OuterSum&);                                                                                     \
  float rms_norm(const float*, const float*, int64_t, float, float*);                                                  \
  void rms_norm_backward(const float*, const float*, float, const float*, int64_t, bool, float*);                      \
  void rms_norm_weight_gradient(const float*, int64_t, const float*, const float*, int64_t, int64_t, int64_t, int64_t, \
                                float*);                                                                               \
  void swiglu(const float*, const float*, int64_t, float*);                                                            \
  void swiglu_backward(const float*, const float*, const float*, int64_t, float*, float*);                             \
  void sigmoid_row(const float*, int64_t, float*);                                                                     \
  void softmax_row(const float*, int64_t, float*);                                                                     \
  float dot(const float*, const float*, int64_t);                                                                      \
  void add(const float*, const float*, int64_t, float*);                                                               \
  void add_scaled(const float*, float, int64_t, float*);                                                               \
  TokenStatistics token_statistics(const float*, int64_t, float, int32_t);                                             \
  float exponentials(const float*, int64_t, float, float, float*);                                                     \
  TokenStatistics sampling_row(const float*, int64_t, float, const SamplingRow&);                                      \
  float token_logprob(float, float, const TokenStatistics&);                                                           \
  int64_t keys_from(const float*, int64_t, float, uint64_t*);                                                          \
  void logits_gradient(const float*, int64_t, float, int32_t, TokenStatistics, float, float, float*);                  \
  void adamw(float*, float*, float*, const float*, int64_t, const AdamW&);                                             \
  double sum_of_squares(const float*, int64_t);                                                                        \
  inline constexpr Kernels table{#ISA,                                                                                 \
                                 gemm_tile,                                                                            \
                                 attend,                                                                               \
                                 attend_backward,                                                                      \
                                 outer_sum,                                                                            \
                                 rms_norm,                                                                             \
                                 rms_norm_backward,                                                                    \
                                 rms_norm_weight_gradient,                                                             \
                                 swiglu,                                                                               \
                                 swiglu_backward,                                                                      \
                                 sigmoid_row,                                                                          \
                                 softmax_row,                                                                          \
                                 dot,                                                                                  \
                                 add,                                                                                  \
                                 add_scaled,                                                                           \
                                 token_statistics,                                                                     \
                                 exponentials,                                                                         \
                                 sampling_row,                                                                         \
                                 token_logprob,                                                                        \
                                 keys_from,                                                                            \
                                 logits_gradient,                                                                      \
                                 adamw,                                                                                \
                                 sum_of_squares};                                                                      \
  }

COHORT_DECLARE_KERNELS(scalar)
COHORT_DECLARE_KERNELS(avx2)
COHORT_DECLARE_KERNELS(avx512)
#undef COHORT_DECLARE_KERNELS
