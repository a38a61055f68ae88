#include "grpo/report/metrics_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>

#include "configs/error.h"
#include "policy/files/mapped_file.h"

namespace cohort {
namespace {

using nlohmann::json;

struct Line {
  json row;
  size_t end;  // byte after its newline
};

[[noreturn]] void refuse_line(const std::filesystem::path& path, size_t number, const std::string& what) {
  throw UsageError(path.string() + ":" + std::to_string(number) + ": " + what);
}

// Whole lines of the file. What follows the last newline was torn by a crash and is no line; the same holds for a last
// line that is no JSON (its blocks may never have reached the disk).
std::vector<Line> read_lines(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  std::vector<Line> lines;
  for (size_t begin = 0, newline; (newline = text.find('\n', begin)) != text.npos; begin = newline + 1) {
    const size_t number = lines.size() + 1;
    json row = json::parse(text.substr(begin, newline - begin), nullptr, false);
    if (row.is_discarded() && text.find('\n', newline + 1) == text.npos) break;
    if (!row.is_object() || !row.contains("step") || !row["step"].is_number_integer())
      refuse_line(path, number, "expected a JSON object with an integer \"step\".");
    if (!lines.empty() && row["step"] != lines.back().row["step"].get<int64_t>() + 1)
      refuse_line(path, number,
                  "step " + row["step"].dump() + " follows step " + lines.back().row["step"].dump() + ".");
    lines.push_back({std::move(row), newline + 1});
  }
  return lines;
}

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what) {
  throw std::runtime_error(path.string() + ": " + what + " failed: " + std::strerror(errno) + ".");
}

}  // namespace

MetricsLog::MetricsLog(std::filesystem::path path, int64_t last_step) : path_(std::move(path)), last_step_(last_step) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail(path_, "open for writing");
  const std::vector<Line> lines = read_lines(path_);
  size_t kept = 0;
  int64_t kept_step = last_step;
  for (const Line& line : lines) {
    const auto step = line.row["step"].get<int64_t>();
    if (step > last_step) break;
    kept = line.end;
    kept_step = step;
  }
  if (kept_step != last_step)
    throw UsageError(path_.string() + ": ends at step " + std::to_string(kept_step) + ", expected step " +
                     std::to_string(last_step) + " to go on from.");
  if (::ftruncate(descriptor_, static_cast<off_t>(kept)) != 0) fail(path_, "truncate");
  if (::fsync(descriptor_) != 0) fail(path_, "fsync");
  sync_folder(path_.has_parent_path() ? path_.parent_path() : ".");
}

MetricsLog::~MetricsLog() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void MetricsLog::append(const json& row) {
  const auto step = row.find("step");
  if (step == row.end() || !step->is_number_integer() || *step != last_step_ + 1)
    throw std::logic_error("[metrics] a row of step " + (step == row.end() ? "none" : step->dump()) + " after step " +
                           std::to_string(last_step_) + ".");
  const std::string line = row.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  if (::write(descriptor_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) fail(path_, "write");
  if (::fdatasync(descriptor_) != 0) fail(path_, "fdatasync");
  ++last_step_;
}

std::vector<json> read_metrics(const std::filesystem::path& path) {
  std::vector<json> rows;
  for (Line& line : read_lines(path)) rows.push_back(std::move(line.row));
  return rows;
}

}  // namespace cohort
