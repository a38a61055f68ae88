// Operators, subscripts, slices and JSON text of template values.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "policy/text/jinja_value.h"
#include "policy/text/unicode.h"

namespace cohort::jinja {
namespace {

[[noreturn]] void no_operator(std::string_view op, const Value& a, const Value& b) {
  const auto name = [](const Value& v) { return v.is(Value::undefined) ? "an undefined value" : v.type_name(); };
  throw TemplateError("'" + std::string(op) + "' between " + name(a) + " and " + name(b));
}

Value repeated(const Value& value, int64_t times) {
  const auto n = static_cast<size_t>(std::max<int64_t>(times, 0));
  if (value.is(Value::text)) {
    const std::string& text = value.as_text();
    if (!text.empty() && n > Budget::most_text / text.size()) check_text(SIZE_MAX);
    std::string out;
    for (size_t i = 0; i < n && !text.empty(); ++i) out += text;
    return out;
  }
  const List& elements = value.elements();
  if (!elements.empty() && n > Budget::most_elements / elements.size()) check_elements(SIZE_MAX);
  List out;
  for (size_t i = 0; i < n && !elements.empty(); ++i) out.insert(out.end(), elements.begin(), elements.end());
  return value.is(Value::list) ? Value(std::move(out)) : Value::make_tuple(std::move(out));
}

Value added(const Value& a, const Value& b) {
  if (a.is(Value::text)) {
    check_text(a.as_text().size() + b.as_text().size());
    return a.as_text() + b.as_text();
  }
  List out = a.elements();
  check_elements(out.size() + b.elements().size());
  out.insert(out.end(), b.elements().begin(), b.elements().end());
  return a.is(Value::list) ? Value(std::move(out)) : Value::make_tuple(std::move(out));
}

Value of_integers(std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  if (op == "+"   ? __builtin_add_overflow(a, b, &result)
      : op == "-" ? __builtin_sub_overflow(a, b, &result)
                  : __builtin_mul_overflow(a, b, &result))
    throw TemplateError("an integer beyond 64 bits");
  return result;
}

Value divided(std::string_view op, const Value& a, const Value& b) {
  if (b.as_double() == 0) throw TemplateError("a division by zero");
  const bool integers = !a.is(Value::floating) && !b.is(Value::floating);
  if (op == "/") return a.as_double() / b.as_double();
  if (!integers) {
    const double quotient = std::floor(a.as_double() / b.as_double());
    return op == "//" ? quotient : a.as_double() - quotient * b.as_double();
  }
  const int64_t x = a.as_integer(), y = b.as_integer();
  if (y == -1) return op == "//" ? negated(x) : Value(0);  // INT64_MIN / −1 overflows
  const int64_t remainder = x % y, down = remainder != 0 && (remainder < 0) != (y < 0);
  return op == "//" ? x / y - down : remainder + down * y;
}

Value power(const Value& a, const Value& b) {
  if (a.is(Value::floating) || b.is(Value::floating) || b.as_integer() < 0)
    return std::pow(a.as_double(), b.as_double());
  Value result = 1;
  if (b.as_integer() > 64 && std::abs(a.as_double()) > 1) throw TemplateError("an integer beyond 64 bits");
  for (int64_t i = 0, n = std::min<int64_t>(b.as_integer(), 64 + b.as_integer() % 2); i < n; ++i)
    result = of_integers("*", result.as_integer(), a.as_integer());
  return result;
}

Value of_numbers(std::string_view op, const Value& a, const Value& b) {
  if (op == "**") return power(a, b);
  if (op == "/" || op == "//" || op == "%") return divided(op, a, b);
  if (!a.is(Value::floating) && !b.is(Value::floating)) return of_integers(op, a.as_integer(), b.as_integer());
  const double x = a.as_double(), y = b.as_double();
  return op == "+" ? x + y : op == "-" ? x - y : x * y;
}

/// Byte offsets of the characters of a text, its end included.
std::vector<size_t> offsets_of(const std::string& text) {
  std::vector<size_t> offsets;
  for (size_t at = 0; at < text.size(); at += unicode::char_at(text, at).length) offsets.push_back(at);
  offsets.push_back(text.size());
  return offsets;
}

/// Python's clamping of one bound of a slice.
int64_t bound(const Value& given, int64_t otherwise, int64_t size, bool forward) {
  if (given.is(Value::none) || given.is(Value::undefined)) return otherwise;
  if (!given.is(Value::integer) && !given.is(Value::boolean))
    throw TemplateError("a slice bound of type " + given.type_name());
  int64_t at = given.as_integer();
  if (at < 0) at = at < -size ? -1 : at + size;
  return forward ? std::clamp<int64_t>(at, 0, size) : std::clamp<int64_t>(at, -1, size - 1);
}

void append_json_text(std::string& out, const std::string& text, bool ensure_ascii) {
  char escape[16];
  const auto put = [&](unsigned unit) {
    std::snprintf(escape, sizeof escape, "\\u%04x", unit);
    out += escape;
  };
  out += '"';
  for (size_t at = 0; at < text.size();) {
    const unicode::Char c = unicode::char_at(text, at);
    constexpr std::string_view plain = "\"\\\n\r\t\f\b", named = "\"\\nrtfb";
    if (const size_t known = c.code < 128 ? plain.find(static_cast<char>(c.code)) : std::string_view::npos;
        known != std::string_view::npos) {
      out += {'\\', named[known]};
    } else if (c.code < 0x20 || (ensure_ascii && c.code >= 0x7F && c.code < 0x10000)) {
      put(c.code);
    } else if (ensure_ascii && c.code >= 0x10000) {
      put(0xD800 + ((c.code - 0x10000) >> 10));
      put(0xDC00 + (c.code & 0x3FF));
    } else {
      out.append(text, at, c.length);
    }
    at += c.length;
  }
  out += '"';
}

class JsonWriter {
 public:
  explicit JsonWriter(const JsonLayout& layout) : layout_(layout) {}

  void write(const Value& value) {
    check_text(out_.size());
    switch (value.kind()) {
      case Value::none:
        out_ += "null";
        break;
      case Value::boolean:
        out_ += value.truth() ? "true" : "false";
        break;
      case Value::integer:
        out_ += value.str();
        break;
      case Value::floating:
        out_ += std::isnan(value.as_double())   ? "NaN"
                : std::isinf(value.as_double()) ? (value.as_double() > 0 ? "Infinity" : "-Infinity")
                                                : value.str();
        break;
      case Value::text:
        append_json_text(out_, value.as_text(), layout_.ensure_ascii);
        break;
      case Value::list:
      case Value::tuple:
        write_list(value.elements());
        break;
      case Value::dict:
        write_dict(value.as_dict());
        break;
      default:
        throw TemplateError("tojson on a value of type " + value.type_name());
    }
  }
  std::string finish() { return std::move(out_); }

 private:
  void open(char bracket) {
    out_ += bracket;
    ++depth_;
  }
  void close(char bracket, bool empty) {
    --depth_;
    if (!empty) new_line();
    out_ += bracket;
  }
  void new_line() {
    if (!layout_.lines) return;
    out_ += '\n';
    check_text(out_.size() + depth_ * layout_.indent.size());
    for (size_t i = 0; i < depth_; ++i) out_ += layout_.indent;
  }
  void separate(bool first) {
    if (!first) out_ += layout_.item_separator;
    new_line();
  }
  void write_list(const List& elements) {
    open('[');
    bool first = true;
    for (const Value& element : elements) {
      separate(std::exchange(first, false));
      write(element);
    }
    close(']', elements.empty());
  }
  void write_dict(const Dict& dict) {
    auto entries = dict.entries;
    if (layout_.sort_keys)
      std::ranges::stable_sort(entries, [](const auto& a, const auto& b) { return less(a.first, b.first); });
    open('{');
    bool first = true;
    for (const auto& [key, value] : entries) {
      separate(std::exchange(first, false));
      write_key(key);
      out_ += layout_.key_separator;
      write(value);
    }
    close('}', entries.empty());
  }
  void write_key(const Value& key) {
    if (key.is(Value::text)) return write(key);
    if (key.is(Value::tuple)) throw TemplateError("tojson of a dict with a tuple as key");
    out_ += '"';
    write(key);
    out_ += '"';
  }

  const JsonLayout& layout_;
  std::string out_;
  size_t depth_ = 0;
};

}  // namespace

Value binary(std::string_view op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return of_numbers(op, a, b);
  if (op == "+" && a.kind() == b.kind() && (a.is(Value::text) || a.is_sequence())) return added(a, b);
  const auto repeats = [](const Value& v, const Value& n) {
    return (v.is(Value::text) || v.is_sequence()) && (n.is(Value::integer) || n.is(Value::boolean));
  };
  if (op == "*" && repeats(a, b)) return repeated(a, b.as_integer());
  if (op == "*" && repeats(b, a)) return repeated(b, a.as_integer());
  no_operator(op, a, b);
}

Value negated(const Value& value) {
  if (!value.is_number()) throw TemplateError("'-' before a value of type " + value.type_name());
  return value.is(Value::floating) ? Value(-value.as_double()) : of_integers("-", 0, value.as_integer());
}

Value subscript(const Value& value, const Value& key) {
  if (value.is(Value::undefined)) throw TemplateError("a subscript of an undefined value");
  if (value.is(Value::dict)) {
    const Value* found = value.as_dict().find(key);
    return found ? *found : Value::make_undefined(key.str());
  }
  if (value.is(Value::name_space)) {
    const Value* found = value.attributes().find(key);
    return found ? *found : Value::make_undefined(key.str());
  }
  if (!key.is(Value::integer) && !key.is(Value::boolean)) return Value::make_undefined(key.str());
  if (!value.is(Value::text) && !value.is_sequence()) return Value::make_undefined(key.str());
  const auto size = static_cast<int64_t>(length(value));
  const int64_t at = key.as_integer() < 0 ? key.as_integer() + size : key.as_integer();
  if (at < 0 || at >= size) return Value::make_undefined(key.str());
  if (value.is_sequence()) return value.elements()[at];
  const std::vector<size_t> offsets = offsets_of(value.as_text());
  return value.as_text().substr(offsets[at], offsets[at + 1] - offsets[at]);
}

Value slice(const Value& value, const Value& begin, const Value& end, const Value& step) {
  if (value.is(Value::undefined)) throw TemplateError("a slice of an undefined value");
  if (!value.is(Value::text) && !value.is_sequence()) return Value::make_undefined("slice");
  const int64_t stride = step.is(Value::integer) ? step.as_integer() : 1;
  if (stride == 0) throw TemplateError("a slice with step 0");
  const std::vector<size_t> offsets = value.is(Value::text) ? offsets_of(value.as_text()) : std::vector<size_t>();
  const auto size = static_cast<int64_t>(value.is(Value::text) ? offsets.size() - 1 : value.elements().size());
  const bool forward = stride > 0;
  const int64_t last = bound(end, forward ? size : -1, size, forward);
  std::string text;
  List elements;
  for (int64_t at = bound(begin, forward ? 0 : size - 1, size, forward); forward ? at < last : at > last;
       at += std::clamp(stride, -size - 1, size + 1)) {
    if (value.is(Value::text)) {
      text.append(value.as_text(), offsets[at], offsets[at + 1] - offsets[at]);
    } else {
      elements.push_back(value.elements()[at]);
    }
  }
  if (value.is(Value::text)) return text;
  return value.is(Value::list) ? Value(std::move(elements)) : Value::make_tuple(std::move(elements));
}

std::string to_json(const Value& value, const JsonLayout& layout) {
  JsonWriter writer(layout);
  writer.write(value);
  return writer.finish();
}

}  // namespace cohort::jinja
