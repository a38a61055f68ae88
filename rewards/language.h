// How much of a text is in one language, told by script.
#pragma once
#include <optional>
#include <string_view>

namespace cohort {

/// Throws UsageError naming those there are.
void expect_language(std::string_view language);

/// Share of the words that are in the script of `language` (en, zh, ja, ko, ru, ar, hi, th, he, el); none where there
/// are no words. LaTeX, code, digits and symbols belong to no language and do not count.
std::optional<double> language_share(std::string_view text, std::string_view language);

}  // namespace cohort
