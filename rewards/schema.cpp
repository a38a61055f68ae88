#include "rewards/schema.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "configs/error.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

constexpr size_t kMaxWork = 200'000;  // schemas applied to values, and bytes or elements compared over 64
constexpr int kMaxDepth = 400;        // of schemas within schemas; a reference to itself ends here

constexpr std::array<std::string_view, 4> kRefused = {"unevaluatedProperties", "unevaluatedItems", "$dynamicRef",
                                                      "$recursiveRef"};
constexpr std::array<std::string_view, 9> kHoldsSchema = {
    "additionalProperties", "propertyNames", "items", "contains", "not", "additionalItems", "if", "then", "else"};
constexpr std::array<std::string_view, 5> kHoldsList = {"allOf", "anyOf", "oneOf", "prefixItems", "items"};
constexpr std::array<std::string_view, 6> kHoldsNamed = {"properties",  "patternProperties", "$defs",
                                                         "definitions", "dependentSchemas",  "dependencies"};

template <size_t N>
bool is_one_of(std::string_view word, const std::array<std::string_view, N>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool is_integer(const Json& value) {
  return value.is_number_integer() ||
         (value.is_number_float() && value.get<double>() == std::floor(value.get<double>()));
}

bool has_type(const Json& value, std::string_view type) {
  if (type == "integer") return is_integer(value);
  if (type == "number") return value.is_number();
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  return type == "null" && value.is_null();
}

bool is_multiple(double value, double of) {
  const double quotient = value / of;
  return std::isfinite(quotient) &&
         std::abs(quotient - std::round(quotient)) <= 1e-9 * std::max(1.0, std::abs(quotient));
}

// ---- Words that limit a measure of a value.

double number_of(const Json& value) {
  return value.get<double>();
}
double size_of(const Json& value) {
  return double(value.size());
}
double characters_of(const Json& value) {
  const auto& text = value.get_ref<const std::string&>();
  return double(std::ranges::count_if(text, [](unsigned char c) { return (c & 0xC0U) != 0x80U; }));
}
bool at_least(double found, double limit) {
  return found >= limit;
}
bool at_most(double found, double limit) {
  return found <= limit;
}

struct Limit {
  std::string_view word, type;  // of values that it applies to
  double (*measure)(const Json&);
  bool (*holds)(double, double);
  const char* expected;
};
constexpr auto kLimits = std::to_array<Limit>({
    {"minimum", "number", number_of, at_least, "at least"},
    {"maximum", "number", number_of, at_most, "at most"},
    {"exclusiveMinimum", "number", number_of, [](double a, double b) { return a > b; }, "more than"},
    {"exclusiveMaximum", "number", number_of, [](double a, double b) { return a < b; }, "less than"},
    {"multipleOf", "number", number_of, is_multiple, "a multiple of"},
    {"minLength", "string", characters_of, at_least, "characters, at least"},
    {"maxLength", "string", characters_of, at_most, "characters, at most"},
    {"minItems", "array", size_of, at_least, "items, at least"},
    {"maxItems", "array", size_of, at_most, "items, at most"},
    {"minProperties", "object", size_of, at_least, "keys, at least"},
    {"maxProperties", "object", size_of, at_most, "keys, at most"},
});

// ---- Texts.

/// excerpt without its quotes.
std::string bare(std::string_view text) {
  const std::string quoted = excerpt(text, 100);
  return quoted.substr(1, quoted.size() - 2);
}

/// A value in a reason: texts in quotes, anything else as JSON, cut when long.
std::string shown(const Json& value) {
  return value.is_string() ? excerpt(value.get_ref<const std::string&>()) : bare(json_text(value));
}

/// %41 of a reference's fragment.
std::string percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && std::isxdigit(static_cast<unsigned char>(text[i + 1])) &&
        std::isxdigit(static_cast<unsigned char>(text[i + 2]))) {
      out += char(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string pointer_step(const std::string& name) {
  std::string out = "/";
  for (char c : name) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return out;
}

[[noreturn]] void refuse(const std::string& at, const std::string& what) {
  throw UsageError("the schema at " + (at.empty() ? "/" : at) + " " + what);
}

struct OutOfBudget {};

}  // namespace

/// One value walked along one schema: each function says whether what it is named after holds, and notes the fault.
struct SchemaWalk {
  const Schema& schema;
  std::string at = {};  // JSON pointer of the value looked at
  std::string fault = {};
  size_t work = 0;
  int depth = 0;

  bool fail(const std::string& what) {
    fault = "at " + (at.empty() ? "/" : bare(at)) + ": " + what;
    return false;
  }

  void spend(size_t amount) {
    work += amount;
    if (work > kMaxWork) throw OutOfBudget{};
  }

  bool found(const std::string& pattern, const std::string& text) {
    spend(1 + text.size() / 64);
    const Matched matched = schema.patterns_.at(pattern).match(text);
    if (matched == Matched::out_of_budget) throw OutOfBudget{};
    return matched == Matched::yes;
  }

  bool holds_within(const Json& rule, const Json& value, const std::string& name) {
    const size_t length = at.size();
    at += pointer_step(name);
    const bool is_valid = holds(rule, value);
    at.resize(length);
    return is_valid;
  }

  bool type(const Json& types, const Json& value) {
    const auto fits = [&](const Json& one) { return has_type(value, one.get<std::string>()); };
    if (types.is_array() ? std::any_of(types.begin(), types.end(), fits) : fits(types)) return true;
    return fail("found " + shown(value) + ", expected the type " + types.dump());
  }

  bool choice(const Json& choices, const Json& value) {
    spend(choices.size());
    if (std::find(choices.begin(), choices.end(), value) != choices.end()) return true;
    return fail("found " + shown(value) + ", expected one of " + shown(choices));
  }

  bool limits(const Json& rule, const Json& value) {
    for (const Limit& limit : kLimits) {
      const auto operand = rule.find(limit.word);
      if (operand == rule.end() || !has_type(value, limit.type)) continue;
      if (!limit.holds(limit.measure(value), operand->get<double>()))
        return fail("found " + shown(value) + ", expected " + limit.expected + " " + operand->dump());
    }
    return true;
  }

  bool required(const Json& names, const Json& value) {
    for (const Json& name : names)
      if (!value.contains(name.get<std::string>())) return fail("the key " + shown(name) + " is missing");
    return true;
  }

  bool property(const Json& rule, const std::string& name, const Json& value) {
    bool is_named = false;
    if (const auto own = rule.find("properties"); own != rule.end() && own->contains(name)) {
      is_named = true;
      if (!holds_within(own->at(name), value, name)) return false;
    }
    if (const auto patterns = rule.find("patternProperties"); patterns != rule.end()) {
      for (const auto& [pattern, inner] : patterns->items()) {
        if (!found(pattern, name)) continue;
        is_named = true;
        if (!holds_within(inner, value, name)) return false;
      }
    }
    if (is_named || !rule.contains("additionalProperties")) return true;
    if (rule["additionalProperties"] == false) return fail("the key " + shown(name) + " is not allowed");
    return holds_within(rule["additionalProperties"], value, name);
  }

  bool dependents(const Json& rule, const Json& value) {
    for (const char* word : {"dependentRequired", "dependentSchemas", "dependencies"}) {
      if (!rule.contains(word)) continue;
      for (const auto& [name, asked] : rule[word].items()) {
        if (!value.contains(name)) continue;
        if (asked.is_array() ? !required(asked, value) : !holds(asked, value)) return false;
      }
    }
    return true;
  }

  bool object(const Json& rule, const Json& value) {
    if (rule.contains("required") && !required(rule["required"], value)) return false;
    for (const auto& [name, inner] : value.items()) {
      if (rule.contains("propertyNames") && !holds(rule["propertyNames"], name)) return false;
      if (!property(rule, name, inner)) return false;
    }
    return dependents(rule, value);
  }

  bool items(const Json& rule, const Json& value) {
    const bool is_old = rule.contains("items") && rule["items"].is_array();
    const char* first = is_old ? "items" : "prefixItems";
    const char* rest = is_old ? "additionalItems" : "items";
    const size_t num_first = rule.contains(first) ? rule[first].size() : 0;
    for (size_t i = 0; i < value.size(); ++i) {
      if (i < num_first ? !holds_within(rule[first][i], value[i], std::to_string(i))
                        : rule.contains(rest) && !holds_within(rule[rest], value[i], std::to_string(i)))
        return false;
    }
    return true;
  }

  bool contains(const Json& rule, const Json& value) {
    if (!rule.contains("contains")) return true;
    size_t count = 0;
    for (const Json& item : value) count += holds(rule["contains"], item);
    if (double(count) < rule.value("minContains", 1.0)) return fail("too few items are as \"contains\" asks");
    if (double(count) > rule.value("maxContains", 1e300)) return fail("too many items are as \"contains\" asks");
    return true;
  }

  bool unique(const Json& value) {
    spend(value.dump().size() / 64);
    std::vector<const Json*> sorted;
    for (const Json& item : value) sorted.push_back(&item);
    std::sort(sorted.begin(), sorted.end(), [](const Json* a, const Json* b) { return *a < *b; });
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return *a == *b; });
    return twice == sorted.end() || fail("the item " + shown(**twice) + " stands twice");
  }

  bool array(const Json& rule, const Json& value) {
    if (!items(rule, value) || !contains(rule, value)) return false;
    return rule.value("uniqueItems", false) ? unique(value) : true;
  }

  bool combinations(const Json& rule, const Json& value) {
    const auto count = [&](const char* word) {
      size_t held = 0;
      for (const Json& inner : rule[word]) held += holds(inner, value);
      return held;
    };
    if (rule.contains("allOf")) {
      for (const Json& inner : rule["allOf"])
        if (!holds(inner, value)) return false;
    }
    if (rule.contains("anyOf") && count("anyOf") == 0) return fail(shown(value) + " is as none of \"anyOf\" asks");
    if (rule.contains("oneOf")) {
      if (const size_t held = count("oneOf"); held != 1)
        return fail(shown(value) + " is as " + std::to_string(held) + " of \"oneOf\" ask, expected one");
    }
    if (rule.contains("not") && holds(rule["not"], value)) return fail(shown(value) + " is as \"not\" forbids");
    if (!rule.contains("if")) return true;
    const char* branch = holds(rule["if"], value) ? "then" : "else";
    return !rule.contains(branch) || holds(rule[branch], value);
  }

  bool holds(const Json& rule, const Json& value) {
    if (rule.is_boolean()) return rule.get<bool>() || fail("nothing is allowed here");
    spend(1);
    if (++depth > kMaxDepth) throw OutOfBudget{};
    bool is_valid = true;
    if (rule.contains("$ref")) is_valid = holds(schema.document_.at(schema.targets_.at(rule["$ref"])), value);
    is_valid = is_valid && (!rule.contains("type") || type(rule["type"], value));
    is_valid = is_valid && (!rule.contains("enum") || choice(rule["enum"], value));
    is_valid = is_valid && (!rule.contains("const") || choice(Json::array({rule["const"]}), value));
    is_valid = is_valid && limits(rule, value);
    if (is_valid && value.is_string() && rule.contains("pattern") && !found(rule["pattern"], value))
      is_valid = fail(shown(value) + " does not match the pattern " + rule["pattern"].dump());
    is_valid = is_valid && (!value.is_object() || object(rule, value));
    is_valid = is_valid && (!value.is_array() || array(rule, value));
    is_valid = is_valid && combinations(rule, value);
    --depth;
    return is_valid;
  }
};

// ---- Reading a schema: what is broken is said before anything is judged.

namespace {

void expect_limits(const Json& schema, const std::string& at) {
  for (const Limit& limit : kLimits)
    if (schema.contains(limit.word) && !schema.at(std::string(limit.word)).is_number())
      refuse(at, "has a " + std::string(limit.word) + " that is no number");
  for (const char* word : {"minContains", "maxContains"})
    if (schema.contains(word) && !schema[word].is_number())
      refuse(at, std::string("has a ") + word + " that is no number");
  if (schema.contains("multipleOf") && schema["multipleOf"].get<double>() <= 0)
    refuse(at, "has a multipleOf that is not above 0");
}

bool is_list_of_strings(const Json& list) {
  return list.is_array() && std::all_of(list.begin(), list.end(), [](const Json& name) { return name.is_string(); });
}

void expect_operands(const Json& schema, const std::string& at) {
  if (schema.contains("type") && !schema["type"].is_string() && !is_list_of_strings(schema["type"]))
    refuse(at, "has a type that is neither a name nor a list of names");
  if (schema.contains("enum") && !schema["enum"].is_array()) refuse(at, "has an enum that is no list");
  if (schema.contains("required") && !is_list_of_strings(schema["required"]))
    refuse(at, "has a required that is no list of keys");
  if (schema.contains("pattern") && !schema["pattern"].is_string()) refuse(at, "has a pattern that is no text");
  if (schema.contains("uniqueItems") && !schema["uniqueItems"].is_boolean())
    refuse(at, "has a uniqueItems that is neither true nor false");
  if (schema.contains("dependentRequired")) {
    const Json& dependents = schema["dependentRequired"];
    if (!dependents.is_object() || !std::all_of(dependents.begin(), dependents.end(), is_list_of_strings))
      refuse(at, "has a dependentRequired that is no object of lists of keys");
  }
  expect_limits(schema, at);
}

}  // namespace

Schema::Schema(Json document) : document_(std::move(document)) {
  find_anchors(document_, "");
  prepare("");
}

void Schema::find_anchors(const Json& part, const std::string& at) {
  if (part.is_object() && part.contains("$anchor") && part["$anchor"].is_string())
    targets_["#" + part["$anchor"].get<std::string>()] = Json::json_pointer(at);
  if (!part.is_structured()) return;
  for (const auto& [name, inner] : part.items()) find_anchors(inner, at + pointer_step(name));
}

void Schema::add_pattern(const std::string& pattern, const std::string& at) {
  if (!patterns_.contains(pattern)) patterns_.emplace(pattern, Pattern(pattern, {}, "the schema at " + at));
}

void Schema::add_reference(const Json& reference, const std::string& at) {
  if (!reference.is_string()) refuse(at, "has a $ref that is no text");
  std::string text = reference.get<std::string>();
  const std::string root = document_.value("$id", "");
  std::string_view local = text;
  if (!root.empty() && local.starts_with(root)) local.remove_prefix(root.size());
  if (!local.empty() && local[0] != '#')
    refuse(at, "refers to " + excerpt(text) + ": only references within the schema are supported");
  if (!targets_.contains(text)) {
    const std::string pointer = percent_decoded(local.substr(std::min<size_t>(1, local.size())));
    if (!pointer.empty() && pointer[0] != '/') refuse(at, "refers to " + excerpt(text) + ", which is nowhere");
    targets_[text] = Json::json_pointer(pointer);
  }
  const Json::json_pointer& target = targets_[text];
  if (!document_.contains(target)) refuse(at, "refers to " + excerpt(text) + ", which is nowhere");
  prepare(target.to_string());
}

void Schema::prepare(const std::string& at) {
  if (!prepared_.insert(at).second) return;
  const Json& schema = document_.at(Json::json_pointer(at));
  if (schema.is_boolean()) return;
  if (!schema.is_object()) refuse(at, "is " + shown(schema) + ", expected an object, true or false");
  for (const auto& [word, operand] : schema.items()) {
    const std::string place = at + pointer_step(word);
    if (is_one_of(word, kRefused) || (word == "$id" && !at.empty()))
      refuse(at, "has " + word + ", which is not supported");
    if (word == "$ref") add_reference(operand, at);
    if (word == "pattern" && operand.is_string()) add_pattern(operand, at);
    if (is_one_of(word, kHoldsSchema) && !operand.is_array()) prepare(place);
    if (is_one_of(word, kHoldsList) && (word != "items" || operand.is_array())) {
      if (!operand.is_array()) refuse(at, "has " + word + " that is no list");
      for (size_t i = 0; i < operand.size(); ++i) prepare(place + pointer_step(std::to_string(i)));
    }
    if (!is_one_of(word, kHoldsNamed)) continue;
    if (!operand.is_object()) refuse(at, "has " + word + " that is no object");
    for (const auto& [name, inner] : operand.items()) {
      if (word == "patternProperties") add_pattern(name, at);
      if (word != "dependencies" || !is_list_of_strings(inner)) prepare(place + pointer_step(name));
    }
  }
  expect_operands(schema, at);
}

Schema::Verdict Schema::check(const Json& value) const {
  SchemaWalk walk{*this};
  try {
    if (walk.holds(document_, value)) return {};
    return {.holds = false, .fault = walk.fault};
  } catch (const OutOfBudget&) {
    return {.holds = false, .out_of_budget = true, .fault = "the schema ran out of its budget of work on this value"};
  }
}

}  // namespace cohort
