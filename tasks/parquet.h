// Parquet files through Apache Arrow: a shared library beside the program (libcohort_parquet.so), built where Arrow is
// and opened when the first .parquet file is read, so that the program neither links nor needs Arrow.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "configs/commands.h"

namespace cohort {

std::vector<std::filesystem::path> beside_program();

/// The rows of the file as JSON lines, as a .jsonl of them would read. Throws UsageError naming a file that is broken
/// or holds what JSON has no form for, MissingError where the library is in none of these folders: beside the program,
/// as in a build folder, or in ../lib, where it is installed.
std::string read_parquet(const std::string& path, const std::vector<std::filesystem::path>& folders = beside_program());

/// For `doctor`.
Finding examine_parquet(const std::vector<std::filesystem::path>& folders = beside_program());

}  // namespace cohort

extern "C" {
/// Gives `take` the rows as text, piece after piece. 0, or 1 and why in `error` (at most `size` bytes with the final
/// 0).
int32_t cohort_parquet_read(const char* path, void* context,
                            void (*take)(void* context, const char* text, int64_t size), char* error, int64_t size);
}
