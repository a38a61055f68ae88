// Tests of chat templates: `value is name(…)`.
#include <utility>

#include "policy/text/jinja_render.h"
#include "policy/text/unicode.h"

namespace cohort::jinja {
namespace {

const Value& only(const Arguments& a, const char* name) {
  if (a.positional.empty()) throw TemplateError(std::string("the test '") + name + "' without its argument");
  return a.positional[0];
}

bool is_iterable(const Value& v) {
  return v.is(Value::undefined) || v.is(Value::text) || v.is_sequence() || v.is(Value::dict);
}

/// All cased letters of a text are of one case, and there is one.
bool is_cased(const std::string& text, unicode::Category wanted, unicode::Category other) {
  bool found = false;
  for (size_t at = 0; at < text.size();) {
    const unicode::Char c = unicode::char_at(text, at);
    if (unicode::category(c.code) == other || unicode::category(c.code) == unicode::Lt) return false;
    found |= unicode::category(c.code) == wanted;
    at += c.length;
  }
  return found;
}

int64_t integer_of(const Value& v, const char* test) {
  if (!v.is(Value::integer) && !v.is(Value::boolean))
    throw TemplateError(std::string("the test '") + test + "' on a value of type " + v.type_name());
  return v.as_integer();
}

bool divisible(const Value& v, const Value& by) {
  const int64_t divisor = integer_of(by, "divisibleby");
  if (divisor == 0) throw TemplateError("a division by zero");
  return divisor == -1 || integer_of(v, "divisibleby") % divisor == 0;
}

using Test = bool (*)(const Value&, const Arguments&);
struct NamedTest {
  const char* name;
  Test test;
};
const NamedTest tests[] = {
    {"defined", [](const Value& v, const Arguments&) { return !v.is(Value::undefined); }},
    {"undefined", [](const Value& v, const Arguments&) { return v.is(Value::undefined); }},
    {"none", [](const Value& v, const Arguments&) { return v.is(Value::none); }},
    {"boolean", [](const Value& v, const Arguments&) { return v.is(Value::boolean); }},
    {"true", [](const Value& v, const Arguments&) { return v.is(Value::boolean) && v.truth(); }},
    {"false", [](const Value& v, const Arguments&) { return v.is(Value::boolean) && !v.truth(); }},
    {"integer", [](const Value& v, const Arguments&) { return v.is(Value::integer); }},
    {"float", [](const Value& v, const Arguments&) { return v.is(Value::floating); }},
    {"number", [](const Value& v, const Arguments&) { return v.is_number(); }},
    {"string", [](const Value& v, const Arguments&) { return v.is(Value::text); }},
    {"mapping", [](const Value& v, const Arguments&) { return v.is(Value::dict); }},
    {"sequence", [](const Value& v, const Arguments&) { return is_iterable(v) && !v.is(Value::undefined); }},
    {"iterable", [](const Value& v, const Arguments&) { return is_iterable(v); }},
    {"callable", [](const Value& v, const Arguments&) { return v.is(Value::function); }},
    {"odd", [](const Value& v, const Arguments&) { return integer_of(v, "odd") % 2 != 0; }},
    {"even", [](const Value& v, const Arguments&) { return integer_of(v, "even") % 2 == 0; }},
    {"divisibleby", [](const Value& v, const Arguments& a) { return divisible(v, only(a, "divisibleby")); }},
    {"lower", [](const Value& v, const Arguments&) { return is_cased(v.str(), unicode::Ll, unicode::Lu); }},
    {"upper", [](const Value& v, const Arguments&) { return is_cased(v.str(), unicode::Lu, unicode::Ll); }},
    {"in", [](const Value& v, const Arguments& a) { return contains(only(a, "in"), v); }},
    {"sameas", [](const Value& v,
                  const Arguments& a) { return v.kind() == only(a, "sameas").kind() && equal(v, a.positional[0]); }},
    {"eq", [](const Value& v, const Arguments& a) { return equal(v, only(a, "eq")); }},
    {"equalto", [](const Value& v, const Arguments& a) { return equal(v, only(a, "equalto")); }},
    {"==", [](const Value& v, const Arguments& a) { return equal(v, only(a, "==")); }},
    {"ne", [](const Value& v, const Arguments& a) { return !equal(v, only(a, "ne")); }},
    {"!=", [](const Value& v, const Arguments& a) { return !equal(v, only(a, "!=")); }},
    {"lt", [](const Value& v, const Arguments& a) { return less(v, only(a, "lt")); }},
    {"lessthan", [](const Value& v, const Arguments& a) { return less(v, only(a, "lessthan")); }},
    {"<", [](const Value& v, const Arguments& a) { return less(v, only(a, "<")); }},
    {"gt", [](const Value& v, const Arguments& a) { return less(only(a, "gt"), v); }},
    {"greaterthan", [](const Value& v, const Arguments& a) { return less(only(a, "greaterthan"), v); }},
    {">", [](const Value& v, const Arguments& a) { return less(only(a, ">"), v); }},
    {"le", [](const Value& v, const Arguments& a) { return less(v, only(a, "le")) || equal(v, a.positional[0]); }},
    {"<=", [](const Value& v, const Arguments& a) { return less(v, only(a, "<=")) || equal(v, a.positional[0]); }},
    {"ge", [](const Value& v, const Arguments& a) { return less(only(a, "ge"), v) || equal(v, a.positional[0]); }},
    {">=", [](const Value& v, const Arguments& a) { return less(only(a, ">="), v) || equal(v, a.positional[0]); }},
};

}  // namespace

bool Renderer::apply_test(const std::string& name, const Value& subject, const Arguments& arguments) {
  if (subject.is(Value::text)) budget_.spend(subject.weight());
  for (const Value& argument : arguments.positional) budget_.spend(argument.weight());
  for (const NamedTest& known : tests)
    if (known.name == name) return known.test(subject, arguments);
  throw TemplateError("the test '" + name + "' is not supported");
}

}  // namespace cohort::jinja
