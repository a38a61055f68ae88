#include "grpo/report/metrics_log.h"

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>

#include "configs/error.h"
#include "policy/files/mapped_file.h"

namespace cohort {
namespace {

using nlohmann::json;

[[noreturn]] void refuse_line(const std::filesystem::path& path, size_t number, const std::string& what) {
  throw UsageError(path.string() + ":" + std::to_string(number) + ": " + what);
}

/// The log after `last_step`; a file that is refused stays as it was.
DurableLog open_after(const std::filesystem::path& path, int64_t last_step) {
  int64_t kept = 0, kept_step = last_step;
  if (std::filesystem::exists(path))
    for (const json& row : read_metrics(path)) {
      const auto step = row["step"].get<int64_t>();
      if (step > last_step) break;
      ++kept;
      kept_step = step;
    }
  if (kept_step != last_step)
    throw UsageError(path.string() + " ends at step " + std::to_string(kept_step) + ", the checkpoint is of step " +
                     std::to_string(last_step) +
                     ": put the whole file back, or go on from an earlier checkpoint with --resume=FOLDER");
  DurableLog log(path, DurableLog::Sync::each_line);
  log.keep_first(kept);
  log.sync();
  return log;
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& path, int64_t last_step)
    : log_(open_after(path, last_step)), last_step_(last_step) {}

void MetricsLog::append(const json& row) {
  const auto step = row.find("step");
  if (step == row.end() || !step->is_number_integer() || *step != last_step_ + 1)
    throw std::logic_error("[metrics] a row of step " + (step == row.end() ? "none" : step->dump()) + " after step " +
                           std::to_string(last_step_) + ".");
  log_.append(row.dump(-1, ' ', false, json::error_handler_t::replace));
  ++last_step_;
}

// Whole lines of the file. What follows the last newline was torn by a crash and is no line; the same holds for a last
// line that is no JSON (its blocks may never have reached the disk).
std::vector<json> read_metrics(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  std::vector<json> rows;
  for (size_t begin = 0, newline; (newline = text.find('\n', begin)) != text.npos; begin = newline + 1) {
    const size_t number = rows.size() + 1;
    json row = json::parse(text.substr(begin, newline - begin), nullptr, false);
    if (row.is_discarded() && text.find('\n', newline + 1) == text.npos) break;
    if (!row.is_object() || !row.contains("step") || !row["step"].is_number_integer())
      refuse_line(path, number, "expected a JSON object with an integer \"step\".");
    if (!rows.empty() && row["step"] != rows.back()["step"].get<int64_t>() + 1)
      refuse_line(path, number, "step " + row["step"].dump() + " follows step " + rows.back()["step"].dump() + ".");
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace cohort
