// Programs that try to get out of the box, or at what is not theirs. Each says "refused" of a try that failed.
#include <sys/socket.h>
#include <sys/un.h>

#include "rewards/rules.h"
#include "tests/rewards/attack/arena.h"

namespace cohort {
namespace {

const std::string kTools = R"(
import ctypes, errno, fcntl, os, resource, signal, socket, struct, subprocess
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(256)
def checked(result):
    if result == -1: raise OSError(ctypes.get_errno(), "")
    return result
def call(*arguments): return checked(libc.syscall(*arguments))
def capabilities():
    held = (ctypes.c_uint32 * 6)()
    call(125, (ctypes.c_uint32 * 2)(0x20080522, 0), held)
    return any(held)
def is_open(file):
    try: return fcntl.fcntl(file, fcntl.F_GETFD) >= 0
    except OSError: return False
def writable(*folders): return [f for f in folders if os.path.exists(f) and not os.statvfs(f).f_flag & os.ST_RDONLY]
def ends_well(child): return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
def forked():
    child = os.fork()
    if child == 0: os._exit(0)
    return ends_well(child)
def cloned():
    child = call(56, 17, 0, 0, 0, 0)
    if child == 0: os._exit(0)
    return ends_well(child)
def reached(kind, address):
    with socket.socket(socket.AF_UNIX, kind) as server, socket.socket(socket.AF_UNIX, kind) as client:
        server.bind(address)
        server.listen()
        client.connect(address)
        return True
def attempt(f):
    try: got = f()
    except socket.gaierror: return "no name service"
    except OSError as error: return errno.errorcode.get(error.errno, str(error))
    return "granted: %r" % (got,) if got else "nothing"
)";

/// A try, and the refusals that are meant, by name of the error. "nothing" is a value that is empty, 0 or False.
struct Try {
  const char* name;
  const char* expression;
  std::set<std::string> refusals;
};

const std::set<std::string> kPermission = {"EPERM"}, kReadOnly = {"EROFS", "EACCES"}, kNotThere = {"ENOENT"},
                            kNothing = {"nothing"}, kUnseen = {"ENOENT", "nothing"};

const Try kTries[] = {
    {"ptrace", "call(101, 16, os.getppid() or 1, 0, 0)", kPermission},
    {"process_vm_readv", "call(310, 1, buffer, 1, buffer, 1, 0)", kPermission},
    {"pidfd_getfd", "call(438, os.pidfd_open(os.getpid()), 0, 0)", kPermission},
    {"mount", "checked(libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None))", kPermission},
    {"unmount", "checked(libc.umount2(b'/proc', 2))", kPermission},
    {"new mount calls", "call(430, b'tmpfs', 0)", kPermission},
    {"chroot", "os.chroot('/tmp') or True", kPermission},
    {"pivot_root", "call(155, b'/tmp', b'/tmp')", kPermission},
    {"device node", "os.mknod('/tmp/zero', 0o20666, os.makedev(1, 5)) or True", kPermission},
    {"setns", "call(308, 0, 0)", kPermission},
    {"user namespace", "call(272, 0x10000000)", kPermission},
    {"user namespace by clone", "call(56, 0x10000011, 0, 0, 0, 0)", kPermission},
    {"user namespace by clone3", "call(435, buffer, 64)", {"ENOSYS"}},
    {"open_by_handle_at", "call(304, 0, buffer, 0)", kPermission},
    {"bpf", "call(321, 0, buffer, 128)", kPermission},
    {"perf_event_open", "call(298, buffer, 0, -1, -1, 0)", kPermission},
    {"userfaultfd", "call(323, 0)", kPermission},
    {"io_uring", "call(425, 8, buffer)", kPermission},
    {"keyctl", "call(250, 0, -3, 0)", kPermission},
    {"add_key", "call(248, b'user', b'a', b'b', 1, -3)", kPermission},
    {"memfd_create", "os.memfd_create('a')", kPermission},
    {"SysV shared memory", "call(29, 0, 4096, 0o1666)", kPermission},
    {"POSIX message queue", "call(240, b'a', 0o102, 0o666, 0)", kPermission},
    {"kexec", "call(246, 0, 0, 0, 0)", kPermission},
    {"kernel log", "call(103, 3, buffer, 256)", kPermission},
    {"clock", "call(227, 0, buffer)", kPermission},
    {"time of day", "call(164, buffer, 0)", kPermission},
    {"host name", "socket.sethostname('cohort') or True", kPermission},
    {"priority", "os.nice(-5)", {"EPERM", "EACCES"}},
    {"real-time", "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)) or True", kPermission},
    {"raised limit", "resource.prlimit(0, resource.RLIMIT_NOFILE, (99999, 99999))", kPermission},
    {"becoming root", "os.setuid(0) or True", {"EPERM", "EINVAL"}},  // EINVAL: the namespace has no user 0
    {"capabilities", "capabilities()", kNothing},
    {"new privileges", "libc.prctl(39, 0, 0, 0, 0) != 1", kNothing},
    {"setuid bits", "[f for f in ('/', '/usr', '/tmp') if not os.statvfs(f).f_flag & os.ST_NOSUID]", kNothing},
    {"terminal input", "call(16, 0, 0x100005412, b'x')", kPermission},
    {"TCP", "socket.create_connection(('127.0.0.1', 22), 1)", kPermission},
    {"metadata address", "socket.create_connection(('169.254.169.254', 80), 1)", kPermission},
    {"UDP", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", kPermission},
    {"IPv6", "socket.socket(socket.AF_INET6)", kPermission},
    {"DNS", "socket.getaddrinfo('example.org', 80)", {"no name service"}},
    {"netlink", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", kPermission},
    {"vsock", "socket.socket(socket.AF_VSOCK)", kPermission},
    {"AF_ALG", "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)", kPermission},
    {"packet socket", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", kPermission},
    {"abstract socket", "socket.socket(socket.AF_UNIX).connect('\\0cohort-attack') or True", {"ECONNREFUSED"}},
    {"passwd", "open('/etc/passwd')", kNotThere},
    {"shadow", "open('/etc/shadow')", kNotThere},
    {"root's folder", "os.listdir('/root')", kNotThere},
    {"home folders", "os.listdir('/home')", kNotThere},
    {"/var", "os.listdir('/var')", kNotThere},
    {"/run", "os.listdir('/run')", kNotThere},
    {"source of the tests", "open('" COHORT_SOURCE_DIR "/CMakeLists.txt')", kNotThere},
    {"other processes", "[p for p in os.listdir('/proc') if p.isdigit() and int(p) != os.getpid()]", kNothing},
    {"environment of others", "open('/proc/%d/environ' % (os.getppid() or 2)).read()", kNotThere},
    {"memory of others", "open('/proc/%d/mem' % (os.getppid() or 2), 'rb')", kNotThere},
    {"own environment", "set(os.environ) - {'PATH', 'HOME', 'LANG', 'LC_CTYPE'}", kNothing},
    {"arguments of others", "open('/proc/%d/cmdline' % (os.getppid() or 2)).read()", kNotThere},
    {"open files of others", "os.listdir('/proc/%d/fd' % (os.getppid() or 2))", kNotThere},
    {"precompiled header", "open('/headers/bits/stdc++.h.gch', 'r+b')", {"EROFS", "EACCES", "ENOENT"}},
    {"control groups", "os.listdir('/sys/fs/cgroup')", kNotThere},
    {"hard link to a program", "os.link('/usr/bin/env', '/tmp/env') or True", {"EXDEV", "EPERM"}},
    {"arguments", "b'cohort' in open('/proc/1/environ', 'rb').read()", kUnseen},
    {"sysctl", "open('/proc/sys/kernel/core_pattern', 'w')", {"EROFS", "EACCES", "ENOENT"}},
    {"sysrq", "open('/proc/sysrq-trigger', 'w')", {"EROFS", "EACCES", "ENOENT"}},
    {"sysfs", "os.listdir('/sys')", kNotThere},
    {"disks", "[d for d in os.listdir('/dev') if d.startswith(('sd', 'vd', 'nvme', 'mem', 'kmsg', 'tty', 'kvm'))]",
     kNothing},
    {"folders that can be written", "writable('/', '/usr', '/usr/bin', '/etc', '/dev', '/headers')", kNothing},
    {"interpreter", "open(os.__file__, 'a')", kReadOnly},
    {"site-packages", "open('/usr/lib/python3/dist-packages/sitecustomize.py', 'w')", kReadOnly},
    {"bytecode", "os.remove(os.__file__) or True", kReadOnly},
    {"program of the machine", "open('/usr/bin/env', 'a')", kReadOnly},
    {"new file in the root", "open('/a', 'w')", kReadOnly},
    {"new file in /etc", "open('/etc/ld.so.preload', 'w')", kReadOnly},
    {"new device", "open('/dev/a', 'w')", kReadOnly},
    {"remount by chmod", "os.chmod('/usr/bin/env', 0o777) or True", {"EROFS", "EPERM"}},
    {"all processes", "os.kill(-1, signal.SIGKILL) or True", {"ESRCH"}},
    {"parent", "os.kill(os.getppid() or 2, signal.SIGKILL) or True", {"ESRCH"}},
    {"open files", "[f for f in range(4, 1024) if is_open(f)]", kNothing},
    {"core dumps", "resource.getrlimit(resource.RLIMIT_CORE)[1]", kNothing},
};

/// What is granted, by the same means: a box in which nothing works would refuse all the tries as well.
const char* const kGranted[] = {
    "call(39)",
    "os.pidfd_open(os.getpid())",
    "forked()",
    "cloned()",
    "os.kill(os.getpid(), 0) or True",
    "os.nice(1)",
    "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)) or resource.getrlimit(resource.RLIMIT_NOFILE) == (64, 64)",
    "os.setuid(os.getuid()) or True",
    "fcntl.ioctl(os.pipe()[0], 0x541b, b'1234') == b'\\0' * 4",
    "socket.socketpair()",
    "reached(socket.SOCK_STREAM, '/tmp/socket')",
    "reached(socket.SOCK_STREAM, '\\0of-its-own')",
    "open('/tmp/a', 'w').write('a')",
    "writable('/tmp')",
    "os.mkdir('/tmp/b') or os.listdir('/tmp')",
    "os.symlink('/tmp/a', '/tmp/c') or os.chmod('/tmp', 0o700) or os.remove('/tmp/c') or True",
    "open(os.__file__).read()",
    "open('/usr/bin/env', 'rb').read()",
    "open('/dev/urandom', 'rb').read(8)",
    "open('/dev/null', 'w').write('a')",
    "os.listdir('/usr/lib')",
    "is_open(0) and is_open(1) and is_open(2)",
    "os.environ['PATH']",
    "subprocess.run(['/usr/bin/true']).returncode == 0",
};

/// How the try ended in a box.
std::string outcome_of(const std::string& expression) {
  const Score score = run_code(input_task("python", "", ""), kTools + "print(attempt(lambda: " + expression + "))");
  const size_t found = score.reason.rfind(", found \"");
  if (found == std::string::npos) return score.reason;
  const std::string text = score.reason.substr(found + 9);
  return text.substr(0, text.find_last_not_of(" \"") + 1);
}

TEST(EscapeAttack, EveryTryIsRefused) {
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = "\0cohort-attack"};
  const socklen_t length = sizeof(sa_family_t) + 14;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  const int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(connect(client, reinterpret_cast<sockaddr*>(&address), length), 0) << "outside it can be reached";
  const Machine machine;
  for (const Try& one : kTries) {
    const std::string outcome = outcome_of(one.expression);
    EXPECT_TRUE(one.refusals.contains(outcome)) << one.name << ": " << outcome;
  }
  machine.expect_unharmed();
  close(client), close(listener);
}

TEST(EscapeAttack, WhatProgramsNeedIsGranted) {
  for (const char* expression : kGranted)
    EXPECT_TRUE(outcome_of(expression).starts_with("granted")) << expression << ": " << outcome_of(expression);
  EXPECT_EQ(outcome_of("call(9999)"), "ENOSYS");
  EXPECT_EQ(outcome_of("[]"), "nothing");
}

TEST(EscapeAttack, NothingPassesFromOneRunToTheNext) {
  const char* leave = "import os\nopen('/tmp/left', 'w').write('x')\nos.umask(0)\nprint(os.path.exists('/dev/shm'))";
  EXPECT_EQ(run_code(input_task("python", "", "False"), leave).status, Status::correct);
  EXPECT_EQ(run_code(input_task("python", "", "[]"), "import os\nprint(os.listdir('/tmp'))").status, Status::correct);
  EXPECT_EQ(run_code(input_task("cpp", "", "0"),
                     "#include <cstdio>\n#include <unistd.h>\nint main() { return !printf(\"%d\", "
                     "access(\"/tmp/left\", F_OK) == 0); }")
                .status,
            Status::correct);
}

TEST(EscapeAttack, NativeCodeAndTheCompiler) {
  const std::vector<Attack> attacks = {
      {"int 0x80", "int main() { int r; asm volatile(\"int $0x80\" : \"=a\"(r) : \"a\"(20)); return 0; }", kWrong},
      {"x32", "#include <unistd.h>\nint main() { return syscall(0x40000000 | 39) > 0; }", kWrong},
      {"reads at compile time", "#include \"/etc/passwd\"\nint main() {}", kWrong, true, true},
      {"includes a device", "#include \"/dev/zero\"\nint main() {}", kWrong, false, true},
      {"assembles a file", "asm(\".incbin \\\"/etc/shadow\\\"\");\nint main() {}", kWrong, true, true},
      {"template bomb", "template <int N> struct A { typename A<N + 1>::T a; using T = int; };\nint main() { A<0> a; }",
       kWrong, false, true},
      {"macro bomb",
       "#define A(x) x x x x x x x x x x\n#define B(x) A(A(A(A(x))))\n#define C(x) B(B(x))\nint main() { C(C(1;)) }",
       kWrong, false, true},
      {"ends before main", "#include <unistd.h>\n__attribute__((constructor)) void f() { _exit(0); }\nint main() {}",
       kWrong},
      {"array of 3 GB", "char a[3000000000];\nint main() { a[2999999999] = 1; }", kLost},
      {"null", "int main() { *(volatile int*)0 = 1; }", kWrong},
      {"huge stack",
       "int f(int n) { volatile char a[1 << 20]; a[n] = 1; return f(n + 1) + a[n]; }\nint main() { return f(0); }",
       kWrong},
  };
  const Machine machine;
  for (const Attack& attack : attacks) {
    if (!attack.quick && !all_attacks()) continue;
    SCOPED_TRACE(attack.name);
    expect_outcome(attack, run_attack(attack, input_task("cpp", "", "refused"), attack.program));
  }
  machine.expect_unharmed();
}

}  // namespace
}  // namespace cohort
