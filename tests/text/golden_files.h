// Reads the files under tests/text/golden.
#pragma once
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

namespace cohort {

inline std::filesystem::path golden_path(const std::string& name) {
  return std::filesystem::path(COHORT_SOURCE_DIR) / "tests/text/golden" / name;
}

inline nlohmann::ordered_json read_golden(const std::string& name) {
  std::ifstream in(golden_path(name));
  if (!in) throw std::runtime_error("no golden file " + name);
  return nlohmann::ordered_json::parse(in);
}

/// A folder of its own for one test, emptied first.
inline std::filesystem::path test_folder(const std::string& name) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("cohort_text_" + name + "_" + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

}  // namespace cohort
