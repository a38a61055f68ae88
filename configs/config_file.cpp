// Reading a config's text strictly, and the overrides of the command line.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <iterator>
#include <numeric>

#include "configs/config.h"
#include "configs/error.h"
#include "configs/read_file.h"

namespace cohort {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxCompared = 128;  // characters of a key that count when the nearest one is sought
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// Characters of a text, one after another; the line they stand on is counted outside.
struct CountedText {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at;
  size_t* line;
  reference operator*() const { return *at; }
  CountedText& operator++() {
    *line += *at++ == '\n';
    return *this;
  }
  CountedText operator++(int) {
    CountedText before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountedText& other) const { return at == other.at; }
  bool operator!=(const CountedText& other) const { return at != other.at; }
};

/// Walks the text once before it is built, and throws for what a plain JSON reader lets pass.
class StrictCheck : public nlohmann::json_sax<Json> {
 public:
  StrictCheck(std::string_view text, std::string_view where) : text_(text), where_(where) {}

  CountedText begin() { return {text_.data(), &line_}; }
  CountedText end() { return {text_.data() + text_.size(), &line_}; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return enter(); }
  bool end_object() override { return leave(); }
  bool start_array(size_t) override { return enter(); }
  bool end_array() override { return leave(); }

  bool key(string_t& key) override {
    const auto [first, is_new] = open_.back().emplace(key, line_);
    if (is_new) return true;
    throw UsageError(where_ + ": the key " + Json(key).dump() + " is given twice, on lines " +
                     std::to_string(first->second) + " and " + std::to_string(line_));
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    const std::string_view before = text_.substr(0, position == 0 ? 0 : position - 1);
    const size_t line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t column = before.size() - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
    throw UsageError(where_ + ": line " + std::to_string(line) + ", column " + std::to_string(column) +
                     ": not valid JSON, " + reason(error.what()));
  }

 private:
  bool enter() {
    open_.emplace_back();
    if (open_.size() <= kMaxDepth) return true;
    throw UsageError(where_ + ": line " + std::to_string(line_) + ": nested deeper than " + std::to_string(kMaxDepth) +
                     " levels");
  }

  bool leave() {
    open_.pop_back();
    return true;
  }

  /// "[json.exception.…] parse error at line 1, column 2: why" without what precedes the why.
  static std::string reason(std::string_view what) {
    const size_t colon = what.find(": ");
    const size_t bracket = what.find("] ");
    const size_t start = colon != what.npos ? colon + 2 : bracket != what.npos ? bracket + 2 : 0;
    return std::string(what.substr(start));
  }

  std::string_view text_;
  std::string where_;
  size_t line_ = 1;                                  // of the character read last
  std::vector<std::map<std::string, size_t>> open_;  // of each open object, its keys and their lines
};

/// The part of `config` that `name` names inside `parent`, made when it is missing.
Json& descend(Json& parent, const std::string& name, const std::string& set) {
  if (parent.is_null()) parent = Json::object();
  if (parent.is_object()) return parent[name];
  if (!parent.is_array())
    throw UsageError("--set " + set + ": " + name + " cannot stand inside " + parent.dump() + ", which is no object");
  size_t index = 0;
  const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  if (error != std::errc() || stop != name.data() + name.size() || index >= parent.size())
    throw UsageError("--set " + set + ": " + name + " names no element of a list of " + std::to_string(parent.size()));
  return parent[index];
}

void apply_override(Json& config, const std::string& set) {
  const size_t equals = set.find('=');
  const std::string key = set.substr(0, equals);
  if (equals == set.npos || key.empty() || key.front() == '.' || key.back() == '.' || key.find("..") != key.npos)
    throw UsageError("--set " + set + ": expected KEY=VALUE or KEY.KEY=VALUE");
  Json* place = &config;
  for (size_t start = 0; start <= key.size();) {
    const size_t dot = std::min(key.find('.', start), key.size());
    place = &descend(*place, key.substr(start, dot - start), set);
    start = dot + 1;
  }
  const std::string value = set.substr(equals + 1);
  *place = Json::accept(value) ? parse_config_text(value, "--set " + set) : Json(value);
}

char folded(char c) {
  return c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn one into the other.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  std::iota(cost[0].begin(), cost[0].end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same = folded(a[i - 1]) == folded(b[j - 1]);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + (same ? 0 : 1)});
      const bool swapped =
          i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) && folded(a[i - 2]) == folded(b[j - 1]);
      if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

Json parse_config_text(std::string_view text, std::string_view where) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  StrictCheck check(text, where);
  Json::sax_parse(check.begin(), check.end(), &check);
  return Json::parse(text);
}

Json parse_config_file(const std::filesystem::path& path) {
  return parse_config_text(read_file(path, Pipes::read), path.string());
}

void apply_overrides(Json& config, const std::vector<std::string>& sets) {
  for (const std::string& set : sets) apply_override(config, set);
}

std::string nearest(std::string_view key, std::span<const std::string> known) {
  std::string best;
  size_t best_distance = SIZE_MAX;
  for (const std::string& candidate : known) {
    const size_t distance = edit_distance(key.substr(0, kMaxCompared), candidate);
    if (distance < best_distance) std::tie(best, best_distance) = std::pair(candidate, distance);
  }
  return best;
}

}  // namespace cohort
