// What the processes of a box use, read from /proc of the machine.
#pragma once
#include <cstdint>

namespace cohort::sandbox {

/// Resident bytes that belong to the processes below this one (anonymous and shared memory; not mapped files). A page
/// that two of them share counts twice. 0 where nothing is left.
int64_t resident_bytes_below(int process);

}  // namespace cohort::sandbox
