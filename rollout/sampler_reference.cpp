#include "rollout/sampler_reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cohort {
namespace {

/// Zeroes the weights that top_k, top_p and min_p drop.
void cut(std::span<float> weights, const SamplingConfig& s, double total) {
  std::vector<int32_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  const auto weight = [&](size_t place) { return weights[size_t(order[place])]; };
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return weights[size_t(a)] != weights[size_t(b)] ? weights[size_t(a)] > weights[size_t(b)] : a < b;
  });
  size_t kept = order.size();
  if (s.top_k > 0 && size_t(s.top_k) < kept) {
    kept = size_t(s.top_k);
    uint64_t mass = 0;
    for (size_t i = 0; i < kept; ++i) mass += probability_mass(weight(i));
    total = double(mass) * 0x1p-44;
  }
  if (s.top_p < 1) {
    uint64_t passed = 0;
    for (size_t i = 0; i < kept; ++i)
      if ((passed += probability_mass(weight(i))) >= wanted_mass(s.top_p, total)) kept = i + 1;
  }
  const float least = float(s.min_p) * weight(0);
  while (kept > 1 && weight(kept - 1) < least) --kept;
  for (size_t i = kept; i < order.size(); ++i) weights[size_t(order[i])] = 0;
}

/// Sums of 64 weights, those of 0 left out, and where each begins.
std::vector<std::pair<double, size_t>> runs_of(std::span<const float> weights) {
  std::vector<std::pair<double, size_t>> runs;
  for (size_t begin = 0; begin < weights.size(); begin += 64) {
    double lanes[4] = {};
    for (size_t i = begin; i < std::min(begin + 64, weights.size()); ++i) lanes[i % 4] += double(weights[i]);
    const double sum = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    if (sum > 0) runs.emplace_back(sum, begin);
  }
  return runs;
}

double total_of(std::span<const float> weights) {
  double total = 0;
  for (const auto& [sum, begin] : runs_of(weights)) total += sum;
  return total;
}

int32_t invert_sum(std::span<const float> weights, float uniform) {
  const auto runs = runs_of(weights);
  const double wanted = double(uniform) * total_of(weights);
  double passed = 0;
  size_t run = 0;
  while (run + 1 < runs.size() && passed + runs[run].first <= wanted) passed += runs[run++].first;
  int32_t last = -1;
  for (size_t i = runs.empty() ? weights.size() : runs[run].second; i < weights.size(); ++i) {
    if (!(weights[i] > 0)) continue;
    last = int32_t(i);
    if ((passed += double(weights[i])) > wanted) break;
  }
  return last;
}

int32_t first_largest(std::span<const float> values) {
  return int32_t(std::max_element(values.begin(), values.end()) - values.begin());
}

std::vector<int32_t> positive(std::span<const float> weights) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < weights.size(); ++i)
    if (weights[i] > 0) ids.push_back(int32_t(i));
  return ids;
}

}  // namespace

ReferenceChoice choose_token_reference(const Kernels& kernels, std::span<float> logits, const SamplingConfig& s,
                                       const SamplingContext& context, float uniform) {
  const int64_t vocab = int64_t(logits.size());
  const float temperature = s.temperature > 0 ? float(s.temperature) : 1.0f;
  std::vector<int32_t> counts(logits.size());
  apply_penalties(logits, s, context, counts);
  const auto say = [&](int32_t token, std::vector<int32_t> kept) {
    TokenStatistics t = kernels.token_statistics(logits.data(), vocab, temperature, token);
    return ReferenceChoice{{token, t.logprob, t.entropy}, std::move(kept)};
  };
  if (s.temperature == 0) {
    std::vector<float> allowed(logits.begin(), logits.end());
    for (int32_t id : context.banned) allowed[size_t(id)] = -INFINITY;
    return say(first_largest(allowed), {first_largest(allowed)});
  }
  std::vector<float> weights(logits.size());
  const float top = kernels.token_statistics(logits.data(), vocab, temperature, 0).max;
  kernels.exponentials(logits.data(), vocab, temperature, top, weights.data());
  for (int32_t id : context.banned) weights[size_t(id)] = 0;
  cut(weights, s, total_of(weights));
  const int32_t token = invert_sum(weights, uniform);
  const std::vector<int32_t> kept = positive(weights);
  if (token < 0) return say(first_largest(logits), kept);
  const bool is_cut = s.top_k > 0 || s.top_p < 1 || s.min_p > 0 || !context.banned.empty();
  if (!s.keep_sampling_mask || !is_cut) return say(token, kept);
  std::vector<float> kept_logits;
  for (int32_t id : kept) kept_logits.push_back(logits[size_t(id)]);
  const auto at = std::find(kept.begin(), kept.end(), token) - kept.begin();
  TokenStatistics t =
      kernels.token_statistics(kept_logits.data(), int64_t(kept_logits.size()), temperature, int32_t(at));
  return {{token, t.logprob, t.entropy}, kept};
}

}  // namespace cohort
