// Reference answers inside worked solutions.
#include <algorithm>
#include <cctype>
#include <map>
#include <vector>

#include "tasks/formats.h"

namespace cohort {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const size_t first = text.find_first_not_of(space);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(space) - first + 1);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Whether the comma at `i` groups thousands: digits before it, exactly three after.
bool groups_thousands(std::string_view text, size_t i) {
  size_t digits = 0;
  while (i + 1 + digits < text.size() && is_digit(text[i + 1 + digits])) ++digits;
  return digits == 3 && i > 0 && is_digit(text[i - 1]);
}

/// Of each opening brace the place of the one that closes it; \{ and \} are characters, not braces.
std::map<size_t, size_t> matching_braces(std::string_view text) {
  std::map<size_t, size_t> closing;
  std::vector<size_t> open;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '{') {
      open.push_back(i);
    } else if (text[i] == '}' && !open.empty()) {
      closing[open.back()] = i;
      open.pop_back();
    }
  }
  return closing;
}

/// Content of the box whose command ends at `end`: {…}, or as in "\boxed 2$" what stands before the next $.
std::string_view box_content(std::string_view text, size_t end, const std::map<size_t, size_t>& closing) {
  if (end < text.size() && std::isalpha(static_cast<unsigned char>(text[end]))) return {};  // another command
  const size_t first = text.find_first_not_of(" \t\r\n", end);
  if (first == text.npos) return {};
  if (text[first] != '{') return trimmed(text.substr(first, text.find_first_of("$\n", first) - first));
  const auto match = closing.find(first);
  return match == closing.end() ? std::string_view() : trimmed(text.substr(first + 1, match->second - first - 1));
}

}  // namespace

std::optional<std::string> gsm8k_gold(std::string_view solution) {
  const size_t mark = solution.rfind("####");
  if (mark == solution.npos) return std::nullopt;
  const std::string_view gold = trimmed(solution.substr(mark + 4));
  if (std::none_of(gold.begin(), gold.end(), is_digit)) return std::nullopt;
  std::string text;
  for (size_t i = 0; i < gold.size(); ++i)
    if (gold[i] != ',' || !groups_thousands(gold, i)) text += gold[i];
  return text;
}

std::optional<std::string> last_boxed(std::string_view solution) {
  const std::map<size_t, size_t> closing = matching_braces(solution);
  for (size_t end = solution.size(); end > 0; --end) {
    const std::string_view before = solution.substr(0, end);
    if (!before.ends_with("\\boxed") && !before.ends_with("\\fbox")) continue;
    const std::string_view content = box_content(solution, end, closing);
    if (!content.empty()) return std::string(content);
  }
  return std::nullopt;
}

}  // namespace cohort
