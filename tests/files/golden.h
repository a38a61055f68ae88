// What the tests of policy/files share: golden files, whole-tensor values, bits and temporary files.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
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

/// Sum of (i + 1) * bits_i modulo 2^64, as the generator script takes it.
inline uint64_t checksum(const std::vector<float>& values) {
  uint64_t sum = 0;
  for (size_t i = 0; i < values.size(); ++i) sum += (i + 1) * std::bit_cast<uint32_t>(values[i]);
  return sum;
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

/// In memory where there is such a place: the attack tests write thousands of files.
inline std::filesystem::path scratch_folder() {
  return std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path();
}

/// A folder of its own for each test, removed afterwards.
class FilesTest : public testing::Test {
 protected:
  FilesTest()
      : folder(scratch_folder() / ("cohort-files-" + std::to_string(::getpid()) + "-" +
                                   testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(folder);
  }
  ~FilesTest() override { std::filesystem::remove_all(folder); }

  std::filesystem::path folder;
};

}  // namespace cohort
