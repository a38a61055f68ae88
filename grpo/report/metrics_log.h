// metrics.jsonl: one JSON object a step with an integer "step", consecutive. A resume cuts off what came after its
// checkpoint, so that the file of an interrupted run has the lines of an uninterrupted one.
#pragma once
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "configs/durable_file.h"

namespace cohort {

class MetricsLog {
 public:
  /// Opens the file, made if absent, to go on after `last_step`: a torn last line and lines of later steps are cut off
  /// and the cut is synced. An empty file may start at any step. Throws UsageError naming the line for a file that is
  /// no metrics file or that ends before `last_step`, std::runtime_error when it cannot be written.
  MetricsLog(const std::filesystem::path& path, int64_t last_step);

  /// Appends one line and syncs it. row["step"] must be one more than the step before (std::logic_error). A number that
  /// is not finite becomes null.
  void append(const nlohmann::json& row);

 private:
  DurableLog log_;
  int64_t last_step_;
};

/// The rows in order; a torn last line is left out. Throws UsageError naming the line that is no row or out of order.
std::vector<nlohmann::json> read_metrics(const std::filesystem::path& path);

}  // namespace cohort
