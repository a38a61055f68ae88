// The two JSON texts of safetensors, read strictly: nothing unknown, nothing twice, nothing nested deeper than the
// form.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace cohort {

struct TensorEntry {
  std::string name, dtype;
  std::vector<int64_t> shape;
  std::array<uint64_t, 2> data_offsets{};  // begin and end, in bytes from the end of the header
};

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  // in the order of the text; a name may stand twice
  std::map<std::string, std::string> metadata;
};

/// Throws UsageError "FILE: …" for anything else than a header.
SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& file);

/// Tensor name and shard of model.safetensors.index.json, in the order of the text. Throws UsageError "FILE: …".
std::vector<std::pair<std::string, std::string>> parse_safetensors_index(std::string_view text,
                                                                         const std::string& file);

}  // namespace cohort
