// Random groups for tiny models, without sampling.
#pragma once
#include <cmath>
#include <vector>

#include "grpo/learner.h"
#include "policy/kernels/philox.h"
#include "tests/policy/tiny_models.h"

namespace cohort {

inline float draw(uint32_t seed, uint32_t index) {
  return uniform(philox({index, seed, 77, 0}, {3, 4})[0]);
}

inline std::vector<int32_t> tiny_ids(int64_t count, uint32_t seed) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(int32_t(draw(seed, uint32_t(i)) * 97));
  return ids;
}

/// Three groups of four: prompts of 5, 16 and 21 tokens, completions of 1 to 23; every third ends by the length limit.
/// The advantages of group 1 are all 0.
inline std::vector<Group> tiny_groups() {
  const int64_t prompts[] = {5, 16, 21}, lengths[] = {7, 1, 23, 12, 16, 3, 2, 19, 11, 5, 17, 1};
  std::vector<Group> groups;
  for (uint32_t g = 0; g < 3; ++g) {
    Group& group = groups.emplace_back();
    group.prompt = tiny_ids(prompts[g], g);
    for (uint32_t i = g * 4; i < g * 4 + 4; ++i) {
      Rollout& r = group.rollouts.emplace_back();
      r.completion.tokens = tiny_ids(lengths[i], 100 + i);
      r.completion.logprobs.assign(size_t(lengths[i]), 0.0f);
      r.completion.finish = i % 3 ? FinishReason::stop : FinishReason::length;
      r.advantage = g == 1 ? 0.0f : 3 * draw(200, i) - 1.5f;
    }
  }
  return groups;
}

/// Four of five tokens come from sets: of two or three tokens, of a dozen, of itself alone, of nearly all.
inline void keep_sets(std::span<Group> groups) {
  uint32_t n = 0;
  for (Group& group : groups)
    for (Rollout& r : group.rollouts)
      for (int32_t token : r.completion.tokens) {
        const float share[] = {0, 0.03f, 0.12f, 0, 0.95f};
        std::vector<int32_t> set;
        for (int32_t id = 0; n % 5 && id < 97; ++id)
          if (id == token || draw(400 + n, uint32_t(id)) < share[n % 5]) set.push_back(id);
        r.completion.kept.add(set), ++n;
      }
}

/// Stored log-probabilities become the model's own plus noise within ± `noise`.
inline void store_logprobs(std::span<Group> groups, Learner& learner, float noise) {
  std::vector<MicroBatch> batches = pack(groups, {.max_tokens_per_batch = 1 << 20}, Keep::all);
  learner.fill_logprobs(learner.model(), batches.at(0), batches[0].loss.logprobs);
  size_t n = 0;
  for (Group& group : groups)
    for (Rollout& r : group.rollouts)
      for (float& logprob : r.completion.logprobs)
        logprob = batches[0].loss.logprobs[n] + noise * (2 * draw(300, uint32_t(n)) - 1), ++n;
}

/// A learner that leaves the weights alone, on a model of that configuration.
struct StillLearner {
  explicit StillLearner(const Json& config, int threads = 2, bool gradient_checkpointing = false)
      : compute(threads),
        model(random_model(config, compute)),
        learner(model, compute, {.learning_rate = 0, .gradient_checkpointing = gradient_checkpointing}, 0.9) {}
  Compute compute;
  CausalLM model;
  Learner learner;
};

inline std::vector<float> copy_of(const Buffer& buffer) {
  return {buffer.data(), buffer.data() + buffer.size()};
}

/// |a − b| / |b|, Euclidean norms.
inline double relative_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i)
    difference += (double(a[i]) - b[i]) * (double(a[i]) - b[i]), norm += double(b[i]) * b[i];
  return std::sqrt(difference / norm);
}

}  // namespace cohort
