#include "rewards/sandbox/processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
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

}  // namespace

int64_t resident_bytes_below(int process) {
  std::vector<int> processes;
  append_children(process, processes);
  int64_t bytes = 0;
  for (size_t i = 0; i < processes.size() && i < 4096; ++i) {
    const std::string status = proc_text("/proc/" + std::to_string(processes[i]) + "/status");
    bytes += field_bytes(status, "RssAnon:") + field_bytes(status, "RssShmem:");
    append_children(processes[i], processes);
  }
  return bytes;
}

}  // namespace cohort::sandbox
