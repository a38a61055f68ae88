#include "grpo/report/tensorboard.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "configs/durable_file.h"
#include "policy/files/mapped_file.h"

namespace cohort {
namespace {

constexpr size_t head_bytes = 8 + 4, tail_bytes = 4;

// TFRecord stores crcs rotated and offset, so that a crc over bytes that hold crcs stays useful.
uint32_t masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

template <class T>
T load(std::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes += static_cast<char>(value);
}

// Keys of protobuf fields: number << 3 | wire type.
enum WireType { number_varint = 0, fixed_64 = 1, length_delimited = 2, fixed_32 = 5 };
std::string key(int field, WireType type) {
  return varint(static_cast<uint64_t>(field) << 3 | type);
}
std::string text_field(int field, std::string_view text) {
  return key(field, length_delimited) + varint(text.size()) + std::string(text);
}

std::string event_head(double wall_time) {
  return key(1, fixed_64) + raw(wall_time);
}

std::string version_event(double wall_time) {
  return event_head(wall_time) + text_field(3, "brain.Event:2");
}

std::string scalars_event(int64_t step, double wall_time, std::span<const std::pair<std::string, double>> scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars)
    summary += text_field(1, text_field(1, tag) + key(2, fixed_32) + raw(static_cast<float>(value)));
  return event_head(wall_time) + key(2, number_varint) + varint(static_cast<uint64_t>(step)) + text_field(5, summary);
}

std::string frame(const std::string& event) {
  const std::string length = raw<uint64_t>(event.size());
  return length + raw(masked_crc(length)) + event + raw(masked_crc(event));
}

// The event at the start of `bytes`; empty when it is torn or its crcs are wrong.
std::optional<std::string_view> first_event(std::string_view bytes) {
  if (bytes.size() < head_bytes || masked_crc(bytes.substr(0, 8)) != load<uint32_t>(bytes.substr(8)))
    return std::nullopt;
  const auto length = load<uint64_t>(bytes);
  if (length > bytes.size() - head_bytes || bytes.size() - head_bytes - length < tail_bytes) return std::nullopt;
  const std::string_view event = bytes.substr(head_bytes, length);
  if (masked_crc(event) != load<uint32_t>(bytes.substr(head_bytes + length))) return std::nullopt;
  return event;
}

// The step of an event as add_scalars lays it out: wall_time, then step; 0 for the version event.
int64_t step_of(std::string_view event) {
  const size_t time_bytes = event_head(0).size();
  if (event.size() <= time_bytes || !event.substr(time_bytes).starts_with(key(2, number_varint))) return 0;
  uint64_t step = 0;
  int shift = 0;
  for (const char byte : event.substr(time_bytes + 1)) {
    step |= static_cast<uint64_t>(byte & 0x7f) << shift;
    shift += 7;
    if (!(byte & 0x80) || shift > 63) break;
  }
  return static_cast<int64_t>(step);
}

// Length of the whole records up to the first of a later step.
size_t kept_bytes(std::string_view file, int64_t last_step) {
  size_t kept = 0;
  while (const auto event = first_event(file.substr(kept))) {
    if (step_of(*event) > last_step) break;
    kept += head_bytes + event->size() + tail_bytes;
  }
  return kept;
}

}  // namespace

EventFile::EventFile(const std::filesystem::path& folder, int64_t last_step, double wall_time)
    : path_(folder / "events.out.tfevents.cohort") {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw std::runtime_error(path_.string() + ": cannot be opened: " + std::strerror(errno) + ".");
  const MappedFile file(path_);
  const size_t kept = kept_bytes({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, last_step);
  if (kept < file.bytes().size() && ::ftruncate(descriptor_, static_cast<off_t>(kept)) != 0)
    throw std::runtime_error(path_.string() + ": cannot be cut to " + std::to_string(kept) +
                             " bytes: " + std::strerror(errno) + ".");
  if (kept == 0) append(version_event(wall_time));
}

EventFile::~EventFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void EventFile::add_scalars(int64_t step, double wall_time, std::span<const std::pair<std::string, double>> scalars) {
  append(scalars_event(step, wall_time, scalars));
}

void EventFile::append(const std::string& event) {
  const std::string record = frame(event);
  if (::write(descriptor_, record.data(), record.size()) != static_cast<ssize_t>(record.size()))
    throw std::runtime_error(path_.string() + ": a record of " + std::to_string(record.size()) +
                             " bytes could not be written: " + std::strerror(errno) + ".");
}

}  // namespace cohort
