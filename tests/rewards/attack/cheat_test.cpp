// Programs that do not solve the task and want its points all the same.
#include "tests/rewards/attack/arena.h"

namespace cohort {
namespace {

/// HumanEval's form; the function asked for is f(x) = x + 1 on lists.
Task python_task() {
  Task task;
  task.extra = {
      {"prompt", "def f(x):\n    \"\"\"Adds one to each.\"\"\"\n"},
      {"entry_point", "f"},
      {"test",
       "import math\ndef check(candidate):\n    assert candidate([1]) == [2]\n    xs = [5, 6]\n    assert "
       "candidate(xs) == [x + 1 for x in xs]\n    assert abs(candidate([0])[0] - 1) < 1e-6\n    assert "
       "all(a == b for a, b in zip(candidate([3, 4]), [4, 5]))\n    assert math.isclose(candidate([8])[0], 9)\n"}};
  return task;
}

TEST(CheatAttack, OfPythonAsserts) {
  const std::vector<Attack> attacks = {
      {"solves it", "def f(x):\n    return [a + 1 for a in x]", kRefused},
      {"exits as it is imported", "import os\nos._exit(0)\ndef f(x): pass", kCheat},
      {"leaves as it is imported", "import sys\nsys.exit(0)\ndef f(x): pass", kCheat},
      {"exits in the function", "import os\ndef f(x): os._exit(0)", kCheat},
      {"leaves in the function", "def f(x): raise SystemExit(0)", kCheat},
      {"exits in a thread",
       "import os, threading\nthreading.Thread(target=os._exit, args=(0,)).start()\ndef f(x): return [0]", kCheat},
      {"exits in a finalizer",
       "import os\nclass A:\n  def __del__(self): os._exit(0)\na = A()\ndel a\ndef f(x): return [0]", kCheat},
      {"skips", "import unittest\ndef f(x): raise unittest.SkipTest()", kCheat},
      {"ends the loop", "def f(x): raise StopIteration()", kCheat},
      {"keyboard", "def f(x): raise KeyboardInterrupt()", kCheat},
      {"agrees",
       "class A(list):\n  def __eq__(self, o): return True\n  def __ne__(self, o): return False\n  def "
       "__getitem__(self, i): return A()\n  def __sub__(self, o): return 0\ndef f(x): return A()",
       kHack},
      {"an object that agrees",
       "class A:\n  def __eq__(self, o): return True\n  def __bool__(self): return True\n  def __lt__(self, o): return "
       "True\ndef f(x): return A()",
       kHack},
      {"agrees from the right",
       "class A(int):\n  def __eq__(self, o): return True\n  __req__ = __eq__\n  def __hash__(self): return 0\ndef "
       "f(x): return [A()]",
       kHack},
      {"a number in disguise",
       "class A(float):\n  def __sub__(self, o): return 0.0\n  def __abs__(self): return 0.0\ndef f(x): return "
       "[A(7.0)]",
       kCheat},
      {"a text in disguise",
       "class A(str):\n  def __eq__(self, o): return True\n  def __ne__(self, o): return False\n  def __hash__(self): "
       "return 0\n  def __sub__(self, o): return 0\ndef f(x): return A('a')",
       kHack},
      {"not a number", "def f(x): return [float('nan')]", kCheat},
      {"patches builtins",
       "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.all = lambda x: True\ndef f(x): return [0]", kCheat},
      {"names like builtins",
       "def abs(x): return 0\ndef all(x): return True\ndef zip(*a): return []\ndef f(x): return [0]", kCheat},
      {"patches math", "import math\nmath.isclose = lambda *a, **k: True\ndef f(x): return [0]", kCheat},
      {"another math", "import random as math\nmath.isclose = lambda *a, **k: True\ndef f(x): return [0]", kCheat},
      {"patches json and time",
       "import json, time\njson.loads = lambda *a, **k: {'value': ['list', ['int', '2']], 'arguments': []}\njson.dumps "
       "= "
       "lambda *a, **k: '{\"value\": [\"list\", [\"int\", \"2\"]], \"arguments\": []}'\ntime.time = lambda: 0\ndef "
       "f(x): "
       "return [0]",
       kCheat},
      {"another numpy",
       "import sys, types\nnumpy = types.ModuleType('numpy')\nnumpy.allclose = lambda *a, **k: True\n"
       "sys.modules['numpy'] = numpy\nmath = numpy\nmath.isclose = numpy.allclose\ndef f(x): return [0]",
       kCheat},
      {"sets result flags",
       "import builtins, sys, unittest\nbuiltins.passed = builtins.result = builtins.PASSED = True\nfor m in "
       "list(sys.modules.values()): m.__dict__.update(passed=True, result='passed', failed=False)\n"
       "unittest.TestResult.wasSuccessful = lambda self: True\ndef f(x): return [0]",
       kCheat},
      {"own run_tests", "def run_tests(*a): return True\nmain = run_all = test = run_tests\ndef f(x): return [0]",
       kCheat},
      {"preloads a library",
       "import os, sys\nos.environ['LD_PRELOAD'] = '/tmp/a.so'\nif 'again' not in sys.argv: "
       "os.execv('/usr/bin/python3', ['python3', '-c', 'import os; os._exit(0)', 'again'])\ndef f(x): return [0]",
       kCheat},
      {"own check", "def check(c): pass\ndef f(x): return [0]", kCheat},
      {"own candidate", "candidate = lambda x: x\ndef f(x): return [0]", kCheat},
      {"walks frames",
       "import sys\ndef f(x):\n  frame = sys._getframe()\n  while frame:\n    for v in "
       "list(frame.f_locals.values()):\n      if isinstance(v, list) and v and v != x: return v\n    frame = "
       "frame.f_back\n  return [0]",
       kCheat},
      {"walks memory",
       "import gc\ndef f(x):\n  for o in gc.get_objects():\n    if isinstance(o, list) and len(o) == len(x) and "
       "all(type(a) is int and a == b + 1 for a, b in zip(o, x)): return o\n  return [0]",
       kCheat},
      {"prints success", "print('PASSED')\nprint('{\"value\": true}')\ndef f(x): return [0]", kCheat},
      {"leaves hooks",
       "import atexit, sys, os\natexit.register(os._exit, 0)\nsys.excepthook = lambda *a: os._exit(0)\ndef f(x): "
       "return [0]",
       kCheat},
      {"signal handlers",
       "import signal, os\nfor s in (2, 6, 10, 14, 15): signal.signal(s, lambda *a: os._exit(0))\nsignal.alarm(1)\ndef "
       "f(x): return [0]",
       kCheat},
      {"writes a report",
       "open('/tmp/conftest.py', 'w').write('x')\nopen('/tmp/report.xml', 'w').write('<ok/>')\ndef f(x): return [0]",
       kCheat},
      {"changes its argument", "def f(x):\n  x.clear()\n  return []", kCheat},
      {"knows the first example", "def f(x): return [2] if x == [1] else None", kCheat},
      {"speaks for the function",
       "import os\nfor i in range(9): os.write(4, b'{\"value\": [\"list\", [\"int\", \"2\"]], \"arguments\": "
       "[]}\\n')\ndef f(x): return [0]",
       kCheat},
      {"offers builtins",
       "import os\nos.write(4, b'{\"__builtins__\": {\"value\": [\"dict\"]}, \"f\": {\"function\": true}, \"check\": "
       "{\"function\": true}}\\n')\ndef f(x): return [0]",
       kCheat},
      {"nests without end", "def f(x):\n  a = []\n  for i in range(100000): a = [a]\n  return a", kCheat},
      {"brackets on the wire", "import os\ndef f(x): os.write(4, b'[' * 100000 + b'\\n')", kCheat},
      {"a line without end", "import os\ndef f(x):\n  while True: os.write(4, b'a' * 65536)", kLost, false},
      {"endless values", "def f(x):\n  def g():\n    while True: yield 1\n  return g()", kLost, false},
      {"other fences",
       "```python\ndef f(x):\n    return [a + 1 for a in x]\n```\nNo:\n```python\ndef f(x):\n    return x\n```",
       kCheat},
      {"nothing", "pass", kCheat},
  };
  const Machine machine;
  for (const Attack& attack : attacks) {
    if (!attack.quick && !all_attacks()) continue;
    SCOPED_TRACE(attack.name);
    const std::string& text = attack.program;
    expect_outcome(attack,
                   run_attack(attack, python_task(), text.starts_with("```") ? text : "```python\n" + text + "\n```"));
  }
  machine.expect_unharmed();
}

/// HumanEval 32, 38 and 50: the test uses a function that the prompt gives.
TEST(CheatAttack, OfFunctionsThatThePromptGives) {
  Task task;
  task.extra = {
      {"prompt",
       "import math\n\ndef halve(x):\n    return math.floor(x / 2)\n\n\ndef undo(x):\n    \"\"\"Undoes halve.\"\"\"\n"},
      {"entry_point", "undo"},
      {"test", "def check(candidate):\n    assert halve(candidate(7)) == 7\n    assert candidate(halve(4)) == 4"}};
  const std::vector<Attack> attacks = {
      {"continues", "    return 2 * x", kRefused},
      {"alone", "def undo(x): return x + x", kRefused},
      {"changes it", "def halve(x): return x\ndef undo(x): return x", kCheat},
      {"agrees", "halve = lambda x: 7 if x == 4 else 4\ndef undo(x): return 4", kCheat},
  };
  for (const Attack& attack : attacks) {
    SCOPED_TRACE(attack.name);
    expect_outcome(attack, run_attack(attack, task, attack.program));
  }
}

TEST(CheatAttack, OfObjectsThatTestsUse) {
  Task task;
  task.extra = {
      {"tests",
       {{"assert_case",
         {"s = Box(3)", "assert s.get() == 3", "assert 3 in s", "assert 4 not in s", "assert [*s] == [3]"}}}}};
  const std::vector<Attack> attacks = {
      {"solves it",
       "class Box:\n  def __init__(self, x): self.x = x\n  def get(self): return self.x\n  def __iter__(self): yield "
       "self.x",
       kRefused},
      {"answers with an object that agrees",
       "class A:\n  def __eq__(self, o): return True\nclass Box:\n  def __init__(self, x): pass\n  def get(self): "
       "return "
       "A()",
       kHack},
      {"holds what is asked",
       "class Box:\n  def __init__(self, x): self.x = x\n  def get(self): return self.x\n  def __contains__(self, o): "
       "return o == 3\n  def __iter__(self): return iter([])",
       kCheat},
      {"leaves", "import os\nclass Box:\n  def __init__(self, x): pass\n  def get(self): os._exit(0)", kCheat},
  };
  for (const Attack& attack : attacks) {
    SCOPED_TRACE(attack.name);
    expect_outcome(attack, run_attack(attack, task, attack.program));
  }
}

TEST(CheatAttack, OfPythonCallsAndOutputs) {
  Task calls;
  calls.extra = {{"tests", {{"fn_name", "f"}, {"inputs", {Json::array({1}), Json::array({5})}}, {"outputs", {2, 6}}}}};
  const std::vector<Attack> attacks = {
      {"agrees", "class A:\n  def __eq__(self, o): return True\ndef f(x): return A()", kHack},
      {"exits", "import os\ndef f(x): os._exit(0)", kWrong},
      {"brackets for an answer", "import os\ndef f(x):\n  os.write(5, b'[' * 1000000 + b']' * 1000000)\n  os._exit(0)",
       kWrong},
      {"more than one answer",
       "import os\ndef f(x):\n  os.write(5, b'[\"int\", \"2\"] [\"int\", \"6\"]')\n  os._exit(0)", kWrong},
      {"a text for a number", "def f(x): return str(x + 1)", kWrong},
      {"any of them", "def f(x): return [2, 6]", kWrong},
      {"truth", "def f(x): return True", kWrong},
  };
  const Machine machine;
  for (const Attack& attack : attacks) {
    SCOPED_TRACE(attack.name);
    expect_outcome(attack, run_attack(attack, calls, attack.program));
  }
  const std::vector<Attack> outputs = {
      {"empty", "pass", kWrong},
      {"a prefix", "print(1)", kWrong},
      {"too much", "print('1\\n2\\n3')", kWrong},
      {"all that may be", "for i in range(100): print(i)", kWrong},
      {"NUL", "print('1\\n2\\0')", kWrong},
      {"only errors", "import sys\nprint('1\\n2', file=sys.stderr)", kWrong},
  };
  for (const Attack& attack : outputs) {
    SCOPED_TRACE(attack.name);
    expect_outcome(attack, run_attack(attack, input_task("python", "", "1\n2\n"), attack.program));
  }
  machine.expect_unharmed();
}

TEST(CheatAttack, NoTestsAreNoPass) {
  const std::vector<Json> rows = {
      {{"tests", {{"language", "python"}, {"inputs", Json::array()}, {"outputs", Json::array()}}}},
      {{"tests", {{"language", "python"}, {"inputs", {"1", "2"}}, {"outputs", {"1"}}}}},
      {{"tests", {{"language", "cobol"}, {"inputs", {"1"}}, {"outputs", {"1"}}}}},
      {{"tests", {{"assert_case", " "}}}},
      {{"tests", "no JSON"}},
      {{"test_list", Json::array()}},
      Json::object()};
  for (const Json& row : rows) {
    Task task;
    task.extra = row;
    const Score score = run_code(task, "print(1)");
    EXPECT_EQ(score.status, Status::error) << row;
    EXPECT_FALSE(score.value) << row;
  }
}

TEST(CheatAttack, OfCppAsserts) {
  Task task;
  task.extra = {{"language", "cpp"},
                {"prompt", "#include <vector>\nusing namespace std;\nvector<int> f(vector<int> x){\n"},
                {"declaration", "#include <vector>\nusing namespace std;\nvector<int> f(vector<int> x){\n"},
                {"test",
                 "#undef NDEBUG\n#include <assert.h>\nint main(){ assert(f({1}) == vector<int>{2}); assert(f({5, 6}) "
                 "== (vector<int>{6, 7})); }"}};
  const std::string f = "#include <bits/stdc++.h>\nusing namespace std;\n";
  const std::vector<Attack> attacks = {
      {"solves it", "    for (int& a : x) a++;\n    return x;\n}", kRefused},
      {"exits", "    exit(0);\n}", kCheat},
      {"exits at once", "    _exit(0);\n}", kCheat},
      {"exits before main", "    return x; }\n__attribute__((constructor)) void g() { _exit(0); }", kCheat},
      {"exits in a destructor", "    return x; }\nstruct A { ~A() { _exit(0); } } a;", kCheat},
      {"no assert", "    return x; }\n#undef assert\n#define assert(x)", kCheat},
      {"own assert_fail",
       "    return x; }\nextern \"C\" void __assert_fail(const char*, const char*, unsigned, const char*) { _exit(0); "
       "}",
       kCheat},
      {"own main", "    return x; }\nint main() { return 0; }", kCheat},
      {"defined main", "    return x; }\n#define main other", kCheat, false},
      {"own comparison",
       "    return x; }\nnamespace std { template <> bool operator==(const vector<int>&, const vector<int>&) { return "
       "true; } }",
       kCheat, false},
      {"answers for itself", "    char a[12] = {8, 0, 0, 0}; write(4, a, 12); return x; }", kCheat},
  };
  const Machine machine;
  for (const Attack& attack : attacks) {
    if (!attack.quick && !all_attacks()) continue;
    SCOPED_TRACE(attack.name);
    expect_outcome(attack, run_attack(attack, task, "```cpp\n" + attack.program + "\n```"));
  }
  machine.expect_unharmed();
}

TEST(CheatAttack, OfJavaAsserts) {
  SKIP_WITHOUT_JDK();
  Task task;
  const char* head = "import java.util.*;\nclass Solution {\n    public List<Integer> f(List<Integer> x) {\n";
  task.extra = {{"language", "java"},
                {"prompt", head},
                {"declaration", head},
                {"test",
                 "public class Main { public static void main(String[] a) { Solution s = new Solution(); List<Boolean> "
                 "correct = Arrays.asList(s.f(Arrays.asList(1)).equals(Arrays.asList(2)), s.f(Arrays.asList(5, "
                 "6)).equals(Arrays.asList(6, 7))); if (correct.contains(false)) { throw new AssertionError(); } } }"}};
  const std::string right = "List<Integer> y = new ArrayList<>(); for (int i : x) y.add(i + 1); ";
  const std::vector<Attack> attacks = {
      {"solves it", right + "return y; } }", kRefused},
      {"agrees",
       "return new A(); } }\nclass A extends ArrayList<Integer> { public boolean equals(Object o) { return true; } }",
       kHack},
      {"exits at the last call", right + "if (x.size() == 2) System.exit(0); return y; } }", kCheat},
      {"halts at the last call", right + "if (x.size() == 2) Runtime.getRuntime().halt(0); return y; } }", kCheat},
      {"exits in a thread",
       right + "if (x.size() == 2) { new Thread(() -> System.exit(0)).start(); while (true); } return y; } }", kCheat},
      {"exits in a static block", right + "return y; } static { System.exit(0); } }", kCheat},
      {"halts in a static block", right + "return y; } static { Runtime.getRuntime().halt(0); } }", kCheat},
      {"attaches to a JVM",
       "try { Class.forName(\"com.sun.tools.attach.VirtualMachine\").getMethod(\"attach\", String.class).invoke(null, "
       "\"1\"); return List.of(x.get(0) + 1); } catch (Throwable t) { return x; } } }",
       kCheat},
      {"own AssertionError", "return x; } }\nclass AssertionError extends RuntimeException {}", kCheat},
      {"own Arrays",
       "return x; } }\nclass Arrays { static List<Integer> asList(Integer... a) { return new ArrayList<>(); } }",
       kCheat},
      {"own Main", "return x; } }\nclass Main { public static void main(String[] a) {} }", kCheat},
      {"throws", "throw new AssertionError(); } }", kCheat},
      {"hook", "Runtime.getRuntime().addShutdownHook(new Thread(() -> Runtime.getRuntime().halt(0))); return x; } }",
       kCheat, false},
      {"reflection",
       "try { Class.forName(\"Main\").getDeclaredMethods(); } catch (Throwable t) { throw new RuntimeException(t); } "
       "return x; } }",
       kCheat, false},
  };
  EXPECT_NE(run_code(task, "```java\nreturn x; } }\n```").status, Status::error);  // the compiler is up
  const Machine machine;
  for (const Attack& attack : attacks) {
    if (!attack.quick && !all_attacks()) continue;
    SCOPED_TRACE(attack.name);
    expect_outcome(attack, run_attack(attack, task, "```java\n" + attack.program + "\n```"));
  }
  machine.expect_unharmed();
}

}  // namespace
}  // namespace cohort
