// The files of rewards/code/java as the build found them.
#pragma once

namespace cohort::code {

extern const char* const kCompilerSource;
extern const char* const kRunnerSource;
extern const char* const kRemoteSource;

}  // namespace cohort::code
