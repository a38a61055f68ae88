// Reference answers inside worked solutions.
#include <algorithm>
#include <cctype>

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

/// Content of the braces that open at text[0]; \{ and \} are characters, not braces.
std::optional<std::string_view> braced(std::string_view text) {
  int64_t depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\')
      ++i;
    else if (text[i] == '{')
      ++depth;
    else if (text[i] == '}' && --depth == 0)
      return text.substr(1, i - 1);
  }
  return std::nullopt;
}

/// Content of the box whose command ends where `text` begins: {…}, or as in "\boxed 2$" what stands before the next $.
std::optional<std::string_view> box_content(std::string_view text) {
  if (!text.empty() && std::isalpha(static_cast<unsigned char>(text[0]))) return std::nullopt;  // another command
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos) return std::nullopt;
  if (text[first] == '{') return braced(text.substr(first));
  const size_t end = text.find_first_of("$\n", first);
  return text.substr(first, end == text.npos ? text.npos : end - first);
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
  constexpr std::string_view commands[] = {"\\boxed", "\\fbox"};
  for (size_t end = solution.size(); end > 0; --end) {
    const std::string_view before = solution.substr(0, end);
    if (!before.ends_with(commands[0]) && !before.ends_with(commands[1])) continue;
    const auto content = box_content(solution.substr(end));
    if (content && !trimmed(*content).empty()) return std::string(trimmed(*content));
  }
  return std::nullopt;
}

}  // namespace cohort
