// Normalization Form C (UAX 15) that touches only the stretches it may change: most text has none.
#pragma once
#include <string>
#include <string_view>

namespace cohort {

/// Valid UTF-8 in and out. `transform`: NFC of a stretch.
std::string nfc(std::string_view text, std::string (*transform)(std::string_view stretch));

}  // namespace cohort
