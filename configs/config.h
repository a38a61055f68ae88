// Strict configs. A config struct lists its knobs once, in visit_fields beside the struct; reading, printing and the
// JSON Schema all follow from that list.
//
//   struct AdvantageConfig { std::string scale_rewards = "group"; double epsilon_std = 1e-4; };
//   template <class V> void visit_fields(V& v, AdvantageConfig& c) {
//     v.field("scale_rewards", c.scale_rewards, "divide by the std of the group, of the batch, or not",
//             one_of({"group", "batch", "none"}));
//     v.field("epsilon_std", c.epsilon_std, "added to the std", above(0));
//   }
//   template <class V> void visit_fields(V& v, TrainConfig& c) {
//     visit_fields(v, c.advantage);                                    // flat: its keys stand among ours
//     v.object("overlong", c.overlong, "soft penalty on length");      // nested: a JSON object of its own
//   }
//
// A field is a bool, an integer, a float or double, a std::string, a Json (anything), a struct with visit_fields, or a
// std::optional (null: no value), a std::vector or a std::map<std::string, …> of those.
#pragma once
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace cohort {

using Json = nlohmann::json;

// ---- What a field may hold. Several constraints on one field all apply; those of a list or map apply to each element.

struct End {  // of an interval
  End(double value, bool open = false) : value(value), open(open) {}
  double value;
  bool open;  // the value itself is outside
};
inline End open(double value) {
  return {value, true};
}
inline End closed(double value) {
  return {value, false};
}

struct Constraint {
  std::optional<End> low, high;
  std::vector<Json> choices;  // empty: any value
  bool not_empty = false;     // of a string, list or map
  bool required = false;      // the key has to stand in the object
};

Constraint at_least(double low);
Constraint above(double low);
Constraint at_most(double high);
Constraint below(double high);
Constraint between(End low, End high);  // between(0, 1) is [0, 1]; between(open(0), 1) is (0, 1]
Constraint one_of(std::initializer_list<Json> choices);
Constraint one_of(const std::vector<std::string>& choices);
Constraint not_empty();
Constraint required();

// ---- The five things done with a config.

/// Sets the fields of `config` that `object` names; the others keep their values. `where` (usually the file) opens
/// every message. Throws UsageError for an unknown key (naming it and the nearest known one), for a wrong type and for
/// a value outside its range (naming the dotted key, what was found and what is allowed). "$schema" and "$comment"
/// at the top are ignored.
template <class C>
void read_config(const Json& object, C& config, std::string_view where);

/// The effective config: every key with its value; read_config of it gives the same config.
template <class C>
Json dump_config(const C& config);

/// JSON Schema (draft 2020-12) with descriptions, defaults, ranges and choices; unknown keys are invalid.
template <class C>
Json config_schema(const C& defaults, std::string_view title);

/// One JSON value, strictly: UsageError names `where`, line and column of a syntax error, a key given twice, and a
/// nesting deeper than 64. A byte-order mark is skipped.
Json parse_config_text(std::string_view text, std::string_view where);
Json parse_config_file(const std::filesystem::path& path);

/// Applies `a.b.c=VALUE` overrides in order: VALUE is JSON, else a string; missing objects are made; a list's element
/// is named by its index. Throws UsageError for anything else.
void apply_overrides(Json& config, const std::vector<std::string>& sets);

/// The entry of `known` with the smallest edit distance to `key` (case and -/_ do not count), the first of equals; ""
/// when nothing is known.
std::string nearest(std::string_view key, std::span<const std::string> known);

// ---- Visitors. Only visit_fields functions need to know of them, and those only `field` and `object`.

struct KeyPath {      // where a value stands, for messages
  std::string where;  // the file
  std::string key;    // dotted; empty at the top
  KeyPath child(std::string_view name) const;
  KeyPath element(size_t index) const;
};

[[noreturn]] void refuse_value(const Json& found, const KeyPath& at, const std::string& expected);
void expect_array(const Json& value, const KeyPath& at, const Constraint& allowed);
void expect_object(const Json& value, const KeyPath& at, const Constraint& allowed);
Constraint merged(std::initializer_list<Constraint> constraints);
Constraint of_elements(const Constraint& constraint);  // what a list's constraint says of each element

class ConfigReader {
 public:
  ConfigReader(const Json& object, KeyPath at);
  template <class T, class... Constraints>
  void field(std::string_view name, T& field, std::string_view description, const Constraints&... constraints);
  template <class T>
  void object(std::string_view name, T& nested, std::string_view description) {
    field(name, nested, description);
  }
  void refuse_unknown_keys() const;  // after the visit

 private:
  const Json* find(std::string_view name, bool required);

  const Json& object_;
  KeyPath at_;
  std::vector<std::string> known_;
};

class ConfigWriter {
 public:
  template <class T, class... Constraints>
  void field(std::string_view name, const T& field, std::string_view description, const Constraints&... constraints);
  template <class T>
  void object(std::string_view name, const T& nested, std::string_view description) {
    field(name, nested, description);
  }
  Json written = Json::object();
};

class SchemaWriter {
 public:
  template <class T, class... Constraints>
  void field(std::string_view name, const T& defaults, std::string_view description, const Constraints&... constraints);
  template <class T>
  void object(std::string_view name, const T& defaults, std::string_view description) {
    field(name, defaults, description);
  }
  Json object_schema() const;

 private:
  Json properties_ = Json::object();
  Json required_ = Json::array();
};

template <class C>
concept ConfigStruct = requires(ConfigReader& v, C& config) {
  visit_fields(v, config);
};

// ---- Reading.

void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, bool& field);
void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, int64_t& field);
void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, uint64_t& field);
void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, float& field);
void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, double& field);
void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, std::string& field);
void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, Json& field);

template <std::integral T>
void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, T& field) {
  std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t> wide = 0;
  read_value(value, at, allowed, wide);
  if (!std::in_range<T>(wide)) refuse_value(value, at, "an integer of " + std::to_string(8 * sizeof(T)) + " bits");
  field = static_cast<T>(wide);
}

template <ConfigStruct C>
void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, C& config) {
  expect_object(value, at, allowed);
  ConfigReader reader(value, at);
  visit_fields(reader, config);
  reader.refuse_unknown_keys();
}

template <class T>
void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, std::optional<T>& field) {
  if (value.is_null()) {
    field.reset();
    return;
  }
  T present = field.value_or(T{});
  read_value(value, at, allowed, present);
  field = std::move(present);
}

template <class T>
void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, std::vector<T>& field) {
  expect_array(value, at, allowed);
  std::vector<T> elements;
  for (size_t i = 0; i < value.size(); ++i) {
    T element{};
    read_value(value[i], at.element(i), of_elements(allowed), element);
    elements.push_back(std::move(element));
  }
  field = std::move(elements);
}

template <class T>
void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, std::map<std::string, T>& field) {
  expect_object(value, at, allowed);
  std::map<std::string, T> entries;
  for (const auto& [key, entry] : value.items()) read_value(entry, at.child(key), of_elements(allowed), entries[key]);
  field = std::move(entries);
}

template <class T, class... Constraints>
void ConfigReader::field(std::string_view name, T& field, std::string_view, const Constraints&... constraints) {
  const Constraint allowed = merged({constraints...});
  if (const Json* value = find(name, allowed.required)) read_value(*value, at_.child(name), allowed, field);
}

// ---- Writing.

Json json_of(float value);  // the shortest decimal that reads back as the same float
template <class T>
requires std::integral<T> || std::same_as<T, double> || std::same_as<T, std::string> || std::same_as<T, Json> Json
json_of(const T& value) {
  return Json(value);
}

template <ConfigStruct C>
Json json_of(const C& config) {
  ConfigWriter writer;
  C copy = config;  // visit_fields takes the struct it may change
  visit_fields(writer, copy);
  return std::move(writer.written);
}

template <class T>
Json json_of(const std::optional<T>& value) {
  return value ? json_of(*value) : Json();
}

template <class T>
Json json_of(const std::vector<T>& values) {
  Json array = Json::array();
  for (const T& value : values) array.push_back(json_of(value));
  return array;
}

template <class T>
Json json_of(const std::map<std::string, T>& entries) {
  Json object = Json::object();
  for (const auto& [key, value] : entries) object[key] = json_of(value);
  return object;
}

template <class T, class... Constraints>
void ConfigWriter::field(std::string_view name, const T& field, std::string_view, const Constraints&...) {
  written[std::string(name)] = json_of(field);
}

// ---- Schemas.

Json type_schema(std::string_view type, const Constraint& allowed);  // type "" is any
Json nullable_schema(Json schema);

inline Json schema_of(const bool&, const Constraint& allowed) {
  return type_schema("boolean", allowed);
}
inline Json schema_of(const std::string&, const Constraint& allowed) {
  return type_schema("string", allowed);
}
inline Json schema_of(const Json&, const Constraint& allowed) {
  return type_schema("", allowed);
}
template <std::floating_point T>
Json schema_of(const T&, const Constraint& allowed) {
  return type_schema("number", allowed);
}
template <std::integral T>
Json schema_of(const T&, const Constraint& allowed) {
  return type_schema("integer", std::is_unsigned_v<T> ? merged({at_least(0), allowed}) : allowed);
}

template <ConfigStruct C>
Json schema_of(const C& defaults, const Constraint&) {
  SchemaWriter writer;
  C copy = defaults;
  visit_fields(writer, copy);
  return writer.object_schema();
}

template <class T>
Json schema_of(const std::optional<T>& defaults, const Constraint& allowed) {
  return nullable_schema(schema_of(defaults.value_or(T{}), allowed));
}

template <class T>
Json schema_of(const std::vector<T>&, const Constraint& allowed) {
  Json schema = type_schema("array", allowed);
  schema["items"] = schema_of(T{}, of_elements(allowed));
  return schema;
}

template <class T>
Json schema_of(const std::map<std::string, T>&, const Constraint& allowed) {
  Json schema = type_schema("object", allowed);
  schema["additionalProperties"] = schema_of(T{}, of_elements(allowed));
  return schema;
}

template <class T, class... Constraints>
void SchemaWriter::field(std::string_view name, const T& defaults, std::string_view description,
                         const Constraints&... constraints) {
  const Constraint allowed = merged({constraints...});
  Json& property = properties_[std::string(name)] = schema_of(defaults, allowed);
  property["description"] = description;
  if constexpr (!ConfigStruct<T>) property["default"] = json_of(defaults);  // a struct's stand at its own keys
  if (allowed.required) required_.push_back(name);
}

// ---- The functions above, by these.

template <class C>
void read_config(const Json& object, C& config, std::string_view where) {
  const KeyPath top{std::string(where), ""};
  expect_object(object, top, {});
  Json keys = object;
  keys.erase("$schema"), keys.erase("$comment");
  read_value(keys, top, {}, config);
}

template <class C>
Json dump_config(const C& config) {
  return json_of(config);
}

Json top_schema(Json schema, std::string_view title);

template <class C>
Json config_schema(const C& defaults, std::string_view title) {
  return top_schema(schema_of(defaults, {}), title);
}

}  // namespace cohort
