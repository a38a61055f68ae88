// Filters of chat templates: `value | name(…)`.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_set>
#include <utility>

#include "policy/text/jinja_render.h"
#include "policy/text/jinja_text.h"
#include "policy/text/unicode.h"

namespace cohort::jinja {
namespace {

std::string key_text(const Value& value, bool case_sensitive) {
  return case_sensitive ? value.as_text() : lower(value.as_text());
}

/// `a.b.0` of a value.
Value path_of(const Value& value, const Value& path) {
  if (path.is(Value::integer)) return subscript(value, path);
  Value at = value;
  const std::string& text =
      path.is(Value::text) ? path.as_text() : throw TemplateError("an attribute of type " + path.type_name());
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    const std::string name = text.substr(begin, end - begin);
    const bool digits =
        !name.empty() && name.size() < 10 && std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
    const Value found = digits ? subscript(at, Value(int64_t{std::stoll(name)})) : subscript(at, name);
    at = found.is(Value::undefined) && !digits ? attribute(at, name) : found;
    begin = end + 1;
  }
  return at;
}

/// What sort, unique, min and max compare: the attribute where one is named, texts without case unless told otherwise.
Value sort_key(const Value& value, const Value& path, bool case_sensitive) {
  const Value key = path.is(Value::undefined) || path.is(Value::none) ? value : path_of(value, path);
  return key.is(Value::text) ? Value(key_text(key, case_sensitive)) : key;
}

Value json_text(const Value& value, const Arguments& a) {
  JsonLayout layout;
  layout.ensure_ascii = a.get(0, "ensure_ascii").truth();
  layout.sort_keys = a.get(3, "sort_keys").truth();
  const Value indent = a.get(1, "indent");
  layout.lines = indent.is(Value::integer) || indent.is(Value::text);
  if (indent.is(Value::text)) layout.indent = indent.as_text();
  if (indent.is(Value::integer)) layout.indent = binary("*", " ", indent).as_text();
  if (layout.lines) layout.item_separator = ",";
  const Value separators = a.get(2, "separators");
  if (separators.is_sequence() && separators.elements().size() == 2) {
    layout.item_separator = separators.elements()[0].str();
    layout.key_separator = separators.elements()[1].str();
  }
  return to_json(value, layout);
}

Value with_default(const Value& value, const Arguments& a) {
  const bool missing = value.is(Value::undefined) || (a.get(1, "boolean").truth() && !value.truth());
  return missing ? a.get(0, "default_value", "") : value;
}

Value join_filter(const Value& value, const Arguments& a) {
  List elements = iterate(value);
  if (a.has(1, "attribute"))
    for (Value& element : elements) element = path_of(element, a.get(1, "attribute"));
  return joined(elements, a.get(0, "d", "").str());
}

Value indented(const Value& value, const Arguments& a) {
  const Value width = a.get(0, "width", 4);
  const std::string margin = width.is(Value::text) ? width.as_text() : binary("*", " ", width).as_text();
  const bool blank = a.get(2, "blank").truth();
  std::string out;
  bool first = true;
  for (const Value& line : lines_of(value.str() + "\n", false)) {
    if (!first) out += "\n";
    if (first ? a.get(1, "first").truth() : blank || !line.as_text().empty()) out += margin;
    out += line.as_text();
    check_text(out.size());
    first = false;
  }
  return out;
}

Value to_int(const Value& value, const Arguments& a) {
  const Value otherwise = a.get(0, "default", 0);
  if (value.is(Value::integer) || value.is(Value::boolean)) return value.as_integer();
  if (value.is(Value::floating))
    return std::abs(value.as_double()) < 9e18 ? Value(static_cast<int64_t>(value.as_double())) : otherwise;
  if (!value.is(Value::text)) return otherwise;
  const std::string text = stripped(value.as_text(), {}, true, true);
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  int64_t integer = 0;
  const auto base = static_cast<int>(integer_argument(a, 1, "base", 10));
  if (base < 2 || base > 36) throw TemplateError("int() with base " + std::to_string(base));
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), integer, base);
  if (error == std::errc() && end == text.data() + text.size()) return integer;
  double number = 0;
  const auto [float_end, float_error] = std::from_chars(begin, text.data() + text.size(), number);
  const bool whole = float_error == std::errc() && float_end == text.data() + text.size() && std::abs(number) < 9e18;
  return whole ? Value(static_cast<int64_t>(number)) : otherwise;
}

Value to_float(const Value& value, const Arguments& a) {
  if (value.is_number()) return value.as_double();
  const Value otherwise = a.get(0, "default", 0.0);
  if (!value.is(Value::text)) return otherwise;
  const std::string text = stripped(value.as_text(), {}, true, true);
  double number = 0;
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? Value(number) : otherwise;
}

Value rounded(const Value& value, const Arguments& a) {
  if (!value.is_number()) throw TemplateError("round on a value of type " + value.type_name());
  const double scale = std::pow(10.0, static_cast<double>(integer_argument(a, 0, "precision", 0)));
  const std::string method = a.get(1, "method", "common").str();
  const double x = value.as_double() * scale;
  const double whole = method == "ceil" ? std::ceil(x) : method == "floor" ? std::floor(x) : std::nearbyint(x);
  return whole / scale;
}

Value sorted(const Value& value, const Arguments& a) {
  const bool case_sensitive = a.get(1, "case_sensitive").truth(), reverse = a.get(0, "reverse").truth();
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& element : iterate(value))
    keyed.emplace_back(sort_key(element, a.get(2, "attribute"), case_sensitive), element);
  std::ranges::stable_sort(
      keyed, [&](const auto& x, const auto& y) { return reverse ? less(y.first, x.first) : less(x.first, y.first); });
  List out;
  for (auto& [key, element] : keyed) out.push_back(std::move(element));
  return out;
}

Value sorted_dict(const Value& value, const Arguments& a) {
  if (!value.is(Value::dict)) throw TemplateError("dictsort on a value of type " + value.type_name());
  const size_t by = a.get(1, "by", "key").str() == "value" ? 1 : 0;
  List pairs;
  for (const auto& [key, entry] : value.as_dict().entries) pairs.push_back(Value::make_tuple({key, entry}));
  Arguments sorting;
  sorting.named = {{"attribute", Value(by)},
                   {"case_sensitive", a.get(0, "case_sensitive", false)},
                   {"reverse", a.get(2, "reverse", false)}};
  return sorted(std::move(pairs), sorting);
}

Value unique(const Value& value, const Arguments& a) {
  std::unordered_set<std::string> seen;
  List out;
  for (const Value& element : iterate(value))
    if (seen.insert(key_of(sort_key(element, a.get(1, "attribute"), a.get(0, "case_sensitive").truth()))).second)
      out.push_back(element);
  return out;
}

Value extreme(const Value& value, const Arguments& a, bool greatest) {
  Value best = Value::make_undefined("no elements");
  for (const Value& element : iterate(value)) {
    const auto key = [&](const Value& v) {
      return sort_key(v, a.get(1, "attribute"), a.get(0, "case_sensitive").truth());
    };
    if (best.is(Value::undefined) || (greatest ? less(key(best), key(element)) : less(key(element), key(best))))
      best = element;
  }
  return best;
}

Value summed(const Value& value, const Arguments& a) {
  Value sum = a.get(1, "start", 0);
  for (const Value& element : iterate(value))
    sum = binary("+", sum, a.has(0, "attribute") ? path_of(element, a.get(0, "attribute")) : element);
  return sum;
}

Value grouped(const Value& value, const Arguments& a) {
  Arguments sorting;
  sorting.named = {{"attribute", a.get(0, "attribute")}};
  List groups, members;
  Value key;
  const auto close = [&] {
    if (!members.empty()) groups.push_back(Value::make_tuple({key, std::exchange(members, {})}));
  };
  const Value in_order = sorted(value, sorting);
  for (const Value& element : in_order.elements()) {
    const Value next = path_of(element, a.get(0, "attribute"));
    if (!members.empty() && !equal(next, key)) close();
    key = next;
    members.push_back(element);
  }
  close();
  return groups;
}

Value batched(const Value& value, const Arguments& a) {
  const auto size = static_cast<size_t>(std::max<int64_t>(1, integer_argument(a, 0, "linecount", 1)));
  check_elements(size);
  List batches, batch;
  for (const Value& element : iterate(value)) {
    if (batch.size() == size) batches.emplace_back(std::exchange(batch, {}));
    batch.push_back(element);
  }
  if (!batch.empty() && a.has(1, "fill_with")) batch.resize(size, a.get(1, "fill_with"));
  if (!batch.empty()) batches.emplace_back(std::move(batch));
  return batches;
}

/// Jinja2's title: a letter after space, hyphen or an opening bracket is upper, the others lower.
Value title_filter(const Value& value, const Arguments&) {
  std::string out, word;
  const auto close = [&] {
    out += capitalized(word);
    word.clear();
  };
  for (const char c : value.str()) {
    const bool separates =
        std::string_view("-({[<").find(c) != std::string_view::npos || is_python_space(static_cast<unsigned char>(c));
    if (separates) close();
    (separates ? out : word) += c;
  }
  close();
  return out;
}

Value escaped(const Value& value, const Arguments&) {
  std::string out;
  for (const char c : value.str())
    c == '&'    ? out += "&amp;"
    : c == '<'  ? out += "&lt;"
    : c == '>'  ? out += "&gt;"
    : c == '\'' ? out += "&#39;"
    : c == '"'  ? out += "&#34;"
                : out += c;
  check_text(out.size());
  return out;
}

Value items_of(const Value& value, const Arguments&) {
  if (value.is(Value::undefined)) return List{};
  if (!value.is(Value::dict))
    throw TemplateError("items on a value of type " + value.type_name() + ", expected a dict");
  return attribute(value, "items").as_function().call({});
}

Value ends_of(const Value& value, bool first) {
  const List elements = iterate(value);
  if (elements.empty()) return Value::make_undefined(first ? "the first of no elements" : "the last of no elements");
  return first ? elements.front() : elements.back();
}

Value reversed(const Value& value, const Arguments&) {
  List elements = iterate(value);
  std::ranges::reverse(elements);
  return value.is(Value::text) ? Value(joined(elements, "")) : Value(std::move(elements));
}

Value cut(const Value& value, const Arguments& a) {  // truncate(length, killwords, end, leeway)
  const std::string text = value.str(), end = a.get(2, "end", "...").str();
  const int64_t length_wanted = integer_argument(a, 0, "length", 255), leeway = integer_argument(a, 3, "leeway", 5);
  const auto length_found = static_cast<int64_t>(unicode::count(text));
  if (length_found <= length_wanted || length_found - length_wanted <= leeway) return text;
  const int64_t kept = std::max<int64_t>(0, length_wanted - static_cast<int64_t>(unicode::count(end)));
  const std::string head = slice(text, 0, Value(kept), None{}).as_text();
  if (a.get(1, "killwords").truth()) return head + end;
  const size_t space = head.rfind(' ');
  return head.substr(0, space == std::string::npos ? head.size() : space) + end;
}

Value absolute(const Value& value, const Arguments&) {
  return less(value, 0) ? negated(value) : value;
}

using Filter = Value (*)(const Value&, const Arguments&);
struct NamedFilter {
  const char* name;
  Filter filter;
};
const NamedFilter filters[] = {
    {"tojson", json_text},
    {"default", with_default},
    {"d", with_default},
    {"join", join_filter},
    {"indent", indented},
    {"int", to_int},
    {"float", to_float},
    {"round", rounded},
    {"sort", sorted},
    {"dictsort", sorted_dict},
    {"unique", unique},
    {"sum", summed},
    {"groupby", grouped},
    {"batch", batched},
    {"title", title_filter},
    {"escape", escaped},
    {"e", escaped},
    {"items", items_of},
    {"reverse", reversed},
    {"truncate", cut},
    {"abs", absolute},
    {"min", [](const Value& v, const Arguments& a) { return extreme(v, a, false); }},
    {"max", [](const Value& v, const Arguments& a) { return extreme(v, a, true); }},
    {"first", [](const Value& v, const Arguments&) { return ends_of(v, true); }},
    {"last", [](const Value& v, const Arguments&) { return ends_of(v, false); }},
    {"length", [](const Value& v, const Arguments&) { return Value(length(v)); }},
    {"count", [](const Value& v, const Arguments&) { return Value(length(v)); }},
    {"list", [](const Value& v, const Arguments&) { return Value(iterate(v)); }},
    {"string", [](const Value& v, const Arguments&) { return Value(v.str()); }},
    {"safe", [](const Value& v, const Arguments&) { return Value(v.str()); }},
    {"trim", [](const Value& v, const Arguments& a) { return Value(stripped(v.str(), a, true, true)); }},
    {"upper", [](const Value& v, const Arguments&) { return Value(upper(v.str())); }},
    {"lower", [](const Value& v, const Arguments&) { return Value(lower(v.str())); }},
    {"capitalize", [](const Value& v, const Arguments&) { return Value(capitalized(v.str())); }},
    {"center",
     [](const Value& v, const Arguments& a) {
       Arguments width;
       width.positional = {a.get(0, "width", 80)};
       return text_method(v.str(), "center").as_function().call(width);
     }},
    {"replace",
     [](const Value& v, const Arguments& a) {
       return Value(
           replaced(v.str(), a.get(0, "old").str(), a.get(1, "new").str(), integer_argument(a, 2, "count", -1)));
     }},
    {"wordcount", [](const Value& v, const Arguments&) { return Value(split(v.str(), {}, false).size()); }},
    {"attr", [](const Value& v, const Arguments& a) { return attribute(v, text_argument(a, 0, "name")); }},
};

/// The arguments after the first n.
Arguments after(const Arguments& a, size_t n) {
  Arguments rest = a;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(std::min(n, a.positional.size())));
  return rest;
}

/// Elements of what map, select and their kin go through: none of a value that is false, whatever it is.
List elements_of(const Value& value) {
  return value.truth() ? iterate(value) : List{};
}

/// map(attribute='x'), map('filter', …).
Value map_filter(Renderer& renderer, const Value& value, const Arguments& a) {
  List out;
  const Value path = a.positional.empty() ? a.get(0, "attribute") : Value();
  const Value otherwise = a.positional.empty() ? a.get(1, "default") : Value();
  for (const Value& element : elements_of(value)) {
    if (path.is(Value::undefined)) {
      out.push_back(renderer.apply_filter(text_argument(a, 0, "filter"), element, after(a, 1)));
    } else {
      const Value found = path_of(element, path);
      out.push_back(found.is(Value::undefined) ? otherwise : found);
    }
  }
  return out;
}

/// select, reject, selectattr, rejectattr: elements for which a test holds (or truth, without one) is `wanted`.
Value select_filter(Renderer& renderer, const Value& value, const Arguments& a, bool of_attribute, bool wanted) {
  List out;
  const size_t test = of_attribute ? 1 : 0;
  if (of_attribute && a.positional.empty()) throw TemplateError("selectattr without its attribute");
  for (const Value& element : elements_of(value)) {
    const Value subject = of_attribute ? path_of(element, a.positional[0]) : element;
    const bool holds = a.positional.size() > test
                           ? renderer.apply_test(a.positional[test].str(), subject, after(a, test + 1))
                           : subject.truth();
    if (holds == wanted) out.push_back(element);
  }
  return out;
}

}  // namespace

Value Renderer::apply_filter(const std::string& name, const Value& subject, const Arguments& arguments) {
  charge(name, subject);
  if (name == "map") return map_filter(*this, subject, arguments);
  if (name == "select" || name == "reject") return select_filter(*this, subject, arguments, false, name == "select");
  if (name == "selectattr" || name == "rejectattr")
    return select_filter(*this, subject, arguments, true, name == "selectattr");
  for (const NamedFilter& known : filters)
    if (known.name == name) return known.filter(subject, arguments);
  throw TemplateError("the filter '" + name + "' is not supported");
}

}  // namespace cohort::jinja
