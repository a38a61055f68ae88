#include "grpo/loss/entropy.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cohort {

double acting_coef(const LossConfig& c, const EntropyControl& control) {
  if (!c.use_adaptive_entropy) return control.coef;
  return control.last_entropy && *control.last_entropy <= c.entropy_target ? control.coef : 0;
}

void update(const LossConfig& c, EntropyControl& control, double entropy) {
  if (!c.use_adaptive_entropy) return;
  control.coef = entropy <= c.entropy_target ? std::min(control.coef + c.entropy_coef_delta, c.entropy_coef_max)
                                             : std::max(control.coef - c.entropy_coef_delta, c.entropy_coef_min);
  control.last_entropy = entropy;
}

void keep_top_entropies(double share, std::vector<float> entropies, LossScale& scale) {
  scale.entropy_threshold = std::numeric_limits<double>::infinity();
  scale.num_top_tokens = 0;
  if (entropies.empty()) return;
  std::ranges::sort(entropies);
  const double last = double(entropies.size() - 1), exact = (1 - share) * last, whole = std::round(exact);
  const double at = std::abs(exact - whole) < 1e-6 ? whole : exact;  // an entropy itself, not what rounding makes of it
  const size_t below = size_t(std::floor(at)), above = size_t(std::ceil(at));
  scale.entropy_threshold =
      entropies[below] + (at - double(below)) * (double(entropies[above]) - double(entropies[below]));
  for (float entropy : entropies) scale.num_top_tokens += entropy >= *scale.entropy_threshold;
}

}  // namespace cohort
