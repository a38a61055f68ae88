#include "configs/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "configs/error.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMost = size_t{256} << 20, kPiece = size_t{1} << 20;  // bytes

struct Descriptor {
  int value = -1;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

[[noreturn]] void refuse(const fs::path& path, const std::string& what) {
  throw UsageError(path.string() + ": " + what);
}

void expect_readable_kind(const fs::path& path, int file, Pipes pipes) {
  struct stat status {};
  if (::fstat(file, &status) != 0) refuse(path, std::string("cannot be read: ") + std::strerror(errno));
  if (S_ISDIR(status.st_mode)) refuse(path, "is a folder, expected a file");
  const bool is_stream = S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) || S_ISCHR(status.st_mode);
  if (!S_ISREG(status.st_mode) && !(is_stream && pipes == Pipes::read)) refuse(path, "is not a regular file");
}

}  // namespace

bool is_there(const fs::path& path) {
  std::error_code failed;
  return fs::symlink_status(path, failed).type() != fs::file_type::not_found;
}

std::string read_file(const fs::path& path, Pipes pipes) {
  // O_NONBLOCK: a named pipe in place of a file must not hang us.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | (pipes == Pipes::refused ? O_NONBLOCK : 0))};
  if (file.value < 0) refuse(path, std::string("cannot be opened: ") + std::strerror(errno));
  expect_readable_kind(path, file.value, pipes);
  std::string text;
  for (size_t filled = 0;;) {
    text.resize(filled + kPiece);
    const ssize_t count = ::read(file.value, text.data() + filled, kPiece);
    if (count < 0 && errno != EINTR) refuse(path, std::string("cannot be read: ") + std::strerror(errno));
    if (count > 0) filled += size_t(count);
    if (filled > kMost)
      refuse(path, "has more than " + std::to_string(kMost) + " bytes, more than such a file may have");
    if (count != 0) continue;
    text.resize(filled);
    return text;
  }
}

}  // namespace cohort
