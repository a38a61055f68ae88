// Text into HTML, and numbers as people read them.
#pragma once
#include <string>
#include <string_view>

namespace cohort {

/// Safe as element text and as a quoted attribute. Control characters other than newline and tab, and
/// those that reorder text, become U+FFFD.
std::string escape_html(std::string_view text);

/// At most `longest` bytes of UTF-8, cut between characters, with a note of how much was left out.
std::string shorten(std::string_view text, size_t longest);

/// Three significant digits: 0.00312, 41.7, 12.3k, 4.5M, 2e-7; "–" for a number that is not finite.
std::string format_number(double value);

/// 41.7 % for 0.417.
std::string format_percent(double value);

/// 45 s, 12 min, 3.1 h.
std::string format_seconds(double seconds);

}  // namespace cohort
