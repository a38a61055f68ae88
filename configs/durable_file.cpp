#include "configs/durable_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "configs/error.h"

namespace cohort {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kUnfinished = ".unfinished-";  // in every temporary name
constexpr size_t kChunk = 1 << 20;                        // bytes read at once

[[noreturn]] void fail(const std::string& what, const fs::path& path, int error = errno) {
  throw std::runtime_error(what + " " + path.string() + ": " + std::generic_category().message(error));
}

/// An open file, closed at the end of its scope.
struct OpenFile {
  OpenFile(const fs::path& path, int flags) : fd(open(path.c_str(), flags | O_CLOEXEC, 0666)) {
    if (fd < 0) fail("cannot open", path);
  }
  ~OpenFile() { close(fd); }
  OpenFile(const OpenFile&) = delete;
  int fd;
};

/// Something to be removed unless it was renamed away.
struct Unfinished {
  explicit Unfinished(fs::path path) : path(std::move(path)) {}
  ~Unfinished() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  Unfinished(const Unfinished&) = delete;
  fs::path path;
};

fs::path unfinished_name(const fs::path& path) {
  static std::atomic<int> counter{0};
  return path.parent_path() / ("." + path.filename().string() + std::string(kUnfinished) + std::to_string(getpid()) +
                               "-" + std::to_string(counter++));
}

void write_all(int fd, std::string_view bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("cannot write", path);
    bytes.remove_prefix(written);
  }
}

void sync_file(int fd, const fs::path& path) {
  const bool cannot_be_synced =
      fsync(fd) != 0 && errno != EINVAL && errno != EROFS;  // a pipe, some file systems' folders
  if (cannot_be_synced) fail("cannot sync", path);
}

void sync_path(const fs::path& path) {
  const OpenFile file(path, O_RDONLY);
  sync_file(file.fd, path);
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

/// The folder's files and folders, then itself.
void sync_tree(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (!entry.is_symlink() && (entry.is_directory() || entry.is_regular_file())) sync_path(entry.path());
  sync_path(folder);
}

/// Puts `from` in the place of `to`; a folder there ends up under the name `from`.
void swap_in(const fs::path& from, const fs::path& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return;
  if (errno != ENOTEMPTY && errno != EEXIST) fail("cannot rename to", to);
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) return;
  const Unfinished former(unfinished_name(to));  // a file system without exchange: a moment without either name
  fs::rename(to, former.path);
  fs::rename(from, to);
}

void write_in_place(const fs::path& path, std::string_view bytes) {
  const OpenFile file(path, O_WRONLY);
  write_all(file.fd, bytes, path);
}

}  // namespace

DurableFile::DurableFile(const fs::path& path) {
  std::error_code none;
  path_ = fs::is_symlink(path, none) ? fs::weakly_canonical(path) : path;
  unfinished_ = unfinished_name(path_);
  file_ = open(unfinished_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file_ < 0) fail("cannot open", path_);
}

DurableFile::~DurableFile() {
  if (file_ < 0) return;
  close(file_);
  unlink(unfinished_.c_str());
}

void DurableFile::write(std::string_view bytes) {
  write_all(file_, bytes, path_);
}

void DurableFile::write(std::span<const std::byte> bytes) {
  write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void DurableFile::commit() {
  sync_file(file_, path_);
  if (rename(unfinished_.c_str(), path_.c_str()) != 0) fail("cannot rename to", path_);
  close(std::exchange(file_, -1));
  sync_path(folder_of(path_));
}

void write_durably(const fs::path& path, std::string_view bytes) {
  std::error_code none;
  const fs::file_status status = fs::status(path, none);
  if (fs::exists(status) && !fs::is_regular_file(status)) return write_in_place(path, bytes);
  DurableFile file(path);
  file.write(bytes);
  file.commit();
}

void write_folder_durably(const fs::path& path, const std::function<void(const fs::path&)>& fill) {
  const fs::path target = path.has_filename() ? path : path.parent_path();  // "a/b/" is "a/b"
  const Unfinished unfinished(unfinished_name(target));
  if (mkdir(unfinished.path.c_str(), 0777) != 0) fail("cannot make", unfinished.path);
  fill(unfinished.path);
  sync_tree(unfinished.path);
  swap_in(unfinished.path, target);
  sync_path(folder_of(target));
}

int remove_unfinished(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".") && name.find(kUnfinished) != name.npos) found.push_back(entry.path());
  }
  for (const fs::path& path : found) fs::remove_all(path);
  return static_cast<int>(found.size());
}

void make_writable_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw UsageError("the folder " + folder.string() + " cannot be made: " + error.message());
  if (!fs::is_directory(folder)) throw UsageError(folder.string() + " is a file, expected a folder");
  const Unfinished probe(unfinished_name(folder / "probe"));
  const int fd = open(probe.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0)
    throw UsageError("the folder " + folder.string() +
                     " cannot be written to: " + std::generic_category().message(errno));
  close(fd);
}

void expect_writable_file(const std::filesystem::path& path) {
  std::error_code none;
  if (std::filesystem::is_directory(path, none))
    throw UsageError(path.string() + " is a folder, expected a file to write");
  if (path.has_parent_path()) make_writable_folder(path.parent_path());
}

// ---- DurableLog

DurableLog::DurableLog(fs::path path, Sync sync) : path_(std::move(path)), sync_(sync) {
  file_ = open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file_ < 0) fail("cannot open", path_);
  keep_first(INT64_MAX);
  sync_path(folder_of(path_));
}

DurableLog::~DurableLog() {
  if (file_ >= 0) close(file_);
}

DurableLog::DurableLog(DurableLog&& other) noexcept
    : path_(std::move(other.path_)),
      sync_(other.sync_),
      file_(std::exchange(other.file_, -1)),
      size_(other.size_),
      num_lines_(other.num_lines_) {}

void DurableLog::append(std::string_view line) {
  const std::string whole = std::string(line) + "\n";
  try {
    write_all(file_, whole, path_);
  } catch (...) {
    if (ftruncate(file_, size_) != 0) fail("cannot cut off half a line of", path_);
    throw;
  }
  size_ += static_cast<int64_t>(whole.size());
  ++num_lines_;
  if (sync_ == Sync::each_line) this->sync();
}

void DurableLog::sync() {
  sync_file(file_, path_);
}

void DurableLog::keep_first(int64_t num_lines) {
  std::vector<char> chunk(kChunk);
  int64_t read_up_to = 0;
  size_ = num_lines_ = 0;
  while (num_lines_ < num_lines) {
    const ssize_t got = pread(file_, chunk.data(), chunk.size(), read_up_to);
    if (got < 0) fail("cannot read", path_);
    if (got == 0) break;
    for (ssize_t i = 0; i < got && num_lines_ < num_lines; ++i) {
      if (chunk[i] != '\n') continue;
      size_ = read_up_to + i + 1;
      ++num_lines_;
    }
    read_up_to += got;
  }
  if (ftruncate(file_, size_) != 0) fail("cannot cut", path_);
}

// ---- RunLock

namespace {

/// Whether the locked file still has its name: its former holder may have removed it before letting go.
bool is_current(int fd, const fs::path& path) {
  struct stat held {
  }, named{};
  return fstat(fd, &held) == 0 && stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
         held.st_dev == named.st_dev;
}

std::string holder(int fd) {
  char pid[32] = {};
  return pread(fd, pid, sizeof pid - 1, 0) > 0 ? "process " + std::string(pid) : "another process";
}

}  // namespace

RunLock::RunLock(const fs::path& folder) : path_(folder / ".lock") {
  while (file_ < 0) {
    const int fd = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
      throw UsageError("the folder " + folder.string() +
                       " cannot be locked: " + std::generic_category().message(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const std::string who = holder(fd);
      close(fd);
      throw UsageError(folder.string() + " is in use by " + who + ": wait for it to end, or choose another --out");
    }
    if (is_current(fd, path_))
      file_ = fd;
    else
      close(fd);
  }
  const std::string pid = std::to_string(getpid());
  const bool named = ftruncate(file_, 0) == 0 && pwrite(file_, pid.data(), pid.size(), 0) > 0;
  static_cast<void>(named);  // the lock holds without its holder's name
}

RunLock::~RunLock() {
  unlink(path_.c_str());
  close(file_);
}

// ---- CRC-32C, eight bytes a turn

namespace {

using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  constexpr uint32_t kPolynomial = 0x82F63B78;  // Castagnoli, bit-reversed
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (uint32_t byte = 0; byte < 256; ++byte)
    for (int k = 1; k < 8; ++k) tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xFF];
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

uint32_t crc32c(std::string_view bytes, uint32_t former) {
  uint32_t crc = ~former;
  const char* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    word ^= crc;
    crc = 0;
    for (int k = 0; k < 8; ++k) crc ^= kTables[7 - k][(word >> (8 * k)) & 0xFF];
  }
  for (; left > 0; ++at, --left) crc = (crc >> 8) ^ kTables[0][(crc ^ static_cast<uint8_t>(*at)) & 0xFF];
  return ~crc;
}

uint32_t file_crc32c(const fs::path& path) {
  const OpenFile file(path, O_RDONLY);
  std::vector<char> chunk(kChunk);
  uint32_t crc = 0;
  while (true) {
    const ssize_t got = read(file.fd, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot read", path);
    if (got == 0) return crc;
    crc = crc32c({chunk.data(), static_cast<size_t>(got)}, crc);
  }
}

}  // namespace cohort
