#include "rewards/code/signature.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "configs/error.h"
#include "rewards/rules.h"

namespace cohort::code {
namespace {

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$';
}

/// Comments, literals and preprocessor lines as spaces, so that what is left can be counted.
std::string bare(const std::string& text) {
  std::string out = text;
  const auto blank = [&](size_t from, size_t end) {
    end = std::min(end, out.size());
    std::fill(out.begin() + static_cast<ptrdiff_t>(from), out.begin() + static_cast<ptrdiff_t>(end), ' ');
    return end;
  };
  bool line_begins = true;
  for (size_t at = 0; at < out.size();) {
    const char c = out[at];
    if (c == '"' || c == '\'') {
      size_t end = at + 1;
      while (end < out.size() && out[end] != c) end += out[end] == '\\' ? 2 : 1;
      at = blank(at, end + 1);
    } else if (text.compare(at, 2, "/*") == 0) {
      at = blank(at, std::min(text.find("*/", at + 2), text.size() - 2) + 2);
    } else if (text.compare(at, 2, "//") == 0 || (c == '#' && line_begins)) {
      at = blank(at, text.find('\n', at));
    } else {
      line_begins = c == '\n' || (line_begins && std::isspace(static_cast<unsigned char>(c)));
      ++at;
    }
  }
  return out;
}

/// Where the last brace opens that stands `depth` deep.
size_t opening_brace(const std::string& text, int depth) {
  size_t found = std::string::npos;
  int now = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '{' && now++ == depth) found = at;
    if (text[at] == '}') --now;
  }
  return found;
}

/// "vector<int> a" → type and name; a default value is left out.
Parameter parameter_from(std::string_view text) {
  text = trim(text.substr(0, text.find('=')));
  size_t name = text.size();
  while (name > 0 && is_word(text[name - 1])) --name;
  std::string_view type = trim(text.substr(0, name));
  if (type.starts_with("final ")) type.remove_prefix(6);
  return {std::string(type), std::string(text.substr(name))};
}

std::vector<Parameter> parameters_from(std::string_view text) {
  std::vector<Parameter> parameters;
  int depth = 0;
  size_t begin = 0;
  for (size_t at = 0; at <= text.size(); ++at) {
    const char c = at < text.size() ? text[at] : ',';
    depth += c == '<' || c == '(' || c == '[' ? 1 : c == '>' || c == ')' || c == ']' ? -1 : 0;
    if (c != ',' || (depth != 0 && at < text.size())) continue;
    if (!trim(text.substr(begin, at - begin)).empty())
      parameters.push_back(parameter_from(text.substr(begin, at - begin)));
    begin = at + 1;
  }
  return parameters;
}

std::string without_modifiers(std::string_view type) {
  type = trim(type);
  constexpr std::array<std::string_view, 6> kModifiers = {"public ", "static ",  "final ",
                                                          "inline ", "private ", "protected "};
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view modifier : kModifiers)
      if (type.starts_with(modifier)) type = trim(type.substr(modifier.size())), again = true;
  }
  return std::string(type);
}

}  // namespace

Signature signature_of(const std::string& declaration, int depth) {
  const std::string text = bare(declaration);
  const size_t brace = opening_brace(text, depth);
  const size_t bracket = brace == std::string::npos ? brace : text.rfind(')', brace);
  const UsageError none("the declaration declares no function: " + excerpt(declaration));
  if (bracket == std::string::npos) throw none;
  size_t open = bracket;
  for (int nested = 1; nested > 0 && open > 0;)
    nested += text[open - 1] == ')' ? 1 : text[open - 1] == '(' ? -1 : 0, --open;
  size_t name_end = open;
  while (name_end > 0 && std::isspace(static_cast<unsigned char>(text[name_end - 1]))) --name_end;
  size_t name = name_end;
  while (name > 0 && is_word(text[name - 1])) --name;
  const size_t before = name == 0 ? std::string::npos : text.find_last_of(";{}", name - 1);
  const size_t begin = before == std::string::npos ? 0 : before + 1;
  Signature signature{.head = declaration.substr(0, brace),
                      .result = without_modifiers(std::string_view(text).substr(begin, name - begin)),
                      .name = text.substr(name, name_end - name),
                      .parameters = parameters_from(std::string_view(text).substr(open + 1, bracket - open - 1))};
  if (signature.name.empty() || signature.result.empty()) throw none;
  return signature;
}

}  // namespace cohort::code
