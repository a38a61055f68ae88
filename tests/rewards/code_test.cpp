// The rewards `code` and `binary_code`: every form of row, every language, every status.
#include <gtest/gtest.h>

#include "configs/error.h"
#include "tests/rewards/judging.h"

namespace cohort {
namespace {

/// Limits that a busy machine meets.
Score score_code(const Json& row, const std::string& completion, const char* options = "timeout=60",
                 const char* reward = "code") {
  Task task;
  task.extra = row;
  return score_with(make_reward(parse_reward(std::string(reward) + ":" + options)), task, completion);
}

Status status_of(const Json& row, const std::string& completion, const char* options = "timeout=60") {
  const Score score = score_code(row, completion, options);
  EXPECT_EQ(score.value.has_value(), score.status != Status::error) << score.reason;
  EXPECT_FALSE(score.reason.empty());
  return score.status;
}

Json inputs_row(const char* language) {
  return {{"tests", {{"language", language}, {"inputs", {"1 2\n", "20 22\n"}}, {"outputs", {"3\n", "42"}}}}};
}

const char* const kPythonSum = "print(sum(map(int, input().split())))";
const char* const kCppSum = "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }";
const char* const kJavaSum =
    "import java.util.*;\npublic class Main { public static void main(String[] x) { Scanner in = new "
    "Scanner(System.in); System.out.println(in.nextInt() + in.nextInt()); } }";

// ---- languages

TEST(CodeIntegration, InputsInEveryLanguage) {
  EXPECT_EQ(status_of(inputs_row("python"), kPythonSum), Status::correct);
  EXPECT_EQ(status_of(inputs_row("python"), "print(3)"), Status::partial);
  EXPECT_EQ(status_of(inputs_row("python"), "print(4)"), Status::wrong);
  EXPECT_EQ(status_of(inputs_row("python"), "print(3"), Status::wrong);
  for (const char* name : {"cpp", "C++"}) EXPECT_EQ(status_of(inputs_row(name), kCppSum), Status::correct);
  EXPECT_EQ(status_of(inputs_row("cpp"), "#include <cstdio>\nint main() { puts(\"42\"); }"), Status::partial);
  EXPECT_EQ(status_of(inputs_row("cpp"), "int main() { return a; }"), Status::wrong);
}

TEST(CodeIntegration, InputsInJava) {
  SKIP_WITHOUT_JDK();
  EXPECT_EQ(status_of(inputs_row("java"), kJavaSum), Status::correct);
  EXPECT_EQ(
      status_of(inputs_row("java"), "class A { public static void main(String[] x) { System.out.print(\"3 \"); } }"),
      Status::partial);
  EXPECT_EQ(status_of(inputs_row("java"), "public class Main {"), Status::wrong);
}

/// HumanEval-X: a continuation of the prompt, or a whole program; a test that asserts.
TEST(CodeIntegration, AssertionsInEveryLanguage) {
  const Json python = {
      {"task_id", "HumanEval/1"},
      {"prompt", "def twice(x):\n    \"\"\"Doubles.\"\"\"\n"},
      {"entry_point", "twice"},
      {"test", "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate('a') == 'aa'"}};
  EXPECT_EQ(status_of(python, "    return x * 2"), Status::correct);
  EXPECT_EQ(status_of(python, "```python\ndef twice(x):\n    return x + x\n```"), Status::correct);
  EXPECT_EQ(status_of(python, "    return x"), Status::wrong);
  const char* cpp_head = "#include <string>\nusing namespace std;\nstring twice(string x){\n";
  const Json cpp = {{"task_id", "CPP/1"},
                    {"prompt", cpp_head},
                    {"declaration", cpp_head},
                    {"test", "#undef NDEBUG\n#include <assert.h>\nint main() { assert(twice(\"a\") == \"aa\"); }"}};
  EXPECT_EQ(status_of(cpp, "    return x + x;\n}"), Status::correct);
  EXPECT_EQ(status_of(cpp, "```cpp\n" + std::string(cpp_head) + "    return x + x;\n}\n```"), Status::correct);
  EXPECT_EQ(status_of(cpp, "    return x;\n}"), Status::wrong);
}

TEST(CodeIntegration, AssertionsInJava) {
  SKIP_WITHOUT_JDK();
  const char* java_head = "class Solution {\n    public String twice(String x) {\n";
  const Json java = {{"task_id", "Java/1"},
                     {"prompt", java_head},
                     {"declaration", java_head},
                     {"test",
                      "public class Main { public static void main(String[] a) { if (!new "
                      "Solution().twice(\"a\").equals(\"aa\")) throw new AssertionError(); } }"}};
  EXPECT_EQ(status_of(java, "        return x + x;\n    }\n}"), Status::correct);
  EXPECT_EQ(status_of(java, "        return x;\n    }\n}"), Status::wrong);
}

// ---- forms of rows

TEST(CodeIntegration, CallsOfAFunction) {
  const Json row = {{"tests", {{"fn_name", "add"}, {"inputs", {{1, 2}, {"a", "b"}}}, {"outputs", {3, "ab"}}}}};
  EXPECT_EQ(status_of(row, "def add(a, b): return a + b"), Status::correct);
  EXPECT_EQ(status_of(row, "class Solution:\n  def add(self, a, b): return a + b"), Status::correct);
  EXPECT_EQ(status_of(row, "def add(a, b): return 3"), Status::partial);
  EXPECT_EQ(status_of(row, "def sub(a, b): return 3"), Status::wrong);
  const Json lines = {{"tests", {{"fn_name", "add"}, {"inputs", {"1\n[2]", "[]"}}, {"outputs", {"[2, 1]", "null"}}}}};
  EXPECT_EQ(status_of(lines, "def add(a, b=0): return b + [a] if b else None"), Status::correct);  // LiveCodeBench
}

/// Starter code of LeetCode imports nothing; what its judge imports is no answer by itself.
TEST(CodeIntegration, CallsSeeWhatJudgesImport) {
  const Json row = {{"tests", {{"fn_name", "gcd"}, {"inputs", {{4, 6}}}, {"outputs", {2}}}}};
  EXPECT_EQ(status_of(row,
                      "class Solution:\n  def gcd(self, a: int, b: Optional[int]) -> int:\n    c: List[int] = "
                      "[math.gcd(a, b)]\n    return max(Counter(c))"),
            Status::correct);
  EXPECT_EQ(status_of(row, "x = 1"), Status::wrong);
}

/// A test may use the program's objects; what it compares are plain values.
TEST(CodeIntegration, AssertionsOnObjects) {
  const Json row = {{"tests",
                     {{"assert_case",
                       {"s = Stack([1])", "s.push(2)", "assert s.pop() == 2 and s.pop() == 1", "assert len(s) == 0",
                        "assert not s", "s.top.size = 7", "assert s.top.size == 7 and list(Stack('ab')) == ['a', 'b']",
                        "try:\n  s.pop()\n  assert False\nexcept IndexError:\n  pass"}}}}};
  const std::string stack =
      "class Top: pass\nclass Stack:\n  def __init__(self, a): self.a, self.top = list(a), Top()\n  def push(self, x): "
      "self.a.append(x)\n  def __len__(self): return len(self.a)\n  def __iter__(self): return iter(self.a)\n";
  EXPECT_EQ(status_of(row, stack + "  def pop(self): return self.a.pop()"), Status::correct);
  EXPECT_EQ(status_of(row, stack + "  def pop(self): return self.a.pop(0)"), Status::wrong);
}

TEST(CodeIntegration, RowsOfOtherNames) {
  const Json cases = {{{"type", "stdin_stdout"}, {"input", "1 2"}, {"output", "3"}}};
  EXPECT_EQ(status_of({{"verification_info", {{"language", "python"}, {"test_cases", cases}}}}, kPythonSum),
            Status::correct);
  EXPECT_EQ(status_of({{"verification_info", Json{{"language", "cpp"}, {"test_cases", cases}}.dump()}}, kCppSum),
            Status::correct);
  const Json calls = {{{"type", "function_call"}, {"fn_name", "add"}, {"input", {1, 2}}, {"output", 3}}};
  EXPECT_EQ(status_of({{"verification_info", {{"language", "python"}, {"test_cases", calls}}}},
                      "def add(a, b): return a + b"),
            Status::correct);
  EXPECT_EQ(status_of({{"tests", inputs_row("python")["tests"].dump()}}, kPythonSum), Status::correct);
  const Json mbpp = {{"text", "Adds."},
                     {"test_setup_code", "start = 1"},
                     {"test_list", {"assert add(1, 2) == 3", "assert add(start, 1) == 2"}}};
  EXPECT_EQ(status_of(mbpp, "def add(a, b): return a + b"), Status::correct);
  EXPECT_EQ(status_of(mbpp, "def add(a, b): return 3"), Status::wrong);
  for (const Json& asserts : {Json("assert add(1, 2) == 3"), Json{"assert add(1, 2) == 3", "assert add(0, 0) == 0"}}) {
    EXPECT_EQ(status_of({{"tests", {{"assert_case", asserts}}}}, "def add(a, b): return a + b"), Status::correct);
    EXPECT_EQ(status_of({{"tests", {{"assert_case", asserts}}}}, "def add(a, b): return a - b"), Status::wrong);
  }
}

/// APPS's and TACO's column, LiveCodeBench's list, verl's ground truth, lists of lines, columns that are null.
TEST(CodeIntegration, RowsOfTables) {
  const Json lists = {{"inputs", Json::array({Json::array({"1 2", "3 4"})})},
                      {"outputs", Json::array({Json::array({"3"})})}};
  const Json cases = {{{"input", "1 2\n"}, {"output", "3\n"}, {"testtype", "stdin"}}};
  for (const Json& row : {Json{{"input_output", lists.dump()}}, Json{{"tests", cases.dump()}},
                          Json{{"reward_model", {{"style", "rule"}, {"ground_truth", lists.dump()}}}},
                          Json{{"tests", nullptr}, {"test_list", nullptr}, {"input_output", lists}},
                          Json{{"tests", {{"assert_case", nullptr}, {"inputs", {"1 2"}}, {"outputs", {"3"}}}}}}) {
    EXPECT_EQ(status_of(row, kPythonSum), Status::correct) << row;
    EXPECT_EQ(status_of(row, "print(4)"), Status::wrong) << row;
  }
  const Json call = {{{"input", "1"}, {"output", "3"}, {"testtype", "functional"}}};  // of which function?
  EXPECT_EQ(status_of({{"tests", call}}, kPythonSum), Status::error);
}

/// What a prompt column became is what a bare continuation continues.
TEST(CodeIntegration, AContinuationOfTheTasksPrompt) {
  Task task;
  task.prompt = {{.role = "user", .content = "def twice(x):\n"}};
  task.extra = {{"entry_point", "twice"}, {"test", "def check(f):\n    assert f(2) == 4"}};
  const RewardFn reward = make_reward(parse_reward("code:timeout=60"));
  EXPECT_EQ(score_with(reward, task, "    return 2 * x").status, Status::correct);
  EXPECT_EQ(score_with(reward, task, "    return x").status, Status::wrong);
}

TEST(CodeIntegration, TheProgramInACompletion) {
  const Json row = inputs_row("python");
  const std::string fence = "```", good = fence + "python\n" + kPythonSum + "\n" + fence;
  EXPECT_EQ(status_of(row, "<think>" + fence + "python\nprint(0)\n" + fence + "</think>Here:\n" + good),
            Status::correct);
  EXPECT_EQ(status_of(row, fence + "python\nprint(0)\n" + fence + "\nBetter:\n" + good), Status::correct);
  EXPECT_EQ(status_of(row, good + "\nRun it:\n" + fence + "bash\npython3 a.py\n" + fence), Status::correct);
  EXPECT_EQ(status_of(row, fence + "py\n" + kPythonSum), Status::correct);
  EXPECT_EQ(status_of(row, good + "\n" + fence + "python\nprint(0)\n" + fence), Status::wrong);
  EXPECT_EQ(status_of(row, fence + "Python3.11\n" + kPythonSum + "\n" + fence), Status::correct);
  const std::string listed = "1. Do:\n   " + fence + "python\n   if True:\n\n       " + kPythonSum + "\n   " + fence;
  EXPECT_EQ(status_of(row, listed), Status::correct);
  EXPECT_EQ(status_of(row, "   " + fence + "python\n" + kPythonSum + "\n   " + fence), Status::correct);
}

// ---- statuses

TEST(CodeIntegration, EveryStatus) {
  const Json row = inputs_row("python");
  EXPECT_EQ(status_of(row, "   \n"), Status::unparsable);
  EXPECT_EQ(status_of(row, "while True: pass", "timeout=1"), Status::timeout);
  EXPECT_EQ(status_of(row,
                      "import os, time\nfor i in range(8):\n  if os.fork() == 0:\n    a = b'a' * (30 << 20)\n    "
                      "time.sleep(60)\ntime.sleep(60)",
                      "timeout=60,memory_mb=128"),
            Status::memory);
  const Json calls = {{"tests", {{"fn_name", "f"}, {"inputs", {{1}}}, {"outputs", {2}}}}};
  EXPECT_EQ(status_of(calls, "class A:\n  def __eq__(self, o): return True\ndef f(x): return A()"), Status::hack);
  EXPECT_EQ(status_of({{"question", "no tests"}}, kPythonSum), Status::error);
  EXPECT_EQ(
      status_of({{"tests", {{"language", "cpp"}, {"fn_name", "f"}, {"inputs", {{1}}}, {"outputs", {1}}}}}, "int f;"),
      Status::error);
  const Json unplain = {{"tests", {{"assert_case", "assert f(lambda: 1) == 1"}}}};
  EXPECT_EQ(status_of(unplain, "def f(g): return g()"), Status::error);
}

TEST(CodeIntegration, LimitsAreTheOptions) {
  const Json row = {{"tests", {{"inputs", {""}}, {"outputs", {"done"}}}}};
  EXPECT_EQ(status_of(row, "import sys\nsys.stderr.write('a' * 30000)\nprint('done')"), Status::correct);
  EXPECT_EQ(status_of(row, "import sys\nsys.stderr.write('a' * 30000)\nprint('done')", "timeout=60,output_kb=16"),
            Status::wrong);
  const char* forks = "import os, time\nfor i in range(12):\n  if os.fork() == 0:\n    time.sleep(60)\nprint('done')";
  EXPECT_EQ(status_of(row, forks), Status::correct);
  EXPECT_EQ(status_of(row, forks, "timeout=60,processes=6"), Status::wrong);
}

// ---- compilers: the limit is of CPU seconds

/// 2^40 classes.
const char* const kCppBomb =
    "template <int N, long M> struct A { static const long v = A<N - 1, 2 * M>::v + A<N - 1, 2 * M + 1>::v; };\n"
    "template <long M> struct A<0, M> { static const long v = M; };\nint main() { return A<40, 1>::v; }";

/// A finally block is compiled once for each way out of its try: 2^40 times.
std::string java_bomb() {
  std::string body;
  for (int i = 0; i < 40; ++i) body = "try { System.out.println(1); } finally { " + body + " }";
  return "public class Main { public static void main(String[] x) { " + body + " } }";
}

TEST(CodeIntegration, ACompilersTimeIsTheProgramsDoing) {
  const Score cpp = score_code(inputs_row("cpp"), kCppBomb, "timeout=60,compile_timeout=2");
  EXPECT_EQ(cpp.status, Status::wrong) << cpp.reason;
  EXPECT_NE(cpp.reason.find("out of CPU time"), std::string::npos) << cpp.reason;
}

TEST(CodeIntegration, TheJavaCompilersTimeIsTheProgramsDoing) {
  SKIP_WITHOUT_JDK();
  status_of(inputs_row("java"), kJavaSum);  // the compiler is up
  const Score java = score_code(inputs_row("java"), java_bomb(), "timeout=60,compile_timeout=3");
  EXPECT_EQ(java.status, Status::wrong) << java.reason;
  EXPECT_NE(java.reason.find("out of CPU time"), std::string::npos) << java.reason;
  EXPECT_EQ(status_of(inputs_row("java"), kJavaSum), Status::correct);
}

/// It reads from a pipe into which nobody writes: no lack of processors, so no error.
TEST(CodeIntegration, ACompilerThatWaitsForWhatNeverComes) {
  for (const char* file : {"/dev/stderr", "/proc/1/fd/1"}) {
    const Score score = score_code(inputs_row("cpp"), std::string("#include \"") + file + "\"\n" + kCppSum,
                                   "timeout=60,compile_timeout=2");
    EXPECT_EQ(score.status, Status::wrong) << score.reason;
  }
}

// ---- ends of programs: exit code 0 and the right output, however it ended

TEST(CodeIntegration, AProgramMayLeaveWithZeroOnceItHasPrinted) {
  const auto python = [](const std::string& leave) {
    return "import os, sys\nprint(sum(map(int, input().split())), flush=True)\n" + leave;
  };
  const auto cpp = [](const std::string& leave) {
    return "#include <iostream>\n#include <unistd.h>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b << "
           "std::endl; " +
           leave + " }";
  };
  for (const char* leave : {"sys.exit(0)", "sys.exit()", "os._exit(0)"})
    EXPECT_EQ(status_of(inputs_row("python"), python(leave)), Status::correct) << leave;
  for (const char* leave : {"exit(0);", "_exit(0);", "std::quick_exit(0);"})
    EXPECT_EQ(status_of(inputs_row("cpp"), cpp(leave)), Status::correct) << leave;
  for (const char* leave : {"sys.exit(3)", "os._exit(3)", "os.abort()"})
    EXPECT_EQ(status_of(inputs_row("python"), python(leave)), Status::wrong) << leave;
  for (const char* leave : {"exit(3);", "_exit(3);", "abort();"})
    EXPECT_EQ(status_of(inputs_row("cpp"), cpp(leave)), Status::wrong) << leave;
}

TEST(CodeIntegration, AJavaProgramMayLeaveWithZeroOnceItHasPrinted) {
  SKIP_WITHOUT_JDK();
  const auto java = [](const std::string& leave) {
    return "import java.util.*;\npublic class Main { public static void main(String[] x) { Scanner in = new "
           "Scanner(System.in); System.out.println(in.nextInt() + in.nextInt()); " +
           leave + " } }";
  };
  for (const char* leave :
       {"System.exit(0);", "Runtime.getRuntime().halt(0);", "new Thread(() -> System.exit(0)).start(); while (true);"})
    EXPECT_EQ(status_of(inputs_row("java"), java(leave)), Status::correct) << leave;
  for (const char* leave : {"System.exit(3);", "Runtime.getRuntime().halt(3);", "throw new RuntimeException();"})
    EXPECT_EQ(status_of(inputs_row("java"), java(leave)), Status::wrong) << leave;
}

/// What never went to standard output is lost with the program.
TEST(CodeIntegration, OutputThatWasNeverFlushedIsNone) {
  EXPECT_EQ(status_of(inputs_row("python"), std::string(kPythonSum) + "\nimport os\nos._exit(0)"), Status::wrong);
  EXPECT_EQ(
      status_of(inputs_row("cpp"),
                "#include <iostream>\n#include <unistd.h>\nint main() { int a, b; std::cin >> a >> b; std::cout << "
                "a + b; _exit(0); }"),
      Status::wrong);
}

TEST(CodeIntegration, JavaOutputThatWasNeverFlushedIsNone) {
  SKIP_WITHOUT_JDK();
  EXPECT_EQ(
      status_of(inputs_row("java"),
                "import java.io.*;\nimport java.util.*;\npublic class Main { public static void main(String[] x) { "
                "Scanner in = new Scanner(System.in); PrintWriter out = new PrintWriter(System.out); "
                "out.println(in.nextInt() + in.nextInt()); Runtime.getRuntime().halt(0); } }"),
      Status::wrong);
}

/// Java: programs that need a larger stack start a thread and return from main.
TEST(CodeIntegration, AJavaProgramLastsAsLongAsItsThreads) {
  SKIP_WITHOUT_JDK();
  EXPECT_EQ(
      status_of(inputs_row("java"),
                "import java.util.*;\npublic class Main implements Runnable { public static void main(String[] x) { "
                "new Thread(null, new Main(), \"\", 1 << 28).start(); } public void run() { Scanner in = new "
                "Scanner(System.in); System.out.println(in.nextInt() + in.nextInt()); } }"),
      Status::correct);
}

/// Each test has its own time: one that loops does not take that of the others, and all of them end.
TEST(CodeIntegration, JavaTestsAreTimedOneByOne) {
  SKIP_WITHOUT_JDK();
  const std::string loops_on_1 =
      "import java.util.*;\npublic class Main { public static void main(String[] x) { Scanner in = new "
      "Scanner(System.in); int a = in.nextInt(); while (a == 1); System.out.println(a + in.nextInt()); } }";
  const Score score = score_code(inputs_row("java"), loops_on_1, "timeout=3");
  EXPECT_EQ(score.status, Status::partial) << score.reason;
  EXPECT_EQ(score.value, 0.5F) << score.reason;
  EXPECT_NE(score.reason.find("out of time"), std::string::npos) << score.reason;
}

TEST(CodeIntegration, BinaryStopsAtTheFirstTestThatFails) {
  const Score all = score_code(inputs_row("python"), kPythonSum, "timeout=60", "binary_code");
  EXPECT_EQ(all.status, Status::correct);
  EXPECT_EQ(all.value, 1.0F);
  const Score some = score_code(inputs_row("python"), "print(42)", "timeout=60", "binary_code");
  EXPECT_EQ(some.status, Status::wrong);
  EXPECT_EQ(some.value, 0.0F);
  EXPECT_NE(some.reason.find("test 1"), std::string::npos) << some.reason;
  EXPECT_EQ(score_code(inputs_row("python"), "print(42)").value, 0.5F);
}

TEST(CodeRewards, RefuseLimitsThatAreNone) {
  for (const char* options : {"memory_mb=0", "output_kb=-1", "processes=0", "compile_timeout=0", "compile_memory_mb=0"})
    EXPECT_THROW(make_reward(parse_reward(std::string("code:") + options)), UsageError) << options;
}

}  // namespace
}  // namespace cohort
