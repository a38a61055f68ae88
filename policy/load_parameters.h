// Parameters out of files: read in pieces, packed, and given back part by part; and what decoding keeps of them.
#pragma once
#include <functional>
#include <span>
#include <string>

#include "policy/files/tensor_view.h"
#include "policy/model.h"

namespace cohort {

/// Fills `out` with rows of a parameter, from `first` on, a multiple of kRowsAtOnce. Called by several threads; must
/// not throw.
using ReadRows = std::function<void(const ParameterSpec&, int64_t first, std::span<float> out)>;
constexpr int64_t kRowsAtOnce = 128;  // a row of blocks of DeepSeek's FP8 files

/// Reads and packs. For decoding alone, one part after the other: memory holds the weights about once.
void read_parameters(CausalLM& model, const Compute& compute, const ReadRows& read);

/// Makes `to` a copy of what decoding reads of `from`, packed store and vectors; its memory, where it was such a copy
/// before, is used again. Frozen weights are not copied: `from` outlives what is adapted.
void copy_for_decoding(const CausalLM& from, const Compute& compute, CausalLM& to);

/// Elements of a row.
int64_t row_size(const ParameterSpec& p);
/// Rows first … first + count − 1 of the tensor.
TensorView rows_of(const TensorView& tensor, int64_t first, int64_t count);

/// Throws UsageError naming file, tensor and both shapes.
void expect_shape(const TensorView& tensor, std::span<const int64_t> expected, const std::string& file);
/// Throws what dequantize (or, with `scale_inv`, dequantize_fp8_blocks) would, before threads call it.
void expect_readable(const TensorView& tensor, const TensorView* scale_inv, const std::string& file);

}  // namespace cohort
