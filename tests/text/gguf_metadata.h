// The metadata of a GGUF version 3 file as JSON: what the tests need of the format.
#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

namespace cohort {

class GgufMetadata {
 public:
  explicit GgufMetadata(const std::filesystem::path& path) : in_(path, std::ios::binary) {}

  nlohmann::json read() {
    if (number<uint32_t>() != 0x46554747 || number<uint32_t>() != 3) throw std::runtime_error("not a GGUF file of version 3");
    number<uint64_t>();  // tensors
    nlohmann::json metadata = nlohmann::json::object();
    for (uint64_t left = number<uint64_t>(); left > 0; --left) {
      const std::string key = text();
      metadata[key] = value(number<uint32_t>());
    }
    return metadata;
  }

 private:
  template <class T>
  T number() {
    T value{};
    if (!in_.read(reinterpret_cast<char*>(&value), sizeof value)) throw std::runtime_error("the GGUF file ends early");
    return value;
  }
  std::string text() {
    std::string value(number<uint64_t>(), '\0');
    in_.read(value.data(), static_cast<std::streamsize>(value.size()));
    return value;
  }
  nlohmann::json value(uint32_t type) {
    switch (type) {
      case 0: return number<uint8_t>();
      case 1: return number<int8_t>();
      case 2: return number<uint16_t>();
      case 3: return number<int16_t>();
      case 4: return number<uint32_t>();
      case 5: return number<int32_t>();
      case 6: return number<float>();
      case 7: return number<uint8_t>() != 0;
      case 8: return text();
      case 9: {
        const auto element = number<uint32_t>();
        nlohmann::json array = nlohmann::json::array();
        for (uint64_t left = number<uint64_t>(); left > 0; --left) array.push_back(value(element));
        return array;
      }
      case 10: return number<uint64_t>();
      case 11: return number<int64_t>();
      case 12: return number<double>();
      default: throw std::runtime_error("a GGUF value of type " + std::to_string(type));
    }
  }
  std::ifstream in_;
};

}  // namespace cohort
