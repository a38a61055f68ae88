// What this machine offers to this process. Every function looks anew; none throws or changes anything.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cohort {

/// Instruction-set extensions of the processor, of those that kernels are written for: "avx2", "fma", "avx512f", …
std::vector<std::string> cpu_features();

struct CgroupLimits {
  int version = 0;                      // 1, 2, or 0 where there are no cgroups
  std::optional<double> cores;          // processor time in cores
  std::optional<int64_t> memory_bytes;  //
  bool writable = false;                // whether groups below ours can be made
};

/// The tightest limits of the cgroups that this process is in; `root` is where /proc and /sys stand.
CgroupLimits cgroup_limits(const std::filesystem::path& root = "/");

struct Cores {
  int online = 1;
  int affinity = 1;             // of those, this process may run on
  std::optional<double> quota;  // of the cgroup
  int usable() const;           // at least 1
};
Cores cores();

struct Memory {
  int64_t total_bytes = 0;
  int64_t peak_bytes = 0;              // the most that this process ever held
  int64_t available_bytes = 0;         // without swapping, within the limit
  std::optional<int64_t> limit_bytes;  // of the cgroup
};
Memory memory();

struct Gpu {
  bool device = false;   // /dev/nvidia0
  bool library = false;  // libcuda.so.1 can be loaded
  std::string driver;    // its version, "" where there is none
};
Gpu gpu();

bool can_isolate_processes();  // new user, mount, process and network namespaces
bool can_filter_system_calls();
bool is_port_free(uint16_t port);  // on 127.0.0.1

}  // namespace cohort
