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

// A value that is not finite, or that comes with an error, is none.
void reject_unusable(Score& score) {
  if (score.value && !std::isfinite(*score.value))
    score = {.reason = "the value is not finite", .seconds = score.seconds};
  if (score.value && score.status == Status::error) score.value.reset();
}

bool has_failed(const Score& part) {
  return !part.value && part.status == Status::error;
}

// Calls `work` with 0 … count - 1 on at most num_threads threads, the caller's among them.
void share_out(size_t count, size_t num_threads, const std::function<void(size_t)>& work) {
  std::atomic<size_t> next{0};
  const auto take = [&] {
    for (size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::jthread> threads;
  for (size_t t = 1; t < std::min(num_threads, count); ++t) threads.emplace_back(take);
  take();
}

}  // namespace

OnVerifierError on_verifier_error_from(std::string_view name) {
  if (name == "skip") return OnVerifierError::skip;
  if (name == "zero") return OnVerifierError::zero;
  if (name == "abort") return OnVerifierError::abort;
  throw UsageError("on_verifier_error is " + excerpt(name) + ", expected skip, zero or abort");
}

Score weigh(const std::vector<RewardSpec>& rewards, const std::vector<Score>& parts, OnVerifierError on_error) {
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
    if (part.extra_logs.is_object()) {
      if (score.extra_logs.is_null()) score.extra_logs = Json::object();
      score.extra_logs.update(part.extra_logs);
    }
    std::optional<float> value = part.value;
    if (has_failed(part)) {
      ++score.num_errors;
      if (on_error == OnVerifierError::abort)
        throw std::runtime_error("reward " + rewards[i].name +
                                 " failed, and on_verifier_error is abort: " + part.reason);
      if (on_error == OnVerifierError::zero) value = 0.0F;
    }
    if (!value) continue;
    sum += rewards[i].weight * static_cast<double>(*value);
    const std::string name = component_name(rewards, i);
    score.components[name] = static_cast<double>(*value);
    for (const auto& [own, component] : part.components) score.components[name + "/" + own] = component;
    statuses.push_back(part.status);
  }
  if (!statuses.empty()) score.value = static_cast<float>(sum);
  score.status = joint_status(statuses);
  return score;
}

std::map<std::string, double> component_weights(const std::vector<RewardSpec>& rewards) {
  std::map<std::string, double> weights;
  for (size_t i = 0; i < rewards.size(); ++i) weights[component_name(rewards, i)] = rewards[i].weight;
  return weights;
}

Score guarded(const RewardFn& reward, const Judged& judged, Deadline deadline, bool bounds_tests) {
  const auto start = std::chrono::steady_clock::now();
  Score score = std::move(guarded_batch(reward, {&judged, 1}, deadline)[0]);
  score.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double limit = deadline.per_completion.count();
  if (score.seconds > limit && !bounds_tests) {
    score = {.reason = "the verdict took " + seconds_text(score.seconds) + ", the deadline is " + seconds_text(limit),
             .seconds = score.seconds};
  }
  return score;
}

std::vector<Score> guarded_batch(const RewardFn& reward, std::span<const Judged> batch, Deadline deadline) {
  const auto all_without = [&](const std::string& reason) {
    return std::vector<Score>(batch.size(), no_score(reason));
  };
  std::vector<Score> scores;
  try {
    scores = reward(batch, deadline);
  } catch (const std::exception& error) {
    return all_without("the verifier failed: " + excerpt(error.what(), 200));
  } catch (...) {
    return all_without("the verifier failed with something that is no std::exception");
  }
  if (scores.size() != batch.size()) {
    return all_without("answered " + std::to_string(scores.size()) + " scores for " + std::to_string(batch.size()) +
                       (batch.size() == 1 ? " completion" : " completions"));
  }
  std::ranges::for_each(scores, reject_unusable);
  return scores;
}

Scorer::Scorer(std::vector<RewardSpec> rewards, int num_workers, Deadline deadline, OnVerifierError on_error)
    : rewards_(std::move(rewards)), num_workers_(num_workers), deadline_(deadline), on_error_(on_error) {
  if (rewards_.empty()) throw UsageError("no reward was given: name at least one, `cohort score --list` shows them");
  if (num_workers_ < 1) throw UsageError("workers must be at least 1, found " + std::to_string(num_workers_));
  for (const RewardSpec& spec : rewards_) functions_.push_back(make_reward(spec));
}

std::vector<Score> Scorer::judge(std::span<const Judged> batch) const {
  struct Piece {
    size_t reward, first, count;
  };
  std::vector<Piece> pieces;
  for (size_t r = 0; r < functions_.size(); ++r) {
    const size_t size = std::max<size_t>(1, functions_[r].batch_size);
    for (size_t first = 0; first < batch.size(); first += size)
      pieces.push_back({r, first, std::min(size, batch.size() - first)});
  }
  // Plug-ins first: a thread that waits for one leaves its core to those that compute.
  std::stable_partition(pieces.begin(), pieces.end(),
                        [&](const Piece& piece) { return functions_[piece.reward].batch_size > 0; });
  std::vector<std::vector<Score>> parts(batch.size(), std::vector<Score>(functions_.size()));
  share_out(pieces.size(), static_cast<size_t>(num_workers_), [&](size_t i) {
    const auto& [r, first, count] = pieces[i];
    if (functions_[r].batch_size == 0) {
      parts[first][r] = guarded(functions_[r].judge, batch[first], deadline_, functions_[r].bounds_tests);
      return;
    }
    std::vector<Score> scores = guarded_batch(functions_[r].judge, batch.subspan(first, count), deadline_);
    for (size_t k = 0; k < count; ++k) parts[first + k][r] = std::move(scores[k]);
  });
  std::vector<Score> scores;
  for (size_t i = 0; i < batch.size(); ++i) {
    try {
      scores.push_back(weigh(rewards_, parts[i], on_error_));
    } catch (const std::runtime_error& error) {  // it is to abort
      throw std::runtime_error((batch[i].task ? batch[i].task->id + ": " : "") + error.what());
    }
  }
  return scores;
}

}  // namespace cohort
