// Programs that take all they can get. The right answer is 42.
#include "tests/rewards/attack/arena.h"

namespace cohort {
namespace {

const std::vector<Attack>& python_attacks() {
  static const std::vector<Attack> attacks = {
      {"fork bomb", "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass", kLost},
      {"thread bomb", "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()",
       kLost},
      {"malloc", "a = []\nwhile True: a.append(bytearray(1 << 22))", kLost},
      {"mmap", "import mmap\na = []\nwhile True: m = mmap.mmap(-1, 1 << 23); m.write(b'a' * (1 << 23)); a.append(m)",
       kLost},
      {"tmpfs", "f = open('/tmp/a', 'wb')\nwhile True: f.write(b'a' * (1 << 20)); f.flush()", kLost},
      {"shared memory", "f = open('/dev/shm/a', 'wb')\nwhile True: f.write(b'a' * (1 << 20))", kWrong},
      {"processes that add up",
       "import os, time\nfor i in range(20):\n  if os.fork() == 0:\n    a = b'a' * (20 << 20)\n    "
       "time.sleep(60)\ntime.sleep(60)",
       kMemory},
      {"many files", "i = 0\nwhile True: open('/tmp/%d' % i, 'w'); i += 1", kWrong},
      {"sparse file", "import os\nos.truncate(os.open('/tmp/a', os.O_CREAT | os.O_RDWR), 1 << 42)", kWrong},
      {"deep folders", "import os\nwhile True: os.mkdir('a'); os.chdir('a')", kWrong},
      {"open files", "a = []\nwhile True: a.append(open('/dev/null'))", kWrong},
      {"endless stdout", "while True: print('a' * 1000)", kWrong},
      {"endless stderr", "import sys\nwhile True: print('a' * 1000, file=sys.stderr)", kWrong},
      {"both", "import sys\nwhile True: print('a'); print('a', file=sys.stderr)", kWrong},
      {"one line of a gigabyte", "import sys\nfor i in range(1024): sys.stdout.write('a' * (1 << 20))", kWrong},
      {"output, then sleep", "import time\nprint(42, flush=True)\ntime.sleep(60)", kTimeout},
      {"a child holds the pipe",
       "import os, time\nprint(42, flush=True)\nif os.fork() == 0: time.sleep(60)",
       {Status::correct}},
      {"an orphan of its own session",
       "import os, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0: time.sleep(60)\n  "
       "os._exit(0)\nos.wait()\nprint(42)",
       {Status::correct}},
      {"closed stdout", "import os\nos.close(1)", kWrong},
      {"sleep", "import time\ntime.sleep(60)", kTimeout, false},
      {"busy loop", "while True: pass", kTimeout, false},
      {"busy loop in threads",
       "import threading\nthreading.stack_size(1 << 18)\ndef f():\n  while True: pass\nfor i in range(40): "
       "threading.Thread(target=f).start()",
       kTimeout, false},
      {"busy loop past SIGXCPU", "import signal\nsignal.signal(signal.SIGXCPU, lambda *a: None)\nwhile True: pass",
       kTimeout, false},
      {"deaf to every signal",
       "import signal, time\nfor s in range(1, 65):\n  try: signal.signal(s, signal.SIG_IGN)\n  except (OSError, "
       "ValueError): pass\n"
       "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\ntime.sleep(60)",
       kTimeout, false},
      {"stops itself", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\nwhile True: pass", kTimeout, false},
      {"stopped children",
       "import os, signal\nif os.fork() == 0: os.kill(os.getpid(), signal.SIGSTOP)\nprint(42)",
       {Status::correct}},
      {"deep recursion", "import sys\nsys.setrecursionlimit(1 << 30)\ndef f(n): return f(n + 1)\nf(0)", kLost},
      {"abort", "import os\nos.abort()", kWrong},
      {"zombies", "import os\nfor i in range(40):\n  if os.fork() == 0: os._exit(0)\nprint(42)", {Status::correct}},
      {"alarm off", "import signal, time\nsignal.alarm(0)\nsignal.setitimer(signal.ITIMER_REAL, 0)\ntime.sleep(60)",
       kTimeout, false},
      {"a number of 10^9 digits", "print(10 ** (10 ** 9))", kLost, false},
      {"bad UTF-8", "import os\nos.write(1, b'\\xff\\xfe\\x00' * 100)", kWrong},
      {"right output, wrong code", "import sys\nprint(42)\nsys.exit(3)", kWrong},
      {"right output, signal", "import os\nprint(42, flush=True)\nos.abort()", kWrong},
  };
  return attacks;
}

TEST(ResourceAttack, OfPythonPrograms) {
  const Machine machine;
  for (const Attack& attack : python_attacks()) {
    if (!attack.quick && !all_attacks()) continue;
    SCOPED_TRACE(attack.name);
    expect_outcome(attack, run_attack(attack, input_task("python", "", "42"), attack.program));
    machine.expect_unharmed();
  }
}

TEST(ResourceAttack, InputThatNobodyReads) {
  const Machine machine;
  const Task task = input_task("python", std::string(50 << 20, 'a'), "42");
  EXPECT_EQ(run_code(task, "print(42)").status, Status::correct);
  machine.expect_unharmed();
}

TEST(ResourceAttack, OfJavaPrograms) {
  SKIP_WITHOUT_JDK();
  const auto program = [](const std::string& body) {
    return "import java.util.*;\npublic class Main { public static void main(String[] a) throws Exception { " + body +
           " } }";
  };
  const std::vector<Attack> attacks = {
      {"memory", "List<byte[]> l = new ArrayList<>(); while (true) l.add(new byte[1 << 20]);", kLost},
      {"threads", "while (true) new Thread(() -> { while (true); }).start();", kLost, false},
      {"endless output", "while (true) System.out.println(\"aaaaaaaaaaaaaaaaaaaaaaaaa\");", kLost},
      {"busy loop", "while (true);", kTimeout, false},
      {"recursion", "Runnable[] r = new Runnable[1]; r[0] = () -> r[0].run(); r[0].run();", kLost},
      {"exit", "System.out.println(42); System.exit(3);", kWrong},
      {"halt", "System.out.println(42); Runtime.getRuntime().halt(3);", kWrong},
      {"halt before the output", "Runtime.getRuntime().halt(0);", kWrong},
      {"reads", "System.out.println(new Scanner(new java.io.File(\"/etc/passwd\")).nextLine());", kWrong},
      {"memory that is no heap",
       "var f = sun.misc.Unsafe.class.getDeclaredField(\"theUnsafe\"); f.setAccessible(true); var u = "
       "(sun.misc.Unsafe) "
       "f.get(null); while (true) u.setMemory(u.allocateMemory(1 << 24), 1 << 24, (byte) 1);",
       kLost},
      {"network", "new java.net.Socket(\"127.0.0.1\", 22);", kWrong},
  };
  const Task task = input_task("java", "", "42");
  EXPECT_EQ(run_code(task, program("System.out.println(42);")).status, Status::correct);
  EXPECT_EQ(run_code(task, program("System.out.println(42); System.exit(0);")).status, Status::correct);
  const Machine machine;
  for (const Attack& attack : attacks) {
    if (!attack.quick && !all_attacks()) continue;
    SCOPED_TRACE(attack.name);
    expect_outcome(attack, run_attack(attack, task, program(attack.program)));
    machine.expect_unharmed();
  }
}

}  // namespace
}  // namespace cohort
