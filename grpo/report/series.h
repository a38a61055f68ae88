// One metric of one run over its steps.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace cohort {

struct Point {
  double step, value;
  bool operator==(const Point&) const = default;
};
using Series = std::vector<Point>;  // steps ascend; values are finite or NaN, a NaN is a gap

/// Rows without the key are passed over; null and other non-numbers become gaps.
Series series_of(std::span<const nlohmann::json> rows, std::string_view key);

/// Mean of the finite values within half a window of points on either side; gaps stay gaps.
Series smooth(const Series& series, size_t window);

/// At most about 2 * buckets points: of each run of steps the lowest and the highest value, so that no spike is lost.
Series thin(const Series& series, size_t buckets);

/// Mean of the finite values among the first (last) `count` points.
std::optional<double> mean_of_first(const Series& series, size_t count);
std::optional<double> mean_of_last(const Series& series, size_t count);

}  // namespace cohort
