#include "rollout/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cohort {
namespace {

int32_t most_likely(std::span<const float> logits) {
  return int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin());  // ties to the lower id
}

/// The token where the running sum of weights passes uniform × their total; sums of 64 first, then one by one.
int32_t invert_sum(std::span<const float> weights, float uniform) {
  constexpr size_t kRun = 64;
  double total = 0, passed = 0;
  std::vector<double> runs;
  runs.reserve(weights.size() / kRun + 1);
  for (size_t begin = 0; begin < weights.size(); begin += kRun) {
    double lanes[4] = {};
    for (size_t i = begin; i < std::min(begin + kRun, weights.size()); ++i) lanes[i % 4] += weights[i];
    runs.push_back((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
    total += runs.back();
  }
  double wanted = double(uniform) * total;
  size_t run = 0;
  while (run + 1 < runs.size() && passed + runs[run] <= wanted) passed += runs[run++];
  int32_t last = -1;
  for (size_t i = run * kRun; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    last = int32_t(i);
    passed += weights[i];
    if (passed > wanted) break;
  }
  if (last < 0)  // rounding went past the last run: the last token that can be chosen at all
    for (size_t i = 0; i < weights.size(); ++i)
      if (weights[i] > 0) last = int32_t(i);
  return last;
}

/// Zeroes the weights that top_k, top_p and min_p drop.
void cut(std::span<float> weights, const SamplingConfig& s) {
  std::vector<int32_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  auto likelier = [&](int32_t a, int32_t b) {
    return weights[size_t(a)] != weights[size_t(b)] ? weights[size_t(a)] > weights[size_t(b)] : a < b;
  };
  size_t kept = order.size();
  if (s.top_k > 0 && size_t(s.top_k) < kept) {
    kept = size_t(s.top_k);
    std::nth_element(order.begin(), order.begin() + std::ptrdiff_t(kept) - 1, order.end(), likelier);
  }
  std::sort(order.begin(), order.begin() + std::ptrdiff_t(kept), likelier);
  if (s.top_p < 1) {
    double total = 0, passed = 0;
    for (size_t i = 0; i < kept; ++i) total += weights[size_t(order[i])];
    for (size_t i = 0; i < kept; ++i) {
      passed += weights[size_t(order[i])];
      if (passed >= s.top_p * total) kept = i + 1;
    }
  }
  float least = float(s.min_p) * weights[size_t(order[0])];
  while (kept > 1 && weights[size_t(order[kept - 1])] < least) --kept;
  for (size_t i = kept; i < order.size(); ++i) weights[size_t(order[i])] = 0;
}

}  // namespace

Choice choose_token(const Kernels& kernels, std::span<float> logits, const SamplingConfig& s,
                    std::span<const int32_t> banned, float uniform, std::span<float> scratch) {
  int64_t vocab = int64_t(logits.size());
  float temperature = s.temperature > 0 ? float(s.temperature) : 1.0f;
  auto say = [&](int32_t token) {
    TokenStatistics s = kernels.token_statistics(logits.data(), vocab, temperature, token);
    return Choice{token, s.logprob, s.entropy};
  };
  if (s.temperature == 0 && banned.empty()) return say(most_likely(logits));
  float top = kernels.token_statistics(logits.data(), vocab, temperature, 0).max;
  kernels.exponentials(logits.data(), vocab, temperature, top, scratch.data());
  for (int32_t id : banned) scratch[size_t(id)] = 0;
  if (s.temperature == 0) return say(most_likely(scratch));
  if (s.top_k > 0 || s.top_p < 1 || s.min_p > 0) cut(scratch, s);
  int32_t token = invert_sum(scratch, uniform);
  return say(token < 0 ? most_likely(logits) : token);
}

}  // namespace cohort
