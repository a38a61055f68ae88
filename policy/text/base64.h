// Base64 (RFC 4648), as tiktoken vocabularies and character maps are written.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace cohort {

/// Bytes up to the first `=` or the end; empty where another character stands.
std::optional<std::string> from_base64(std::string_view text);
std::string to_base64(std::string_view bytes);

}  // namespace cohort
