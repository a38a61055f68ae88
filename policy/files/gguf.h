// GGUF, versions 2 and 3, little-endian: "GGUF", u32 version, u64 tensors, u64 pairs; pairs of key, u32 type, value;
// tensors as name, u32 dimensions, u64 sizes (fastest first), u32 ggml type, u64 offset; then the aligned tensor data.
// Goals: mapped, not read; a hostile file is refused before anything of its claimed size is allocated.
// Non-goals: version 1, big-endian files, files split in several.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "policy/files/mapped_file.h"
#include "policy/files/tensor_view.h"

namespace cohort {

struct GgufFile {
  MappedFile file;                  // what the views point into
  nlohmann::json metadata;          // object: key -> number, boolean, text (bytes as they stood), array
  std::vector<TensorView> tensors;  // sorted by name; shapes row-major, so the file's sizes reversed

  const TensorView* find(std::string_view name) const { return find_tensor(tensors, name); }
};

/// Throws UsageError naming file and key or tensor: counts, lengths or offsets that leave the file, overlaps, a name
/// twice, an unknown type. Throws MissingError for a ggml type that exists but is not read here.
GgufFile open_gguf(const std::filesystem::path& path);

}  // namespace cohort
