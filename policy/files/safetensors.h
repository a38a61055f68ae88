// safetensors: u64 little-endian header length, a JSON header {name: {dtype, shape, data_offsets}, "__metadata__"?}
// padded with spaces, then the tensors without holes. A model is one file, or shards named by an index.
// Goals: mapped, not read; a hostile file is refused before anything of its claimed size is allocated or touched.
// Non-goals: sub-byte types, big-endian machines.
#pragma once
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "policy/files/mapped_file.h"
#include "policy/files/tensor_view.h"

namespace cohort {

struct SafetensorsFolder {
  std::vector<MappedFile> files;                // what the views point into
  std::vector<TensorView> tensors;              // sorted by name
  std::map<std::string, std::string> metadata;  // "__metadata__" of the files, the first file's value where they differ

  const TensorView* find(std::string_view name) const { return find_tensor(tensors, name); }
};

/// Opens a .safetensors file, an index (*.index.json), or an HF folder with model.safetensors or
/// model.safetensors.index.json. Throws UsageError naming file and tensor: a header longer than the file, broken JSON,
/// a name twice, an unknown type, sizes that disagree, offsets that overlap, leave holes or leave the file, a shard
/// outside the folder, a tensor that its shard lacks.
SafetensorsFolder open_safetensors(const std::filesystem::path& path);

/// True for what open_safetensors takes: a file of one of its names, or a folder that holds one.
bool is_safetensors(const std::filesystem::path& path);

/// Writes one file, whole or not at all (temporary name, fsync, rename). The layout is the reference package's: by
/// type, widest first, then by name; header padded to 8 bytes. Throws std::logic_error for tensors whose bytes do not
/// fit their shape, for quantised types and for a name twice.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors,
                       const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

}  // namespace cohort
