// What the processes of a box use, read from /proc of the machine.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cohort::sandbox {

/// The number under which /proc shows a process: another than its own where /proc was mounted in a process namespace
/// further out (a container that shares it). Nothing where /proc does not show it at all.
std::optional<int> number_in_proc(int process);

/// All processes below this one, by the numbers of /proc.
std::vector<int> processes_below(int number);

/// Resident bytes that belong to the processes below this one (anonymous and shared memory; not mapped files). A page
/// that two of them share counts twice. 0 where nothing is left. The number is that of /proc.
int64_t resident_bytes_below(int number);

/// What the processes below this one do: the CPU seconds they and those they waited for have used, and whether the
/// first thread of each sleeps, so that none of them wants a processor.
struct Activity {
  double cpu_seconds = 0;
  bool is_asleep = true;
};
Activity activity_below(int number);

/// Why resident_bytes_below would see nothing here; empty where it sees all.
std::string why_processes_are_unseen();

}  // namespace cohort::sandbox
