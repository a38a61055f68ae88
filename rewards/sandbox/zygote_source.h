// rewards/sandbox/zygote.py as the build found it.
#pragma once

namespace cohort::sandbox {

extern const char* const kZygoteSource;

}  // namespace cohort::sandbox
