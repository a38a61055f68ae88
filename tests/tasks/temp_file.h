// A file that lives as long as its test.
#pragma once
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace cohort {

class TempFile {
 public:
  TempFile(std::string_view name, std::string_view bytes) {
    std::string folder = (std::filesystem::temp_directory_path() / "cohort_tasks_XXXXXX").string();
    folder_ = ::mkdtemp(folder.data());
    path_ = (folder_ / name).string();
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  ~TempFile() { std::filesystem::remove_all(folder_); }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  const std::string& path() const { return path_; }
  std::string folder() const { return folder_.string(); }

 private:
  std::filesystem::path folder_;
  std::string path_;
};

/// The message of the E that `action` throws; a failed test when it throws none.
#define MESSAGE_OF(E, action)                         \
  [&]() -> std::string {                              \
    try {                                             \
      action;                                         \
    } catch (const E& error) {                        \
      return error.what();                            \
    }                                                 \
    ADD_FAILURE() << "expected " #E " from " #action; \
    return "";                                        \
  }()

}  // namespace cohort
