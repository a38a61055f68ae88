#include "configs/machine.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

namespace cohort {
namespace fs = std::filesystem;
namespace {

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// The number at the start of the text; nothing for "max", a negative number, or no number.
std::optional<double> limit_from(const std::string& text) {
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && value >= 0 ? std::optional(value) : std::nullopt;
}

template <class T>
void tighten(std::optional<T>& limit, std::optional<double> other) {
  if (other && (!limit || *other < static_cast<double>(*limit))) limit = static_cast<T>(*other);
}

struct CgroupFolder {
  int version = 2;
  std::string controllers;  // of version 1, with commas
  fs::path mount, group;    // the group stands below the mount, or is it
  bool has(std::string_view controller) const {
    return version == 2 || ("," + controllers + ",").find("," + std::string(controller) + ",") != std::string::npos;
  }
};

/// Where the groups of this process stand: a line of /proc/self/cgroup is "id:controllers:/path", id 0 is version 2.
std::vector<CgroupFolder> cgroup_folders(const fs::path& root) {
  std::vector<CgroupFolder> folders;
  std::ifstream lines(root / "proc/self/cgroup");
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    CgroupFolder folder;
    folder.version = line.starts_with("0:") ? 2 : 1;
    folder.controllers = line.substr(first + 1, second - first - 1);
    const fs::path mounts = root / "sys/fs/cgroup";
    folder.mount = folder.version == 1 ? mounts / folder.controllers.substr(0, folder.controllers.find(',')) : mounts;
    folder.group = folder.mount / fs::path(line.substr(second + 1)).relative_path();
    if (!fs::is_directory(folder.group)) folder.group = folder.mount;  // a container sees its own group as the mount
    folders.push_back(folder);
  }
  return folders;
}

/// Processor time in cores: "200000 100000" (µs in a period, period) or version 1's two files.
std::optional<double> core_limit(const CgroupFolder& folder, const fs::path& group) {
  std::string quota, period;
  if (folder.version == 2) {
    std::istringstream(first_line(group / "cpu.max")) >> quota >> period;
  } else {
    quota = first_line(group / "cpu.cfs_quota_us");
    period = first_line(group / "cpu.cfs_period_us");
  }
  const std::optional<double> microseconds = limit_from(quota), in = limit_from(period);
  return microseconds && in && *in > 0 ? std::optional(*microseconds / *in) : std::nullopt;
}

std::optional<double> memory_limit(const CgroupFolder& folder, const fs::path& group) {
  constexpr double kNone = 1e18;  // version 1 writes "no limit" as the largest multiple of a page
  const std::optional<double> bytes =
      limit_from(first_line(group / (folder.version == 2 ? "memory.max" : "memory.limit_in_bytes")));
  return bytes && *bytes < kNone ? bytes : std::nullopt;
}

int64_t kilobytes_in_meminfo(const std::string& name) {
  std::ifstream lines("/proc/meminfo");
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name + ":")) return std::strtoll(line.c_str() + name.size() + 1, nullptr, 10);
  return 0;
}

}  // namespace

std::vector<std::string> cpu_features() {
  std::vector<std::string> found;
  const auto note = [&found](const char* name, bool is_there) {
    if (is_there) found.emplace_back(name);
  };
  note("avx2", __builtin_cpu_supports("avx2"));  // the builtin takes literals alone
  note("fma", __builtin_cpu_supports("fma"));
  note("avx512f", __builtin_cpu_supports("avx512f"));
  note("avx512bw", __builtin_cpu_supports("avx512bw"));
  note("avx512dq", __builtin_cpu_supports("avx512dq"));
  note("avx512vl", __builtin_cpu_supports("avx512vl"));
  note("avx512_bf16", __builtin_cpu_supports("avx512bf16"));
  return found;
}

CgroupLimits cgroup_limits(const fs::path& root) {
  CgroupLimits limits;
  for (const CgroupFolder& folder : cgroup_folders(root)) {
    const bool in_use = fs::exists(folder.group / (folder.version == 2 ? "cgroup.controllers" : "tasks"));
    if (!in_use) continue;
    limits.version = std::max(limits.version, folder.version);
    if (folder.has("memory")) limits.writable = access(folder.group.c_str(), W_OK) == 0;
    for (fs::path group = folder.group;; group = group.parent_path()) {  // a group is also bound by those above it
      if (folder.has("cpu")) tighten(limits.cores, core_limit(folder, group));
      if (folder.has("memory")) tighten(limits.memory_bytes, memory_limit(folder, group));
      if (group == folder.mount) break;
    }
  }
  return limits;
}

int Cores::usable() const {
  const int quota_cores = quota ? static_cast<int>(std::lround(*quota)) : affinity;
  return std::max(1, std::min(affinity, quota_cores));
}

Cores cores() {
  Cores cores;
  cores.online = static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  cpu_set_t set;
  cores.affinity = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : cores.online;
  cores.quota = cgroup_limits().cores;
  return cores;
}

Memory memory() {
  Memory memory;
  memory.total_bytes = 1024 * kilobytes_in_meminfo("MemTotal");
  memory.available_bytes = 1024 * kilobytes_in_meminfo("MemAvailable");
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  memory.peak_bytes = int64_t(usage.ru_maxrss) * 1024;
  memory.limit_bytes = cgroup_limits().memory_bytes;
  if (memory.limit_bytes) memory.available_bytes = std::min(memory.available_bytes, *memory.limit_bytes);
  return memory;
}

Gpu gpu() {
  Gpu gpu;
  gpu.device = fs::exists("/dev/nvidia0");
  if (void* library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL)) {
    gpu.library = true;
    dlclose(library);
  }
  std::istringstream words(first_line("/proc/driver/nvidia/version"));  // "NVRM version: … Kernel Module  580.65.06  …"
  for (std::string word; words >> word;)
    if (std::isdigit(static_cast<unsigned char>(word[0])) && word.find('.') != word.npos) {
      gpu.driver = word;
      break;
    }
  return gpu;
}

bool can_isolate_processes() {
  const pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) {
    constexpr int kNamespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
    const bool is_inside =
        unshare(kNamespaces | CLONE_NEWUSER) == 0 || unshare(kNamespaces) == 0;  // root needs no user
    const bool is_free_inside = is_inside && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    _exit(is_free_inside ? 0 : 1);  // some kernels grant the namespace and then nothing in it
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool can_filter_system_calls() {
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr) != 0 && errno == EFAULT;  // refused for the null alone
}

bool is_port_free(uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) return false;
  const int yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);  // as a server does, past connections that linger
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool is_free =
      bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 && listen(listener, 1) == 0;
  close(listener);
  return is_free;
}

}  // namespace cohort
