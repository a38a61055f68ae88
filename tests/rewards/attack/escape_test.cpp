// Programs that try to get out of the box, or at what is not theirs. Each says "refused" of a try that failed.
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/rewards/attack/arena.h"

namespace cohort {
namespace {

const std::string kTools = R"(
import ctypes, os, socket, resource, subprocess, fcntl, signal
libc = ctypes.CDLL(None, use_errno=True)
call = libc.syscall
def attempt(f):
    try:
        got = f()
    except Exception as error:
        return print("refused")
    print("refused" if got is False or type(got) is int and got < 0 else "escaped: %r" % (got,))
def status(name):
    try: return [line.split()[1] for line in open("/proc/self/status") if line.startswith(name)][0]
    except FileNotFoundError: return None
buffer = ctypes.create_string_buffer(256)
)";

/// Each expression returns a negative number or False, or raises, where it is refused.
const Attack kTries[] = {
    {"ptrace", "call(101, 16, os.getppid() or 1, 0, 0)", kRefused},
    {"process_vm_readv", "call(310, 1, buffer, 1, buffer, 1, 0)", kRefused},
    {"pidfd_getfd", "call(438, os.pidfd_open(os.getpid()), 0, 0)", kRefused},
    {"mount", "libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None)", kRefused},
    {"unmount", "libc.umount2(b'/proc', 2)", kRefused},
    {"new mount calls", "call(430, b'tmpfs', 0)", kRefused},
    {"chroot", "os.chroot('/tmp')", kRefused},
    {"pivot_root", "call(155, b'/tmp', b'/tmp')", kRefused},
    {"device node", "os.mknod('/tmp/zero', 0o20666, os.makedev(1, 5))", kRefused},
    {"setns", "call(308, 0, 0)", kRefused},
    {"user namespace", "call(272, 0x10000000)", kRefused},
    {"user namespace by clone", "call(56, 0x10000011, 0, 0, 0, 0)", kRefused},
    {"user namespace by clone3", "call(435, buffer, 64)", kRefused},
    {"open_by_handle_at", "call(304, 0, buffer, 0)", kRefused},
    {"bpf", "call(321, 0, buffer, 128)", kRefused},
    {"perf_event_open", "call(298, buffer, 0, -1, -1, 0)", kRefused},
    {"userfaultfd", "call(323, 0)", kRefused},
    {"io_uring", "call(425, 8, buffer)", kRefused},
    {"keyctl", "call(250, 0, -3, 0)", kRefused},
    {"add_key", "call(248, b'user', b'a', b'b', 1, -3)", kRefused},
    {"memfd_create", "os.memfd_create('a')", kRefused},
    {"SysV shared memory", "call(29, 0, 4096, 0o1666)", kRefused},
    {"POSIX message queue", "call(240, b'/a', 0o102, 0o666, 0)", kRefused},
    {"kexec", "call(246, 0, 0, 0, 0)", kRefused},
    {"kernel log", "call(103, 3, buffer, 256)", kRefused},
    {"clock", "call(227, 0, buffer)", kRefused},
    {"time of day", "call(164, buffer, 0)", kRefused},
    {"host name", "socket.sethostname('cohort')", kRefused},
    {"priority", "os.nice(-5)", kRefused},
    {"real-time", "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))", kRefused},
    {"raised limit", "resource.setrlimit(resource.RLIMIT_NOFILE, (99999, 99999))", kRefused},
    {"becoming root", "os.setuid(0)", kRefused},
    {"capabilities", "status('CapEff') not in (None, '0' * 16)", kRefused},
    {"new privileges", "status('NoNewPrivs') not in (None, '1')", kRefused},
    {"terminal input", "call(16, 0, 0x100005412, b'x')", kRefused},
    {"TCP", "socket.create_connection(('127.0.0.1', 22), 1)", kRefused},
    {"metadata address", "socket.create_connection(('169.254.169.254', 80), 1)", kRefused},
    {"UDP", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", kRefused},
    {"IPv6", "socket.socket(socket.AF_INET6)", kRefused},
    {"DNS", "socket.getaddrinfo('example.org', 80)", kRefused},
    {"netlink", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", kRefused},
    {"vsock", "socket.socket(socket.AF_VSOCK)", kRefused},
    {"AF_ALG", "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)", kRefused},
    {"packet socket", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", kRefused},
    {"abstract socket", "socket.socket(socket.AF_UNIX).connect('\\0cohort-attack')", kRefused},
    {"passwd", "open('/etc/passwd')", kRefused},
    {"shadow", "open('/etc/shadow')", kRefused},
    {"home folders", "os.listdir('/root') + os.listdir('/home')", kRefused},
    {"folders of the machine", "sorted(os.listdir('/var') + os.listdir('/opt'))", kRefused},
    {"source of the tests", "open('" COHORT_SOURCE_DIR "/CMakeLists.txt')", kRefused},
    {"other processes", "len([p for p in os.listdir('/proc') if p.isdigit()]) > 1", kRefused},
    {"environment of others", "open('/proc/%d/environ' % (os.getppid() or 2)).read()", kRefused},
    {"memory of others", "open('/proc/%d/mem' % (os.getppid() or 2), 'rb')", kRefused},
    {"own environment", "set(os.environ) - {'PATH', 'HOME', 'LANG', 'LC_CTYPE'} or False", kRefused},
    {"arguments", "b'cohort' in open('/proc/1/environ', 'rb').read()", kRefused},
    {"sysctl", "open('/proc/sys/kernel/core_pattern', 'w')", kRefused},
    {"sysrq", "open('/proc/sysrq-trigger', 'w')", kRefused},
    {"sysfs", "os.listdir('/sys')", kRefused},
    {"cgroups", "os.listdir('/sys/fs/cgroup')", kRefused},
    {"disks", "[d for d in os.listdir('/dev') if d.startswith(('sd', 'vd', 'nvme', 'mem', 'kmsg'))] or False",
     kRefused},
    {"interpreter", "open(os.__file__, 'a')", kRefused},
    {"site-packages", "open('/usr/lib/python3/dist-packages/sitecustomize.py', 'w')", kRefused},
    {"bytecode", "os.remove('/usr/lib/python3.11/os.py')", kRefused},
    {"compiler", "open('/usr/bin/g++', 'a')", kRefused},
    {"precompiled header", "open('/headers/bits/stdc++.h.gch', 'ab')", kRefused},
    {"new file in the root", "open('/a', 'w')", kRefused},
    {"new file in /etc", "open('/etc/ld.so.preload', 'w')", kRefused},
    {"new device", "open('/dev/a', 'w')", kRefused},
    {"remount by chmod", "os.chmod('/usr/bin/python3', 0o777)", kRefused},
    {"setuid bit", "subprocess.run(['/usr/bin/su', '-c', 'id'], capture_output=True, timeout=2).returncode == 0",
     kRefused},
    {"all processes", "os.kill(-1, signal.SIGKILL)", kRefused},
    {"parent", "os.kill(os.getppid() or 2, signal.SIGKILL)", kRefused},
    {"open files", "[f for f in range(4, 256) if fcntl.fcntl(f, fcntl.F_GETFD) >= 0]", kRefused},
    {"core dumps", "resource.getrlimit(resource.RLIMIT_CORE)[0]", {Status::wrong}},
};

TEST(EscapeAttack, EveryTryIsRefused) {
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = "\0cohort-attack"};
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t) + 14), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  const Machine machine;
  for (const Attack& attack : kTries) {
    SCOPED_TRACE(attack.name);
    const Score score =
        run_attack(attack, input_task("python", "", "refused"), kTools + "attempt(lambda: " + attack.program + ")");
    expect_outcome(attack, score);
  }
  machine.expect_unharmed();
  close(listener);
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
      {"reads at compile time", "#include \"/etc/passwd\"\nint main() {}", kWrong},
      {"includes a device", "#include \"/dev/zero\"\nint main() {}", kWrong, false},
      {"assembles a file", "asm(\".incbin \\\"/etc/shadow\\\"\");\nint main() {}", kWrong},
      {"template bomb", "template <int N> struct A { typename A<N + 1>::T a; using T = int; };\nint main() { A<0> a; }",
       kWrong, false},
      {"macro bomb",
       "#define A(x) x x x x x x x x x x\n#define B(x) A(A(A(A(x))))\n#define C(x) B(B(x))\nint main() { C(C(1;)) }",
       kWrong, false},
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
