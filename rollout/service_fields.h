// Fields of a request's JSON body. Null counts as absent; a refusal is a 400 that names the field and what it may hold.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace cohort {

using OrderedJson = nlohmann::ordered_json;

/// The body as an object, its keys in order. Throws http::Error 400.
OrderedJson parse_body(const std::string& body);

/// Null where the field is absent.
const OrderedJson* field_of(const OrderedJson& body, const char* name);
bool flag_of(const OrderedJson& body, const char* name, bool missing);
int64_t whole_of(const OrderedJson& body, const char* name, int64_t missing, int64_t low, int64_t high);
/// From `low` (or above it) to `high`.
double number_of(const OrderedJson& body, const char* name, double missing, double low, double high,
                 bool open_low = false);
std::string text_of(const OrderedJson& body, const char* name, const std::string& missing);
/// A list of token ids below `vocab`.
std::vector<int32_t> ids_of(const OrderedJson& list, const char* name, int32_t vocab);

[[noreturn]] void refuse_field(const char* name, const std::string& expected, const OrderedJson& found);

}  // namespace cohort
