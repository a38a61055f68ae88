// The page's own style sheet and the small script that reads values off the curves; nothing is fetched.
#pragma once
#include <string_view>

namespace cohort {

extern const std::string_view page_style;
extern const std::string_view page_script;

}  // namespace cohort
