// What the tests of policy/files share: golden files, whole-tensor values, bits and temporary files.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "policy/files/dequantize.h"

namespace cohort {

inline std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(COHORT_SOURCE_DIR) / "tests/files/golden" / name;
}

inline std::vector<float> values_of(const TensorView* tensor) {
  if (!tensor) throw std::logic_error("the golden file lacks a tensor");
  std::vector<float> values(static_cast<size_t>(tensor->num_elements()));
  dequantize(*tensor, values);
  return values;
}

template <class T>
std::vector<T> stored(const TensorView* tensor) {
  if (!tensor) throw std::logic_error("the golden file lacks a tensor");
  std::vector<T> values(tensor->bytes.size() / sizeof(T));
  std::memcpy(values.data(), tensor->bytes.data(), tensor->bytes.size());
  return values;
}

inline std::vector<uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<uint32_t> bits(values.size());
  if (!bits.empty()) std::memcpy(bits.data(), values.data(), bits.size() * sizeof(float));
  return bits;
}

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_text(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

/// A folder of its own for each test, removed afterwards.
class FilesTest : public testing::Test {
 protected:
  FilesTest()
      : folder(std::filesystem::temp_directory_path() /
               ("cohort-files-" + std::to_string(::getpid()) + "-" +
                testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(folder);
  }
  ~FilesTest() override { std::filesystem::remove_all(folder); }

  std::filesystem::path folder;
};

}  // namespace cohort
