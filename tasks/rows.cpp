#include "tasks/rows.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "configs/error.h"
#include "tasks/parquet.h"

namespace cohort {
namespace {

constexpr size_t kMaxDepth = 64;    // deeper values would exhaust the stack when they are copied or written
constexpr size_t kMaxReason = 160;  // bytes of a parser's message that are shown
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::string_view kSpace = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

/// Follows brackets and strings through JSON text; all else passes unchecked.
struct BracketScan {
  size_t depth = 0;
  bool in_string = false, escaped = false;

  void step(char c) {
    if (in_string) {
      if (escaped)
        escaped = false;
      else if (c == '\\')
        escaped = true;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
};

std::vector<RawRow> split_lines(std::string_view text) {
  std::vector<RawRow> rows;
  for (int64_t line = 1; !text.empty(); ++line) {
    const size_t end = text.find('\n');
    const std::string_view row = trimmed(text.substr(0, end));
    if (!row.empty()) rows.push_back({line, row, std::nullopt});
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return rows;
}

/// Rows of "[row, row, …]", `text` beginning at any white space before the bracket.
std::vector<RawRow> split_list(std::string_view text) {
  std::vector<RawRow> rows;
  BracketScan scan;
  int64_t line = 1, row_line = 1;
  size_t row_start = std::string_view::npos;  // of the row being read
  const auto close_row = [&](size_t end) {
    const bool is_empty = row_start == text.npos;
    if (is_empty)
      rows.push_back({line, {}, "the list has a comma with no row beside it"});
    else
      rows.push_back({row_line, trimmed(text.substr(row_start, end - row_start)), std::nullopt});
    row_start = text.npos;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') ++line;
    const bool at_top = scan.depth == 1 && !scan.in_string;
    if (at_top && c == ',') {
      close_row(i);
      continue;
    }
    if (at_top && c == ']') {
      if (row_start != text.npos || !rows.empty()) close_row(i);
      const size_t rest = text.find_first_not_of(kSpace, i + 1);
      line += std::count(text.begin() + i + 1, text.begin() + std::min(rest, text.size()), '\n');
      if (rest != text.npos) rows.push_back({line, {}, "text follows the end of the list"});
      return rows;
    }
    if (at_top && row_start == text.npos && kSpace.find(c) == kSpace.npos) {
      row_start = i;
      row_line = line;
    }
    scan.step(c);
  }
  rows.push_back({row_start == text.npos ? line : row_line, {}, "the list is not closed by a ]"});
  return rows;
}

/// The parser's reason without its error number and place, short, on one line and in valid UTF-8.
std::string reason(std::string_view what) {
  const size_t colon = what.find(": ");
  if (colon != what.npos) what.remove_prefix(colon + 2);
  std::string text(what.substr(0, kMaxReason));
  for (char& c : text)
    if (c < ' ' || c > '~') c = '?';
  return what.size() > kMaxReason ? text + "..." : text;
}

}  // namespace

std::string problem_text(const std::string& file, const RowProblem& problem) {
  const std::string id = problem.id.empty() ? "" : " (id " + problem.id + ")";
  return file + ":" + std::to_string(problem.line) + id + ": " + problem.what;
}

std::string read_bytes(const std::string& path) {
  if (path == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
  std::error_code none;
  if (std::filesystem::is_directory(path, none))
    throw UsageError(path + " is a folder, expected a .jsonl, .json or .parquet file");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw UsageError(path + " cannot be read: " + std::strerror(errno));
  if (path.ends_with(".parquet")) return read_parquet(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<RawRow> split_rows(std::string_view text) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  const size_t first = text.find_first_not_of(kSpace);
  return first != text.npos && text[first] == '[' ? split_list(text) : split_lines(text);
}

bool is_nested_too_deep(std::string_view json) {
  BracketScan scan;
  for (char c : json) {
    scan.step(c);
    if (scan.depth > kMaxDepth) return true;
  }
  return false;
}

std::optional<std::string> parse_row(std::string_view text, Json& row) {
  if (is_nested_too_deep(text)) return "nested deeper than " + std::to_string(kMaxDepth) + " levels";
  try {
    row = Json::parse(text);
  } catch (const Json::parse_error& error) {
    return "not valid JSON at column " + std::to_string(error.byte) + ", " + reason(error.what());
  } catch (const Json::exception& error) {
    return "not valid JSON, " + reason(error.what());
  }
  if (!row.is_object()) return "expected a JSON object, found " + std::string(row.type_name());
  return std::nullopt;
}

}  // namespace cohort
