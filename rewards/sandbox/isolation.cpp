#include "rewards/sandbox/isolation.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <memory>
#include <system_error>

namespace cohort::sandbox {
namespace {

constexpr int kNamespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

void write_text(const std::string& path, const std::string& text) {
  const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) fail("open " + path);
  const ssize_t written = write(file, text.data(), text.size());
  const int error = errno;
  close(file);
  errno = error;
  if (written != static_cast<ssize_t>(text.size())) fail("write " + path);
}

void drop_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[2] = {};
  if (syscall(SYS_capset, &header, none) != 0) fail("capset");
}

std::string from_hexadecimal(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) bytes += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  return bytes;
}

void set_filter(std::string program) {
  sock_fprog filter{.len = static_cast<unsigned short>(program.size() / sizeof(sock_filter)),
                    .filter = reinterpret_cast<sock_filter*>(program.data())};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) fail("seccomp");
}

/// What no candidate has a use for and an attacker has.
constexpr const char* kRefused[] = {
    // other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp",
    // the file tree and namespaces
    "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick",
    "mount_setattr", "mknod", "mknodat", "setns", "unshare", "name_to_handle_at", "open_by_handle_at", "quotactl",
    "quotactl_fd", "swapon", "swapoff", "fanotify_init", "landlock_create_ruleset",
    // the kernel
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "io_setup",
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "syslog", "acct",
    "add_key", "request_key", "keyctl", "iopl", "ioperm", "modify_ldt", "lookup_dcookie", "nfsservctl", "vhangup",
    "personality", "uselib", "ustat", "sysfs", "_sysctl",
    // clocks and priorities
    "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "stime", "sched_setattr", "ioprio_set",
    "migrate_pages", "move_pages", "set_mempolicy", "mbind",
    // memory that no limit of a process sees
    "memfd_create", "memfd_secret", "shmget", "shmat", "shmctl", "semget", "msgget", "mq_open", "mlock", "mlock2",
    "mlockall", "vmsplice"};

}  // namespace

std::string system_call_filter() {
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(SCMP_ACT_ALLOW), seccomp_release);
  if (!filter) throw std::system_error(ENOMEM, std::generic_category(), "seccomp_init");
  seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  const auto refuse = [&](const char* name, int error, std::vector<scmp_arg_cmp> when = {}) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) return;  // a call that this libseccomp has not heard of
    seccomp_rule_add_array(filter.get(), SCMP_ACT_ERRNO(static_cast<uint32_t>(error)), number,
                           static_cast<unsigned>(when.size()), when.data());
  };
  for (const char* name : kRefused) refuse(name, EPERM);
  refuse("clone3", ENOSYS);  // its flags lie in memory; the C library then falls back to clone
  for (const uint64_t flag :
       {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP})
    refuse("clone", EPERM, {SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag)});
  refuse("socket", EPERM, {SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0)});
  refuse("ioctl", EPERM, {SCMP_A1(SCMP_CMP_MASKED_EQ, 0xFFFFFFFFU, TIOCSTI)});
  const int file = memfd_create("filter", MFD_CLOEXEC);
  if (file < 0 || seccomp_export_bpf(filter.get(), file) != 0) fail("seccomp_export_bpf");
  std::string text;
  unsigned char bytes[4096];
  lseek(file, 0, SEEK_SET);
  for (ssize_t got; (got = read(file, bytes, sizeof bytes)) > 0;)
    for (ssize_t i = 0; i < got; ++i) {
      constexpr char kDigits[] = "0123456789abcdef";
      text += kDigits[bytes[i] >> 4];
      text += kDigits[bytes[i] & 15];
    }
  close(file);
  return text;
}

Json steps(const Limits& limits, const Isolation& isolation) {
  static const std::string filter = system_call_filter();
  const std::string size = "size=" + std::to_string(limits.disk_bytes) + ",nr_inodes=4096,mode=0777";
  Json steps = {{"unshare", kNamespaces},
                {"write", "/proc/self/setgroups", "deny"},
                {"write", "/proc/self/uid_map", "1000 0 1"},
                {"write", "/proc/self/gid_map", "1000 0 1"},
                {"fork"},
                {"write", "/proc/self/oom_score_adj", "1000"}};  // where the machine runs out, boxes go first
  constexpr int kBare = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (isolation.fresh_proc)
    steps.push_back({"mount", "proc", "/proc", "proc", kBare, ""});
  else  // that of the machine is out of sight
    steps.push_back({"mount", "tmpfs", "/proc", "tmpfs", kBare | MS_RDONLY, "size=4k,nr_inodes=2"});
  steps.push_back({"mount", "tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, size});
  steps.push_back({"chdir", "/tmp"});
  const auto limit = [&](int resource, int64_t value) { steps.push_back({"limit", resource, value}); };
  limit(RLIMIT_CORE, 0);
  // Of each process, behind the limit that the supervisor watches.
  limit(RLIMIT_CPU,
        static_cast<int64_t>(std::ceil(limits.cpu_seconds > 0 ? limits.cpu_seconds : 4 * limits.wall_seconds)) + 1);
  limit(RLIMIT_FSIZE, limits.disk_bytes);
  limit(RLIMIT_NOFILE, 256);
  limit(RLIMIT_NPROC, limits.processes);
  limit(RLIMIT_STACK, int64_t{64} << 20);
  limit(RLIMIT_MEMLOCK, 0);
  limit(RLIMIT_MSGQUEUE, 0);
  limit(RLIMIT_SIGPENDING, 256);
  limit(RLIMIT_NICE, 0);
  limit(RLIMIT_RTPRIO, 0);
  if (limits.bound_addresses) limit(RLIMIT_AS, limits.memory_bytes + (int64_t{256} << 20));
  steps.push_back({"prctl", PR_SET_NO_NEW_PRIVS, 1});
  steps.push_back({"capset"});
  steps.push_back({"filter", filter});
  return steps;
}

void take(const Json& step) {
  const std::string name = step.at(0);
  const auto text = [&](size_t i) { return step.at(i).get<std::string>(); };
  const auto number = [&](size_t i) { return step.at(i).get<int64_t>(); };
  if (name == "unshare") {
    if (unshare(static_cast<int>(number(1))) != 0) fail("unshare");
  } else if (name == "write") {
    write_text(text(1), text(2));
  } else if (name == "mount") {
    if (::mount(text(1).c_str(), text(2).c_str(), text(3).c_str(), static_cast<unsigned long>(number(4)),
                text(5).c_str()) != 0)
      fail("mount " + text(2));
  } else if (name == "chdir") {
    if (chdir(text(1).c_str()) != 0) fail("chdir " + text(1));
  } else if (name == "limit") {
    const rlimit both{static_cast<rlim_t>(number(2)), static_cast<rlim_t>(number(2))};
    if (setrlimit(static_cast<__rlimit_resource_t>(number(1)), &both) != 0) fail("limit " + step.dump());
  } else if (name == "prctl") {
    if (prctl(static_cast<int>(number(1)), number(2), 0, 0, 0) != 0) fail("prctl " + step.dump());
  } else if (name == "capset") {
    drop_capabilities();
  } else if (name == "filter") {
    set_filter(from_hexadecimal(text(1)));
  } else {
    throw std::invalid_argument("sandbox: no step " + name);
  }
}

}  // namespace cohort::sandbox
