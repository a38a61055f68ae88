#include "rollout/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "configs/error.h"

namespace cohort {
namespace {

constexpr int64_t kRun = SamplingRow::kRun, kChunk = SamplingRow::kChunk;
constexpr float kLeastWeight = std::numeric_limits<float>::denorm_min();

int32_t id_of(uint64_t key) {
  return int32_t(~uint32_t(key));
}
float weight_of(uint64_t key) {
  return std::bit_cast<float>(uint32_t(key >> 32));
}

/// Calls f(id, times) once for each token of the texts.
template <class F>
void for_each_token(std::initializer_list<std::span<const int32_t>> texts, std::vector<int32_t>& counts, F f) {
  for (std::span<const int32_t> text : texts)
    for (int32_t id : text) ++counts[size_t(id)];
  for (std::span<const int32_t> text : texts)
    for (int32_t id : text)
      if (int32_t times = std::exchange(counts[size_t(id)], 0)) f(id, times);
}

/// A row of weights with what is known of its runs and groups.
struct Row {
  int64_t vocab;
  SamplingRow of;
  int64_t num_runs() const { return ceil_div(vocab, kRun); }
  std::span<const float> group_max() const { return {of.group_max, size_t(ceil_div(vocab, kChunk) * 16)}; }
  double total() const {
    double sum = 0;
    for (int64_t r = 0; r < num_runs(); ++r) sum += of.run_sums[r];
    return sum;
  }
};

Row row_in(SamplerScratch& scratch, int64_t vocab) {
  scratch.weights.resize(vocab), scratch.run_sums.resize(ceil_div(vocab, kRun));
  scratch.group_max.resize(ceil_div(vocab, kChunk) * 16), scratch.candidates.resize(vocab);
  return {vocab, {scratch.weights.data(), scratch.run_sums.data(), scratch.group_max.data()}};
}

/// Weight 0 for a token, and its run and group anew.
void drop(const Row& row, int32_t id) {
  row.of.weights[id] = 0;
  double lanes[4] = {};
  const int64_t run = id / kRun * kRun, chunk = id / kChunk * kChunk, lane = id % 16;
  for (int64_t i = run; i < std::min(run + kRun, row.vocab); ++i) lanes[i % 4] += double(row.of.weights[i]);
  row.of.run_sums[id / kRun] = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
  float largest = 0;
  for (int64_t i = chunk + lane; i < std::min(chunk + kChunk, row.vocab); i += 16)
    largest = std::max(largest, row.of.weights[i]);
  row.of.group_max[id / kChunk * 16 + lane] = largest;
}

/// A weight that at least `count` tokens reach: so many groups have a token that does.
float reached_by(std::span<const float> group_max, int64_t count, std::vector<float>& maxima) {
  maxima.assign(group_max.begin(), group_max.end());
  while (int64_t(maxima.size()) >= 8 * count) {  // fewer, larger groups bound it as well
    const size_t half = maxima.size() / 2, other = maxima.size() - half;
    for (size_t i = 0; i < half; ++i) maxima[i] = std::max(maxima[i], maxima[other + i]);
    maxima.resize(other);
  }
  if (int64_t(maxima.size()) < count) return kLeastWeight;
  std::nth_element(maxima.begin(), maxima.begin() + count - 1, maxima.end(), std::greater());
  return std::max(kLeastWeight, maxima[size_t(count) - 1]);
}

/// The key at which the sum of weigh(key), from the largest key down, reaches `wanted`; 0 where all do not.
template <class Weigh>
uint64_t key_reaching(std::span<const uint64_t> keys, uint64_t wanted, Weigh weigh, std::vector<uint64_t>& bucket) {
  constexpr int kShift = 52;  // an exponent and three bits of the mantissa: eight buckets an octave
  std::array<uint64_t, 1 << 11> sums = {};
  for (uint64_t key : keys) sums[key >> kShift] += weigh(key);
  uint64_t passed = 0;
  size_t b = sums.size();
  do {
    if (b-- == 0) return 0;
    passed += sums[b];
  } while (passed < wanted);
  passed -= sums[b];
  bucket.clear();
  for (uint64_t key : keys)
    if (key >> kShift == b) bucket.push_back(key);
  auto begin = bucket.begin(), end = bucket.end();
  while (end - begin > 32) {
    auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, std::greater());
    uint64_t half = 0;
    for (auto key = begin; key != middle; ++key) half += weigh(*key);
    if (passed + half >= wanted)
      end = middle;
    else
      passed += half, begin = middle;
  }
  std::sort(begin, end, std::greater());
  while ((passed += weigh(*begin)) < wanted) ++begin;
  return *begin;
}

uint64_t mass_of(std::span<const uint64_t> keys) {
  uint64_t mass = 0;
  for (uint64_t key : keys) mass += probability_mass(weight_of(key));
  return mass;
}

/// Candidates that hold what top_p keeps, or all that are at least `least`. Those lighter than (1 − top_p) · total / V
/// are together less than what top_p leaves; far fewer tokens do in most rows, so larger weights are tried first.
std::span<const uint64_t> candidates_for(const Kernels& kernels, const Row& row, double top_p, double total,
                                         float least, uint64_t* candidates) {
  const uint64_t wanted = wanted_mass(top_p, total);
  for (double parts = 256;; parts *= 8) {
    const float limit = parts < double(row.vocab) ? std::max(least, float((1 - top_p) * total / parts)) : least;
    std::span<const uint64_t> found(candidates,
                                    size_t(kernels.keys_from(row.of.weights, row.vocab, limit, candidates)));
    if (limit == least || mass_of(found) >= wanted) return found;
  }
}

/// Keys of the kept tokens in the order of their ids.
std::span<const uint64_t> cut(const Kernels& kernels, const Row& row, const SamplingConfig& s,
                              SamplerScratch& scratch) {
  uint64_t* keys = scratch.candidates.data();
  const float largest = *std::max_element(row.group_max().begin(), row.group_max().end());
  float least = std::max(kLeastWeight, float(s.min_p) * largest);
  uint64_t least_key = 0;
  std::span<const uint64_t> found;
  const auto keep = [&](auto is_kept) { found = {keys, std::copy_if(found.begin(), found.end(), keys, is_kept)}; };
  if (s.top_k > 0 && s.top_k < row.vocab) {
    const float limit = reached_by(row.group_max(), s.top_k, scratch.maxima);
    found = {keys, size_t(kernels.keys_from(row.of.weights, row.vocab, limit, keys))};
    least_key = key_reaching(
        found, uint64_t(s.top_k), [](uint64_t) { return 1; }, scratch.bucket);
    keep([&](uint64_t key) { return key >= least_key; });
  } else if (s.top_p == 1) {
    found = {keys, size_t(kernels.keys_from(row.of.weights, row.vocab, least, keys))};
  }
  if (s.top_p < 1) {
    const bool is_all = found.empty();
    const double total = is_all ? row.total() : double(mass_of(found)) * 0x1p-44;
    if (is_all) found = candidates_for(kernels, row, s.top_p, total, least, keys);
    least_key = key_reaching(
        found, wanted_mass(s.top_p, total), [](uint64_t key) { return probability_mass(weight_of(key)); },
        scratch.bucket);
  }
  keep([&](uint64_t key) { return key >= least_key && weight_of(key) >= least; });
  return found;
}

/// The token where the running sum of weights passes uniform × their total: sums of runs first, then one by one.
int32_t invert_sum(const Row& row, float uniform) {
  const double wanted = double(uniform) * row.total();
  int64_t last_run = row.num_runs();
  while (last_run > 0 && !(row.of.run_sums[last_run - 1] > 0)) --last_run;
  double passed = 0;
  int64_t run = 0;
  while (run + 1 < last_run && passed + row.of.run_sums[run] <= wanted) passed += row.of.run_sums[run++];
  int32_t last = -1;
  for (int64_t i = run * kRun; i < row.vocab; ++i) {
    if (!(row.of.weights[i] > 0)) continue;
    last = int32_t(i);
    passed += double(row.of.weights[i]);
    if (passed > wanted) break;
  }
  return last;
}

/// The same over the kept tokens alone, as if the others had weight 0.
int32_t invert_sum(std::span<const uint64_t> keys, float uniform, std::vector<std::pair<double, size_t>>& runs) {
  runs.clear();
  double total = 0;
  for (size_t i = 0; i < keys.size();) {
    double lanes[4] = {};
    const size_t first = i;
    for (; i < keys.size() && id_of(keys[i]) / kRun == id_of(keys[first]) / kRun; ++i)
      lanes[id_of(keys[i]) % 4] += double(weight_of(keys[i]));
    runs.emplace_back((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]), first);
    total += runs.back().first;
  }
  const double wanted = double(uniform) * total;
  double passed = 0;
  size_t run = 0;
  while (run + 1 < runs.size() && passed + runs[run].first <= wanted) passed += runs[run++].first;
  int32_t last = -1;
  for (size_t i = runs.empty() ? 0 : runs[run].second; i < keys.size(); ++i) {
    last = id_of(keys[i]);
    passed += double(weight_of(keys[i]));
    if (passed > wanted) break;
  }
  return last;
}

/// The first of the largest logits that are not banned.
int32_t most_likely(const Kernels& kernels, std::span<const float> logits, float max, std::span<const int32_t> banned,
                    SamplerScratch& scratch) {
  int64_t vocab = int64_t(logits.size());
  const float* values = logits.data();
  scratch.candidates.resize(vocab);
  if (!banned.empty()) {
    scratch.weights.resize(vocab);
    std::copy(logits.begin(), logits.end(), scratch.weights.data());
    for (int32_t id : banned) scratch.weights[id] = -INFINITY;
    values = scratch.weights.data();
    max = *std::max_element(values, values + vocab);
  }
  const bool is_found = kernels.keys_from(values, vocab, max, scratch.candidates.data()) > 0;  // not where all are NaN
  return is_found ? id_of(scratch.candidates[0]) : 0;
}

/// Log-probability and entropy over the kept tokens alone.
Choice among_kept(const Kernels& kernels, std::span<const float> logits, float temperature, int32_t token,
                  SamplerScratch& scratch) {
  scratch.kept_logits.clear();
  for (int32_t id : scratch.kept) scratch.kept_logits.push_back(logits[size_t(id)]);
  const auto at = std::lower_bound(scratch.kept.begin(), scratch.kept.end(), token) - scratch.kept.begin();
  TokenStatistics s = kernels.token_statistics(scratch.kept_logits.data(), int64_t(scratch.kept_logits.size()),
                                               temperature, int32_t(at));
  return {token, s.logprob, s.entropy};
}

}  // namespace

std::map<std::string, double> named_biases(const std::map<int32_t, double>& by_id) {
  std::map<std::string, double> by_name;
  for (const auto& [id, bias] : by_id) by_name[std::to_string(id)] = bias;
  return by_name;
}

std::map<int32_t, double> token_biases(const std::map<std::string, double>& by_name) {
  std::map<int32_t, double> by_id;
  for (const auto& [name, bias] : by_name) {
    const bool is_id = !name.empty() && name.size() < 10 && name.find_first_not_of("0123456789") == name.npos;
    if (!is_id) throw UsageError("logit_bias has the key \"" + name + "\", expected token ids, as in {\"42\": -100}");
    by_id[std::stoi(name)] = bias;
  }
  return by_id;
}

void expect_in_vocabulary(const SamplingConfig& s, int32_t vocab) {
  const auto expect = [&](int32_t id, const char* where) {
    if (id < 0 || id >= vocab)
      throw UsageError(std::string(where) + " names the token " + std::to_string(id) + ", the model's vocabulary has " +
                       std::to_string(vocab) + " tokens, from 0 on");
  };
  for (const auto& [id, bias] : s.logit_bias) expect(id, "logit_bias");
  for (int32_t id : s.stop_token_ids) expect(id, "stop_token_ids");
}

bool has_penalties(const SamplingConfig& s) {
  return s.repetition_penalty != 1 || s.presence_penalty != 0 || s.frequency_penalty != 0 || !s.logit_bias.empty();
}

void apply_penalties(std::span<float> logits, const SamplingConfig& s, const SamplingContext& context,
                     std::vector<int32_t>& counts) {
  if (counts.size() < logits.size()) counts.resize(logits.size());
  for (const auto& [id, bias] : s.logit_bias) logits[size_t(id)] += float(bias);
  const float repetition = float(s.repetition_penalty), frequency = float(s.frequency_penalty);
  if (repetition != 1)
    for_each_token({context.prompt, context.completion}, counts, [&](int32_t id, int32_t) {
      float& logit = logits[size_t(id)];
      logit = logit < 0 ? logit * repetition : logit / repetition;
    });
  if (frequency != 0 || s.presence_penalty != 0)
    for_each_token({context.completion}, counts, [&](int32_t id, int32_t times) {
      float& logit = logits[size_t(id)];
      logit -= frequency * float(times);
      logit -= float(s.presence_penalty);
    });
}

Choice choose_token(const Kernels& kernels, std::span<float> logits, const SamplingConfig& s,
                    const SamplingContext& context, float uniform, SamplerScratch& scratch) {
  const int64_t vocab = int64_t(logits.size());
  const float temperature = s.temperature > 0 ? float(s.temperature) : 1.0f;
  scratch.kept.clear();
  if (has_penalties(s)) apply_penalties(logits, s, context, scratch.counts);
  const auto say = [&](int32_t token, const TokenStatistics& statistics) {
    if (token < 0) token = most_likely(kernels, logits, statistics.max, {}, scratch);  // every token is banned
    return Choice{token, kernels.token_logprob(logits[size_t(token)], temperature, statistics), statistics.entropy};
  };
  if (s.temperature == 0) {
    const TokenStatistics statistics = kernels.token_statistics(logits.data(), vocab, temperature, 0);
    return say(most_likely(kernels, logits, statistics.max, context.banned, scratch), statistics);
  }
  const Row row = row_in(scratch, vocab);
  const TokenStatistics statistics = kernels.sampling_row(logits.data(), vocab, temperature, row.of);
  for (int32_t id : context.banned) drop(row, id);
  const bool is_cut = s.top_k > 0 || s.top_p < 1 || s.min_p > 0 || (s.keep_sampling_mask && !context.banned.empty());
  if (!is_cut) return say(invert_sum(row, uniform), statistics);
  const std::span<const uint64_t> keys = cut(kernels, row, s, scratch);
  const int32_t token = invert_sum(keys, uniform, scratch.runs);
  if (!s.keep_sampling_mask || token < 0) return say(token, statistics);
  for (uint64_t key : keys) scratch.kept.push_back(id_of(key));
  return among_kept(kernels, logits, temperature, token, scratch);
}

}  // namespace cohort
