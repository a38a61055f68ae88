// GGUF out: version 3, little-endian, tensor data aligned to 32 bytes.
// Goals: whole or absent, whatever stops the program; one tensor in memory at a time.
#pragma once
#include <cstddef>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "policy/files/dtype.h"

namespace cohort {

struct GgufTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;  // row-major, slowest first
};

/// `metadata`: key → value in the order of the file. Whole numbers become u32 (i32 below zero, 64 bits where they need
/// it), others f32; a list's type is that of its elements, i32 for whole numbers, strings for an empty one.
/// `fill` writes the bytes of tensors[index]. Throws std::logic_error for what the format cannot hold.
void write_gguf(const std::filesystem::path& path, const nlohmann::ordered_json& metadata,
                std::span<const GgufTensor> tensors,
                const std::function<void(size_t index, std::span<std::byte> out)>& fill);

}  // namespace cohort
