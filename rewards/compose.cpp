#include "rewards/compose.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

#include "configs/error.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

// The name a reward's component goes by: its own, numbered where the same reward is used again.
std::string component_name(const std::vector<RewardSpec>& rewards, size_t index) {
  const auto before = std::count_if(rewards.begin(), rewards.begin() + static_cast<ptrdiff_t>(index),
                                    [&](const RewardSpec& r) { return r.name == rewards[index].name; });
  return before == 0 ? rewards[index].name : rewards[index].name + "#" + std::to_string(before + 1);
}

Status joint_status(const std::vector<Status>& statuses) {
  if (statuses.empty()) return Status::error;
  const auto holds = [&](Status status) {
    return std::find(statuses.begin(), statuses.end(), status) != statuses.end();
  };
  if (holds(Status::hack)) return Status::hack;
  const bool agree = std::all_of(statuses.begin(), statuses.end(), [&](Status s) { return s == statuses.front(); });
  return agree ? statuses.front() : Status::partial;
}

std::string seconds_text(double seconds) {
  return excerpt(std::to_string(seconds)).substr(1, 6) + " s";
}

}  // namespace

Score weigh(const std::vector<RewardSpec>& rewards, const std::vector<Score>& parts) {
  Score score;
  std::vector<Status> statuses;
  double sum = 0;
  for (size_t i = 0; i < rewards.size(); ++i) {
    const Score& part = parts[i];
    score.seconds += part.seconds;
    if (!part.reason.empty()) {
      score.reason +=
          (score.reason.empty() ? "" : "; ") + (rewards.size() > 1 ? rewards[i].name + ": " : "") + part.reason;
    }
    if (!part.value) continue;
    sum += rewards[i].weight * static_cast<double>(*part.value);
    score.components[component_name(rewards, i)] = static_cast<double>(*part.value);
    statuses.push_back(part.status);
  }
  if (!statuses.empty()) score.value = static_cast<float>(sum);
  score.status = joint_status(statuses);
  return score;
}

Score guarded(const RewardFn& reward, const Judged& judged, Deadline deadline, bool bounds_tests) {
  const auto start = std::chrono::steady_clock::now();
  Score score;
  try {
    std::vector<Score> scores = reward({&judged, 1}, deadline);
    score = scores.size() == 1 ? std::move(scores[0])
                               : no_score("answered " + std::to_string(scores.size()) + " scores for 1 completion");
  } catch (const std::exception& error) {
    score = no_score("the verifier failed: " + excerpt(error.what(), 200));
  } catch (...) {
    score = no_score("the verifier failed with something that is no std::exception");
  }
  score.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (score.value && !std::isfinite(*score.value))
    score = {.reason = "the value is not finite", .seconds = score.seconds};
  if (score.value && score.status == Status::error) score.value.reset();
  const double limit = deadline.per_completion.count();
  if (score.seconds > limit && !bounds_tests) {
    score = {.reason = "the verdict took " + seconds_text(score.seconds) + ", the deadline is " + seconds_text(limit),
             .seconds = score.seconds};
  }
  return score;
}

Scorer::Scorer(std::vector<RewardSpec> rewards, int num_workers, Deadline deadline)
    : rewards_(std::move(rewards)), num_workers_(num_workers), deadline_(deadline) {
  if (rewards_.empty()) throw UsageError("no reward was given: name at least one, `cohort score --list` shows them");
  if (num_workers_ < 1) throw UsageError("workers must be at least 1, found " + std::to_string(num_workers_));
  for (const RewardSpec& spec : rewards_) functions_.push_back(make_reward(spec));
}

Score Scorer::judge_one(const Judged& judged) const {
  std::vector<Score> parts;
  for (size_t i = 0; i < functions_.size(); ++i) {
    const RewardRule* rule = find_rule(rewards_[i].name);
    parts.push_back(guarded(functions_[i], judged, deadline_, rule && rule->bounds_tests));
  }
  return weigh(rewards_, parts);
}

std::vector<Score> Scorer::judge(std::span<const Judged> batch) const {
  std::vector<Score> scores(batch.size());
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < batch.size(); i = next++) scores[i] = judge_one(batch[i]);
  };
  std::vector<std::jthread> workers;
  const size_t num_threads = std::min<size_t>(static_cast<size_t>(num_workers_), batch.size());
  for (size_t t = 1; t < num_threads; ++t) workers.emplace_back(work);
  work();
  workers.clear();  // joins
  return scores;
}

}  // namespace cohort
