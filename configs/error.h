// The ways a command ends badly, told apart by exit code (cli contract): 1 the job failed (any other exception),
// 2 wrong usage or config, 3 something this machine or this version lacks, 130 interrupted.
// A message is one sentence: what was found, what was expected, where, what to do.
#pragma once
#include <stdexcept>
#include <string>

namespace cohort {

struct UsageError : std::runtime_error {  // exit code 2
  using std::runtime_error::runtime_error;
};

struct MissingError : std::runtime_error {  // exit code 3: the message names what is lacking and how to get it
  using std::runtime_error::runtime_error;
};

struct Interrupted : std::runtime_error {  // exit code 130: the message names the command that resumes
  using std::runtime_error::runtime_error;
};

}  // namespace cohort
