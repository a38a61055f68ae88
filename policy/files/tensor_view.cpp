#include "policy/files/tensor_view.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace cohort {

std::optional<int64_t> num_bytes(DType dtype, std::span<const int64_t> shape) {
  const DTypeTraits& type = traits(dtype);
  if (type.block_elements > 1 && (shape.empty() || shape.back() % type.block_elements != 0)) return std::nullopt;
  int64_t elements = 1, bytes = 0;
  for (const int64_t size : shape)
    if (size < 0 || __builtin_mul_overflow(elements, size, &elements)) return std::nullopt;
  if (__builtin_mul_overflow(elements / type.block_elements, type.block_bytes, &bytes)) return std::nullopt;
  return bytes;
}

const TensorView* find_tensor(std::span<const TensorView> sorted, std::string_view name) {
  const auto at = std::ranges::lower_bound(sorted, name, {}, &TensorView::name);
  return at != sorted.end() && at->name == name ? &*at : nullptr;
}

std::string quote_name(std::string_view name) {
  constexpr size_t longest = 200;  // bytes, escapes counted
  const auto quoted = [](std::string_view text) {
    using nlohmann::json;
    return json(std::string(text)).dump(-1, ' ', true, json::error_handler_t::replace);
  };
  size_t shown = std::min(name.size(), longest);
  while (shown > 0 && quoted(name.substr(0, shown)).size() > longest + 2) shown = shown * 3 / 4;
  return quoted(name.substr(0, shown)) + (shown < name.size() ? "…" : "");
}

}  // namespace cohort
