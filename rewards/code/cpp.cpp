// C++: compiled once in a box, its binary run in a box for each test. A test that asserts is a unit of its own, compiled
// against the declaration alone, so that no macro, operator or type of the program reaches into it; whoever passes a
// falsified test too has not been tested.
#include <algorithm>

#include "rewards/code/compare.h"
#include "rewards/code/run.h"
#include "rewards/rules.h"

namespace cohort::code {
namespace {

using sandbox::Ended;
using sandbox::Program;
using sandbox::Sandbox;

const std::vector<std::string> kEnvironment = {"PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"};

struct Compiled {
  std::string binary;
  TestResult result;  // of compiling
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
  if (compiled.result.status != Status::correct && compiled.result.status != Status::error)
    compiled.result = {.status = Status::wrong, .reason = "it does not compile: " + first_error(ended.err)};
  return compiled;
}

/// The standard library as a precompiled header first; as it stands where names then collide.
Compiled compile_program(Sandbox& sandbox, const std::string& text, const sandbox::Limits& limits) {
  const std::string gcc = "g++ -std=gnu++17 -O2 -pipe -w -s -o /tmp/program -x c++";
  Compiled compiled;
  for (const char* headers : {" -I/headers -include bits/stdc++.h", ""}) {
    std::vector<sandbox::File> files;
    files.push_back(sandbox::sealed_file(text));
    compiled = compile(sandbox, gcc + headers + " - <&3", std::move(files), limits);
    if (compiled.result.status != Status::wrong) break;
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

/// Includes and signature end in the brace that opens the program's function.
std::string declaration_of(const Suite& suite) {
  std::string text = suite.declaration.empty() ? suite.prompt : suite.declaration;
  const size_t brace = text.find_last_not_of(" \t\r\n");
  if (brace != std::string::npos && text[brace] == '{') text.replace(brace, 1, ";");
  return text;
}

/// Behind every include of assert.h: the assertion says the contrary.
std::string falsified(std::string test) {
  const std::string contrary =
      "\n#undef assert\n#define assert(...) (static_cast<bool>(__VA_ARGS__) ? __builtin_abort() : void(0))\n";
  for (const char* header : {"assert.h>", "cassert>"})
    for (size_t at = test.find(header); at != std::string::npos; at = test.find(header, at + 1))
      test.insert(std::min(test.find('\n', at), test.size()), contrary);
  return test;
}

TestResult run_assertions(Sandbox& sandbox, const Suite& suite, const std::string& text, const Limits& limits) {
  const std::string standard = "#include <bits/stdc++.h>\nusing namespace std;\n";
  const auto build = [&](const std::string& test) {
    std::vector<sandbox::File> files;
    files.push_back(sandbox::sealed_file(standard + declaration_of(suite) + "\n" + test));
    files.push_back(sandbox::sealed_file(standard + text));
    // The test's own copies of helper functions win over the program's.
    const std::string gcc = "g++ -std=gnu++17 -O1 -pipe -w -I/headers -x c++ -c";
    return compile(sandbox,
                   gcc + " -o /tmp/test.o - <&3 && " + gcc + " -o /tmp/main.o - <&4 && g++ -s -o /tmp/program " +
                       "/tmp/test.o /tmp/main.o -Wl,--allow-multiple-definition -lcrypto 2>/tmp/link || " +
                       "g++ -s -o /tmp/program /tmp/test.o /tmp/main.o -Wl,--allow-multiple-definition",
                   std::move(files), limits.compile);
  };
  const auto run = [&](const std::string& binary) {
    Program program{.argv = {"program"}, .env = kEnvironment, .input = "", .files = {}, .program_file = 3,
                    .limits = limits.test};
    program.files.push_back(sandbox::sealed_file(binary));
    return result_of(sandbox.run(std::move(program)));
  };
  const Compiled compiled = build(suite.test);
  if (compiled.result.status != Status::correct) return compiled.result;
  const TestResult result = run(compiled.binary);
  if (result.status != Status::correct) return result;
  const Compiled contrary = build(falsified(suite.test));
  if (contrary.result.status != Status::correct) return contrary.result;
  TestResult canary = run(contrary.binary);
  if (canary.status != Status::correct) return result;
  canary.status = Status::hack;
  canary.reason = "a falsified test passes too";
  return canary;
}

}  // namespace

std::vector<TestResult> run_cpp(Sandbox& sandbox, const Suite& suite, const std::string& program, const Limits& limits,
                                bool stop_early) {
  if (suite.form == Form::call) return {{.status = Status::error, .reason = "fn_name is there for Python alone"}};
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
