// Finding the part of a completion that is judged: the last tag, box, line or number. All linear in the text.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cohort {

/// Where `part` first (last) stands in text, npos when nowhere. Linear, and fast on text that holds its first bytes
/// often.
size_t find_first(std::string_view text, std::string_view part, size_t from = 0);
size_t find_last(std::string_view text, std::string_view part, size_t from = std::string_view::npos);

/// Contents of the last <tag>…</tag>; none when the last opening tag is never closed.
std::optional<std::string_view> last_tag(std::string_view text, std::string_view tag);

/// Contents of the last balanced \boxed{…} or \fbox{…}.
std::optional<std::string_view> last_boxed(std::string_view text);

/// Last line that is not blank, trimmed; empty for a blank text.
std::string_view last_line(std::string_view text);

/// Last number as written: sign, thousands commas, decimals, exponent, a/b; none when there is no digit.
std::optional<std::string_view> last_number(std::string_view text);

/// Where the last phrase that announces an answer ends: "answer is", "final answer", "answer:" in any case, "答案".
std::optional<size_t> after_answer_phrase(std::string_view text);

struct Fence {
  std::string_view label, text;
  size_t indent = 0;  // white space before the opening mark
};
/// Blocks between ``` or ~~~ at the start of a line, in order; the last may be unclosed.
std::vector<Fence> fences_of(std::string_view text);

/// What a rule judges, by the name of its `extract` option: none, answer_tag, boxed, last_line, last_number, fence (the
/// last block, or all where there is none).
/// Throws UsageError on another name.
std::optional<std::string_view> extract_by(std::string_view how, std::string_view text);
void check_extract(std::string_view how, std::string_view rule);

}  // namespace cohort
