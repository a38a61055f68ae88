// fp32 into the types that GGUF files are written in. The arithmetic is ggml's, so the bits are those of the `gguf`
// package.
#pragma once
#include <cstddef>
#include <span>

#include "policy/files/dtype.h"

namespace cohort {

/// True for the types below.
bool is_writable(DType dtype);

/// F32, F16, BF16 or Q8_0: blocks of 32 in a row, so values.size() must be a multiple of 32 there. std::logic_error for
/// other types, and for an `out` of another size than the values take.
void quantize(std::span<const float> values, DType dtype, std::span<std::byte> out);

}  // namespace cohort
