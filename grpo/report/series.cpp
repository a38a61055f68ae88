#include "grpo/report/series.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

namespace cohort {
namespace {

std::optional<double> mean_of(std::span<const Point> points) {
  double sum = 0;
  size_t count = 0;
  for (const Point& point : points) {
    if (!std::isfinite(point.value)) continue;
    sum += point.value;
    ++count;
  }
  return count == 0 ? std::nullopt : std::optional(sum / static_cast<double>(count));
}

}  // namespace

Series series_of(std::span<const nlohmann::json> rows, std::string_view key) {
  Series series;
  for (const nlohmann::json& row : rows) {
    const auto found = row.find(key);
    if (found == row.end()) continue;
    const double value = found->is_number() ? found->get<double>() : NAN;
    series.push_back({row.at("step").get<double>(), std::isfinite(value) ? value : NAN});
  }
  return series;
}

Series smooth(const Series& series, size_t window) {
  std::vector<double> sums{0}, counts{0};  // of the finite values before each point
  for (const Point& point : series) {
    const bool finite = std::isfinite(point.value);
    sums.push_back(sums.back() + (finite ? point.value : 0));
    counts.push_back(counts.back() + (finite ? 1 : 0));
  }
  Series smoothed = series;
  const size_t half = window / 2;
  for (size_t i = 0; i < series.size(); ++i) {
    const size_t first = i > half ? i - half : 0, last = std::min(series.size(), i + half + 1);
    if (std::isfinite(series[i].value)) smoothed[i].value = (sums[last] - sums[first]) / (counts[last] - counts[first]);
  }
  return smoothed;
}

Series thin(const Series& series, size_t buckets) {
  if (series.size() <= 2 * buckets) return series;
  Series thinned;
  for (size_t bucket = 0; bucket < buckets; ++bucket) {
    const auto begin = series.begin() + static_cast<long>(bucket * series.size() / buckets);
    const auto end = series.begin() + static_cast<long>((bucket + 1) * series.size() / buckets);
    const auto finite_first = [](double nan_stands_for) {
      return [=](const Point& p) { return std::isfinite(p.value) ? p.value : nan_stands_for; };
    };
    constexpr double far = std::numeric_limits<double>::infinity();
    const auto lowest = std::ranges::min_element(begin, end, {}, finite_first(far));
    const auto highest = std::ranges::max_element(begin, end, {}, finite_first(-far));
    thinned.push_back(*std::min(lowest, highest));
    if (lowest != highest) thinned.push_back(*std::max(lowest, highest));
  }
  return thinned;
}

std::optional<double> mean_of_first(const Series& series, size_t count) {
  return mean_of(std::span(series).first(std::min(count, series.size())));
}

std::optional<double> mean_of_last(const Series& series, size_t count) {
  return mean_of(std::span(series).last(std::min(count, series.size())));
}

}  // namespace cohort
