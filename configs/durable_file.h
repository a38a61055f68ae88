// Files that are whole or absent, whatever stops the program: written under a temporary name in the same folder,
// synced, renamed, and the folder synced. Goals: kill -9, a full disk and a power cut leave the former content or the
// new one. Non-goals: several writers of one file (RunLock keeps them apart), speed of many small files.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace cohort {

/// Replaces the file by `bytes`. What is no regular file (a pipe, /dev/null) is written in place; a link is followed.
/// Throws std::runtime_error naming the path and the cause; the former content then still stands.
void write_durably(const std::filesystem::path& path, std::string_view bytes);

/// The same in pieces: `path` has its new content from commit() on; without it the former content stays.
/// A link is followed. Every failure throws std::runtime_error naming the path and the cause.
class DurableFile {
 public:
  explicit DurableFile(const std::filesystem::path& path);
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  void write(std::string_view bytes);
  void write(std::span<const std::byte> bytes);
  void commit();

 private:
  std::filesystem::path path_, unfinished_;  // links followed
  int file_ = -1;
};

/// Builds a folder with `fill`, which writes into the empty folder it is given, syncs all of it and renames it to
/// `path`; a folder of that name is replaced. When `fill` throws, nothing is left and the exception passes on.
void write_folder_durably(const std::filesystem::path& path,
                          const std::function<void(const std::filesystem::path& unfinished)>& fill);

/// Removes what writers that were killed left unfinished directly in `folder`; returns how many names that were.
int remove_unfinished(const std::filesystem::path& folder);

/// Makes the folder and those above it. Throws UsageError when it cannot be made or written to.
void make_writable_folder(const std::filesystem::path& folder);

/// For a file that is to be written once the work is done: throws UsageError naming it when it is a folder or cannot be
/// made where it is to lie; the folders above it are made.
void expect_writable_file(const std::filesystem::path& path);

/// Lines appended to a file, each whole or absent. A last line without its end, left by a crash, is cut off on opening.
class DurableLog {
 public:
  enum class Sync { each_line, when_asked };  // against a power cut; a killed process loses no line either way

  explicit DurableLog(std::filesystem::path path, Sync sync = Sync::when_asked);
  ~DurableLog();
  DurableLog(DurableLog&& other) noexcept;
  DurableLog& operator=(DurableLog&&) = delete;

  void append(std::string_view line);  // without the newline; throws std::runtime_error when it cannot be written whole
  void sync();                         // to the disk
  void keep_first(int64_t num_lines);  // cuts off the lines after those, as a resumed run does
  int64_t num_lines() const { return num_lines_; }

 private:
  std::filesystem::path path_;
  Sync sync_;
  int file_ = -1;
  int64_t size_ = 0;  // bytes, up to the end of the last whole line
  int64_t num_lines_ = 0;
};

/// Keeps a second run out of a folder for as long as it lives; a run that died holds nothing.
/// Throws UsageError naming the folder and the process when another holds it.
class RunLock {
 public:
  explicit RunLock(const std::filesystem::path& folder);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  std::filesystem::path path_;
  int file_ = -1;
};

/// CRC-32C (Castagnoli, RFC 3720 B.4) of the bytes; pass the former result to go on.
uint32_t crc32c(std::string_view bytes, uint32_t former = 0);
uint32_t file_crc32c(const std::filesystem::path& path);

}  // namespace cohort
