#include "grpo/report/html.h"

#include <cmath>
#include <cstdio>

namespace cohort {
namespace {

std::string printed(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD

// U+202A … U+202E and U+2066 … U+2069, which reorder what a reader sees.
bool is_bidi_control(std::string_view three) {
  if (three.size() < 3 || three[0] != '\xE2') return false;
  const auto last = static_cast<unsigned char>(three[2]);
  return (three[1] == '\x80' && last >= 0xAA && last <= 0xAE) || (three[1] == '\x81' && last >= 0xA6 && last <= 0xA9);
}

const char* entity_of(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return nullptr;
  }
}

// Without trailing zeros: 0.500 -> 0.5, 3.00 -> 3.
std::string three_digits(double value) {
  const double magnitude = std::abs(value);
  std::string text = printed(magnitude >= 99.95    ? "%.0f"
                             : magnitude >= 9.995  ? "%.1f"
                             : magnitude >= 0.9995 ? "%.2f"
                                                   : "%.3g",
                             value);
  if (text.find('.') == text.npos || text.find('e') != text.npos) return text;
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string safe;
  safe.reserve(text.size() + text.size() / 8);
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_bidi_control(text.substr(i, 3))) {
      safe += replacement;
      i += 2;
    } else if (const auto* entity = entity_of(c)) {
      safe += entity;
    } else if ((static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
      safe += replacement;
    } else {
      safe += c;
    }
  }
  return safe;
}

std::string shorten(std::string_view text, size_t longest) {
  if (text.size() <= longest) return std::string(text);
  size_t cut = longest;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;
  return std::string(text.substr(0, cut)) + " … (" + format_number(static_cast<double>(text.size() - cut)) +
         " more bytes)";
}

std::string format_number(double value) {
  if (!std::isfinite(value)) return "–";
  const double magnitude = std::abs(value);
  if (magnitude >= 999.5e6) return three_digits(value / 1e9) + "B";
  if (magnitude >= 999.5e3) return three_digits(value / 1e6) + "M";
  if (magnitude >= 9999.5) return three_digits(value / 1e3) + "k";
  if (magnitude != 0 && magnitude < 1e-3) return printed("%.2g", value);
  return three_digits(value);
}

std::string format_percent(double value) {
  return std::isfinite(value) ? printed("%.1f", value * 100) + " %" : "–";
}

std::string format_seconds(double seconds) {
  if (!std::isfinite(seconds)) return "–";
  if (seconds < 99.5) return three_digits(seconds) + " s";
  if (seconds < 5970) return printed("%.0f", seconds / 60) + " min";
  return three_digits(seconds / 3600) + " h";
}

}  // namespace cohort
