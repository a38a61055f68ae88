// What entropy does to a loss beside its own gradient: the coefficient of the bonus over a run, and which tokens of a
// step have a high one.
#pragma once
#include <optional>
#include <vector>

#include "grpo/loss/loss_types.h"

namespace cohort {

/// The state of use_adaptive_entropy (Skywork-OR1, arXiv 2505.22312, sec. 4.3); without it `coef` stands still.
struct EntropyControl {
  double coef = 0;
  std::optional<double> last_entropy;  // of the step before; without one the bonus does not act
};

/// The coefficient as it acts in this step.
double acting_coef(const LossConfig& config, const EntropyControl& control);
/// After a step whose learned tokens had this mean entropy.
void update(const LossConfig& config, EntropyControl& control, double entropy);

/// Sets the scale's threshold to the (1 − share)-quantile of these entropies, linear between two of them, and counts
/// the tokens that reach it (arXiv 2506.01939).
void keep_top_entropies(double share, std::vector<float> entropies, LossScale& scale);

}  // namespace cohort
