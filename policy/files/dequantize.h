// Tensors of files to fp32. Scalar reference code; the arithmetic and its order are ggml's, so the bits are those of
// the `gguf` package.
#pragma once
#include <span>

#include "policy/files/tensor_view.h"

namespace cohort {

/// Writes the tensor's elements in row-major order; out.size() must be their number (std::logic_error otherwise).
/// F32, F64, F16, BF16, F8_E4M3 and F8_E5M2 (unscaled), Q4_0, Q4_1, Q8_0, Q4_K, Q6_K; throws UsageError naming the
/// tensor for integer types.
void dequantize(const TensorView& tensor, std::span<float> out);

/// DeepSeek's block-scaled weights: weight [N, K] F8_E4M3, scale_inv [ceil(N/128), ceil(K/128)] F32,
/// out[n, k] = weight[n, k] * scale_inv[n / 128, k / 128]. Throws UsageError naming the tensor when types or shapes
/// differ.
/// expect_fp8_blocks is the check alone.
void dequantize_fp8_blocks(const TensorView& weight, const TensorView& scale_inv, std::span<float> out);
void expect_fp8_blocks(const TensorView& weight, const TensorView& scale_inv);

}  // namespace cohort
