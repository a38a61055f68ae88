// Java: a resident compiler in a box, then one JVM for a program, with a fresh class loader for each test. A test that
// asserts runs in a box of its own, against a Solution that asks the program's box.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <mutex>
#include <optional>

#include "configs/error.h"
#include "rewards/code/compare.h"
#include "rewards/code/java_source.h"
#include "rewards/code/run.h"
#include "rewards/code/signature.h"
#include "rewards/rules.h"

namespace cohort::code {
namespace {

using sandbox::Ended;
using sandbox::File;
using sandbox::Program;
using sandbox::Sandbox;

const std::vector<std::string> kEnvironment = {"PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"};
// A box without /proc cannot tell the launcher where it lies, so that its libraries are named.
constexpr const char* kJava = "j=$(readlink -f /usr/bin/java); export LD_LIBRARY_PATH=${j%/bin/java}/lib; exec \"$j\"";
constexpr int kHack = 78;            // exit code of a test (Remote.java)
constexpr int kOutOfTime = 124;      // exit codes of Runner.java
constexpr int kTooMuchOutput = 125;  //
constexpr double kJvmStart = 5;      // wall seconds for a JVM to start, on a machine that is busy

// ---- numbers and texts as DataInputStream reads them

void put_number(std::string& bytes, size_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift);
}

void put_text(std::string& bytes, std::string_view text) {
  put_number(bytes, text.size());
  bytes += text;
}

/// Reads on from `at`; nullopt where the bytes end.
std::optional<size_t> take_number(std::string_view bytes, size_t& at) {
  if (bytes.size() < at + 4) return std::nullopt;
  size_t number = 0;
  for (int i = 0; i < 4; ++i) number = number << 8 | static_cast<unsigned char>(bytes[at++]);
  return number;
}

std::optional<std::string> take_text(std::string_view bytes, size_t& at) {
  const std::optional<size_t> length = take_number(bytes, at);
  if (!length || bytes.size() - at < *length) return std::nullopt;
  at += *length;
  return std::string(bytes.substr(at - *length, *length));
}

// ---- compiling

struct Source {
  std::string name, text;
};
using Unit = std::vector<Source>;

struct Compiled {
  std::vector<std::string> jars;    // one for each unit
  std::string messages;             // why not, where there are no jars
  std::optional<TestResult> fault;  // the compiler had no answer
};

std::string request_of(const std::vector<Unit>& units) {
  std::string request;
  put_number(request, units.size());
  for (const Unit& unit : units) {
    put_number(request, unit.size());
    for (const Source& source : unit) put_text(request, source.name), put_text(request, source.text);
  }
  return request;
}

/// nullopt while the answer is not whole.
std::optional<Compiled> answer_from(const std::string& bytes) {
  size_t at = 0;
  const std::optional<size_t> count = take_number(bytes, at);
  if (!count) return std::nullopt;
  Compiled compiled;
  if (*count == 0) {
    const auto messages = take_text(bytes, at);
    if (!messages) return std::nullopt;
    compiled.messages = *messages;
  }
  for (size_t i = 0; i < *count; ++i) {
    const auto jar = take_text(bytes, at);
    if (!jar) return std::nullopt;
    compiled.jars.push_back(*jar);
  }
  return compiled;
}

/// The resident compilers of a sandbox, one for each program that is compiled at once.
class Compilers {
 public:
  Compiled compile(Sandbox& sandbox, const std::vector<Unit>& units, const sandbox::Limits& limits) {
    constexpr int kTries = 2;  // a compiler that is killed has done nothing; a program that ends two of them has
    Ended ended;
    for (int tries = 0; tries < kTries;) {
      std::unique_ptr<sandbox::Resident> compiler = idle_one();
      const bool was_idle = compiler != nullptr;
      if (!compiler) compiler = start(sandbox, limits);
      ended = compiler->ask(
          request_of(units), [](const std::string& bytes) { return answer_from(bytes).has_value(); }, limits);
      if (ended.how == Ended::How::failed) {
        tries += !was_idle;  // it may have ended while nobody asked
        continue;
      }
      if (ended.how != Ended::How::exited) break;  // this one is given up
      const std::lock_guard lock(mutex_);
      idle_.push_back(std::move(compiler));
      return *answer_from(ended.out);
    }
    return {.fault = fault_of(sandbox, ended, limits)};
  }

 private:
  static TestResult fault_of(Sandbox& sandbox, const Ended& ended, const sandbox::Limits& limits) {
    if (ended.how != Ended::How::failed) return result_of_compiling(ended, limits);
    if (sandbox.revive())
      return {.status = Status::error, .reason = "the sandbox ended while it compiled", .can_be_retried = true};
    return {.status = Status::wrong, .reason = "it does not compile: the compiler ends on it"};
  }

  std::unique_ptr<sandbox::Resident> idle_one() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return nullptr;
    std::unique_ptr<sandbox::Resident> one = std::move(idle_.back());
    idle_.pop_back();
    return one;
  }

  static std::unique_ptr<sandbox::Resident> start(Sandbox& sandbox, const sandbox::Limits& limits) {
    Program program{.argv = {"/bin/sh", "-c",
                             "cat > /tmp/Compiler.java <<'END'\n" + std::string(kCompilerSource) + "\nEND\n" + kJava +
                                 " -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss16m -Xmx" +
                                 std::to_string(limits.memory_bytes >> 20) + "m /tmp/Compiler.java"},
                    .env = kEnvironment,
                    .input = "",
                    .files = {},
                    .limits = limits};
    program.limits.bound_addresses = false;
    program.limits.wall_seconds = 1e6, program.limits.cpu_seconds = 0;  // it stays: limits are those of each question
    return std::make_unique<sandbox::Resident>(sandbox, std::move(program));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<sandbox::Resident>> idle_;
};

Compilers& compilers_of(const Sandbox& sandbox) {
  static std::mutex mutex;
  static std::map<const Sandbox*, Compilers> all;
  const std::lock_guard lock(mutex);
  return all[&sandbox];
}

TestResult not_compiled(const Compiled& compiled) {
  if (compiled.fault) return *compiled.fault;
  return {.status = Status::wrong, .reason = "it does not compile: " + excerpt(compiled.messages, 200)};
}

/// What is not the program's own text did not compile.
TestResult harness_fault(const Compiled& compiled, const std::string& what) {
  TestResult result = not_compiled(compiled);
  result.status = Status::error, result.reason = what + ": " + result.reason;
  return result;
}

/// Runner and Remote, compiled once.
Compiled harness_of(Sandbox& sandbox, const sandbox::Limits& limits) {
  static std::mutex mutex;
  static Compiled kept;
  const std::lock_guard lock(mutex);
  if (kept.jars.empty())
    kept = compilers_of(sandbox).compile(sandbox, {{{"Runner.java", kRunnerSource}, {"Remote.java", kRemoteSource}}},
                                         limits);
  return kept;
}

// ---- running

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string contents(const File& file) {
  std::string text(static_cast<size_t>(lseek(file.number(), 0, SEEK_END)), '\0');
  const ssize_t got = pread(file.number(), text.data(), text.size(), 0);
  text.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return text;
}

struct Answer {
  bool begun = false, ended = false, threw = false;
  std::string output;
};

std::vector<Answer> answers_from(const std::string& bytes, size_t num_tests) {
  std::vector<Answer> answers(num_tests);
  for (size_t at = 0; bytes.size() >= at + 5;) {
    const size_t test = *take_number(bytes, at);
    const char what = bytes[at++];
    const auto output = take_text(bytes, at);
    if (test >= num_tests || !output) break;  // written by the program itself: what came before stands
    Answer& answer = answers[test];
    answer.begun = true, answer.threw |= what == 't';
    answer.ended |= what == 'e' || what == 't';
    answer.output += *output;
  }
  return answers;
}

/// Files 3 and 4 are jars, which the box's own /tmp then holds; 5 and 6 become standard input and output.
Program java_program(const std::string& arguments, const std::string& jar, const std::string& harness, File in,
                     File out, const sandbox::Limits& limits) {
  const std::string flags = " -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -XX:-UsePerfData -Xss64m -Xmx" +
                            std::to_string(limits.memory_bytes * 3 / 4 >> 20) +
                            "m -XX:+DisableAttachMechanism -Doutput=" + std::to_string(limits.output_bytes) + " ";
  Program program{.argv = {"/bin/sh", "-c",
                           "cat <&3 >/tmp/program.jar; cat <&4 >/tmp/harness.jar; " + std::string(kJava) + flags +
                               arguments + " <&5 >&6 3<&- 4<&- 5<&- 6<&-"},
                  .env = kEnvironment,
                  .input = "",
                  .files = {},
                  .limits = limits};
  program.limits.bound_addresses = false;
  program.files.push_back(sandbox::sealed_file(jar));
  program.files.push_back(sandbox::sealed_file(harness));
  program.files.push_back(std::move(in));
  program.files.push_back(std::move(out));
  return program;
}

/// A program may leave by System.exit(0) or Runtime.halt(0), as one in C++ by exit(0) and in Python by os._exit(0):
/// what it has printed by then is its output, and judges accept it. Any other code, and output that it never gave to
/// System.out, count as in those languages.
TestResult judged(const Answer& answer, const std::string& expected, const Ended& ended) {
  TestResult result = result_of(ended);
  if (answer.ended) result.status = answer.threw ? Status::wrong : Status::correct;
  if (answer.ended && answer.threw) result.reason = "an exception: " + excerpt(ended.err, 200);
  if (!answer.ended && ended.how == Ended::How::exited && ended.code == kOutOfTime)
    result.status = Status::timeout, result.reason = "out of time";
  if (!answer.ended && ended.how == Ended::How::exited && ended.code == kTooMuchOutput)
    result.status = Status::wrong, result.reason = "too much output";
  if (!answer.begun && result.status == Status::correct)
    result.status = Status::wrong, result.reason = "it ended before its first test";
  if (result.status == Status::correct && !same_output(expected, answer.output)) {
    result.status = Status::wrong;
    result.reason = "expected " + excerpt(expected) + ", found " + excerpt(answer.output);
  }
  return result;
}

/// The JVM ends a test that is out of time; one that keeps it from doing so has then taken the time of all tests.
std::vector<TestResult> run_inputs(Sandbox& sandbox, const Suite& suite, const std::string& runner,
                                   const std::string& jar, const sandbox::Limits& limits, bool stop_early) {
  const std::string arguments = "-Dmilliseconds=" + std::to_string(static_cast<int64_t>(limits.wall_seconds * 1000)) +
                                " -cp /tmp/harness.jar Runner /tmp/program.jar ";
  std::string inputs;
  put_number(inputs, suite.inputs.size());
  for (const Json& input : suite.inputs) put_text(inputs, text_of(input));
  std::vector<TestResult> results;
  while (results.size() < suite.inputs.size()) {
    const size_t first = results.size();
    const File file(memfd_create("answers", MFD_CLOEXEC));
    sandbox::Limits whole = limits;
    whole.wall_seconds = kJvmStart + limits.wall_seconds * static_cast<double>(suite.inputs.size() - first);
    const Ended ended = sandbox.run(java_program(arguments + std::to_string(first), jar, runner,
                                                 sandbox::sealed_file(inputs), File(dup(file.number())), whole));
    const std::vector<Answer> answers = answers_from(contents(file), suite.inputs.size());
    const bool is_last = ended.how == Ended::How::timeout;
    for (size_t i = first; i < answers.size() && (i == first || answers[i].begun || is_last); ++i) {
      results.push_back(judged(answers[i], text_of(suite.outputs[i]), ended));
      if (stop_early && results.back().status != Status::correct) return results;
    }
  }
  return results;
}

// ---- tests that assert

std::string imports_of(std::string_view text) {
  std::string imports;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (trim(line).starts_with("import ")) imports += std::string(trim(line)) + "\n";
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return imports;
}

/// A Solution whose method asks the program's box.
std::string stub_text(const Signature& asked) {
  std::string arguments = "\"" + asked.name + "\"";
  for (const Parameter& parameter : asked.parameters) arguments += ", (Object) " + parameter.name;
  const std::string call = "Remote.call(" + arguments + ")";
  return asked.head + "{ " + (asked.result == "void" ? call : "return (" + asked.result + ") " + call) + "; }\n}\n";
}

TestResult run_assertions(Sandbox& sandbox, const Suite& suite, const std::string& program, const Limits& limits,
                          const std::string& harness) {
  const Signature asked = signature_of(suite.declaration.empty() ? suite.prompt : suite.declaration, 1);
  const std::string imports = imports_of(suite.prompt);
  const Compiled test = compilers_of(sandbox).compile(
      sandbox,
      {{{"Remote.java", kRemoteSource}, {"Runner.java", kRunnerSource}},
       {{"Solution.java", imports_of(asked.head).empty() ? imports + stub_text(asked) : stub_text(asked)},
        {"Main.java", imports + suite.test}}},
      limits.compile);
  if (test.jars.empty()) return harness_fault(test, "the test");
  const Compiled compiled =
      compilers_of(sandbox).compile(sandbox, {{{"Solution.java", imports + program}}}, limits.compile);
  if (compiled.jars.empty()) return not_compiled(compiled);
  auto [test_end, program_end] = sandbox::connected_sockets();
  std::vector<Program> both;
  File test_out(dup(test_end.number())), program_out(dup(program_end.number()));
  both.push_back(java_program("-cp /tmp/program.jar:/tmp/harness.jar Main", test.jars[1], harness, std::move(test_end),
                              std::move(test_out), limits.test));
  both.push_back(java_program("-cp /tmp/harness.jar Remote /tmp/program.jar", compiled.jars[0], harness,
                              std::move(program_end), std::move(program_out), limits.test));
  const std::vector<Ended> ended = sandbox.run_together(std::move(both));
  TestResult result = result_of_both(ended);
  if (ended[0].how == Ended::How::exited && ended[0].code == kHack)
    result.status = Status::hack,
    result.reason = "an object that equals whatever it is compared with: " + excerpt(ended[0].err);
  return result;
}

}  // namespace

std::vector<TestResult> run_java(Sandbox& sandbox, const Suite& suite, const std::string& program, const Limits& limits,
                                 bool stop_early) {
  if (suite.form == Form::call) return {{.status = Status::error, .reason = "fn_name is there for Python alone"}};
  if (access(kJavac, X_OK) != 0)
    throw MissingError("Java programs cannot be run: there is no " + std::string(kJavac) +
                       ": apt-get install default-jdk-headless");
  const Compiled harness = harness_of(sandbox, limits.compile);
  if (harness.jars.empty()) return {harness_fault(harness, "the Java harness")};
  if (suite.form == Form::assertions) return {run_assertions(sandbox, suite, program, limits, harness.jars[0])};
  const Compiled compiled = compilers_of(sandbox).compile(sandbox, {{{"Main.java", program}}}, limits.compile);
  if (compiled.jars.empty()) return {not_compiled(compiled)};
  return run_inputs(sandbox, suite, harness.jars[0], compiled.jars[0], limits.test, stop_early);
}

}  // namespace cohort::code
