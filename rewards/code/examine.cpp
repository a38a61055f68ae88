#include "rewards/code/examine.h"

#include <unistd.h>

#include "rewards/code/headers.h"
#include "rewards/code/run.h"

namespace cohort {
namespace {

using Status = Finding::Status;

Finding check_sandbox() {
  const sandbox::Isolation there = sandbox::probe();
  Finding finding{"sandbox"};
  if (!there.namespaces) {
    finding.status = Status::missing;
    finding.found = there.reason;
    finding.lost = "code rewards and /run_code cannot run programs";
    finding.remedy = "what the lines above name";
    return finding;
  }
  finding.found = "namespaces, system-call filter";
  if (there.watched) finding.found += ", memory of all processes of a program";
  if (there.fresh_proc) finding.found += ", a /proc of its own";
  if (there.reason.empty()) return finding;
  finding.status = Status::degraded;
  finding.lost = there.reason;
  return finding;
}

Finding check_program(const char* name, const char* path, const char* language, const char* package) {
  Finding finding{name};
  finding.found = path;
  if (access(path, X_OK) == 0) return finding;
  finding.status = Status::missing;
  finding.found = std::string("no ") + path;
  finding.lost = std::string("code rewards cannot judge ") + language;
  finding.remedy = std::string("as root: apt-get install ") + package;
  return finding;
}

Finding check_gcc() {
  Finding finding = check_program("g++", code::kGcc, "C++", "g++");
  if (finding.status == Status::ok)
    finding.found += code::has_precompiled_headers() ? ", its standard library precompiled"
                                                     : ", its standard library to be precompiled by the first program";
  return finding;
}

}  // namespace

std::vector<Finding> examine_code_rewards() {
  return {check_sandbox(), check_gcc(), check_program("javac", code::kJavac, "Java", "default-jdk-headless"),
          check_program("python3", code::kPython, "Python", "python3")};
}

}  // namespace cohort
