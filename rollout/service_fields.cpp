#include "rollout/service_fields.h"

#include <cmath>

#include "rewards/http/server.h"
#include "tasks/rows.h"

namespace cohort {
namespace {

std::string shown(const OrderedJson& value) {
  const std::string text = value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  return text.size() <= 80 ? text : text.substr(0, 80) + "…";
}

}  // namespace

void refuse_field(const char* name, const std::string& expected, const OrderedJson& found) {
  throw http::Error(400, std::string(name) + " must be " + expected + ", found " + shown(found), name);
}

OrderedJson parse_body(const std::string& body) {
  if (is_nested_too_deep(body)) throw http::Error(400, "the body: nested deeper than 64 levels");
  OrderedJson json;
  try {
    json = OrderedJson::parse(body);
  } catch (const OrderedJson::parse_error& error) {
    throw http::Error(400, "the body: not valid JSON at byte " + std::to_string(error.byte));
  } catch (const OrderedJson::exception&) {
    throw http::Error(400, "the body: not valid JSON");
  }
  if (!json.is_object())
    throw http::Error(400, std::string("the body: expected a JSON object, found ") + json.type_name());
  return json;
}

const OrderedJson* field_of(const OrderedJson& body, const char* name) {
  const auto found = body.find(name);
  return found == body.end() || found->is_null() ? nullptr : &*found;
}

bool flag_of(const OrderedJson& body, const char* name, bool missing) {
  const OrderedJson* found = field_of(body, name);
  if (!found) return missing;
  if (!found->is_boolean()) refuse_field(name, "true or false", *found);
  return found->get<bool>();
}

int64_t whole_of(const OrderedJson& body, const char* name, int64_t missing, int64_t low, int64_t high) {
  const OrderedJson* found = field_of(body, name);
  if (!found) return missing;
  const bool is_whole =
      found->is_number_integer() && (!found->is_number_unsigned() || found->get<uint64_t>() <= INT64_MAX);
  if (!is_whole || found->get<int64_t>() < low || found->get<int64_t>() > high)
    refuse_field(name, "a whole number from " + std::to_string(low) + " to " + std::to_string(high), *found);
  return found->get<int64_t>();
}

double number_of(const OrderedJson& body, const char* name, double missing, double low, double high, bool open_low) {
  const OrderedJson* found = field_of(body, name);
  if (!found) return missing;
  const double value = found->is_number() ? found->get<double>() : NAN;
  if (!(value >= low && value <= high) || (open_low && value == low))
    refuse_field(name,
                 (open_low ? "a number above " : "a number from ") + OrderedJson(low).dump() +
                     (open_low ? " and at most " : " to ") + OrderedJson(high).dump(),
                 *found);
  return value;
}

std::string text_of(const OrderedJson& body, const char* name, const std::string& missing) {
  const OrderedJson* found = field_of(body, name);
  if (!found) return missing;
  if (!found->is_string()) refuse_field(name, "a text", *found);
  return found->get<std::string>();
}

std::vector<int32_t> ids_of(const OrderedJson& list, const char* name, int32_t vocab) {
  const std::string expected = "a list of token ids from 0 to " + std::to_string(vocab - 1);
  if (!list.is_array()) refuse_field(name, expected, list);
  std::vector<int32_t> ids;
  for (const OrderedJson& id : list) {
    const bool is_id = id.is_number_unsigned() && id.get<uint64_t>() < uint64_t(vocab);
    if (!is_id) refuse_field(name, expected, id);
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

}  // namespace cohort
