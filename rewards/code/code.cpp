// The rewards `code` (share of the tests that pass) and `binary_code` (all of them): a completion's program in boxes.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <thread>

#include "configs/error.h"
#include "rewards/code/headers.h"
#include "rewards/code/run.h"
#include "rewards/rules.h"

namespace cohort {
namespace code {

namespace fs = std::filesystem;

/// Where an interpreter outside /usr has its libraries, a virtual environment also those of what it was made from.
static std::vector<sandbox::Readable> folders_of(const std::string& python) {
  std::vector<sandbox::Readable> folders;
  for (const fs::path& path : {fs::path(python), fs::weakly_canonical(python)}) {
    const fs::path folder = path.parent_path().parent_path();
    const bool is_new = folders.empty() || folders.back().source != folder;
    if (!path.string().starts_with("/usr/") && fs::is_directory(folder) && is_new) folders.push_back({folder, folder});
  }
  return folders;
}

std::shared_ptr<sandbox::Sandbox> sandbox_of(const std::string& python) {
  static std::mutex starts;
  static std::map<std::string, std::shared_ptr<sandbox::Sandbox>> started;
  const std::lock_guard lock(starts);
  std::shared_ptr<sandbox::Sandbox>& one = started[python];
  if (!one) {
    sandbox::SandboxOptions options{.readable = folders_of(python), .python = python};
    if (const std::string headers = precompiled_headers(); !headers.empty())
      options.readable.push_back({headers, "/headers"});
    one = std::make_shared<sandbox::Sandbox>(std::move(options));
    if (const std::string& weaker = one->isolation().reason; !weaker.empty())
      std::fprintf(stderr, "code rewards: the sandbox is weaker here: %s\n", weaker.c_str());
  }
  return one;
}

}  // namespace code

namespace {

constexpr int64_t kMebibyte = int64_t{1} << 20;
constexpr double kWallForCpu =
    6;  // a compiler gets so many wall seconds for each CPU second, on a machine that is busy

struct CodeOptions {
  code::Limits limits;
  bool has_timeout = false;
  std::string python;
  bool binary = false;
};

Score as_score(const std::vector<code::TestResult>& results, size_t num_tests, bool binary) {
  const auto count = [&](Status status) {
    return std::ranges::count_if(results, [&](const code::TestResult& r) { return r.status == status; });
  };
  const auto first_fault =
      std::ranges::find_if(results, [](const code::TestResult& r) { return r.status != Status::correct; });
  if (count(Status::error) > 0)
    return no_score(std::ranges::find(results, Status::error, &code::TestResult::status)->reason);
  if (count(Status::hack) > 0)
    return {.value = 0.0F,
            .status = Status::hack,
            .reason = std::ranges::find(results, Status::hack, &code::TestResult::status)->reason};
  const size_t passed = static_cast<size_t>(count(Status::correct));
  if (passed == num_tests) return verdict(true, std::to_string(passed) + " of " + std::to_string(num_tests) + " tests");
  const std::string reason = std::to_string(passed) + " of " + std::to_string(num_tests) + " tests; test " +
                             std::to_string(first_fault - results.begin() + 1) + ": " + first_fault->reason;
  const double share = binary ? 0.0 : static_cast<double>(passed) / static_cast<double>(num_tests);
  Score score = graded(share, 0, 1, reason);
  if (passed == 0 || binary) score.status = first_fault->status;  // timeout and memory keep their names
  return score;
}

Score judge(const CodeOptions& options, const Judged& judged, Deadline deadline) {
  const code::Suite suite = code::suite_of(*judged.task);
  const std::string program = code::program_of(judged.completion, suite);
  if (trim(program).empty()) return unparsable("there is no program in the completion");
  code::Limits limits = options.limits;
  if (!options.has_timeout) limits.test.wall_seconds = deadline.per_completion.count();
  const std::shared_ptr<sandbox::Sandbox> sandbox = code::sandbox_of(options.python);
  const auto run = suite.language == code::Language::python ? code::run_python
                   : suite.language == code::Language::cpp  ? code::run_cpp
                                                            : code::run_java;
  const size_t num_tests = suite.form == code::Form::assertions ? 1 : suite.inputs.size();
  constexpr int kTries = 3;
  for (int tries = 1;; ++tries) {
    const std::vector<code::TestResult> results = run(*sandbox, suite, program, limits, options.binary);
    if (tries == kTries || !std::ranges::any_of(results, &code::TestResult::can_be_retried))
      return as_score(results, num_tests, options.binary);
    if (!sandbox->revive()) std::this_thread::sleep_for(tries * std::chrono::milliseconds(200));  // it may be dying
  }
}

/// What is lacking, in the row or on the machine, is named in its score.
Score judge_or_name(const CodeOptions& options, const Judged& judged, Deadline deadline) {
  if (!judged.task) return no_score("no task to judge against");
  try {
    return judge(options, judged, deadline);
  } catch (const UsageError& error) {
    return no_score(error.what());
  } catch (const MissingError& error) {
    return no_score(error.what());
  } catch (const std::exception& error) {
    return no_score("the verifier failed: " + excerpt(error.what(), 200));
  }
}

RewardFn make(const Json& json, bool binary) {
  CodeOptions options{.has_timeout = json.at("timeout").get<double>() > 0,
                      .python = json.at("python").get<std::string>(),
                      .binary = binary};
  const auto positive = [&](const char* name) {
    const double value = json.at(name).get<double>();
    if (!(value > 0)) throw UsageError(std::string("reward code: ") + name + " must be above 0");
    return value;
  };
  sandbox::Limits& test = options.limits.test;
  if (options.has_timeout) test.wall_seconds = positive("timeout");
  test.memory_bytes = static_cast<int64_t>(positive("memory_mb")) * kMebibyte;
  test.output_bytes = static_cast<int64_t>(positive("output_kb")) * 1024;
  test.processes = static_cast<int>(positive("processes"));
  options.limits.compile.cpu_seconds = positive("compile_timeout");
  options.limits.compile.wall_seconds = kWallForCpu * options.limits.compile.cpu_seconds;
  options.limits.compile.memory_bytes = static_cast<int64_t>(positive("compile_memory_mb")) * kMebibyte;
  code::sandbox_of(options.python);  // a machine that cannot isolate refuses before any work
  return [options](std::span<const Judged> batch, Deadline deadline) {
    std::vector<Score> scores;
    for (const Judged& judged : batch) scores.push_back(judge_or_name(options, judged, deadline));
    return scores;
  };
}

}  // namespace

RewardFn make_code(const Json& options) {
  return make(options, false);
}

RewardFn make_binary_code(const Json& options) {
  return make(options, true);
}

}  // namespace cohort
