// Attributes and methods of template values, and the global functions.
#include <utf8proc.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>

#include "policy/text/jinja_render.h"
#include "policy/text/jinja_text.h"
#include "policy/text/unicode.h"

namespace cohort::jinja {
namespace {

using Method = Value (*)(const std::string& text, const Arguments& arguments);
struct NamedMethod {
  const char* name;
  Method method;
};

/// startswith and endswith take a text or a tuple of texts.
template <class Test>
Value any_affix(const Arguments& a, Test test) {
  const Value affix = a.get(0, "prefix");
  if (!affix.is(Value::tuple)) return test(text_argument(a, 0, "prefix"));
  return std::ranges::any_of(affix.elements(),
                             [&](const Value& each) { return each.is(Value::text) && test(each.as_text()); });
}

Value position(const std::string& text, size_t at) {
  return at == std::string::npos ? Value(-1) : Value(unicode::count(std::string_view(text).substr(0, at)));
}

Value partitioned(const std::string& text, const std::string& separator, size_t at, bool from_right) {
  if (separator.empty()) throw TemplateError("an empty separator");
  if (at == std::string::npos) return Value::make_tuple(from_right ? List{"", "", text} : List{text, "", ""});
  return Value::make_tuple({text.substr(0, at), separator, text.substr(at + separator.size())});
}

Value padded(const std::string& text, const Arguments& a, bool left, bool right) {
  const auto size = static_cast<int64_t>(unicode::count(text));
  const int64_t missing = integer_argument(a, 0, "width", 0) - size;
  const std::string fill = a.has(1, "fillchar") ? text_argument(a, 1, "fillchar") : " ";
  if (missing <= 0) return text;
  const int64_t before = left && right ? missing / 2 + (missing & (missing + size) & 1) : left ? missing : 0;
  const auto run = [&](int64_t n) { return binary("*", fill, n).as_text(); };
  return run(before) + text + run(missing - before);
}

template <class Test>
bool all_characters(const std::string& text, Test test) {
  for (size_t at = 0; at < text.size();) {
    const unicode::Char c = unicode::char_at(text, at);
    if (!test(c.code)) return false;
    at += c.length;
  }
  return !text.empty();
}

/// What {field} of a format stands for: the next argument, a number, or a name.
Value format_field(const std::string& field, const Arguments& a, size_t& next) {
  if (field.find_first_of("!:.[") != std::string::npos)
    throw TemplateError("format() with the field {" + field + "}, where a number or a name is expected");
  const bool is_number = !field.empty() && std::ranges::all_of(field, [](char c) { return c >= '0' && c <= '9'; });
  if (!is_number && !field.empty()) {
    for (const auto& [name, value] : a.named)
      if (name == field) return value;
    throw TemplateError("format() without its argument " + field);
  }
  const size_t index = is_number ? std::stoul(field.substr(0, 9)) : next++;
  if (index >= a.positional.size()) throw TemplateError("format() with fewer arguments than fields");
  return a.positional[index];
}

/// str.format with plain fields; doubled braces stand for themselves.
Value formatted(const std::string& text, const Arguments& a) {
  std::string out;
  size_t next = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const bool is_brace = c == '{' || c == '}', is_doubled = is_brace && at + 1 < text.size() && text[at + 1] == c;
    if (!is_brace || is_doubled) {
      out += c;
      at += is_doubled;
      continue;
    }
    const size_t end = text.find('}', at);
    if (c == '}' || end == std::string::npos) throw TemplateError("format() of a text with a single brace");
    out += format_field(text.substr(at + 1, end - at - 1), a, next).str();
    check_text(out.size());
    at = end;
  }
  return out;
}

const NamedMethod methods[] = {
    {"strip", [](const std::string& s, const Arguments& a) { return Value(stripped(s, a, true, true)); }},
    {"lstrip", [](const std::string& s, const Arguments& a) { return Value(stripped(s, a, true, false)); }},
    {"rstrip", [](const std::string& s, const Arguments& a) { return Value(stripped(s, a, false, true)); }},
    {"split", [](const std::string& s, const Arguments& a) { return Value(split(s, a, false)); }},
    {"rsplit", [](const std::string& s, const Arguments& a) { return Value(split(s, a, true)); }},
    {"splitlines",
     [](const std::string& s, const Arguments& a) { return Value(lines_of(s, a.get(0, "keepends").truth())); }},
    {"startswith",
     [](const std::string& s, const Arguments& a) {
       return any_affix(a, [&](const std::string& p) { return s.starts_with(p); });
     }},
    {"endswith", [](const std::string& s,
                    const Arguments& a) { return any_affix(a, [&](const std::string& p) { return s.ends_with(p); }); }},
    {"removeprefix",
     [](const std::string& s, const Arguments& a) {
       const std::string& p = text_argument(a, 0, "prefix");
       return Value(s.starts_with(p) ? s.substr(p.size()) : s);
     }},
    {"removesuffix",
     [](const std::string& s, const Arguments& a) {
       const std::string& p = text_argument(a, 0, "suffix");
       return Value(s.ends_with(p) ? s.substr(0, s.size() - p.size()) : s);
     }},
    {"replace",
     [](const std::string& s, const Arguments& a) {
       return Value(
           replaced(s, text_argument(a, 0, "old"), text_argument(a, 1, "new"), integer_argument(a, 2, "count", -1)));
     }},
    {"join", [](const std::string& s, const Arguments& a) { return Value(joined(iterate(a.get(0, "iterable")), s)); }},
    {"upper", [](const std::string& s, const Arguments&) { return Value(upper(s)); }},
    {"lower", [](const std::string& s, const Arguments&) { return Value(lower(s)); }},
    {"title", [](const std::string& s, const Arguments&) { return Value(titled(s)); }},
    {"capitalize", [](const std::string& s, const Arguments&) { return Value(capitalized(s)); }},
    {"find", [](const std::string& s, const Arguments& a) { return position(s, s.find(text_argument(a, 0, "sub"))); }},
    {"rfind",
     [](const std::string& s, const Arguments& a) { return position(s, s.rfind(text_argument(a, 0, "sub"))); }},
    {"index",
     [](const std::string& s, const Arguments& a) {
       const size_t at = s.find(text_argument(a, 0, "sub"));
       if (at == std::string::npos) throw TemplateError("index() of a text that is not there");
       return position(s, at);
     }},
    {"count",
     [](const std::string& s, const Arguments& a) {
       const std::string& sub = text_argument(a, 0, "sub");
       if (sub.empty()) return Value(unicode::count(s) + 1);
       size_t n = 0;
       for (size_t at = s.find(sub); at != std::string::npos; at = s.find(sub, at + sub.size())) ++n;
       return Value(n);
     }},
    {"partition",
     [](const std::string& s, const Arguments& a) {
       return partitioned(s, text_argument(a, 0, "sep"), s.find(text_argument(a, 0, "sep")), false);
     }},
    {"rpartition",
     [](const std::string& s, const Arguments& a) {
       return partitioned(s, text_argument(a, 0, "sep"), s.rfind(text_argument(a, 0, "sep")), true);
     }},
    {"ljust", [](const std::string& s, const Arguments& a) { return padded(s, a, false, true); }},
    {"rjust", [](const std::string& s, const Arguments& a) { return padded(s, a, true, false); }},
    {"center", [](const std::string& s, const Arguments& a) { return padded(s, a, true, true); }},
    {"format", formatted},
    {"isspace", [](const std::string& s, const Arguments&) { return Value(all_characters(s, is_python_space)); }},
    {"isdigit",
     [](const std::string& s, const Arguments&) {
       return Value(all_characters(s, [](char32_t c) { return unicode::is_in(c, unicode::bit(unicode::Nd)); }));
     }},
    {"isdecimal",
     [](const std::string& s, const Arguments&) {
       return Value(all_characters(s, [](char32_t c) { return unicode::is_in(c, unicode::bit(unicode::Nd)); }));
     }},
    {"isnumeric",
     [](const std::string& s, const Arguments&) {
       return Value(all_characters(s, [](char32_t c) { return unicode::is_in(c, unicode::numbers); }));
     }},
    {"isalpha",
     [](const std::string& s, const Arguments&) {
       return Value(all_characters(s, [](char32_t c) { return unicode::is_in(c, unicode::letters); }));
     }},
    {"isalnum",
     [](const std::string& s, const Arguments&) {
       return Value(
           all_characters(s, [](char32_t c) { return unicode::is_in(c, unicode::letters | unicode::numbers); }));
     }},
};

Value dict_method(const Value& dict, const std::string& name) {
  if (name == "get")
    return Function{"get", [dict](const Arguments& a) {
                      const Value* found = dict.as_dict().find(a.get(0, "key"));
                      return found ? *found : a.get(1, "default", None{});
                    }};
  if (name == "items" || name == "keys" || name == "values" || name == "copy")
    return Function{
        name, [dict, name](const Arguments&) -> Value {
          if (name == "copy") return dict;
          List listed;
          for (const auto& [key, value] : dict.as_dict().entries)
            listed.push_back(name == "items" ? Value::make_tuple({key, value}) : name == "keys" ? key : value);
          return listed;
        }};
  return Value::make_undefined(name);
}

Value list_method(const Value& list, const std::string& name) {
  if (name != "index" && name != "count") return Value::make_undefined(name);
  return Function{name, [list, name](const Arguments& a) -> Value {
                    const List& elements = list.elements();
                    const auto wanted = [&](const Value& each) { return equal(each, a.get(0, "value")); };
                    if (name == "count") return static_cast<int64_t>(std::ranges::count_if(elements, wanted));
                    const auto found = std::ranges::find_if(elements, wanted);
                    if (found == elements.end()) throw TemplateError("index() of a value that is not in the list");
                    return static_cast<int64_t>(found - elements.begin());
                  }};
}

/// What would change a value: Jinja2's immutable sandbox refuses these too.
void refuse_change(const Value& value, const std::string& name) {
  constexpr std::string_view of_lists[] = {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};
  constexpr std::string_view of_dicts[] = {"clear", "pop", "popitem", "setdefault", "update"};
  const bool changes =
      (value.is(Value::list) && std::ranges::find(of_lists, name) != std::end(of_lists)) ||
      (value.is(Value::dict) && !value.as_dict().find(name) && std::ranges::find(of_dicts, name) != std::end(of_dicts));
  if (changes)
    throw TemplateError("." + name + " of a " + value.type_name() +
                        ": a chat template cannot change values; use a namespace and '+'");
}

constexpr size_t most_range = 100'000;  // as Jinja2's sandbox

Value make_range(const Arguments& a) {
  if (a.positional.empty()) throw TemplateError("range() without its end");
  int64_t begin = integer_argument(a, 0, "begin", 0), end = 0;
  if (a.positional.size() > 1) {
    end = integer_argument(a, 1, "end", 0);
  } else {
    std::swap(begin, end);
  }
  const int64_t step = integer_argument(a, 2, "step", 1);
  if (step == 0) throw TemplateError("range() with step 0");
  List numbers;
  for (int64_t at = begin; step > 0 ? at < end : at > end;) {
    if (numbers.size() == most_range)
      throw TemplateError("range() of more than " + std::to_string(most_range) + " numbers");
    numbers.emplace_back(at);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  return numbers;
}

Dict make_dict(const Arguments& a) {
  Dict dict;
  if (!a.positional.empty() && a.positional[0].is(Value::dict)) {
    dict = a.positional[0].as_dict();
  } else if (!a.positional.empty()) {
    for (const Value& pair : iterate(a.positional[0])) dict.set(subscript(pair, 0), subscript(pair, 1));
  }
  for (const auto& [name, value] : a.named) dict.set(name, value);
  return dict;
}

Value now_as_text(const Arguments& a) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[512];
  return std::string(text, std::strftime(text, sizeof text, text_argument(a, 0, "format").c_str(), &local));
}

/// joiner(", "): nothing at the first call, the separator at the others.
Value make_joiner(const Arguments& a) {
  const std::string separator = a.has(0, "sep") ? text_argument(a, 0, "sep") : ", ";
  return Function{"joiner", [separator, used = std::make_shared<bool>(false)](const Arguments&) -> Value {
                    return std::exchange(*used, true) ? separator : std::string();
                  }};
}

}  // namespace

Value text_method(const std::string& text, const std::string& name) {
  for (const NamedMethod& known : methods)
    if (known.name == name)
      return Function{name,
                      [text, method = known.method](const Arguments& arguments) { return method(text, arguments); }};
  return Value::make_undefined(name);
}

Value attribute(const Value& value, const std::string& name) {
  refuse_change(value, name);
  Value method = value.is(Value::dict)   ? dict_method(value, name)
                 : value.is_sequence()   ? list_method(value, name)
                 : value.is(Value::text) ? text_method(value.as_text(), name)
                                         : Value::make_undefined(name);
  if (!method.is(Value::undefined) || value.is(Value::text) || value.is_sequence()) return method;
  return subscript(value, name);
}

Value global_function(const std::string& name) {
  if (name == "range") return Function{name, make_range};
  if (name == "dict") return Function{name, [](const Arguments& a) { return Value(make_dict(a)); }};
  if (name == "namespace")
    return Function{name, [](const Arguments& a) { return Value(Namespace{std::make_shared<Dict>(make_dict(a))}); }};
  if (name == "strftime_now") return Function{name, now_as_text};
  if (name == "joiner") return Function{name, make_joiner};
  if (name == "raise_exception")
    return Function{name, [](const Arguments& a) -> Value {
                      throw TemplateError("the template refuses: " + a.get(0, "message").str());
                    }};
  return Value::make_undefined(name);
}

}  // namespace cohort::jinja
