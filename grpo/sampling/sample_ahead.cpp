#include "grpo/sampling/sample_ahead.h"

#include <stdexcept>
#include <utility>

#include "policy/load_parameters.h"

namespace cohort {

SampleAhead::SampleAhead(std::deque<SampledRollout> ready, int threads, Sample sample)
    : compute_(threads),
      engine_{.model = weights_, .compute = compute_},
      sample_(std::move(sample)),
      ready_(std::move(ready)),
      thread_([this] { work(); }) {}

SampleAhead::~SampleAhead() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
}

int64_t SampleAhead::num_ordered() const {
  const std::lock_guard lock(mutex_);
  return int64_t(ready_.size() + pending_.size()) + is_sampling_;
}

/// Into memory of weights that nothing is sampled by any more, where there is some.
std::unique_ptr<CausalLM> SampleAhead::copy_of(const CausalLM& now, const Compute& compute) {
  auto copy = std::make_unique<CausalLM>();
  {
    const std::lock_guard lock(mutex_);
    if (!spare_.empty())
      copy = std::move(spare_.back()), spare_.pop_back();
    else if (pending_.empty() && !is_sampling_)
      *copy = std::exchange(weights_, CausalLM());
  }
  copy_for_decoding(now, compute, *copy);
  return copy;
}

void SampleAhead::order(const RolloutOrder& order, const CausalLM& now, const Compute& compute) {
  Pending next{order, nullptr};
  if (std::exchange(newest_version_, now.version) != now.version) next.weights = copy_of(now, compute);
  const std::lock_guard lock(mutex_);
  pending_.push_back(std::move(next));
  changed_.notify_all();
}

void SampleAhead::wait_for_oldest() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty() || error_; });
  if (ready_.empty()) std::rethrow_exception(error_);
}

SampledRollout SampleAhead::take_oldest() {
  wait_for_oldest();
  const std::lock_guard lock(mutex_);
  SampledRollout rollout = std::move(ready_.front());
  ready_.pop_front();
  return rollout;
}

const std::deque<SampledRollout>& SampleAhead::wait_for_all() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return (pending_.empty() && !is_sampling_) || error_; });
  if (error_) std::rethrow_exception(error_);
  return ready_;
}

void SampleAhead::work() {
  const auto expect_wanted = [&] {
    if (stop_) throw std::runtime_error("the rollout is given up");
  };
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || !pending_.empty(); });
    if (stop_) return;
    Pending next = std::move(pending_.front());
    pending_.pop_front();
    if (next.weights) {
      std::swap(weights_, *next.weights);
      if (!next.weights->matrices.empty()) spare_.push_back(std::move(next.weights));
    }
    is_sampling_ = true;
    lock.unlock();
    SampledRollout rollout;
    std::exception_ptr error;
    try {
      rollout = sample_(engine_, next.order, expect_wanted);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    is_sampling_ = false;
    if (error)
      error_ = error;
    else
      ready_.push_back(std::move(rollout));
    changed_.notify_all();
    if (error) return;
  }
}

}  // namespace cohort
