#include "rewards/sandbox/warden.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "rewards/sandbox/sandbox.h"

namespace cohort::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kNobody = 65534;

void expect(bool done, const std::string& what) {
  if (!done) throw std::system_error(errno, std::generic_category(), what);
}

// ---- once: the root that every box starts from

/// Whether this user namespace has the user. A container without one is an ordinary user's own.
bool is_mapped(unsigned user) {
  std::ifstream map("/proc/self/uid_map");
  for (uint64_t inside, outside, count; map >> inside >> outside >> count;)
    if (inside <= user && user < inside + count) return true;
  return false;
}

/// Root of the machine becomes nobody, so that a hole in the sandbox is not a hole in the machine.
void leave_root() {
  if (geteuid() != 0 || !is_mapped(kNobody)) return;
  expect(setgroups(0, nullptr) == 0, "setgroups");
  expect(setresgid(kNobody, kNobody, kNobody) == 0, "setresgid");
  expect(setresuid(kNobody, kNobody, kNobody) == 0, "setresuid");
  expect(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0, "prctl");  // else /proc/self belongs to root
}

void enter_namespaces() {
  const std::string user = std::to_string(geteuid()), group = std::to_string(getegid());
  take({"unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS});
  take({"write", "/proc/self/setgroups", "deny"});
  take({"write", "/proc/self/uid_map", "0 " + user + " 1"});
  take({"write", "/proc/self/gid_map", "0 " + group + " 1"});
}

/// Not called bind: of strings, that is std::bind.
void bind_mount(const fs::path& source, const fs::path& target) {
  if (fs::is_directory(source))
    fs::create_directories(target);
  else {
    fs::create_directories(target.parent_path());
    const int file = open(target.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    expect(file >= 0, "create " + target.string());
    close(file);
  }
  expect(mount(source.c_str(), target.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0, "bind " + source.string());
}

/// What programs and compilers read: /usr, the loader's cache, Debian's alternatives, a JDK's configuration.
void bind_readable(const fs::path& root, const std::vector<Readable>& readable) {
  for (const char* name : {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"}) {
    const fs::path source = fs::path("/") / name;
    if (fs::is_symlink(source))
      fs::create_symlink(fs::read_symlink(source), root / name);
    else if (fs::is_directory(source))
      bind_mount(source, root / name);
  }
  for (const char* name : {"ld.so.cache", "alternatives", "localtime"})
    if (fs::exists(fs::path("/etc") / name)) bind_mount(fs::path("/etc") / name, root / "etc" / name);
  for (const fs::directory_entry& entry : fs::directory_iterator("/etc"))
    if (entry.path().filename().string().starts_with("java"))
      bind_mount(entry.path(), root / "etc" / entry.path().filename());
  for (const Readable& folder : readable) bind_mount(folder.source, root / fs::path(folder.target).relative_path());
}

void bind_devices(const fs::path& root) {
  for (const char* name : {"null", "zero", "full", "random", "urandom"})
    bind_mount(fs::path("/dev") / name, root / "dev" / name);
  fs::create_symlink("/proc/self/fd", root / "dev/fd");
  for (const auto& [name, number] : {std::pair{"stdin", "0"}, {"stdout", "1"}, {"stderr", "2"}})
    fs::create_symlink(std::string("/proc/self/fd/") + number, root / "dev" / name);
}

void protect(const fs::path& folder) {
  mount_attr read_only{};
  read_only.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID;
  expect(syscall(SYS_mount_setattr, AT_FDCWD, folder.c_str(), AT_RECURSIVE, &read_only, sizeof read_only) == 0,
         "mount_setattr");
}

/// Whether a /proc of the new process namespace could be mounted. Containers mask parts of theirs, and the kernel then
/// refuses a whole one; the old one is needed to write the maps of boxes, which cover it.
bool mount_proc(const fs::path& root) {
  const fs::path proc = root / "proc";
  if (mount("proc", proc.c_str(), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0) return true;
  expect(mount("/proc", proc.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0, "bind /proc");
  return false;
}

/// Assembles the root on a tmpfs and moves into it; true with a /proc of its own.
bool enter_root(const std::vector<Readable>& readable) {
  const fs::path root = "/tmp";
  expect(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make / private");
  std::vector<File> sources;  // folders below /tmp are about to be covered
  std::vector<Readable> opened;
  for (const Readable& folder : readable) {
    sources.emplace_back(open(folder.source.c_str(), O_PATH | O_CLOEXEC));
    expect(sources.back().number() >= 0, "open " + folder.source);
    opened.push_back({"/proc/self/fd/" + std::to_string(sources.back().number()), folder.target});
  }
  expect(mount("tmpfs", root.c_str(), "tmpfs", MS_NOSUID, "size=1m,mode=0755") == 0, "mount tmpfs");
  bind_readable(root, opened);
  sources.clear();
  bind_devices(root);
  for (const char* name : {"proc", "tmp"}) fs::create_directory(root / name);
  protect(root);
  const bool fresh_proc = mount_proc(root);
  expect(chdir(root.c_str()) == 0 && syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
  expect(umount2(".", MNT_DETACH) == 0 && chdir("/") == 0, "leave the old root");
  return fresh_proc;
}

// ---- for each request

struct Request {
  Json json;
  std::vector<int> files;  // 0, 1, 2, … of the box
  int lease = -1;
};

/// The files as 0, 1, 2, …; nothing else stays open past exec.
void place_files(const Request& request) {
  std::vector<int> high;
  for (const int file : request.files) high.push_back(fcntl(file, F_DUPFD_CLOEXEC, 100));
  for (size_t i = 0; i < high.size(); ++i) expect(dup2(high[i], static_cast<int>(i)) >= 0, "dup2");
  expect(syscall(SYS_close_range, high.size(), ~0U, CLOSE_RANGE_CLOEXEC) == 0, "close_range");
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (std::string& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

[[noreturn]] void execute(const Request& request, size_t next_step) {
  const Json& steps = request.json.at("steps");
  const int lease = fcntl(request.lease, F_DUPFD_CLOEXEC, 200);
  try {
    place_files(request);
    for (size_t i = next_step; i < steps.size(); ++i) take(steps[i]);
    auto words = request.json.at("argv").get<std::vector<std::string>>();
    auto environment = request.json.at("env").get<std::vector<std::string>>();
    const auto argv = pointers(words), env = pointers(environment);
    if (request.json.contains("program"))
      syscall(SYS_execveat, request.json["program"].get<int>(), "", argv.data(), env.data(), AT_EMPTY_PATH);
    else
      execve(argv[0], argv.data(), env.data());
    expect(false, "execute " + words.at(0));
  } catch (const std::exception& error) {
    send_message(lease, Json{{"failed", error.what()}}.dump());
  }
  _exit(127);
}

/// Waits for the box; a closed lease kills it. Says how it ended.
void attend(pid_t box, int lease) {
  const int process = static_cast<int>(syscall(SYS_pidfd_open, box, 0));
  pollfd watched[] = {{process, POLLIN, 0}, {lease, 0, 0}};  // of the lease only POLLHUP is told
  while (poll(watched, 2, -1) < 0 && errno == EINTR) {
  }
  if (watched[1].revents != 0) kill(box, SIGKILL);
  int status = 0;
  rusage used{};
  while (wait4(box, &status, 0, &used) < 0 && errno == EINTR) {
  }
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + time.tv_usec * 1e-6; };
  Json end = {{"cpu", seconds(used.ru_utime) + seconds(used.ru_stime)}, {"peak", used.ru_maxrss * 1024}};
  if (WIFSIGNALED(status))
    end["signal"] = WTERMSIG(status);
  else
    end["code"] = WEXITSTATUS(status);
  send_message(lease, end.dump());
}

[[noreturn]] void become_box(const Request& request) {
  signal(SIGCHLD, SIG_DFL);
  close(kControlFile);
  send_message(request.lease, "{}");
  const Json& steps = request.json.at("steps");
  try {
    size_t i = 0;
    for (; i < steps.size() && steps[i].at(0) != "fork"; ++i) take(steps[i]);
    if (i == steps.size()) execute(request, i);
    const pid_t box = fork();
    expect(box >= 0, "fork");
    if (box == 0) execute(request, i + 1);
    for (const int file : request.files) close(file);
    attend(box, request.lease);
  } catch (const std::exception& error) {
    send_message(request.lease, Json{{"failed", error.what()}}.dump());
  }
  _exit(0);
}

void serve() {
  signal(SIGCHLD, SIG_IGN);  // boxes are reaped by the kernel
  for (;;) {
    Message message = receive_message(kControlFile);
    if (message.text.empty()) return;
    if (!message.files.empty() && fork() == 0) {
      Request request{.json = Json::parse(message.text)};
      request.lease = message.files.back();
      message.files.pop_back();
      request.files = message.files;
      become_box(request);
    }
    for (const int file : message.files) close(file);
  }
}

}  // namespace

bool is_warden(int argc, char** argv) {
  return argc > 1 && argv[1] == std::string_view(kWardenVerb);
}

int serve_as_warden(int argc, char** argv) {
  std::vector<Readable> readable;
  for (int i = 2; i + 1 < argc; i += 2) readable.push_back({argv[i], argv[i + 1]});
  try {
    leave_root();
    enter_namespaces();
    const pid_t child = fork();  // process 1 of the namespace: with it goes all that it started
    expect(child >= 0, "fork");
    if (child != 0) {
      close(kControlFile);
      int status = 0;
      while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
      }
      return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    const bool fresh_proc = enter_root(readable);
    send_message(kControlFile, Json{{"fresh_proc", fresh_proc}}.dump());
    serve();
    return 0;
  } catch (const std::exception& error) {
    send_message(kControlFile, Json{{"failed", error.what()}}.dump());
    return 1;
  }
}

}  // namespace cohort::sandbox
