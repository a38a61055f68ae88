#include "rewards/code/compare.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace cohort::code {
namespace {

std::string_view without_trailing_space(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r\n\f\v");
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

std::string_view next_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = without_trailing_space(text.substr(0, end));
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

bool same_number(const Json& expected, double found, double tolerance) {
  const double wanted = expected.get<double>();
  if (wanted == found) return true;
  return std::abs(wanted - found) <= tolerance * std::max(1.0, std::abs(wanted));
}

/// The digits of an integer that JSON holds exactly.
bool same_integer(const Json& expected, const std::string& digits) {
  if (expected.is_number_integer()) return expected.dump() == digits;
  double found = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), found);
  return read.ec == std::errc() && expected.get<double>() == found;
}

std::string from_hexadecimal(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    int byte = 0;
    if (std::from_chars(&text[i], &text[i] + 2, byte, 16).ec != std::errc()) return {};
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

bool same_members(const Json& expected, const Json& encoded, double tolerance) {
  if (expected.size() + 1 != encoded.size()) return false;
  std::vector<bool> taken(encoded.size());
  return std::all_of(expected.begin(), expected.end(), [&](const Json& one) {
    for (size_t i = 1; i < encoded.size(); ++i)
      if (!taken[i] && same_value(one, encoded[i], tolerance)) return static_cast<bool>(taken[i] = true);
    return false;
  });
}

bool same_object(const Json& expected, const Json& encoded, double tolerance) {
  if (!expected.is_object() || expected.size() + 1 != encoded.size()) return false;
  for (size_t i = 1; i < encoded.size(); ++i) {
    const Json& key = encoded[i].at(0);
    const std::string name = key.is_string()                                        ? key.get<std::string>()
                             : key.is_array() && key.size() == 2 && key[0] == "int" ? key[1].get<std::string>()
                                                                                    : key.dump();
    if (!expected.contains(name) || !same_value(expected[name], encoded[i].at(1), tolerance)) return false;
  }
  return true;
}

bool same_encoded(const Json& expected, const Json& encoded, double tolerance) {
  if (!encoded.is_array()) return expected == encoded;  // null, true, false, ASCII text
  if (encoded.empty() || !encoded[0].is_string()) return false;
  const std::string kind = encoded[0];
  if (kind == "int") return expected.is_number() && same_integer(expected, encoded.at(1));
  if (kind == "float") {
    const std::string text = encoded.at(1);
    double found = 0;
    if (text == "nan" || text == "inf" || text == "-inf") return false;
    return expected.is_number() && std::from_chars(text.data(), text.data() + text.size(), found).ec == std::errc() &&
           same_number(expected, found, tolerance);
  }
  if (kind == "str") return expected.is_string() && expected.get<std::string>() == from_hexadecimal(encoded.at(1));
  if (kind == "dict") return same_object(expected, encoded, tolerance);
  if (kind == "set" || kind == "frozenset") return expected.is_array() && same_members(expected, encoded, tolerance);
  if (kind != "list" && kind != "tuple" && kind != "iterator") return false;
  if (!expected.is_array() || expected.size() + 1 != encoded.size()) return false;
  for (size_t i = 0; i < expected.size(); ++i)
    if (!same_value(expected[i], encoded[i + 1], tolerance)) return false;
  return true;
}

}  // namespace

bool same_output(std::string_view expected, std::string_view found) {
  expected = without_trailing_space(expected), found = without_trailing_space(found);
  while (!expected.empty() || !found.empty())
    if (next_line(expected) != next_line(found)) return false;
  return true;
}

Json parse_untrusted(const std::string& text) {
  constexpr int kMaxDepth = 256;  // twice what zygote.py encodes: what walks a value recurses
  int deepest = 0;
  const Json::parser_callback_t keep = [&deepest](int depth, Json::parse_event_t, Json&) {
    deepest = std::max(deepest, depth);
    return depth <= kMaxDepth;
  };
  Json value = Json::parse(text, keep, false);
  return deepest <= kMaxDepth ? value : Json(Json::value_t::discarded);
}

bool same_value(const Json& expected, const Json& encoded, double tolerance) {
  try {
    return same_encoded(expected, encoded, tolerance);
  } catch (const Json::exception&) {
    return false;  // the box wrote something else than the encoding
  }
}

}  // namespace cohort::code
