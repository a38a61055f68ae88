// Reads the files under tests/grpo/golden, which generate_trl_goldens.py writes.
#pragma once
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

namespace cohort {

inline nlohmann::json read_golden(const std::string& name) {
  std::ifstream in(std::filesystem::path(COHORT_SOURCE_DIR) / "tests/grpo/golden" / name);
  if (!in) throw std::runtime_error("no golden file " + name);
  return nlohmann::json::parse(in);
}

}  // namespace cohort
