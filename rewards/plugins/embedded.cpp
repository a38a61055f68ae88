#include "rewards/plugins/embedded.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

// The bytes of the two files as they are; the build names them and builds this file anew when they change.
#define COHORT_EMBED(name, file)     \
  asm(".section .rodata\n"           \
      ".balign 16\n" #name           \
      "_begin:\n"                    \
      ".incbin \"" file "\"\n" #name \
      "_end:\n"                      \
      ".byte 0\n"                    \
      ".previous\n");                \
  extern "C" const char name##_begin[], name##_end[]

COHORT_EMBED(cohort_python_worker, COHORT_PYTHON_WORKER);
COHORT_EMBED(cohort_library_host, COHORT_LIBRARY_HOST);

namespace cohort {
namespace {

std::string_view between(const char* begin, const char* end) {
  return {begin, size_t(end - begin)};
}

int program_of(std::string_view bytes) {
  const int low = memfd_create("library_host", MFD_CLOEXEC);
  const int file = fcntl(low, F_DUPFD_CLOEXEC, 10);  // above those a worker is given, which would overwrite it
  close(low);
  if (file < 0) throw std::runtime_error(std::string("memfd_create: ") + std::strerror(errno));
  for (size_t written = 0; written < bytes.size();) {
    const ssize_t count = write(file, bytes.data() + written, bytes.size() - written);
    if (count < 0)
      throw std::runtime_error(std::string("no memory for the host of libraries: ") + std::strerror(errno));
    written += size_t(count);
  }
  return file;
}

}  // namespace

std::string_view python_worker_script() {
  return between(cohort_python_worker_begin, cohort_python_worker_end);
}

int library_host_program() {
  static const int program = program_of(between(cohort_library_host_begin, cohort_library_host_end));
  return program;
}

}  // namespace cohort
