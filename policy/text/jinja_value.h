// Values of chat templates, with Python's rules for truth, text, order and arithmetic, since templates are written
// against Jinja2. Values do not change, except namespaces.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace cohort::jinja {

/// Raised anywhere in a template; the renderer adds the line.
struct TemplateError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What a template may use up. Templates come with models, from strangers.
struct Budget {
  size_t steps = 20'000'000;                             // evaluated nodes, elements and 16-byte stretches of text
  static constexpr size_t most_text = size_t{64} << 20;  // bytes of one text, the output included
  static constexpr size_t most_elements = 1'000'000;     // of one list
  static constexpr int most_depth = 200;                 // of nested expressions, blocks and macro calls

  void spend(size_t n) {
    if (n > steps) throw TemplateError("more steps than a chat template may take");
    steps -= n;
  }
};
/// Throws when a text or list of this size, or a value of this weight, may not be made.
void check_text(size_t bytes);
void check_elements(size_t elements);
void check_weight(size_t weight);

class Value;
using List = std::vector<Value>;
struct Dict;
struct Function;

struct Undefined {
  std::shared_ptr<const std::string> name;  // what was looked up, for messages
};
struct None {};
struct Sequence;
struct Tuple {
  std::shared_ptr<const Sequence> sequence;
};
struct Namespace {
  std::shared_ptr<Dict> attributes;
};

class Value {
 public:
  enum Kind { undefined, none, boolean, integer, floating, text, list, tuple, dict, name_space, function };

  Value() = default;
  Value(None) : held_(None{}) {}
  Value(bool b) : held_(b) {}
  Value(int64_t i) : held_(i) {}
  Value(int i) : held_(int64_t{i}) {}
  Value(size_t n) : held_(static_cast<int64_t>(n)) {}
  Value(double x) : held_(x) {}
  Value(std::string s) : held_(std::make_shared<const std::string>(std::move(s))) {}
  Value(std::string_view s) : Value(std::string(s)) {}
  Value(const char* s) : Value(std::string(s)) {}
  Value(List l);
  Value(Dict d);
  Value(Function f);
  Value(Namespace n) : held_(std::move(n)) {}
  static Value make_tuple(List l);
  static Value make_undefined(std::string_view name);
  /// Throws TemplateError when nested deeper than Budget::most_depth.
  explicit Value(const nlohmann::ordered_json& json, int depth = 0);

  Kind kind() const { return static_cast<Kind>(held_.index()); }
  bool is(Kind k) const { return kind() == k; }
  bool is_number() const { return is(boolean) || is(integer) || is(floating); }
  bool is_sequence() const { return is(list) || is(tuple); }

  const std::string& as_text() const { return *std::get<std::shared_ptr<const std::string>>(held_); }
  /// Of a list or tuple.
  const List& elements() const;
  const Dict& as_dict() const { return *std::get<std::shared_ptr<const Dict>>(held_); }
  Dict& attributes() const { return *std::get<Namespace>(held_).attributes; }
  const Function& as_function() const { return *std::get<std::shared_ptr<const Function>>(held_); }
  int64_t as_integer() const;  // of an integer or boolean
  double as_double() const;    // of a number

  /// What a walk over the value costs, in steps: elements, and text by 16 bytes. Bounded, so that lists that hold one
  /// another many times over do not grow without end.
  size_t weight() const;
  bool truth() const;
  /// Python's name of the type, for messages.
  std::string type_name() const;
  /// str(): what {{ }} prints. repr(): as inside lists.
  std::string str() const;
  std::string repr() const;

 private:
  explicit Value(Tuple t) : held_(std::move(t)) {}
  std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const Sequence>, Tuple, std::shared_ptr<const Dict>, Namespace,
               std::shared_ptr<const Function>>
      held_;
};

struct Sequence {
  List elements;
  size_t weight;
};

/// In insertion order, as Python keeps it.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  size_t weight = 1;

  const Value* find(const Value& key) const;
  void set(const Value& key, Value value);

 private:
  std::unordered_map<std::string, size_t> by_key_;  // key_of(key) → index
};
/// A text that keys have in common exactly when they are equal. Throws TemplateError for lists and dicts.
std::string key_of(const Value& value);

struct Arguments {
  List positional;
  std::vector<std::pair<std::string, Value>> named;

  /// The argument at `position` or by name, else `otherwise`.
  Value get(size_t position, std::string_view name, Value otherwise = {}) const;
  bool has(size_t position, std::string_view name) const;
};

struct Function {
  std::string name;
  std::function<Value(const Arguments&)> call;
};

bool equal(const Value& a, const Value& b);
bool less(const Value& a, const Value& b);  // TypeError as TemplateError where Python has no order
bool contains(const Value& container, const Value& element);
/// What a for loop sees: elements, keys, characters; nothing of undefined.
List iterate(const Value& value);
size_t length(const Value& value);

Value binary(std::string_view op, const Value& a, const Value& b);  // + - * / // % **
Value negated(const Value& value);
/// x[i], x[key]; undefined when there is none.
Value subscript(const Value& value, const Value& key);
Value slice(const Value& value, const Value& begin, const Value& end, const Value& step);

std::string float_text(double x);  // Python's repr
struct JsonLayout {
  bool ensure_ascii = false, sort_keys = false;
  std::string indent;  // of one level
  bool lines = false;  // one element a line
  std::string item_separator = ", ", key_separator = ": ";
};
std::string to_json(const Value& value, const JsonLayout& layout);

}  // namespace cohort::jinja
