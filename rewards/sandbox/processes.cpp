#include "rewards/sandbox/processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

namespace cohort::sandbox {
namespace {

/// The whole of a small file of /proc; empty when its process is gone.
std::string proc_text(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  std::string text(4096, '\0');
  size_t size = 0;
  for (ssize_t got; (got = read(file, text.data() + size, text.size() - size)) > 0;) {
    size += static_cast<size_t>(got);
    if (size == text.size()) text.resize(2 * size);
  }
  close(file);
  text.resize(size);
  return text;
}

/// Children of every thread of the process.
void append_children(int process, std::vector<int>& processes) {
  const std::string tasks = "/proc/" + std::to_string(process) + "/task";
  DIR* folder = opendir(tasks.c_str());
  if (!folder) return;
  while (const dirent* task = readdir(folder)) {
    if (task->d_name[0] == '.') continue;
    const std::string children = proc_text(tasks + "/" + task->d_name + "/children");
    for (const char* at = children.c_str(); *at;) {
      char* next = nullptr;
      const long child = std::strtol(at, &next, 10);
      if (next == at) break;
      processes.push_back(static_cast<int>(child));
      at = next + std::strspn(next, " ");
    }
  }
  closedir(folder);
}

/// "RssAnon:  12 kB" of /proc/PID/status in bytes.
int64_t field_bytes(const std::string& status, const char* name) {
  const size_t at = status.find(name);
  return at == std::string::npos ? 0 : std::strtoll(status.c_str() + at + std::strlen(name), nullptr, 10) * 1024;
}

std::string children_file(const std::string& number) {
  return "/proc/" + number + "/task/" + number + "/children";
}

}  // namespace

std::optional<int> number_in_proc(int process) {
  char own[32] = {};
  if (readlink("/proc/self", own, sizeof own - 1) < 0) return std::nullopt;
  if (std::atoi(own) == getpid()) return process;  // the usual machine
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, process, 0));
  if (handle < 0) return std::nullopt;
  const std::string about = proc_text("/proc/self/fdinfo/" + std::to_string(handle));
  close(handle);
  const size_t at = about.find("Pid:");
  const int number = at == std::string::npos ? 0 : std::atoi(about.c_str() + at + 4);
  return number > 0 ? std::optional(number) : std::nullopt;
}

std::string why_processes_are_unseen() {
  const std::optional<int> own = number_in_proc(getpid());
  if (!own) return "/proc belongs to another process namespace";
  const std::string number = std::to_string(*own);
  if (access(children_file(number).c_str(), R_OK) == 0) return {};
  return access(("/proc/" + number + "/status").c_str(), R_OK) == 0
             ? "the kernel was built without CONFIG_PROC_CHILDREN"
             : "/proc does not show processes";
}

std::vector<int> processes_below(int number) {
  std::vector<int> processes;
  append_children(number, processes);
  for (size_t i = 0; i < processes.size() && i < 4096; ++i) append_children(processes[i], processes);
  return processes;
}

int64_t resident_bytes_below(int number) {
  std::vector<int> processes;
  append_children(number, processes);
  int64_t bytes = 0;
  for (size_t i = 0; i < processes.size() && i < 4096; ++i) {
    const std::string status = proc_text("/proc/" + std::to_string(processes[i]) + "/status");
    bytes += field_bytes(status, "RssAnon:") + field_bytes(status, "RssShmem:");
    append_children(processes[i], processes);
  }
  return bytes;
}

Activity activity_below(int number) {
  static const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  std::vector<int> processes;
  append_children(number, processes);
  Activity found;
  for (size_t i = 0; i < processes.size() && i < 4096; ++i) {
    const std::string stat = proc_text("/proc/" + std::to_string(processes[i]) + "/stat");
    const size_t name_end = stat.rfind(')');  // a process may have any name
    if (name_end == std::string::npos) continue;
    std::istringstream fields(stat.substr(name_end + 1));
    char state = 0;
    std::string skipped;
    fields >> state;
    for (int field = 4; field < 14; ++field) fields >> skipped;
    for (int field = 14; field < 18; ++field) {  // utime, stime, and those of children that were waited for
      double used = 0;
      fields >> used;
      found.cpu_seconds += used / ticks;
    }
    found.is_asleep &= state == 'S' || state == 'Z' || state == 'X';
    append_children(processes[i], processes);
  }
  return found;
}

}  // namespace cohort::sandbox
