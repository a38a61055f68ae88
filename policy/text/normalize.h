// Normalizers: rewrite a text before it is cut into pieces.
#pragma once
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace cohort {

using Json = nlohmann::json;

struct Normalizer {
  std::vector<std::function<std::string(std::string_view)>> steps;  // valid UTF-8 in and out

  bool empty() const { return steps.empty(); }
  std::string apply(std::string_view text) const;
};

/// From the field `normalizer` of tokenizer.json (null: none). Throws UsageError on a kind not known.
Normalizer normalizer_from(const Json& description);

}  // namespace cohort
