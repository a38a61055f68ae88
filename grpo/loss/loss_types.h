// The losses of the GRPO family, one row each: what a token's ratio is worth, and how tokens are summed.
#pragma once
#include <string>

#include "grpo/loss/loss_config.h"

namespace cohort {

/// What a loss has to know of the whole optimizer step.
struct LossScale {
  double num_sequences = 0, num_tokens = 0;  // tokens: those whose mask is 1
  double max_completion_length = 0;
  double entropy_coef = 0;                  // of the entropy bonus, as it acts in this step
  std::optional<double> entropy_threshold;  // least entropy of a token that is learned from; none: all are
  double num_top_tokens = 0;                // tokens that reach it
};

struct PolicyToken {
  double ratio;           // π / π_old of the token or, at that level, of the sequence
  double sequence_ratio;  // of the whole sequence, a product; only vespo's is filled in
  double logprob, advantage;
};

/// What a token adds to the loss before its weight.
struct Surrogate {
  double value;
  double ratio_slope;    // derivative with respect to the logarithm of its ratio
  double logprob_slope;  // and to its own log-probability, where a stopped factor stands before it
  bool low, high;        // outside the trust region on the side that clipping holds back
};

struct LossType {
  std::string_view name;
  Surrogate (*surrogate)(const LossConfig& config, const PolicyToken& token);
  double (*weight)(const LossScale& scale, double tokens);  // of each token of a sequence of so many
};
/// Throws std::out_of_range for another name.
const LossType& loss_type(std::string_view name);

/// vespo's φ(w) = e^λ w^k e^(−λw), which is 1 on-policy.
double gamma_weight(const LossConfig& config, double sequence_ratio, double advantage);

bool is_clipped(const LossType& type);
/// Whether all tokens of the step weigh the same.
bool is_mean_of_tokens(const LossType& type);

/// An estimate of a token's KL from the reference, and its derivative with respect to log p.
struct Kl {
  double value, slope;
};
/// `d` = log p of the reference − log p.
Kl kl_estimate(std::string_view estimator, double d);

}  // namespace cohort
