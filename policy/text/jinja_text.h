// Python's text functions, which methods and filters of chat templates share.
#pragma once
#include <string>
#include <string_view>

#include "policy/text/jinja_value.h"

namespace cohort::jinja {

const std::string& text_argument(const Arguments& arguments, size_t position, const char* name);
int64_t integer_argument(const Arguments& arguments, size_t position, const char* name, int64_t otherwise);

bool is_python_space(char32_t code);
/// strip(chars): the first argument, or whitespace.
std::string stripped(const std::string& text, const Arguments& arguments, bool left, bool right);
/// split(sep, maxsplit).
List split(const std::string& text, const Arguments& arguments, bool from_right);
List lines_of(const std::string& text, bool keep_ends);
/// At most `count` replacements; −1: all.
std::string replaced(const std::string& text, const std::string& from, const std::string& to, int64_t count);
std::string joined(const List& elements, const std::string& separator);
std::string upper(const std::string& text);
std::string lower(const std::string& text);
std::string capitalized(const std::string& text);
/// str.title(): a letter after anything but a letter is upper.
std::string titled(const std::string& text);

}  // namespace cohort::jinja
