#include "grpo/loss/kept_rows.h"

#include <algorithm>

namespace cohort {

void gather_kept(std::span<const int32_t> kept, float* row) {
  for (size_t i = 0; i < kept.size(); ++i) row[i] = row[kept[i]];  // i ≤ kept[i]: nothing is overwritten unread
}

void scatter_kept(std::span<const int32_t> kept, std::span<float> row) {
  auto end = row.end();
  for (size_t i = kept.size(); i-- > 0;) {  // from behind, for the same reason
    const auto place = row.begin() + kept[i];
    const float value = row[i];
    std::fill(place, end, 0.0f);
    *place = value, end = place;
  }
  std::fill(row.begin(), end, 0.0f);
}

}  // namespace cohort
