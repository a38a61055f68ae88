#include "policy/files/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <tuple>

#include "configs/durable_file.h"
#include "configs/error.h"
#include "configs/read_file.h"
#include "policy/files/safetensors_header.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t length_bytes = 8, longest_header = 100'000'000;  // the reference package's limit
constexpr const char* single_name = "model.safetensors";
constexpr const char* index_name = "model.safetensors.index.json";

[[noreturn]] void refuse(const fs::path& file, const std::string& what) {
  throw UsageError(file.string() + ": " + what);
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TensorView view_of(TensorEntry&& entry, std::span<const std::byte> contents, const fs::path& file) {
  const std::string tensor = "tensor " + quote_name(entry.name);
  const auto dtype = dtype_from_safetensors(entry.dtype);
  if (!dtype) refuse(file, tensor + " has the unknown type " + quote_name(entry.dtype) + ".");
  const auto [begin, end] = entry.data_offsets;
  if (begin > end || end > contents.size())
    refuse(file, tensor + " lies at bytes " + std::to_string(begin) + " to " + std::to_string(end) + " of only " +
                     std::to_string(contents.size()) + ".");
  if (num_bytes(*dtype, entry.shape) != static_cast<int64_t>(end - begin))
    refuse(file, tensor + " takes " + std::to_string(end - begin) + " bytes, which its shape and type " + entry.dtype +
                     " contradict.");
  return {std::move(entry.name), *dtype, std::move(entry.shape), contents.subspan(begin, end - begin)};
}

// The format allows neither holes nor overlaps: sorted by place, each tensor starts where the one before ended.
void check_contiguous(std::vector<TensorView>& tensors, std::span<const std::byte> contents, const fs::path& file) {
  std::ranges::sort(tensors, {}, [](const TensorView& t) { return std::pair(t.bytes.data(), t.bytes.size()); });
  const std::byte* expected = contents.data();
  for (const TensorView& tensor : tensors) {
    if (tensor.bytes.data() != expected)
      refuse(file, "tensor " + quote_name(tensor.name) + " starts at byte " +
                       std::to_string(tensor.bytes.data() - contents.data()) + ", expected " +
                       std::to_string(expected - contents.data()) +
                       (tensor.bytes.data() < expected ? ": it overlaps another." : ": there is a hole before it."));
    expected += tensor.bytes.size();
  }
  if (expected != contents.data() + contents.size())
    refuse(file, std::to_string(contents.data() + contents.size() - expected) +
                     " bytes after the last tensor belong to none.");
}

void add_file(SafetensorsFolder& folder, const fs::path& path) {
  const std::span<const std::byte> bytes = folder.files.emplace_back(path).bytes();
  if (bytes.size() < length_bytes)
    refuse(path, "has only " + std::to_string(bytes.size()) + " bytes, so it is no safetensors file.");
  uint64_t header_bytes;
  std::memcpy(&header_bytes, bytes.data(), length_bytes);
  if (header_bytes > bytes.size() - length_bytes || header_bytes > longest_header)
    refuse(path, "its header claims " + std::to_string(header_bytes) + " bytes, the file has " +
                     std::to_string(bytes.size()) +
                     (header_bytes > longest_header ? " and the format allows 100000000." : "."));
  SafetensorsHeader header =
      parse_safetensors_header(as_text(bytes.subspan(length_bytes, header_bytes)), path.string());
  const auto contents = bytes.subspan(length_bytes + header_bytes);
  std::vector<TensorView> tensors;
  tensors.reserve(header.tensors.size());
  for (TensorEntry& entry : header.tensors) tensors.push_back(view_of(std::move(entry), contents, path));
  check_contiguous(tensors, contents, path);
  std::ranges::move(tensors, std::back_inserter(folder.tensors));
  folder.metadata.merge(header.metadata);
}

void sort_by_name(SafetensorsFolder& folder, const fs::path& path) {
  std::ranges::sort(folder.tensors, {}, &TensorView::name);
  const auto twice = std::ranges::adjacent_find(folder.tensors, {}, &TensorView::name);
  if (twice != folder.tensors.end()) refuse(path, "tensor " + quote_name(twice->name) + " stands twice.");
}

// A shard is named relative to the index. Hubs link shards to a store elsewhere, so links are followed, but names must
// not climb out, and each file has one spelling.
void check_shard_name(const std::string& shard, const std::string& tensor, const fs::path& index) {
  const fs::path normal = fs::path(shard).lexically_normal();
  const bool inside =
      !shard.empty() && normal.is_relative() && *normal.begin() != ".." && shard.find('\0') == shard.npos;
  if (!inside)
    refuse(index, "the shard " + quote_name(shard) + " of tensor " + quote_name(tensor) + " lies outside the folder.");
  constexpr size_t longest = 255;
  const bool is_plain = normal.string() == shard && normal.has_filename() && normal != "." && shard.size() <= longest &&
                        std::ranges::none_of(shard, [](unsigned char c) { return c < ' ' || c == 127; });
  if (!is_plain)
    refuse(index, "the shard " + quote_name(shard) + " of tensor " + quote_name(tensor) + " is no plain file name.");
}

struct Placement {
  std::string shard, tensor;
  bool operator==(const Placement&) const = default;
};

// Opens the shard that all `placements` name and checks that it holds their tensors.
void add_shard(SafetensorsFolder& folder, std::span<const Placement> placements, const fs::path& index) {
  const auto& [shard, first_tensor] = placements.front();
  check_shard_name(shard, first_tensor, index);
  const size_t num_before = folder.tensors.size();
  add_file(folder, index.parent_path() / shard);
  const auto added = std::span(folder.tensors).subspan(num_before);
  std::ranges::sort(added, {}, &TensorView::name);
  for (const Placement& placement : placements)
    if (!find_tensor(added, placement.tensor))
      refuse(index, "tensor " + quote_name(placement.tensor) + " is not in its shard " + quote_name(shard) + ".");
}

SafetensorsFolder open_index(const fs::path& index) {
  const MappedFile file(index);
  if (file.bytes().size() > longest_header)
    refuse(index, "has " + std::to_string(file.bytes().size()) + " bytes, too many for an index.");
  std::vector<Placement> placements;
  for (auto& [tensor, shard] : parse_safetensors_index(as_text(file.bytes()), index.string()))
    placements.push_back({std::move(shard), std::move(tensor)});
  std::ranges::sort(placements, {}, [](const Placement& p) { return std::tie(p.shard, p.tensor); });
  const auto twice = std::ranges::adjacent_find(placements);
  if (twice != placements.end()) refuse(index, "tensor " + quote_name(twice->tensor) + " stands twice.");
  SafetensorsFolder folder;
  for (auto first = placements.begin(); first != placements.end();) {
    const auto last =
        std::find_if(first, placements.end(), [&](const Placement& p) { return p.shard != first->shard; });
    add_shard(folder, std::span(first, last), index);
    first = last;
  }
  sort_by_name(folder, index);
  return folder;
}

// The file that stands for `path`: itself, or the folder's single file or index. Empty when the folder holds neither.
fs::path entry_file(const fs::path& path) {
  std::error_code none;
  if (!fs::is_directory(path, none)) return path;
  for (const char* name : {single_name, index_name})
    if (is_there(path / name)) return path / name;
  return {};
}

// Layout of the reference package: the order of DType from the widest, then names; so every tensor lies aligned.
std::vector<const TensorView*> layout(const fs::path& path, std::span<const TensorView> tensors) {
  std::vector<const TensorView*> order;
  for (const TensorView& tensor : tensors) {
    if (!traits(tensor.dtype).plain ||
        num_bytes(tensor.dtype, tensor.shape) != static_cast<int64_t>(tensor.bytes.size()))
      throw std::logic_error(path.string() + ": tensor " + quote_name(tensor.name) + " cannot be written as " +
                             std::string(to_string(tensor.dtype)) + ": its " + std::to_string(tensor.bytes.size()) +
                             " bytes do not fit its shape or the format.");
    order.push_back(&tensor);
  }
  std::ranges::sort(
      order, {}, [](const TensorView* t) { return std::pair(-static_cast<int>(t->dtype), std::string_view(t->name)); });
  return order;
}

// nlohmann's ordered form writes keys as they come: dtype, shape, data_offsets.
std::string header_text(const fs::path& path, std::span<const TensorView* const> order,
                        const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::string text = header.dump();
  text.pop_back();
  std::vector<std::string_view> names;
  uint64_t end = 0;
  for (const TensorView* tensor : order) {
    const uint64_t begin = std::exchange(end, end + tensor->bytes.size());
    const nlohmann::ordered_json entry{
        {"dtype", to_string(tensor->dtype)}, {"shape", tensor->shape}, {"data_offsets", {begin, end}}};
    text += (text.size() > 1 ? "," : "") + nlohmann::json(tensor->name).dump() + ":" + entry.dump();
    names.push_back(tensor->name);
  }
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  if (twice != names.end())
    throw std::logic_error(path.string() + ": tensor " + quote_name(*twice) + " is to be written twice.");
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

SafetensorsFolder open_safetensors(const fs::path& path) {
  const fs::path file = entry_file(path);
  if (file.empty()) throw UsageError(path.string() + ": holds neither " + single_name + " nor " + index_name + ".");
  if (file.extension() == ".json") return open_index(file);
  SafetensorsFolder folder;
  add_file(folder, file);
  sort_by_name(folder, file);
  return folder;
}

bool is_safetensors(const fs::path& path) {
  const fs::path file = entry_file(path);
  return file.extension() == ".safetensors" || file.string().ends_with(".safetensors.index.json");
}

void write_safetensors(const fs::path& path, std::span<const TensorView> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::vector<const TensorView*> order = layout(path, tensors);
  const std::string header = header_text(path, order, metadata);
  const uint64_t header_bytes = header.size();
  DurableFile file(path);
  file.write(std::as_bytes(std::span(&header_bytes, 1)));
  file.write(header);
  for (const TensorView* tensor : order) file.write(tensor->bytes);
  file.commit();
}

}  // namespace cohort
