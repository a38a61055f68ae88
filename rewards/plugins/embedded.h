// What the program carries for its workers: the Python script and the host of shared libraries.
#pragma once
#include <string_view>

namespace cohort {

std::string_view python_worker_script();

/// The host as an open file that can be run; throws std::runtime_error where that cannot be made.
int library_host_program();

}  // namespace cohort
