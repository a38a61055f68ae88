#include "configs/import/source_config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include "configs/error.h"

namespace cohort {
namespace {

constexpr int kMaxDepth = 64;
constexpr size_t kMaxKeys = 100000;  // aliases of aliases multiply

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool is_utf8(const std::string& text) try {
  Json(text).dump();
  return true;
} catch (const Json::exception&) {
  return false;
}

template <class Number>
std::optional<Number> whole_text(const std::string& text) {
  const bool has_plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
  const char *begin = text.data() + has_plus, *end = text.data() + text.size();
  Number number{};
  const auto [stop, error] = std::from_chars(begin, end, number);
  return error == std::errc() && stop == end && begin != end ? std::optional(number) : std::nullopt;
}

/// A plain scalar as PyYAML and OmegaConf take it: yes and off are truth values, 1e-6 is a number.
Json plain_scalar(const std::string& text) {
  static const std::set<std::string> nulls = {"", "~", "null", "none"}, yes = {"true", "yes", "on"},
                                     no = {"false", "no", "off"};
  const std::string word = lower(text);
  if (nulls.contains(word)) return nullptr;
  if (yes.contains(word)) return true;
  if (no.contains(word)) return false;
  if (const auto integer = whole_text<int64_t>(text)) return *integer;
  const bool is_digits = word.find_first_not_of("+-.0123456789e") == word.npos;
  if (const auto number = is_digits ? whole_text<double>(text) : std::nullopt) return *number;
  return text;
}

struct YamlReader {
  const std::string& file;
  std::vector<SourceKey> keys = {};
  size_t num_nodes = 0;

  [[noreturn]] void refuse(const YAML::Mark& mark, const std::string& what) const {
    throw UsageError(file + ":" + std::to_string(mark.line + 1) + ": " + what);
  }

  void expect_bounded(const YAML::Node& node, int depth) {
    if (depth > kMaxDepth) refuse(node.Mark(), "nested deeper than " + std::to_string(kMaxDepth) + " levels");
    if (++num_nodes > kMaxKeys) refuse(node.Mark(), "more than " + std::to_string(kMaxKeys) + " keys");
  }

  Json value_of(const YAML::Node& node, int depth) {
    expect_bounded(node, depth);
    if (node.IsScalar()) return node.Tag() == "!" ? Json(text_of(node)) : plain_scalar(text_of(node));
    if (node.IsSequence()) {
      Json list = Json::array();
      for (const YAML::Node& element : node) list.push_back(value_of(element, depth + 1));
      return list;
    }
    if (!node.IsMap()) return nullptr;
    Json object = Json::object();
    for (const auto& entry : node) object[key_of(entry.first)] = value_of(entry.second, depth + 1);
    return object;
  }

  std::string key_of(const YAML::Node& key) const {
    if (!key.IsScalar()) refuse(key.Mark(), "a key that is no word");
    return text_of(key);
  }

  /// yaml-cpp takes a zero byte for a sign of UTF-16.
  std::string text_of(const YAML::Node& scalar) const {
    if (!is_utf8(scalar.Scalar())) refuse(scalar.Mark(), "is no UTF-8 text");
    return scalar.Scalar();
  }

  /// Maps are walked through; all else is a value. An empty map is one too.
  void read(const YAML::Node& map, const std::string& prefix, int depth) {
    expect_bounded(map, depth);
    std::map<std::string, int> lines;
    for (const auto& entry : map) {
      const std::string key = key_of(entry.first), name = prefix + key;
      const int line = entry.first.Mark().line + 1;
      if (const auto [first, is_new] = lines.emplace(key, line); !is_new)
        refuse(entry.first.Mark(), name + " is given twice, first on line " + std::to_string(first->second));
      if (entry.second.IsMap() && entry.second.size() > 0)
        read(entry.second, name + ".", depth + 1);
      else
        keys.push_back({name, value_of(entry.second, depth + 1), line});
    }
  }
};

struct Word {
  std::string text;
  int64_t line = 0;
  bool is_quoted = false;
};

/// Words as a shell splits them: quotes go, # begins a comment, a backslash before the line's end goes on.
std::vector<Word> split_words(const std::string& text) {
  std::vector<Word> words;
  Word word;
  bool is_open = false;
  char quote = 0;
  int64_t line = 1;
  const auto close = [&] {
    if (is_open) words.push_back(std::move(word));
    word = {}, is_open = false;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    line += c == '\n';
    if (quote) {
      if (c == quote)
        quote = 0;
      else
        word.text += c;
    } else if (c == '#' && !is_open) {
      i = std::min(text.find('\n', i), text.size()) - 1;
    } else if (std::isspace(static_cast<unsigned char>(c))) {
      close();
    } else if (c == '\\' && i + 1 < text.size() && (text[i + 1] == '\n' || text[i + 1] == '\r')) {
      close();
    } else {
      if (!is_open) word.line = line;
      is_open = true;
      if (c == '"' || c == '\'')
        quote = c, word.is_quoted = true;
      else
        word.text += c;
    }
  }
  close();
  return words;
}

/// $name and ${name} of what the script set before; what it did not set stays as it is written.
std::string with_variables(const std::string& text, const std::map<std::string, std::string>& variables) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool braced = text.compare(i, 2, "${") == 0;
    size_t end = i + (braced ? 2 : 1);
    while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_')) ++end;
    const auto found = variables.find(text.substr(i + (braced ? 2 : 1), end - i - (braced ? 2 : 1)));
    const bool is_closed = !braced || (end < text.size() && text[end] == '}');
    if (text[i] != '$' || found == variables.end() || !is_closed) {
      result += text[i];
      continue;
    }
    result += found->second;
    i = end - (braced ? 0 : 1);
  }
  return result;
}

bool is_key(const std::string& text) {
  return !text.empty() && std::isalpha(static_cast<unsigned char>(text[0])) &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '.'; });
}

/// key.key=value, also +key.key=value and ++key.key=value; a word NAME=value without a point sets a variable.
std::vector<SourceKey> read_words(const std::string& text) {
  std::vector<SourceKey> keys;
  std::map<std::string, std::string> variables;
  for (const Word& word : split_words(text)) {
    const size_t equals = word.text.find('='), begin = std::min(word.text.find_first_not_of('+'), word.text.size());
    if (equals == word.text.npos || begin > equals) continue;
    const std::string name = word.text.substr(begin, equals - begin);
    if (!is_key(name)) continue;
    const std::string value = with_variables(word.text.substr(equals + 1), variables);
    if (name.find('.') == name.npos) {
      variables[name] = value;
      continue;
    }
    const bool is_list = !value.empty() && (value.front() == '[' || value.front() == '{');
    Json json = plain_scalar(value);
    try {
      if (const std::string none; is_list) json = YamlReader{none}.value_of(YAML::Load(value), 0);
    } catch (const YAML::Exception&) {  // then it is a text
    }
    std::erase_if(keys, [&](const SourceKey& key) { return key.name == name; });
    keys.push_back({name, std::move(json), word.line});
  }
  return keys;
}

}  // namespace

std::vector<SourceKey> read_source_config(const std::string& text, const std::string& file) {
  if (!is_utf8(text)) throw UsageError(file + ": is no UTF-8 text");
  std::string problem = file + ": no config: expected YAML with keys, or a.b=c words as on verl's command line";
  try {
    const YAML::Node root = YAML::Load(text);
    if (root.IsMap()) {
      YamlReader reader{file};
      reader.read(root, "", 0);
      return std::move(reader.keys);
    }
  } catch (const YAML::Exception& error) {
    problem = file + ":" + std::to_string(error.mark.line + 1) + ": not valid YAML, " + error.msg;
  }
  std::vector<SourceKey> keys = read_words(text);
  if (keys.empty()) throw UsageError(problem);
  return keys;
}

}  // namespace cohort
