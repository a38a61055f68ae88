// Java: a resident compiler in a box, then one JVM for a program, with a fresh class loader for each test.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <mutex>
#include <optional>

#include "rewards/code/compare.h"
#include "rewards/code/java_source.h"
#include "rewards/code/run.h"
#include "rewards/rules.h"

namespace cohort::code {
namespace {

using sandbox::Ended;
using sandbox::File;
using sandbox::Program;
using sandbox::Sandbox;

const std::vector<std::string> kEnvironment = {"PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"};
constexpr const char* kJava = "/usr/bin/java";

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
struct Unit {
  std::string classes, jar;  // names by line; classes.jar
};
struct Compiled {
  std::vector<Unit> units;
  std::string messages;  // why not, where there are no units
};

std::string request_of(const std::vector<std::vector<Source>>& units) {
  std::string request;
  put_number(request, units.size());
  for (const std::vector<Source>& unit : units) {
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
    const auto classes = take_text(bytes, at), jar = classes ? take_text(bytes, at) : std::nullopt;
    if (!jar) return std::nullopt;
    compiled.units.push_back({*classes, *jar});
  }
  return compiled;
}

/// The resident compilers of a sandbox, one for each program that is compiled at once.
class Compilers {
 public:
  /// nullopt when the compiler is out of time or memory.
  std::optional<Compiled> compile(Sandbox& sandbox, const std::vector<std::vector<Source>>& units,
                                  const sandbox::Limits& limits) {
    std::unique_ptr<sandbox::Resident> compiler = idle_one();
    if (!compiler) compiler = start(sandbox, limits);
    const auto answer = compiler->ask(
        request_of(units), [](const std::string& bytes) { return answer_from(bytes).has_value(); },
        limits.wall_seconds);
    if (!answer) return std::nullopt;  // this one is given up
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(compiler));
    return answer_from(*answer);
  }

 private:
  std::unique_ptr<sandbox::Resident> idle_one() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return nullptr;
    std::unique_ptr<sandbox::Resident> one = std::move(idle_.back());
    idle_.pop_back();
    return one;
  }

  static std::unique_ptr<sandbox::Resident> start(Sandbox& sandbox, const sandbox::Limits& limits) {
    Program program{.argv = {"/bin/sh", "-c",
                             "cat > /tmp/Compiler.java <<'END'\n" + std::string(kCompilerSource) +
                                 "\nEND\nexec " + kJava + " -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss16m -Xmx" +
                                 std::to_string(limits.memory_bytes >> 20) + "m /tmp/Compiler.java"},
                    .env = kEnvironment,
                    .input = "",
                    .files = {},
                    .limits = limits};
    program.limits.bound_addresses = false;
    program.limits.wall_seconds = 1e6;
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

/// The runner's jar, compiled once.
std::optional<std::string> runner_jar(Sandbox& sandbox, const sandbox::Limits& limits) {
  static std::mutex mutex;
  static std::string jar;
  const std::lock_guard lock(mutex);
  if (!jar.empty()) return jar;
  const auto compiled = compilers_of(sandbox).compile(sandbox, {{{"Runner.java", kRunnerSource}}}, limits);
  if (!compiled || compiled->units.empty()) return std::nullopt;
  return jar = compiled->units[0].jar;
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
  bool begun = false, ended = false, exited = false, threw = false;
  std::string output;
};

std::vector<Answer> answers_from(const std::string& bytes, size_t num_tests) {
  std::vector<Answer> answers(num_tests);
  for (size_t at = 0; bytes.size() >= at + 6;) {
    const size_t test = *take_number(bytes, at);
    const char what = bytes[at++];
    const bool threw = bytes[at++] != 0;
    const auto output = take_text(bytes, at);
    if (test >= num_tests || !output) break;  // written by the program itself: what came before stands
    Answer& answer = answers[test];
    answer.begun = true, answer.threw |= threw;
    answer.ended |= what == 'e', answer.exited |= what == 'x' && !answer.ended;
    if (what != 'b') answer.output = *output;
  }
  return answers;
}

std::vector<std::string> java_flags(const sandbox::Limits& limits) {
  return {kJava, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:-UsePerfData", "-Xss64m",
          "-Xmx" + std::to_string(limits.memory_bytes * 3 / 4 >> 20) + "m", "-XX:+DisableAttachMechanism",
          "-Doutput=" + std::to_string(limits.output_bytes)};
}

/// All tests from `first` on in one JVM, until one ends it.
Ended run_from(Sandbox& sandbox, size_t first, const std::string& runner, const std::string& jar,
               const std::string& inputs, const File& answers, const sandbox::Limits& limits) {
  Program program{.argv = java_flags(limits), .env = kEnvironment, .input = "", .files = {}, .limits = limits};
  program.argv.insert(program.argv.end(), {"-cp", "/proc/self/fd/6", "Runner", std::to_string(first)});
  program.limits.bound_addresses = false;
  program.files.push_back(sandbox::sealed_file(jar));
  program.files.push_back(sandbox::sealed_file(inputs));
  program.files.push_back(File(dup(answers.number())));
  program.files.push_back(sandbox::sealed_file(runner));
  return sandbox.run(std::move(program));
}

TestResult judged(const Answer& answer, const std::string& expected, const Ended& ended) {
  TestResult result = result_of(ended);
  if (answer.ended) result.status = answer.threw ? Status::wrong : Status::correct;
  if (answer.ended && answer.threw) result.reason = "an exception: " + excerpt(ended.err, 200);
  if (!answer.ended && !answer.exited && result.status == Status::correct)
    result.status = Status::wrong, result.reason = "it ended without an answer";
  if (result.status == Status::correct && !same_output(expected, answer.output)) {
    result.status = Status::wrong;
    result.reason = "expected " + excerpt(expected) + ", found " + excerpt(answer.output);
  }
  return result;
}

std::vector<TestResult> run_inputs(Sandbox& sandbox, const Suite& suite, const std::string& runner,
                                   const std::string& jar, const sandbox::Limits& limits, bool stop_early) {
  std::string inputs;
  put_number(inputs, suite.inputs.size());
  for (const Json& input : suite.inputs) put_text(inputs, text_of(input));
  std::vector<TestResult> results;
  while (results.size() < suite.inputs.size()) {
    const size_t first = results.size();
    const File file(memfd_create("answers", MFD_CLOEXEC));
    sandbox::Limits whole = limits;
    whole.wall_seconds *= static_cast<double>(suite.inputs.size() - first);
    const Ended ended = run_from(sandbox, first, runner, jar, inputs, file, whole);
    const std::vector<Answer> answers = answers_from(contents(file), suite.inputs.size());
    for (size_t i = first; i < answers.size() && (i == first || answers[i].begun); ++i) {
      results.push_back(judged(answers[i], text_of(suite.outputs[i]), ended));
      if (stop_early && results.back().status != Status::correct) return results;
    }
  }
  return results;
}

// ---- tests that assert

/// `throw new AssertionError` under the contrary condition.
std::string falsified(std::string test) {
  for (size_t at = test.find("throw new AssertionError"); at != std::string::npos;
       at = test.find("throw new AssertionError", at + 1)) {
    const size_t condition = test.rfind("if (", at);
    if (condition == std::string::npos) continue;
    size_t close = condition + 4;
    for (int depth = 1; close < at && depth > 0; ++close) depth += test[close] == '(' ? 1 : test[close] == ')' ? -1 : 0;
    test.insert(close - 1, ")");
    test.insert(condition + 4, "!(");
    at += 3;
  }
  return test;
}

std::string imports_of(std::string_view text) {
  std::string imports;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (trim(line).starts_with("import ")) imports += std::string(trim(line)) + "\n";
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return imports;
}

/// A class of the program that the test would take for another: "Arrays", "AssertionError", "Main".
std::string hijacker(const std::string& classes, const std::string& test) {
  std::string_view rest = classes;
  while (!rest.empty()) {
    const std::string_view name = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (name == "Solution" || name.find('$') != std::string_view::npos) continue;
    for (size_t at = test.find(name); at != std::string::npos; at = test.find(name, at + 1)) {
      const auto is_letter = [&](size_t i) { return i < test.size() && (std::isalnum(static_cast<unsigned char>(test[i])) || test[i] == '_'); };
      if (!(at > 0 && is_letter(at - 1)) && !is_letter(at + name.size())) return std::string(name);
    }
  }
  return {};
}

TestResult not_compiled(const std::optional<Compiled>& compiled) {
  if (!compiled) return {.status = Status::wrong, .reason = "it does not compile in time"};
  return {.status = Status::wrong, .reason = "it does not compile: " + excerpt(compiled->messages, 200)};
}

TestResult run_assertions(Sandbox& sandbox, const Suite& suite, const std::string& program, const Limits& limits) {
  const std::string imports = imports_of(suite.prompt);
  const auto run = [&](const std::string& test) -> TestResult {
    const auto compiled = compilers_of(sandbox).compile(
        sandbox, {{{"Solution.java", imports + program}}, {{"Main.java", imports + test}}}, limits.compile);
    if (!compiled || compiled->units.size() != 2) return not_compiled(compiled);
    if (const std::string name = hijacker(compiled->units[0].classes, test); !name.empty())
      return {.status = Status::hack, .reason = "the program declares a class " + name + " of the test"};
    Program both{.argv = java_flags(limits.test), .env = kEnvironment, .input = "", .files = {}, .limits = limits.test};
    both.argv.insert(both.argv.end(), {"-cp", "/proc/self/fd/3:/proc/self/fd/4", "Main"});
    both.limits.bound_addresses = false;
    both.files.push_back(sandbox::sealed_file(compiled->units[1].jar));
    both.files.push_back(sandbox::sealed_file(compiled->units[0].jar));
    return result_of(sandbox.run(std::move(both)));
  };
  const TestResult result = run(suite.test);
  if (result.status != Status::correct) return result;
  TestResult canary = run(falsified(suite.test));
  if (canary.status != Status::correct) return result;
  canary.status = Status::hack;
  canary.reason = "a falsified test passes too";
  return canary;
}

}  // namespace

std::vector<TestResult> run_java(Sandbox& sandbox, const Suite& suite, const std::string& program, const Limits& limits,
                                 bool stop_early) {
  if (suite.form == Form::call) return {{.status = Status::error, .reason = "fn_name is there for Python alone"}};
  if (suite.form == Form::assertions) return {run_assertions(sandbox, suite, program, limits)};
  const std::optional<std::string> runner = runner_jar(sandbox, limits.compile);
  if (!runner) return {{.status = Status::error, .reason = "there is no Java compiler: apt-get install default-jdk-headless"}};
  const auto compiled = compilers_of(sandbox).compile(sandbox, {{{"Main.java", program}}}, limits.compile);
  if (!compiled || compiled->units.empty()) return {not_compiled(compiled)};
  return run_inputs(sandbox, suite, *runner, compiled->units[0].jar, limits.test, stop_early);
}

}  // namespace cohort::code
