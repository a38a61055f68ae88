// pass@1 of a policy on tasks, with a bootstrap interval over the tasks.
#pragma once
#include "rollout/collect.h"

namespace cohort {

struct Evaluation {
  int64_t tasks = 0, correct = 0, rollouts = 0;
  double pass_at_1 = 0, ci_low = 0, ci_high = 0;  // shares of 1; 95 % interval
  double mean_length = 0, truncated = 0;          // tokens; share cut off by the length limit
  std::vector<double> task_score;                 // share of correct rollouts, by task
};

/// A rollout counts as correct when its status is `correct`.
Evaluation summarize(std::span<const Group> groups);

/// Unbiased estimate of pass@k from n samples of which c are correct (Codex, arXiv 2107.03374, eq. 1).
double pass_at_k(int64_t n, int64_t c, int64_t k);

/// 2.5 % and 97.5 % quantiles of the mean over `num_resamples` resamples; a function of the values alone.
std::pair<double, double> bootstrap_interval(std::span<const double> values, int num_resamples = 2000);

}  // namespace cohort
