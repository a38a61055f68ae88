#include "policy/files/gguf.h"

#include <algorithm>
#include <cstring>

#include "configs/error.h"
#include "policy/files/gguf_value_type.h"

namespace cohort {
namespace {

using nlohmann::json;

using ValueType = GgufValueType;

constexpr uint32_t most_dimensions = 4, deepest_array = 4;
// Bounds on time and memory, far above any model: metadata array elements in all (16 times the largest vocabulary),
// keys, tensors.
constexpr uint64_t most_elements = 1 << 22, most_pairs = 1 << 16, most_tensors = 1 << 18;
constexpr uint64_t smallest_pair = 8 + 4 + 1, smallest_tensor = 8 + 4 + 4 + 8;  // bytes
constexpr uint32_t highest_ggml_type = 41;  // of ggml's list (gguf package 0.19); numbers above are taken for broken

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, std::string file) : bytes_(bytes), file_(std::move(file)) {}

  [[noreturn]] void refuse(const std::string& what) const { throw UsageError(file_ + ": " + what); }

  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::string_view text() {
    const auto length = number<uint64_t>();
    const auto bytes = take(length);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  json value(ValueType type) {
    switch (type) {
      case ValueType::u8:
        return number<uint8_t>();
      case ValueType::i8:
        return number<int8_t>();
      case ValueType::u16:
        return number<uint16_t>();
      case ValueType::i16:
        return number<int16_t>();
      case ValueType::u32:
        return number<uint32_t>();
      case ValueType::i32:
        return number<int32_t>();
      case ValueType::f32:
        return number<float>();
      case ValueType::boolean:
        return number<uint8_t>() != 0;
      case ValueType::text:
        return text();
      case ValueType::array:
        return array();
      case ValueType::u64:
        return number<uint64_t>();
      case ValueType::i64:
        return number<int64_t>();
      case ValueType::f64:
        return number<double>();
    }
    refuse("impossible value type.");
  }

  ValueType value_type() {
    const auto type = number<uint32_t>();
    if (type >= kGgufValueTypes) refuse(where + " has the unknown value type " + std::to_string(type) + ".");
    return static_cast<ValueType>(type);
  }

  const std::string& file() const { return file_; }
  uint64_t remaining() const { return bytes_.size() - position_; }
  uint64_t position() const { return position_; }

  std::string where = "the file head";  // what is being read, for messages

 private:
  std::span<const std::byte> take(uint64_t count) {
    if (count > remaining())
      refuse(where + " needs " + std::to_string(count) + " bytes at byte " + std::to_string(position_) +
             ", the file has " + std::to_string(bytes_.size()) + ".");
    const auto taken = bytes_.subspan(position_, count);
    position_ += count;
    return taken;
  }

  json array() {
    const ValueType type = value_type();
    const auto count = number<uint64_t>();
    if (count > remaining())
      refuse(where + " claims " + std::to_string(count) + " elements, more than the file has bytes.");
    if (num_elements_ + count > most_elements || depth_ == deepest_array)
      refuse(where + " makes the metadata arrays too large or too deep (" + std::to_string(most_elements) +
             " elements, " + std::to_string(deepest_array) + " levels).");
    num_elements_ += count;
    ++depth_;
    json::array_t elements;
    elements.reserve(count);
    for (uint64_t i = 0; i < count; ++i) elements.push_back(value(type));
    --depth_;
    return elements;
  }

  std::span<const std::byte> bytes_;
  std::string file_;
  uint64_t position_ = 0, num_elements_ = 0;
  uint32_t depth_ = 0;
};

struct Counts {
  uint64_t tensors, pairs;
};

Counts read_head(Reader& reader) {
  if (reader.remaining() < 24)
    reader.refuse("has only " + std::to_string(reader.remaining()) + " bytes, so it is no GGUF file.");
  if (reader.number<uint32_t>() != 0x46554747) reader.refuse("does not start with \"GGUF\", so it is no GGUF file.");
  const auto version = reader.number<uint32_t>();
  if (version != 2 && version != 3)
    reader.refuse("has GGUF version " + std::to_string(version) + ", expected 2 or 3 (little-endian).");
  const Counts counts{reader.number<uint64_t>(), reader.number<uint64_t>()};
  if (counts.tensors > reader.remaining() / smallest_tensor || counts.pairs > reader.remaining() / smallest_pair)
    reader.refuse("claims " + std::to_string(counts.tensors) + " tensors and " + std::to_string(counts.pairs) +
                  " metadata keys, more than fit into its bytes.");
  if (counts.tensors > most_tensors || counts.pairs > most_pairs)
    reader.refuse("claims " + std::to_string(counts.tensors) + " tensors and " + std::to_string(counts.pairs) +
                  " metadata keys, at most " + std::to_string(most_tensors) + " and " + std::to_string(most_pairs) +
                  " are read.");
  return counts;
}

json read_metadata(Reader& reader, uint64_t num_pairs) {
  json metadata = json::object();
  for (uint64_t i = 0; i < num_pairs; ++i) {
    reader.where = "metadata key " + std::to_string(i);
    std::string key(reader.text());
    reader.where = "metadata key " + quote_name(key);
    if (metadata.contains(key)) reader.refuse(reader.where + " stands twice.");
    metadata[std::move(key)] = reader.value(reader.value_type());
  }
  return metadata;
}

uint64_t alignment_of(const Reader& reader, const json& metadata) {
  const auto found = metadata.find("general.alignment");
  if (found == metadata.end()) return 32;
  const bool valid =
      found->is_number_unsigned() && std::has_single_bit(found->get<uint64_t>()) && found->get<uint64_t>() <= 1 << 20;
  if (!valid)
    reader.refuse("general.alignment is " + found->dump(-1, ' ', true, json::error_handler_t::replace) +
                  ", expected a power of two.");
  return found->get<uint64_t>();
}

DType read_dtype(Reader& reader) {
  const auto type = reader.number<uint32_t>();
  const auto dtype = dtype_from_ggml(type);
  if (dtype) return *dtype;
  const std::string found = reader.where + " has the ggml type " + std::to_string(type);
  if (type > highest_ggml_type) reader.refuse(found + ", which is unknown.");
  throw MissingError(reader.file() + ": " + found +
                     ", which is not read; convert the file to F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K or Q6_K.");
}

struct Placed {
  TensorView tensor;
  uint64_t offset, size;  // bytes, offset from the start of the tensor data
};

Placed read_tensor(Reader& reader, uint64_t index) {
  reader.where = "tensor " + std::to_string(index);
  Placed placed;
  placed.tensor.name = reader.text();
  reader.where = "tensor " + quote_name(placed.tensor.name);
  const auto num_dimensions = reader.number<uint32_t>();
  if (num_dimensions > most_dimensions)
    reader.refuse(reader.where + " has " + std::to_string(num_dimensions) + " dimensions, at most 4 exist.");
  for (uint32_t i = 0; i < num_dimensions; ++i)
    placed.tensor.shape.push_back(static_cast<int64_t>(reader.number<uint64_t>()));
  std::ranges::reverse(placed.tensor.shape);
  placed.tensor.dtype = read_dtype(reader);
  placed.offset = reader.number<uint64_t>();
  const auto size = num_bytes(placed.tensor.dtype, placed.tensor.shape);
  if (!size)
    reader.refuse(reader.where + " has a shape that is too large or no whole number of blocks of " +
                  std::string(to_string(placed.tensor.dtype)) + ".");
  placed.size = static_cast<uint64_t>(*size);
  return placed;
}

// Gives each tensor its bytes. Padding between tensors is part of the format, overlap is not.
void place(const Reader& reader, std::vector<Placed>& placed, std::span<const std::byte> contents, uint64_t alignment) {
  std::ranges::sort(placed, {}, [](const Placed& p) { return std::pair(p.offset, p.size); });
  uint64_t end = 0;
  for (Placed& p : placed) {
    const std::string name = "tensor " + quote_name(p.tensor.name);
    if (p.offset > contents.size() || p.size > contents.size() - p.offset)
      reader.refuse(name + " takes " + std::to_string(p.size) + " bytes at byte " + std::to_string(p.offset) +
                    " of only " + std::to_string(contents.size()) + " of tensor data.");
    if (p.offset % alignment != 0)
      reader.refuse(name + " lies at byte " + std::to_string(p.offset) + ", no multiple of the alignment " +
                    std::to_string(alignment) + ".");
    if (p.offset < end) reader.refuse(name + " overlaps another tensor.");
    p.tensor.bytes = contents.subspan(p.offset, p.size);
    end = p.offset + p.size;
  }
}

}  // namespace

GgufFile open_gguf(const std::filesystem::path& path) {
  GgufFile gguf{MappedFile(path), {}, {}};
  const auto bytes = gguf.file.bytes();
  Reader reader(bytes, path.string());
  const Counts counts = read_head(reader);
  gguf.metadata = read_metadata(reader, counts.pairs);
  std::vector<Placed> placed;
  for (uint64_t i = 0; i < counts.tensors; ++i) placed.push_back(read_tensor(reader, i));
  const uint64_t alignment = alignment_of(reader, gguf.metadata);
  const uint64_t start = std::min<uint64_t>((reader.position() + alignment - 1) / alignment * alignment, bytes.size());
  place(reader, placed, bytes.subspan(start), alignment);
  for (Placed& p : placed) gguf.tensors.push_back(std::move(p.tensor));
  std::ranges::sort(gguf.tensors, {}, &TensorView::name);
  const auto twice = std::ranges::adjacent_find(gguf.tensors, {}, &TensorView::name);
  if (twice != gguf.tensors.end()) reader.refuse("tensor " + quote_name(twice->name) + " stands twice.");
  return gguf;
}

}  // namespace cohort
