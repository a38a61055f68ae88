// Whether what a program gave is what the test expects. Runs outside every box.
#pragma once
#include <string_view>

#include "rewards/reward.h"

namespace cohort::code {

/// Line by line, white space at the end of a line and empty lines at the end left aside.
bool same_output(std::string_view expected, std::string_view found);

/// JSON that an untrusted program wrote; discarded where it is none, or nested deeper than any encoded value.
Json parse_untrusted(const std::string& text);

/// A value as a box encodes it (rewards/sandbox/zygote.py) against JSON: a tuple is a list, 2 equals 2.0, keys of an
/// object are text; sets equal lists of the same members. `tolerance` is relative and absolute, for floats alone.
bool same_value(const Json& expected, const Json& encoded, double tolerance = 0);

}  // namespace cohort::code
