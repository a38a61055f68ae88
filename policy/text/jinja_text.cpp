#include "policy/text/jinja_text.h"

#include <utf8proc.h>

#include <algorithm>

#include "policy/text/unicode.h"

namespace cohort::jinja {
namespace {

size_t last_char_at(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

/// Bytes of `text` between leading and trailing characters that `drop` takes.
template <class Drop>
std::string_view trimmed(std::string_view text, Drop drop, bool left, bool right) {
  while (left && !text.empty()) {
    const unicode::Char c = unicode::char_at(text, 0);
    if (!drop(c.code)) break;
    text.remove_prefix(c.length);
  }
  while (right && !text.empty()) {
    const size_t at = last_char_at(text);
    if (!drop(unicode::char_at(text, at).code)) break;
    text = text.substr(0, at);
  }
  return text;
}

/// Splits at runs of whitespace, from the left; at most `most` cuts, the rest keeps its inner whitespace.
List split_words(std::string_view text, int64_t most) {
  List words;
  text = trimmed(text, is_python_space, true, false);
  while (!text.empty()) {
    if (static_cast<int64_t>(words.size()) == most) {
      words.emplace_back(text);
      break;
    }
    size_t end = 0;
    while (end < text.size() && !is_python_space(unicode::char_at(text, end).code))
      end += unicode::char_at(text, end).length;
    words.emplace_back(text.substr(0, end));
    text = trimmed(text.substr(end), is_python_space, true, false);
  }
  return words;
}

List split_words_from_right(std::string_view text, int64_t most) {
  List words;
  text = trimmed(text, is_python_space, false, true);
  while (!text.empty()) {
    if (static_cast<int64_t>(words.size()) == most) {
      words.emplace_back(text);
      break;
    }
    size_t begin = text.size();
    while (begin > 0) {
      const size_t at = last_char_at(text.substr(0, begin));
      if (is_python_space(unicode::char_at(text, at).code)) break;
      begin = at;
    }
    words.emplace_back(text.substr(begin));
    text = trimmed(text.substr(0, begin), is_python_space, false, true);
  }
  std::ranges::reverse(words);
  return words;
}

List split_at(std::string_view text, const std::string& separator, int64_t most, bool from_right) {
  if (separator.empty()) throw TemplateError("split() with an empty separator");
  List parts;
  while (static_cast<int64_t>(parts.size()) != most) {
    const size_t at = from_right ? text.rfind(separator) : text.find(separator);
    if (at == std::string_view::npos) break;
    check_elements(parts.size() + 1);
    parts.emplace_back(from_right ? text.substr(at + separator.size()) : text.substr(0, at));
    text = from_right ? text.substr(0, at) : text.substr(at + separator.size());
  }
  parts.emplace_back(text);
  if (from_right) std::ranges::reverse(parts);
  return parts;
}

template <class Map>
std::string mapped(const std::string& text, Map map) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const unicode::Char c = unicode::char_at(text, at);
    map(out, c.code);
    at += c.length;
  }
  return out;
}

void append_upper(std::string& out, char32_t c) {
  if (c == 0xDF) {
    out += "SS";
  } else {
    unicode::append(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
  }
}
void append_lower(std::string& out, char32_t c) {
  unicode::append(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}
bool is_cased(char32_t c) {
  using namespace unicode;
  return is_in(c, bit(Lu) | bit(Ll) | bit(Lt));
}

}  // namespace

const std::string& text_argument(const Arguments& arguments, size_t position, const char* name) {
  const Value* found = position < arguments.positional.size() ? &arguments.positional[position] : nullptr;
  for (const auto& [given, value] : arguments.named)
    if (!found && given == name) found = &value;
  if (!found || !found->is(Value::text))
    throw TemplateError(std::string("the argument '") + name + "' is " +
                        (found ? "a " + found->type_name() : std::string("missing")) + ", expected a str");
  return found->as_text();
}

int64_t integer_argument(const Arguments& arguments, size_t position, const char* name, int64_t otherwise) {
  const Value value = arguments.get(position, name);
  if (value.is(Value::undefined) || value.is(Value::none)) return otherwise;
  if (!value.is(Value::integer) && !value.is(Value::boolean))
    throw TemplateError(std::string("the argument '") + name + "' is a " + value.type_name() + ", expected an int");
  return value.as_integer();
}

bool is_python_space(char32_t code) {
  return unicode::is_space(code) || (code >= 0x1C && code <= 0x1F);
}

std::string stripped(const std::string& text, const Arguments& arguments, bool left, bool right) {
  const Value given = arguments.get(0, "chars");
  if (!given.is(Value::text)) return std::string(trimmed(text, is_python_space, left, right));
  std::u32string drop;
  for (size_t at = 0; at < given.as_text().size(); at += unicode::char_at(given.as_text(), at).length)
    drop += unicode::char_at(given.as_text(), at).code;
  return std::string(trimmed(
      text, [&](char32_t c) { return drop.find(c) != std::u32string::npos; }, left, right));
}

List split(const std::string& text, const Arguments& arguments, bool from_right) {
  const int64_t most = integer_argument(arguments, 1, "maxsplit", -1);
  const Value separator = arguments.get(0, "sep");
  if (separator.is(Value::undefined) || separator.is(Value::none))
    return from_right ? split_words_from_right(text, most) : split_words(text, most);
  return split_at(text, text_argument(arguments, 0, "sep"), most, from_right);
}

List lines_of(const std::string& text, bool keep_ends) {
  List lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const unicode::Char c = unicode::char_at(text, at);
    const size_t end = at;
    at += c.length;
    const bool breaks = (c.code >= 0x0A && c.code <= 0x0D) || (c.code >= 0x1C && c.code <= 0x1E) || c.code == 0x85 ||
                        c.code == 0x2028 || c.code == 0x2029;
    if (!breaks) continue;
    if (c.code == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.emplace_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.emplace_back(text.substr(begin));
  return lines;
}

std::string replaced(const std::string& text, const std::string& from, const std::string& to, int64_t count) {
  std::string out;
  size_t at = 0;
  for (int64_t done = 0; done != count; ++done) {
    const size_t found = text.find(from, from.empty() && done > 0 ? at + 1 : at);
    if (found == std::string::npos || found > text.size()) break;
    // An empty text stands before each character and at the end.
    size_t next = found;
    while (from.empty() && next < text.size() && (static_cast<unsigned char>(text[next]) & 0xC0) == 0x80) ++next;
    out.append(text, at, next - at).append(to);
    check_text(out.size());
    at = next + from.size();
  }
  return out.append(text, std::min(at, text.size()));
}

std::string joined(const List& elements, const std::string& separator) {
  std::string out;
  for (size_t i = 0; i < elements.size(); ++i) {
    if (i > 0) out += separator;
    out += elements[i].str();
    check_text(out.size());
  }
  return out;
}

std::string upper(const std::string& text) {
  return mapped(text, append_upper);
}
std::string lower(const std::string& text) {
  return mapped(text, append_lower);
}

std::string capitalized(const std::string& text) {
  bool first = true;
  return mapped(text, [&](std::string& out, char32_t c) {
    first ? append_upper(out, c) : append_lower(out, c);
    first = false;
  });
}

std::string titled(const std::string& text) {
  bool inside = false;
  return mapped(text, [&](std::string& out, char32_t c) {
    inside ? append_lower(out, c) : append_upper(out, c);
    inside = is_cased(c);
  });
}

}  // namespace cohort::jinja
