// TensorBoard event files. Framing: TFRecord, u64 length, masked crc32c of the length, bytes, masked crc32c of the
// bytes. Each record is a protobuf Event: wall_time = 1, step = 2, file_version = 3, summary = 5 {value = 1 {tag = 1,
// simple_value = 2}}. Goals: scalars that TensorBoard reads, one file a run that a resume goes on with. Non-goals:
// images, histograms, text.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

namespace cohort {

class EventFile {
 public:
  /// Opens `folder`/events.out.tfevents.cohort, made if absent, to go on after `last_step`: a torn record and records
  /// of later steps are cut off. `wall_time` (seconds since 1970) dates a new file. Throws std::runtime_error naming
  /// the file.
  EventFile(const std::filesystem::path& folder, int64_t last_step, double wall_time);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  /// One record with all scalars of a step; in the file when the call returns.
  void add_scalars(int64_t step, double wall_time, std::span<const std::pair<std::string, double>> scalars);

 private:
  void append(const std::string& event);

  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace cohort
