// Running a program on its tests, each in a box of its own.
#pragma once
#include "rewards/code/suite.h"
#include "rewards/sandbox/sandbox.h"

namespace cohort::code {

struct TestResult {
  Status status = Status::error;  // correct, wrong, timeout, memory, hack, error
  std::string reason;
  bool can_be_retried = false;  // an error of the sandbox, not of the tests
  double cpu_seconds = 0, wall_seconds = 0;
  int64_t peak_bytes = 0;
  int64_t output_bytes = 0;
};

constexpr const char* kGcc = "/usr/bin/g++";  // boxes see /usr
constexpr const char* kJavac = "/usr/bin/javac";
constexpr const char* kPython = "/usr/bin/python3";

struct Limits {
  sandbox::Limits test;
  sandbox::Limits compile;
};

/// One result for each test; with `stop_early` the tests after the first that is not correct are left out.
std::vector<TestResult> run_python(sandbox::Sandbox& sandbox, const Suite& suite, const std::string& program,
                                   const Limits& limits, bool stop_early);

std::vector<TestResult> run_cpp(sandbox::Sandbox& sandbox, const Suite& suite, const std::string& program,
                                const Limits& limits, bool stop_early);

std::vector<TestResult> run_java(sandbox::Sandbox& sandbox, const Suite& suite, const std::string& program,
                                 const Limits& limits, bool stop_early);

/// The one sandbox of the process for this interpreter, with what it and the compilers read; started at the first call.
std::shared_ptr<sandbox::Sandbox> sandbox_of(const std::string& python);

/// Of a test in one box that calls a program in the other, in this order.
TestResult result_of_both(const std::vector<sandbox::Ended>& ended);

/// A compiler that had no answer: out of CPU seconds, of memory or asleep for good it is the program's doing, and
/// wrong. Where the wall clock ended it before that, processors were lacking: an error, to be tried again.
TestResult result_of_compiling(const sandbox::Ended& ended, const sandbox::Limits& limits);

/// What the end of a box says about a test whose output nobody has looked at: correct when it exited with 0.
TestResult result_of(const sandbox::Ended& ended);

}  // namespace cohort::code
