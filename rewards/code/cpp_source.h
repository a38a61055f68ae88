// rewards/code/cpp/remote.h as the build found it.
#pragma once

namespace cohort::code {

extern const char* const kRemoteHeader;

}  // namespace cohort::code
