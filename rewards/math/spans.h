// Spans of a text that may hold its answer: boxes, formulas, headings, the last value. Linear in the text.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace cohort::math {

inline constexpr size_t kMaxBare = 200;  // bytes of a completion that may be nothing but one expression
inline constexpr size_t kMaxCandidate = 10'000;

inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
inline bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
inline bool is_alnum(char c) {
  return is_digit(c) || is_letter(c) || (c & 0x80) != 0;
}

/// The last \boxed{…} or \fbox{…}; with `join`, those side by side with it as well, between commas.
std::optional<std::string> boxed_answer(std::string_view text, bool join);

/// What "the final answer is $…$" announces behind the last box of the text.
std::optional<std::string_view> announced_after_boxes(std::string_view text);

/// The last formula between $…$, $$…$$, \(…\) or \[…\], and one that the text starts with (empty for none).
std::optional<std::string_view> last_formula(std::string_view text);
std::string_view first_formula(std::string_view text);

/// "$x = 3$ and $x = 5$" at the end of a text: the formulas that give one name its values, joined by commas.
std::optional<std::string> last_solutions(std::string_view text);

/// Behind the last "####", to the next blank line.
std::optional<std::string_view> after_hashes(std::string_view text);

/// The last **bold** words that are no title.
std::optional<std::string_view> last_bold(std::string_view text);

/// What stands under a last heading that is nothing but "Answer".
std::optional<std::string_view> under_heading(std::string_view text);

/// "5 is the answer": what stands before, from the start of its sentence or clause.
std::optional<std::string_view> before_answer_phrase(std::string_view text);

/// The last number with what it is part of: 50%, 10^5, 2*10^{3}, 100 000, \frac{1}{2}.
std::optional<std::string_view> last_value(std::string_view text);

}  // namespace cohort::math
