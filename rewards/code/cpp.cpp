// C++: compiled once in a box, its binary run in a box for each test. A test that asserts is a program of its own, in a
// box of its own: what it expects never stands beside the program, whose macros, operators and exits do not reach it.
#include <unistd.h>

#include <map>
#include <mutex>

#include "configs/error.h"
#include "rewards/code/compare.h"
#include "rewards/code/cpp_source.h"
#include "rewards/code/run.h"
#include "rewards/code/signature.h"
#include "rewards/rules.h"

namespace cohort::code {
namespace {

using sandbox::Ended;
using sandbox::Program;
using sandbox::Sandbox;

const std::vector<std::string> kEnvironment = {"PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"};

struct Compiled {
  std::string binary;
  TestResult result;       // of compiling
  bool is_faulty = false;  // the compiler found errors
};

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string first_error(const std::string& messages) {
  const size_t at = messages.find("error:");
  if (at == std::string::npos) return excerpt(messages, 200);
  return excerpt(messages.substr(at, messages.find('\n', at) - at), 200);
}

/// A shell script that leaves the binary in /tmp/program; files follow from 3.
Compiled compile(Sandbox& sandbox, const std::string& script, std::vector<sandbox::File> files,
                 const sandbox::Limits& limits) {
  Program program{.argv = {"/bin/sh", "-c", "{ " + script + "; } 1>&2 && cat /tmp/program"},
                  .env = kEnvironment,
                  .input = "",
                  .files = std::move(files),
                  .limits = limits};
  program.limits.output_bytes = program.limits.disk_bytes = int64_t{256} << 20;
  Ended ended = sandbox.run(std::move(program));
  Compiled compiled{.binary = std::move(ended.out), .result = result_of(ended)};
  compiled.result.output_bytes = 0;
  if (ended.how != Ended::How::exited)
    compiled.result = result_of_compiling(ended, limits);
  else if (ended.code != 0)
    compiled.is_faulty = true,
    compiled.result = {.status = Status::wrong, .reason = "it does not compile: " + first_error(ended.err)};
  return compiled;
}

/// The standard library as a precompiled header first; as it stands where names then collide.
Compiled compile_program(Sandbox& sandbox, const std::string& text, const sandbox::Limits& limits) {
  const std::string gcc = "g++ -std=gnu++17 -O2 -w -s -o /tmp/program -x c++";
  Compiled compiled;
  for (const char* headers : {" -I/headers -include bits/stdc++.h", ""}) {
    std::vector<sandbox::File> files;
    files.push_back(sandbox::sealed_file(text));
    compiled = compile(sandbox, gcc + headers + " - <&3", std::move(files), limits);
    if (!compiled.is_faulty) break;
  }
  return compiled;
}

TestResult run_input(Sandbox& sandbox, const Suite& suite, size_t i, const std::string& binary,
                     const sandbox::Limits& limits) {
  Program program{.argv = {"program"},
                  .env = kEnvironment,
                  .input = text_of(suite.inputs[i]),
                  .files = {},
                  .program_file = 3,
                  .limits = limits};
  program.files.push_back(sandbox::sealed_file(binary));
  const Ended ended = sandbox.run(std::move(program));
  TestResult result = result_of(ended);
  if (result.status == Status::correct && !same_output(text_of(suite.outputs[i]), ended.out)) {
    result.status = Status::wrong;
    result.reason = "expected " + excerpt(text_of(suite.outputs[i])) + ", found " + excerpt(ended.out);
  }
  return result;
}

// ---- tests that assert

constexpr const char* kStandard = "#include <bits/stdc++.h>\n";

/// The wire behind its includes; boost::any where the task's declaration uses it.
std::string wire_for(const Suite& suite) {
  const bool has_any = suite.declaration.find("boost/any.hpp") != std::string::npos ||
                       suite.prompt.find("boost/any.hpp") != std::string::npos;
  return std::string(kStandard) + (has_any ? "#include <boost/any.hpp>\n" : "") + kRemoteHeader +
         "using namespace std;\n";
}

std::string joined(const std::vector<Parameter>& parameters, std::string Parameter::*part) {
  std::string text;
  for (const Parameter& parameter : parameters) text += (text.empty() ? "" : ", ") + parameter.*part;
  return text;
}

/// The test, with a function of the task's name that asks the program's box.
std::string test_text(const Suite& suite, const Signature& asked) {
  return wire_for(suite) + asked.head + "{ return cohort_remote::call<" + asked.result + ">(" +
         joined(asked.parameters, &Parameter::name) + "); }\n" + suite.test;
}

/// The program, with a main of ours behind it: what its macros do to that is its own loss.
std::string program_text(const Suite& suite, const Signature& asked, const std::string& program) {
  return wire_for(suite) + "#define main main_of_the_program\n#line 1 \"main.cpp\"\n" + program +
         "\n#undef main\nsigned main() { return cohort_remote::serve(static_cast<" + asked.result + " (*)(" +
         joined(asked.parameters, &Parameter::type) + ")>(&::" + asked.name + ")); }\n";
}

Compiled compile_unoptimized(Sandbox& sandbox, const std::string& text, const sandbox::Limits& limits) {
  std::vector<sandbox::File> files;
  files.push_back(sandbox::sealed_file(text));
  return compile(sandbox,
                 "g++ -std=gnu++17 -O1 -w -s -I/headers -o /tmp/program -x c++ - -Wl,--as-needed "
                 "$(ls /usr/lib/*/libcrypto.so >/dev/null 2>&1 && echo -lcrypto) <&3",
                 std::move(files), limits);
}

/// A task's completions share its test: the last few tests are kept compiled.
Compiled compiled_test(Sandbox& sandbox, const std::string& text, const sandbox::Limits& limits) {
  static std::mutex mutex;
  static std::map<std::string, Compiled> kept;
  constexpr size_t kMaxKept = 32;
  {
    const std::lock_guard lock(mutex);
    if (const auto found = kept.find(text); found != kept.end()) return found->second;
  }
  Compiled compiled = compile_unoptimized(sandbox, text, limits);
  if (compiled.result.status == Status::wrong) {  // the program has no part in this
    compiled.result.status = Status::error;
    compiled.result.reason = "the test: " + compiled.result.reason;
  }
  const std::lock_guard lock(mutex);
  if (kept.size() >= kMaxKept) kept.clear();
  if (compiled.result.status == Status::correct) kept[text] = compiled;
  return compiled;
}

Program binary_with(const std::string& binary, sandbox::File channel, const sandbox::Limits& limits) {
  Program program{
      .argv = {"program"}, .env = kEnvironment, .input = "", .files = {}, .program_file = 3, .limits = limits};
  program.files.push_back(sandbox::sealed_file(binary));
  program.files.push_back(std::move(channel));
  return program;
}

TestResult run_assertions(Sandbox& sandbox, const Suite& suite, const std::string& text, const Limits& limits) {
  const Signature asked = signature_of(suite.declaration.empty() ? suite.prompt : suite.declaration, 0);
  const Compiled test = compiled_test(sandbox, test_text(suite, asked), limits.compile);
  if (test.result.status != Status::correct) return test.result;
  const Compiled program = compile_unoptimized(sandbox, program_text(suite, asked, text), limits.compile);
  if (program.result.status != Status::correct) return program.result;
  auto [test_end, program_end] = sandbox::connected_sockets();
  std::vector<Program> both;
  both.push_back(binary_with(test.binary, std::move(test_end), limits.test));
  both.push_back(binary_with(program.binary, std::move(program_end), limits.test));
  return result_of_both(sandbox.run_together(std::move(both)));
}

}  // namespace

TestResult result_of_compiling(const Ended& ended, const sandbox::Limits& limits) {
  TestResult result = result_of(ended);
  if (ended.how == Ended::How::failed) return result;
  const bool lacked_processors = ended.how == Ended::How::timeout;
  const bool was_killed = ended.how == Ended::How::signalled;  // the program does not run yet: by the machine
  result.can_be_retried = lacked_processors || was_killed;
  result.status = result.can_be_retried ? Status::error : Status::wrong;
  result.reason = lacked_processors ? "the compiler got " + std::to_string(ended.cpu_seconds) + " of " +
                                          std::to_string(limits.cpu_seconds) + " CPU seconds in " +
                                          std::to_string(limits.wall_seconds) + " seconds: the machine is too busy"
                  : was_killed ? "the compiler was ended by signal " + std::to_string(ended.code)
                               : "it does not compile: the compiler: " + result.reason;
  return result;
}

std::vector<TestResult> run_cpp(Sandbox& sandbox, const Suite& suite, const std::string& program, const Limits& limits,
                                bool stop_early) {
  if (suite.form == Form::call) return {{.status = Status::error, .reason = "fn_name is there for Python alone"}};
  if (access(kGcc, X_OK) != 0)
    throw MissingError("C++ programs cannot be run: there is no " + std::string(kGcc) + ": apt-get install g++");
  if (suite.form == Form::assertions) return {run_assertions(sandbox, suite, program, limits)};
  const Compiled compiled = compile_program(sandbox, program, limits.compile);
  if (compiled.result.status != Status::correct) return {compiled.result};
  std::vector<TestResult> results;
  for (size_t i = 0; i < suite.inputs.size(); ++i) {
    results.push_back(run_input(sandbox, suite, i, compiled.binary, limits.test));
    if (stop_early && results.back().status != Status::correct) break;
  }
  return results;
}

}  // namespace cohort::code
