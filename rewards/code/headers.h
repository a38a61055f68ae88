// The standard library of C++ as a precompiled header, made once for a machine.
#pragma once
#include <string>

namespace cohort::code {

/// A folder that holds bits/stdc++.h.gch for the flags that programs are compiled with; made where it is missing, under
/// /var/cache/cohort as root and the user's cache folder else. Empty where it cannot be made: compiling is then slower.
std::string precompiled_headers();

bool has_precompiled_headers();  // it is there already

}  // namespace cohort::code
