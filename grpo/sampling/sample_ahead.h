// Sampling that runs ahead of learning (max_staleness): on a thread of its own, by a copy of the weights of its own,
// while the learner learns from earlier rollouts. Which weights sample a rollout, its tasks and its seeds follow from
// its place alone; when it is sampled changes no bit.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "grpo/sampling/sampling_engine.h"

namespace cohort {

/// A rollout before advantages.
struct SampledRollout {
  int64_t step = 0;               // optimizer steps that are taken before it is learned from
  std::vector<Group> groups;      // with scores
  Json refills = Json::object();  // metrics of dynamic sampling
  int64_t discarded_tokens = 0;   // sampled for groups that nothing learns from
};

/// A rollout that is to be sampled.
struct RolloutOrder {
  int64_t step = 0;      // as in SampledRollout
  uint32_t weights = 0;  // checksum of the parameters that sample it
};

class SampleAhead {
 public:
  /// Samples one rollout; `expect_wanted` is to be called now and then, and throws where nobody waits for it any more.
  using Sample =
      std::function<SampledRollout(SamplingEngine&, const RolloutOrder&, const std::function<void()>& expect_wanted)>;
  /// `ready`: rollouts that an earlier attempt sampled, in order. The engine samples by weights of its own, on so many
  /// threads.
  SampleAhead(std::deque<SampledRollout> ready, int threads, Sample sample);
  ~SampleAhead();  // gives up what is being sampled
  SampleAhead(const SampleAhead&) = delete;

  SamplingEngine& engine() { return engine_; }
  /// Rollouts that were ordered, or ready at first, and not taken.
  int64_t num_ordered() const;
  /// The next rollout is to be sampled by the weights as they stand.
  void order(const RolloutOrder& order, const CausalLM& now, const Compute& compute);
  /// Returns when the oldest rollout is sampled; throws what its sampling threw.
  void wait_for_oldest();
  SampledRollout take_oldest();
  /// All rollouts that were ordered, once they are sampled; throws what the first that failed threw.
  const std::deque<SampledRollout>& wait_for_all();

 private:
  struct Pending {
    RolloutOrder order;
    std::unique_ptr<CausalLM> weights;  // null: those of the rollout before
  };
  void work();
  std::unique_ptr<CausalLM> copy_of(const CausalLM& now, const Compute& compute);

  Compute compute_;
  CausalLM weights_;  // that sample
  SamplingEngine engine_;
  Sample sample_;
  int64_t newest_version_ = -1;  // that was copied
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Pending> pending_;
  std::deque<SampledRollout> ready_;
  std::vector<std::unique_ptr<CausalLM>> spare_;  // memory of weights that have done their work
  std::exception_ptr error_;                      // of the first rollout that failed; nothing behind it is sampled
  bool is_sampling_ = false;
  std::atomic<bool> stop_ = false;
  std::jthread thread_;
};

}  // namespace cohort
