// Python: a program's input, or its calls, go to a box each; a test that asserts runs in a box of its own and calls the
// program in another, so that what it expects never stands beside the program.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rewards/code/compare.h"
#include "rewards/code/run.h"
#include "rewards/rules.h"

namespace cohort::code {
namespace {

using sandbox::Ended;
using sandbox::File;
using sandbox::Program;
using sandbox::Sandbox;

constexpr int kNotPlain = 77;  // exit codes of the role "check" of zygote.py
constexpr int kHack = 78;

Program program_in(const std::string& role, const std::string& text, const sandbox::Limits& limits) {
  Program program;
  program.role = role;
  program.env = {"PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"};
  program.limits = limits;
  program.files.push_back(sandbox::sealed_file(text));
  return program;
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

TestResult run_input(Sandbox& sandbox, const Suite& suite, size_t i, const std::string& text,
                     const sandbox::Limits& limits) {
  Program program = program_in("script", text, limits);
  program.input = text_of(suite.inputs[i]);
  const Ended ended = sandbox.run(std::move(program));
  TestResult result = result_of(ended);
  if (result.status == Status::correct && !same_output(text_of(suite.outputs[i]), ended.out)) {
    result.status = Status::wrong;
    result.reason = "expected " + excerpt(text_of(suite.outputs[i])) + ", found " + excerpt(ended.out);
  }
  return result;
}

std::string contents(const File& file) {
  std::string text(static_cast<size_t>(lseek(file.number(), 0, SEEK_END)), '\0');
  const ssize_t got = pread(file.number(), text.data(), text.size(), 0);
  text.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return text;
}

TestResult run_call(Sandbox& sandbox, const Suite& suite, size_t i, const std::string& text,
                    const sandbox::Limits& limits) {
  Json arguments = suite.inputs[i], expected = suite.outputs[i];
  if (arguments.is_string() && expected.is_string())
    expected = Json::parse(expected.get<std::string>(), nullptr, false);
  if (arguments.is_string()) {  // LiveCodeBench: one JSON value a line
    Json lines = Json::array();
    std::string_view rest = arguments.get_ref<const std::string&>();
    while (!trim(rest).empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      lines.push_back(Json::parse(rest.substr(0, end), nullptr, false));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    arguments = lines;
  }
  if (!arguments.is_array()) arguments = Json::array({arguments});
  const File answer(memfd_create("answer", MFD_CLOEXEC));
  Program program = program_in("call", text, limits);
  program.files.push_back(sandbox::sealed_file(Json{{"name", suite.function}, {"arguments", arguments}}.dump()));
  program.files.push_back(File(dup(answer.number())));
  TestResult result = result_of(sandbox.run(std::move(program)));
  if (result.status != Status::correct) return result;
  const Json found = parse_untrusted(contents(answer));
  if (found.is_array() && !found.empty() && found[0] == "hack") {
    result.status = Status::hack, result.reason = "an object that equals whatever it is compared with";
    return result;
  }
  const bool wrapped = expected.is_array() && expected.size() == 1 && same_value(expected[0], found);  // APPS: [value]
  if (!found.is_discarded() && (same_value(expected, found) || wrapped)) return result;
  result.status = Status::wrong;
  result.reason =
      "expected " + excerpt(expected.dump()) + ", found " + excerpt(found.is_discarded() ? "nothing" : found.dump());
  return result;
}

std::string last_line(std::string_view text) {
  text = trim(text);
  const size_t line = text.rfind('\n');
  return std::string(line == std::string_view::npos ? text : text.substr(line + 1));
}

TestResult run_assertions(Sandbox& sandbox, const Suite& suite, const std::string& text,
                          const sandbox::Limits& limits) {
  auto [test_end, program_end] = sandbox::connected_sockets();
  std::vector<Program> both;
  both.push_back(program_in("check", suite.test, limits));
  both[0].files.push_back(std::move(test_end));
  both[0].files.push_back(sandbox::sealed_file(suite.prompt));
  both.push_back(program_in("serve", text, limits));
  both[1].files.push_back(std::move(program_end));
  const std::vector<Ended> ended = sandbox.run_together(std::move(both));
  TestResult result = result_of_both(ended);
  const int code = ended[0].how == Ended::How::exited ? ended[0].code : 0;
  if (code == kNotPlain)
    result.status = Status::error,
    result.reason = "the test cannot run apart from the program: " + last_line(ended[0].err);
  if (code == kHack)
    result.status = Status::hack,
    result.reason = "an object that equals whatever it is compared with: " + last_line(ended[0].err);
  return result;
}

}  // namespace

TestResult result_of(const Ended& ended) {
  TestResult result{.reason = "",
                    .cpu_seconds = ended.cpu_seconds,
                    .wall_seconds = ended.wall_seconds,
                    .peak_bytes = ended.peak_bytes,
                    .output_bytes = static_cast<int64_t>(ended.out.size() + ended.err.size())};
  switch (ended.how) {
    case Ended::How::failed:
      result.status = Status::error, result.reason = "the sandbox failed: " + ended.reason;
      result.can_be_retried = true;
      break;
    case Ended::How::timeout:
      result.status = Status::timeout, result.reason = "out of time";
      break;
    case Ended::How::cpu:
      result.status = Status::timeout, result.reason = "out of CPU time";
      break;
    case Ended::How::asleep:
      result.status = Status::timeout, result.reason = "it waits for what never comes";
      break;
    case Ended::How::memory:
      result.status = Status::memory, result.reason = "out of memory";
      break;
    case Ended::How::output:
      result.status = Status::wrong, result.reason = "too much output";
      break;
    case Ended::How::signalled:
      result.status = Status::wrong, result.reason = "ended by signal " + std::to_string(ended.code);
      break;
    case Ended::How::exited:
      result.status = ended.code == 0 ? Status::correct : Status::wrong;
      if (ended.code != 0)
        result.reason = "exit code " + std::to_string(ended.code) + ": " + excerpt(last_line(ended.err), 200);
  }
  return result;
}

TestResult result_of_both(const std::vector<Ended>& ended) {
  TestResult result = result_of(ended[0]);
  const TestResult program = result_of(ended[1]);
  const bool was_ended = ended[1].how == Ended::How::signalled && ended[1].code == SIGKILL;  // as the test was over
  if (result.status == Status::wrong && program.status != Status::correct && !was_ended) result = program;
  result.cpu_seconds = ended[0].cpu_seconds + ended[1].cpu_seconds;
  result.peak_bytes = std::max(ended[0].peak_bytes, ended[1].peak_bytes);
  return result;
}

std::vector<TestResult> run_python(Sandbox& sandbox, const Suite& suite, const std::string& program,
                                   const Limits& limits, bool stop_early) {
  if (suite.form == Form::assertions)
    return {run_assertions(sandbox, suite, suite.setup.empty() ? program : program + "\n" + suite.setup, limits.test)};
  std::vector<TestResult> results;
  for (size_t i = 0; i < suite.inputs.size(); ++i) {
    results.push_back(suite.form == Form::call ? run_call(sandbox, suite, i, program, limits.test)
                                               : run_input(sandbox, suite, i, program, limits.test));
    if (stop_early && results.back().status != Status::correct) break;
  }
  return results;
}

}  // namespace cohort::code
