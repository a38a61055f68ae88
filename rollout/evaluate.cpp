#include "rollout/evaluate.h"

#include <algorithm>

#include "policy/kernels/philox.h"

namespace cohort {

double pass_at_k(int64_t n, int64_t c, int64_t k) {
  if (n - c < k) return 1.0;
  double miss = 1;  // Π (1 − k/i), i = n−c+1 … n
  for (int64_t i = n - c + 1; i <= n; ++i) miss *= 1.0 - double(k) / double(i);
  return 1.0 - miss;
}

std::pair<double, double> bootstrap_interval(std::span<const double> values, int num_resamples) {
  if (values.empty()) return {0, 0};
  std::vector<double> means;
  for (int r = 0; r < num_resamples; ++r) {
    double sum = 0;
    for (size_t i = 0; i < values.size(); ++i) sum += values[philox({uint32_t(i), uint32_t(r), 0, 0}, {95, 0})[0] % values.size()];
    means.push_back(sum / double(values.size()));
  }
  std::sort(means.begin(), means.end());
  return {means[size_t(0.025 * (num_resamples - 1))], means[size_t(0.975 * (num_resamples - 1))]};
}

Evaluation summarize(std::span<const Group> groups) {
  Evaluation e;
  double length = 0, truncated = 0;
  for (const Group& group : groups) {
    int64_t correct = 0;
    for (const Rollout& r : group.rollouts) {
      correct += r.score.status == Status::correct;
      length += double(r.completion.tokens.size());
      truncated += r.completion.finish == FinishReason::length;
    }
    ++e.tasks, e.correct += correct, e.rollouts += int64_t(group.rollouts.size());
    e.task_score.push_back(group.rollouts.empty() ? 0.0 : double(correct) / double(group.rollouts.size()));
  }
  for (double score : e.task_score) e.pass_at_1 += score / double(e.tasks);
  std::tie(e.ci_low, e.ci_high) = bootstrap_interval(e.task_score);
  if (e.rollouts) e.mean_length = length / double(e.rollouts), e.truncated = truncated / double(e.rollouts);
  return e;
}

}  // namespace cohort
