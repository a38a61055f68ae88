#include "configs/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <tuple>

#include "configs/error.h"

namespace cohort {
namespace {

constexpr size_t kMaxShown = 60;  // characters of a refused value in a message

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() <= kMaxShown) return text;
  size_t cut = kMaxShown;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;  // not inside a character
  return text.substr(0, cut) + "…";
}

/// A limit, written as an integer when it is one.
Json limit(double value) {
  const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
  return whole ? Json(static_cast<int64_t>(value)) : Json(value);
}

std::string range_text(const Constraint& allowed) {
  const auto& [low, high] = std::tie(allowed.low, allowed.high);
  if (low && high) {
    return std::string(" in ") + (low->open ? "(" : "[") + limit(low->value).dump() + ", " + limit(high->value).dump() +
           (high->open ? ")" : "]");
  }
  if (low) return (low->open ? " above " : " of at least ") + limit(low->value).dump();
  if (high) return (high->open ? " below " : " of at most ") + limit(high->value).dump();
  return "";
}

std::string choices_text(const std::vector<Json>& choices) {
  std::string text = choices.size() == 1 ? "" : "one of ";
  for (const Json& choice : choices) text += (&choice == &choices.front() ? "" : ", ") + shown(choice);
  return text;
}

std::string allowed_text(std::string_view kind, const Constraint& allowed) {
  if (!allowed.choices.empty()) return choices_text(allowed.choices);
  return std::string(kind) + range_text(allowed);
}

bool in_range(double value, const Constraint& allowed) {
  if (allowed.low && (allowed.low->open ? value <= allowed.low->value : value < allowed.low->value)) return false;
  if (allowed.high && (allowed.high->open ? value >= allowed.high->value : value > allowed.high->value)) return false;
  return true;
}

bool is_choice(const Json& value, const Constraint& allowed) {
  return allowed.choices.empty() ||
         std::find(allowed.choices.begin(), allowed.choices.end(), value) != allowed.choices.end();
}

double read_number(const Json& value, const KeyPath& at, const Constraint& allowed) {
  const bool fits = value.is_number() && in_range(value.get<double>(), allowed) && is_choice(value, allowed);
  if (!fits) refuse_value(value, at, allowed_text("a number", allowed));
  return value.get<double>();
}

/// The value as an Integer when it is one, however it is written (4, 4.0, 4e0).
template <class Integer>
std::optional<Integer> integral(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto whole = value.get<uint64_t>();
    return std::in_range<Integer>(whole) ? std::optional<Integer>(whole) : std::nullopt;
  }
  if (value.is_number_integer()) {
    const auto whole = value.get<int64_t>();
    return std::in_range<Integer>(whole) ? std::optional<Integer>(whole) : std::nullopt;
  }
  if (!value.is_number_float()) return std::nullopt;
  const double real = value.get<double>();
  const double end = std::ldexp(1.0, std::numeric_limits<Integer>::digits);  // one past the largest, exact
  const double begin = std::is_signed_v<Integer> ? -end : 0.0;
  if (real != std::floor(real) || real < begin || real >= end) return std::nullopt;
  return static_cast<Integer>(real);
}

template <class Integer>
Integer read_integer(const Json& value, const KeyPath& at, const Constraint& allowed) {
  const std::optional<Integer> whole = integral<Integer>(value);
  const bool fits = whole && in_range(static_cast<double>(*whole), allowed) && is_choice(value, allowed);
  if (!fits) refuse_value(value, at, allowed_text("an integer", allowed));
  return *whole;
}

Constraint low_end(End low) {
  Constraint constraint;
  constraint.low = low;
  return constraint;
}

Constraint high_end(End high) {
  Constraint constraint;
  constraint.high = high;
  return constraint;
}

}  // namespace

// ---- Constraints

Constraint at_least(double low) {
  return low_end(closed(low));
}
Constraint above(double low) {
  return low_end(open(low));
}
Constraint at_most(double high) {
  return high_end(closed(high));
}
Constraint below(double high) {
  return high_end(open(high));
}
Constraint between(End low, End high) {
  return merged({low_end(low), high_end(high)});
}

Constraint one_of(std::initializer_list<Json> choices) {
  Constraint constraint;
  constraint.choices = choices;
  return constraint;
}

Constraint one_of(const std::vector<std::string>& choices) {
  Constraint constraint;
  constraint.choices.assign(choices.begin(), choices.end());
  return constraint;
}

Constraint not_empty() {
  Constraint constraint;
  constraint.not_empty = true;
  return constraint;
}

Constraint required() {
  Constraint constraint;
  constraint.required = true;
  return constraint;
}

Constraint merged(std::initializer_list<Constraint> constraints) {
  Constraint all;
  for (const Constraint& one : constraints) {
    if (one.low && (!all.low || !in_range(all.low->value, one))) all.low = one.low;
    if (one.high && (!all.high || !in_range(all.high->value, one))) all.high = one.high;
    if (!one.choices.empty()) all.choices = one.choices;
    all.not_empty |= one.not_empty;
    all.required |= one.required;
  }
  return all;
}

Constraint of_elements(const Constraint& constraint) {
  Constraint elements = constraint;
  elements.not_empty = elements.required = false;
  return elements;
}

// ---- Reading

KeyPath KeyPath::child(std::string_view name) const {
  return {where, key.empty() ? std::string(name) : key + "." + std::string(name)};
}

KeyPath KeyPath::element(size_t index) const {
  return child(std::to_string(index));
}

void refuse_value(const Json& found, const KeyPath& at, const std::string& expected) {
  throw UsageError(at.where + ": " + (at.key.empty() ? "the config" : at.key) + " is " + shown(found) + ", expected " +
                   expected);
}

void expect_array(const Json& value, const KeyPath& at, const Constraint& allowed) {
  if (!value.is_array() || (allowed.not_empty && value.empty()))
    refuse_value(value, at, allowed.not_empty ? "a list with at least one entry" : "a list");
}

void expect_object(const Json& value, const KeyPath& at, const Constraint& allowed) {
  if (!value.is_object() || (allowed.not_empty && value.empty()))
    refuse_value(value, at, allowed.not_empty ? "an object with at least one key" : "an object");
}

void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, bool& field) {
  if (!value.is_boolean() || !is_choice(value, allowed))
    refuse_value(value, at, allowed_text("true or false", allowed));
  field = value.get<bool>();
}

void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, int64_t& field) {
  field = read_integer<int64_t>(value, at, allowed);
}

void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, uint64_t& field) {
  field = read_integer<uint64_t>(value, at, merged({at_least(0), allowed}));
}

void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, float& field) {
  const double wide = read_number(value, at, allowed);
  if (std::abs(wide) > std::numeric_limits<float>::max()) refuse_value(value, at, "a number that fits in 32 bits");
  field = static_cast<float>(wide);
}

void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, double& field) {
  field = read_number(value, at, allowed);
}

void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, std::string& field) {
  if (!value.is_string() || !is_choice(value, allowed)) refuse_value(value, at, allowed_text("a string", allowed));
  field = value.get<std::string>();
  if (allowed.not_empty && field.empty()) refuse_value(value, at, "a string that is not empty");
}

void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, Json& field) {
  if (!is_choice(value, allowed)) refuse_value(value, at, choices_text(allowed.choices));
  field = value;
}

ConfigReader::ConfigReader(const Json& object, KeyPath at) : object_(object), at_(std::move(at)) {}

const Json* ConfigReader::find(std::string_view name, bool required) {
  if (std::find(known_.begin(), known_.end(), name) != known_.end())
    throw std::logic_error("config key " + at_.child(name).key + " is declared by two structs");
  known_.emplace_back(name);
  const auto entry = object_.find(std::string(name));
  if (entry != object_.end()) return &*entry;
  if (required) throw UsageError(at_.where + ": the key " + at_.child(name).key + " is missing and has no default");
  return nullptr;
}

void ConfigReader::refuse_unknown_keys() const {
  for (const auto& [key, value] : object_.items()) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    const std::string close = nearest(key, known_);
    throw UsageError(at_.where + ": unknown key " + at_.child(key).key + " = " + shown(value) +
                     (close.empty() ? "" : "; the nearest known key is " + at_.child(close).key));
  }
}

// ---- Writing

Json json_of(float value) {
  if (!std::isfinite(value)) return Json(value);
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value);
  double shortest = 0;
  std::from_chars(digits, end.ptr, shortest);
  return Json(shortest);
}

// ---- Schemas

Json type_schema(std::string_view type, const Constraint& allowed) {
  Json schema = Json::object();
  if (!type.empty()) schema["type"] = type;
  if (allowed.not_empty) schema[type == "string" ? "minLength" : type == "array" ? "minItems" : "minProperties"] = 1;
  if (type == "array" || type == "object") return schema;  // the rest is said of the elements
  if (allowed.low) schema[allowed.low->open ? "exclusiveMinimum" : "minimum"] = limit(allowed.low->value);
  if (allowed.high) schema[allowed.high->open ? "exclusiveMaximum" : "maximum"] = limit(allowed.high->value);
  if (!allowed.choices.empty()) schema["enum"] = allowed.choices;
  return schema;
}

Json nullable_schema(Json schema) {
  if (schema.contains("type")) schema["type"] = Json::array({schema["type"], "null"});
  if (schema.contains("enum")) schema["enum"].push_back(nullptr);
  return schema;
}

Json SchemaWriter::object_schema() const {
  Json schema = {{"type", "object"}, {"properties", properties_}, {"additionalProperties", false}};
  if (!required_.empty()) schema["required"] = required_;
  return schema;
}

Json top_schema(Json schema, std::string_view title) {
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = title;
  schema["properties"]["$schema"] = {{"type", "string"}, {"description", "where an editor finds this schema"}};
  schema["properties"]["$comment"] = {{"type", "string"}, {"description", "for readers: the result it gave, say"}};
  return schema;
}

}  // namespace cohort
