#include "policy/text/jinja_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "policy/text/unicode.h"

namespace cohort::jinja {

void check_text(size_t bytes) {
  if (bytes > Budget::most_text)
    throw TemplateError("a text longer than " + std::to_string(Budget::most_text) + " bytes");
}

void check_elements(size_t elements) {
  if (elements > Budget::most_elements)
    throw TemplateError("a list longer than " + std::to_string(Budget::most_elements) + " elements");
}

void check_weight(size_t weight) {
  if (weight > Budget::most_text / 16) throw TemplateError("a value heavier than a chat template may make");
}

namespace {

std::shared_ptr<const Sequence> sequence_of(List elements) {
  size_t weight = 1;
  for (const Value& element : elements) weight += element.weight();
  check_weight(weight);
  return std::make_shared<const Sequence>(Sequence{std::move(elements), weight});
}

}  // namespace

Value::Value(List l) : held_(sequence_of(std::move(l))) {}
Value Value::make_tuple(List l) {
  return Value(Tuple{sequence_of(std::move(l))});
}

size_t Value::weight() const {
  switch (kind()) {
    case text:
      return 1 + as_text().size() / 16;
    case list:
      return std::get<std::shared_ptr<const Sequence>>(held_)->weight;
    case tuple:
      return std::get<Tuple>(held_).sequence->weight;
    case dict:
      return as_dict().weight;
    default:
      return 1;
  }
}

Value::Value(Dict d) : held_(std::make_shared<const Dict>(std::move(d))) {}
Value::Value(Function f) : held_(std::make_shared<const Function>(std::move(f))) {}

Value Value::make_undefined(std::string_view name) {
  Value value;
  value.held_ = Undefined{std::make_shared<const std::string>(name)};
  return value;
}

Value::Value(const nlohmann::ordered_json& json, int depth) {
  if (depth > Budget::most_depth)
    throw TemplateError("variables nested deeper than " + std::to_string(Budget::most_depth));
  using Type = nlohmann::ordered_json::value_t;
  switch (json.type()) {
    case Type::boolean:
      held_ = json.get<bool>();
      break;
    case Type::number_integer:
      held_ = json.get<int64_t>();
      break;
    case Type::number_unsigned:
      if (json.get<uint64_t>() > INT64_MAX) {
        held_ = json.get<double>();
      } else {
        held_ = json.get<int64_t>();
      }
      break;
    case Type::number_float:
      held_ = json.get<double>();
      break;
    case Type::string:
      *this = Value(json.get_ref<const std::string&>());
      break;
    case Type::array: {
      List elements;
      elements.reserve(json.size());
      for (const auto& element : json) elements.push_back(Value(element, depth + 1));
      *this = Value(std::move(elements));
      break;
    }
    case Type::object: {
      Dict dict;
      for (const auto& [key, value] : json.items()) dict.set(key, Value(value, depth + 1));
      *this = Value(std::move(dict));
      break;
    }
    default:
      held_ = None{};
  }
}

const List& Value::elements() const {
  return is(tuple) ? std::get<Tuple>(held_).sequence->elements
                   : std::get<std::shared_ptr<const Sequence>>(held_)->elements;
}

int64_t Value::as_integer() const {
  return is(boolean) ? std::get<bool>(held_) : std::get<int64_t>(held_);
}
double Value::as_double() const {
  return is(floating) ? std::get<double>(held_) : static_cast<double>(as_integer());
}

bool Value::truth() const {
  switch (kind()) {
    case undefined:
    case none:
      return false;
    case boolean:
    case integer:
      return as_integer() != 0;
    case floating:
      return as_double() != 0;
    case text:
      return !as_text().empty();
    case list:
    case tuple:
      return !elements().empty();
    case dict:
      return !as_dict().entries.empty();
    default:
      return true;
  }
}

std::string Value::type_name() const {
  constexpr const char* names[] = {"undefined", "None",  "bool", "int",       "float",   "str",
                                   "list",      "tuple", "dict", "namespace", "function"};
  return names[kind()];
}

namespace {

/// The shortest repr of one text as Python writes it.
std::string quoted(const std::string& text) {
  const char quote = text.find('\'') != std::string::npos && text.find('"') == std::string::npos ? '"' : '\'';
  std::string out(1, quote);
  char escape[16];
  for (size_t at = 0; at < text.size();) {
    const unicode::Char c = unicode::char_at(text, at);
    using namespace unicode;
    const bool prints = c.code == ' ' || !is_in(c.code, separators | bit(Cc) | bit(Cf) | bit(Co) | bit(Cn));
    if (c.code == '\n') {
      out += "\\n";
    } else if (c.code == '\r') {
      out += "\\r";
    } else if (c.code == '\t') {
      out += "\\t";
    } else if (c.code == static_cast<char32_t>(quote) || c.code == '\\') {
      out += {'\\', static_cast<char>(c.code)};
    } else if (prints) {
      out.append(text, at, c.length);
    } else {
      const char* form = c.code < 0x100 ? "\\x%02x" : c.code < 0x10000 ? "\\u%04x" : "\\U%08x";
      std::snprintf(escape, sizeof escape, form, static_cast<unsigned>(c.code));
      out += escape;
    }
    at += c.length;
  }
  return out + quote;
}

std::string joined_reprs(const List& elements) {
  std::string out;
  for (const Value& element : elements) {
    out += (out.empty() ? "" : ", ") + element.repr();
    check_text(out.size());
  }
  return out;
}

std::string dict_repr(const Dict& dict) {
  std::string out = "{";
  for (const auto& [key, value] : dict.entries) {
    out += (out.size() == 1 ? "" : ", ") + key.repr() + ": " + value.repr();
    check_text(out.size());
  }
  return out + "}";
}

}  // namespace

std::string Value::str() const {
  return is(text) ? as_text() : is(undefined) ? std::string() : repr();
}

std::string Value::repr() const {
  switch (kind()) {
    case undefined:
      return "Undefined";
    case none:
      return "None";
    case boolean:
      return as_integer() ? "True" : "False";
    case integer:
      return std::to_string(as_integer());
    case floating:
      return float_text(as_double());
    case text:
      return quoted(as_text());
    case list:
      return "[" + joined_reprs(elements()) + "]";
    case tuple:
      return "(" + joined_reprs(elements()) + (elements().size() == 1 ? ",)" : ")");
    case dict:
      return dict_repr(as_dict());
    case name_space:
      return "<Namespace " + dict_repr(attributes()) + ">";
    default:
      return "<function " + as_function().name + ">";
  }
}

std::string float_text(double x) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return x > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto fixed =
      std::abs(x) >= 1e16 || (x != 0 && std::abs(x) < 1e-4) ? std::chars_format::scientific : std::chars_format::fixed;
  std::string text(buffer, std::to_chars(buffer, buffer + sizeof buffer, x, fixed).ptr);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string key_of(const Value& value) {
  if (value.is(Value::text)) return "s" + value.as_text();
  if (value.is(Value::floating) &&
      (std::floor(value.as_double()) != value.as_double() || std::abs(value.as_double()) >= 9e18))
    return "f" + value.str();
  if (value.is_number())
    return "i" +
           std::to_string(value.is(Value::floating) ? static_cast<int64_t>(value.as_double()) : value.as_integer());
  if (value.is(Value::none)) return "n";
  if (!value.is(Value::tuple)) throw TemplateError("a " + value.type_name() + " as a key");
  std::string key = "t";
  for (const Value& element : value.elements()) {
    const std::string part = key_of(element);
    key += std::to_string(part.size()) + ":" + part;
  }
  return key;
}

const Value* Dict::find(const Value& key) const {
  const auto found = by_key_.find(key_of(key));
  return found == by_key_.end() ? nullptr : &entries[found->second].second;
}

void Dict::set(const Value& key, Value value) {
  const auto [found, added] = by_key_.try_emplace(key_of(key), entries.size());
  weight += value.weight() + key.weight();
  check_weight(weight);
  if (added) {
    entries.emplace_back(key, std::move(value));
  } else {
    entries[found->second].second = std::move(value);
  }
}

Value Arguments::get(size_t position, std::string_view name, Value otherwise) const {
  if (position < positional.size()) return positional[position];
  for (const auto& [given, value] : named)
    if (given == name) return value;
  return otherwise;
}

bool Arguments::has(size_t position, std::string_view name) const {
  return position < positional.size() ||
         std::ranges::any_of(named, [&](const auto& given) { return given.first == name; });
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is(Value::floating) || b.is(Value::floating)) return a.as_double() == b.as_double();
    return a.as_integer() == b.as_integer();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Value::text:
      return a.as_text() == b.as_text();
    case Value::list:
    case Value::tuple:
      return std::ranges::equal(a.elements(), b.elements(), equal);
    case Value::dict: {
      if (a.as_dict().entries.size() != b.as_dict().entries.size()) return false;
      return std::ranges::all_of(a.as_dict().entries, [&](const auto& entry) {
        const Value* other = b.as_dict().find(entry.first);
        return other && equal(entry.second, *other);
      });
    }
    case Value::name_space:
      return &a.attributes() == &b.attributes();
    case Value::function:
      return &a.as_function() == &b.as_function();
    default:
      return true;  // none, undefined
  }
}

bool less(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is(Value::floating) || b.is(Value::floating)) return a.as_double() < b.as_double();
    return a.as_integer() < b.as_integer();
  }
  if (a.is(Value::text) && b.is(Value::text)) return a.as_text() < b.as_text();  // UTF-8 keeps the order of code points
  if (a.is_sequence() && a.kind() == b.kind())
    return std::ranges::lexicographical_compare(a.elements(), b.elements(), less);
  throw TemplateError("'<' between " + a.type_name() + " and " + b.type_name());
}

bool contains(const Value& container, const Value& element) {
  switch (container.kind()) {
    case Value::text:
      if (!element.is(Value::text))
        throw TemplateError("'in' wants a str on its left for a str on its right, found " + element.type_name());
      return container.as_text().find(element.as_text()) != std::string::npos;
    case Value::list:
    case Value::tuple:
      return std::ranges::any_of(container.elements(), [&](const Value& each) { return equal(each, element); });
    case Value::dict:
      return container.as_dict().find(element) != nullptr;
    case Value::undefined:
      return false;
    default:
      throw TemplateError("'in' on a value of type " + container.type_name());
  }
}

List iterate(const Value& value) {
  switch (value.kind()) {
    case Value::undefined:
      return {};
    case Value::list:
    case Value::tuple:
      return value.elements();
    case Value::dict: {
      List keys;
      for (const auto& entry : value.as_dict().entries) keys.push_back(entry.first);
      return keys;
    }
    case Value::text: {
      const std::string& text = value.as_text();
      check_elements(unicode::count(text));
      List characters;
      for (size_t at = 0, n; at < text.size(); at += n) {
        n = unicode::char_at(text, at).length;
        characters.emplace_back(std::string_view(text).substr(at, n));
      }
      return characters;
    }
    default:
      throw TemplateError("a loop over a value of type " + value.type_name());
  }
}

size_t length(const Value& value) {
  switch (value.kind()) {
    case Value::undefined:
      return 0;
    case Value::text:
      return unicode::count(value.as_text());
    case Value::list:
    case Value::tuple:
      return value.elements().size();
    case Value::dict:
      return value.as_dict().entries.size();
    default:
      throw TemplateError("the length of a value of type " + value.type_name());
  }
}

}  // namespace cohort::jinja
