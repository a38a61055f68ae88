// rewards/code/java/Compiler.java and Runner.java as the build found them.
#pragma once

namespace cohort::code {

extern const char* const kCompilerSource;
extern const char* const kRunnerSource;

}  // namespace cohort::code
