#include "policy/files/gguf_writer.h"

#include <algorithm>
#include <limits>
#include <set>
#include <stdexcept>

#include "configs/durable_file.h"
#include "policy/files/gguf_value_type.h"
#include "policy/files/tensor_view.h"

namespace cohort {
namespace {

using Metadata = nlohmann::ordered_json;
using Type = GgufValueType;

constexpr uint64_t kAlignment = 32;
constexpr uint32_t kVersion = 3;

template <class T>
void put(std::string& head, T value) {
  head.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_text(std::string& head, std::string_view text) {
  put<uint64_t>(head, text.size());
  head += text;
}

[[noreturn]] void refuse(const std::string& what) {
  throw std::logic_error("[write_gguf] " + what);
}

Type type_of(const std::string& key, const Metadata& value) {
  if (value.is_string()) return Type::text;
  if (value.is_boolean()) return Type::boolean;
  if (value.is_number_float()) return Type::f32;
  if (value.is_array()) return Type::array;
  if (!value.is_number_integer()) refuse(key + " is " + value.dump() + ", which GGUF has no type for");
  if (value < 0) return value < std::numeric_limits<int32_t>::min() ? Type::i64 : Type::i32;
  return value > std::numeric_limits<uint32_t>::max() ? Type::u64 : Type::u32;
}

Type element_type(const std::string& key, const Metadata& list) {
  if (list.empty()) return Type::text;
  const Type first = type_of(key, list[0]);
  const bool whole = first == Type::u32 || first == Type::i32;
  for (const Metadata& element : list) {
    const Type type = type_of(key, element);
    if (type == Type::array || (whole ? type != Type::u32 && type != Type::i32 : type != first))
      refuse(key + " is a list of several types");
    if (whole && element > std::numeric_limits<int32_t>::max()) refuse(key + " has an element of more than 31 bits");
  }
  return whole ? Type::i32 : first;
}

void put_value(std::string& head, const std::string& key, const Metadata& value, Type type) {
  switch (type) {
    case Type::text:
      return put_text(head, value.get_ref<const std::string&>());
    case Type::boolean:
      return put<uint8_t>(head, value.get<bool>());
    case Type::f32:
      return put(head, value.get<float>());
    case Type::u32:
      return put(head, value.get<uint32_t>());
    case Type::i32:
      return put(head, value.get<int32_t>());
    case Type::u64:
      return put(head, value.get<uint64_t>());
    case Type::i64:
      return put(head, value.get<int64_t>());
    case Type::array: {
      const Type element = element_type(key, value);
      put(head, static_cast<uint32_t>(element));
      put<uint64_t>(head, value.size());
      for (const Metadata& each : value) put_value(head, key, each, element);
      return;
    }
    default:
      refuse(key + " has a type that is not written");
  }
}

uint64_t aligned(uint64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

uint64_t bytes_of(const GgufTensor& tensor) {
  const auto bytes = num_bytes(tensor.dtype, tensor.shape);
  if (!bytes || !traits(tensor.dtype).ggml || tensor.shape.empty() || tensor.shape.size() > 4)
    refuse("tensor " + quote_name(tensor.name) + " cannot be written as " + std::string(to_string(tensor.dtype)));
  return static_cast<uint64_t>(*bytes);
}

/// Offsets count from the start of the tensor data.
void put_tensors(std::string& head, std::span<const GgufTensor> tensors) {
  std::set<std::string_view> names;
  uint64_t offset = 0;
  for (const GgufTensor& tensor : tensors) {
    const uint64_t bytes = bytes_of(tensor);
    if (!names.insert(tensor.name).second) refuse("tensor " + quote_name(tensor.name) + " is to be written twice");
    put_text(head, tensor.name);
    put(head, static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size)
      put(head, static_cast<uint64_t>(*size));
    put(head, *traits(tensor.dtype).ggml);
    put(head, offset);
    offset += aligned(bytes);
  }
}

}  // namespace

void write_gguf(const std::filesystem::path& path, const Metadata& metadata, std::span<const GgufTensor> tensors,
                const std::function<void(size_t index, std::span<std::byte> out)>& fill) {
  std::string head = "GGUF";
  put(head, kVersion);
  put<uint64_t>(head, tensors.size());
  put<uint64_t>(head, metadata.size());
  for (const auto& [key, value] : metadata.items()) {
    const Type type = type_of(key, value);
    put_text(head, key);
    put(head, static_cast<uint32_t>(type));
    put_value(head, key, value, type);
  }
  put_tensors(head, tensors);
  head.resize(aligned(head.size()));
  DurableFile file(path);
  file.write(head);
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const uint64_t size = bytes_of(tensors[i]);
    bytes.assign(aligned(size), std::byte{0});
    fill(i, std::span(bytes).first(size));
    file.write(bytes);
  }
  file.commit();
}

}  // namespace cohort
