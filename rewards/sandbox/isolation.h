// What a box may see and do, as values: the steps that turn a freshly forked process into the inside of a box. The
// warden (C++) and the Python zygote carry out the same list, so that there is one policy.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tasks/task.h"

namespace cohort::sandbox {

struct Limits {
  double wall_seconds = 10;                  // from start to end
  double cpu_seconds = 0;                    // of all processes of the box together; 0: the wall clock is the limit
  int64_t memory_bytes = int64_t{1} << 30;   // resident, all processes of the box and its files together
  int64_t output_bytes = int64_t{16} << 20;  // standard output and standard error together
  int64_t disk_bytes = int64_t{64} << 20;    // the box's own /tmp
  int processes = 64;                        // processes and threads
  bool bound_addresses = true;               // also RLIMIT_AS; off for a JVM, which reserves far more than it uses
};

/// A folder besides /usr that boxes may read, and where they see it.
struct Readable {
  std::string source, target;
};

/// What this machine grants. Found once by carrying the steps out, never assumed.
struct Isolation {
  bool namespaces = false;    // user, mount, process, network, ipc and uts namespaces
  bool fresh_proc = false;    // a /proc of the box's own; where that is refused the box has none
  bool system_calls = false;  // seccomp
  bool watched = false;       // the memory of a program's processes together; else each process is bounded for itself
  std::string reason;         // why something is lacking
};

/// A step is an array: the name of what to do, then its arguments.
///   ["unshare", flags] ["write", path, text] ["fork"] ["mount", source, target, type, flags, data] ["chdir", path]
///   ["limit", resource, soft and hard] ["capset"] (none left) ["prctl", option, value] ["filter", BPF in hexadecimal]
/// "fork" goes on in the child, which is process 1 of the box; its parent stays outside, waits and reports.
Json steps(const Limits& limits, const Isolation& isolation);

/// Carries out one step other than "fork" in this process; throws std::system_error naming the step.
void take(const Json& step);

/// The system calls a box may make, as a BPF program in hexadecimal. Foreign architectures are killed; what a program
/// has no use for (ptrace, mounts, namespaces, sockets beyond AF_UNIX, bpf, io_uring, keys, SysV memory, …) is EPERM.
std::string system_call_filter();

}  // namespace cohort::sandbox
