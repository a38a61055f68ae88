// A tensor inside a mapped file: name, type, shape and bytes, nothing copied.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/files/dtype.h"

namespace cohort {

struct TensorView {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;        // row-major, slowest first
  std::span<const std::byte> bytes;  // little-endian; no alignment is promised

  int64_t num_elements() const {
    int64_t product = 1;
    for (const int64_t size : shape) product *= size;
    return product;
  }
};

/// Bytes that a tensor of this type and shape takes. Empty when a size is negative, the product overflows, or a
/// quantised tensor's rows are no whole number of blocks.
std::optional<int64_t> num_bytes(DType dtype, std::span<const int64_t> shape);

/// The tensor of that name in a list sorted by name; null when there is none.
const TensorView* find_tensor(std::span<const TensorView> sorted, std::string_view name);

/// A name out of a file, made safe and short for a message: quoted, control characters and broken UTF-8 escaped.
std::string quote_name(std::string_view name);

}  // namespace cohort
