// Several rewards weighed into one score, judged by a pool of threads.
#pragma once
#include "rewards/reward.h"

namespace cohort {

/// What a reward that failed (an error without a value) does to the score: it is left out, counts as 0, or ends the
/// job.
enum class OnVerifierError { skip, zero, abort };
OnVerifierError on_verifier_error_from(std::string_view name);  // throws UsageError on an unknown name

/// One completion's scores by several rewards, in their order, as one score.
/// value: sum of weight × value over those that have one (sum_then_normalize: the sum is what advantages normalise);
/// a null is left out, all null is null. status: that of all where they agree; hack where one says so; partial
/// otherwise. A part's own components go by reward/component. Throws std::runtime_error on a failure to abort on.
Score weigh(const std::vector<RewardSpec>& rewards, const std::vector<Score>& parts,
            OnVerifierError on_error = OnVerifierError::skip);

/// The weight of each reward by the name its component goes by.
std::map<std::string, double> component_weights(const std::vector<RewardSpec>& rewards);

/// Judges batches with `num_workers` threads (the caller's among them). Thread-safe.
class Scorer {
 public:
  /// Throws what make_reward throws.
  Scorer(std::vector<RewardSpec> rewards, int num_workers, Deadline deadline = {},
         OnVerifierError on_error = OnVerifierError::skip);

  /// One Score for each completion, in order. A reward that throws, answers NaN or the wrong number of scores, or takes
  /// longer than the deadline is an error with its reason and a null value, never a 0 unless asked for.
  std::vector<Score> judge(std::span<const Judged> batch) const;

  const std::vector<RewardSpec>& rewards() const { return rewards_; }
  int num_workers() const { return num_workers_; }

 private:
  std::vector<RewardSpec> rewards_;
  std::vector<Reward> functions_;  // one for each of rewards_
  int num_workers_;
  Deadline deadline_;
  OnVerifierError on_error_;
};

/// Judges one completion by one reward under the guards that Scorer promises. `bounds_tests`: the reward keeps the
/// deadline itself, for each test (RewardRule).
Score guarded(const RewardFn& reward, const Judged& judged, Deadline deadline, bool bounds_tests = false);
/// The same for a reward that takes a batch and keeps its deadline itself.
std::vector<Score> guarded_batch(const RewardFn& reward, std::span<const Judged> batch, Deadline deadline);

}  // namespace cohort
