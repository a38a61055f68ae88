#include "tasks/parquet.h"

#include <dlfcn.h>

#include <filesystem>

#include "configs/error.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

using Read = decltype(&cohort_parquet_read);

struct Library {
  Read read = nullptr;
  std::string error;  // of a library that is there and does not load
};

/// It stays open.
Library open_library(const std::vector<fs::path>& folders) {
  std::error_code none;
  Library library;
  for (const fs::path& folder : folders) {
    const fs::path file = folder / "libcohort_parquet.so";
    if (!fs::exists(file, none)) continue;
    void* opened = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    library.read = opened ? reinterpret_cast<Read>(dlsym(opened, "cohort_parquet_read")) : nullptr;
    if (library.read) return library;
    if (const char* why = dlerror()) library.error = why;
  }
  return library;
}

constexpr const char* kRemedy =
    "make arrow (it fetches the Python package pyarrow, whose libraries these are), then make build";

}  // namespace

std::vector<fs::path> beside_program() {
  std::error_code none;
  const fs::path folder = fs::read_symlink("/proc/self/exe", none).parent_path();
  return {folder, folder / "../lib"};
}

std::string read_parquet(const std::string& path, const std::vector<fs::path>& folders) {
  const Library library = open_library(folders);
  if (!library.read)
    throw MissingError(path + ": parquet files are read by Apache Arrow, which is not here" +
                       (library.error.empty() ? "" : " (" + library.error + ")") + ": " + kRemedy +
                       "; or convert the file to JSON lines (.jsonl)");
  std::string rows;
  char error[512] = "";
  const auto take = [](void* context, const char* text, int64_t size) {
    static_cast<std::string*>(context)->append(text, size_t(size));
  };
  if (library.read(path.c_str(), &rows, take, error, sizeof error) != 0) throw UsageError(path + ": " + error);
  return rows;
}

Finding examine_parquet(const std::vector<fs::path>& folders) {
  const Library library = open_library(folders);
  Finding finding{"parquet"};
  finding.found = "Apache Arrow";
  if (library.read) return finding;
  finding.status = Finding::Status::degraded;
  finding.found = library.error.empty() ? "libcohort_parquet.so is not beside this program" : library.error;
  finding.lost = ".parquet files of tasks and rows cannot be read";
  finding.remedy = kRemedy;
  return finding;
}

}  // namespace cohort
