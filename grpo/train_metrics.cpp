#include "grpo/train_metrics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "grpo/advantage.h"
#include "rollout/evaluate.h"

namespace cohort {
namespace {

struct Values {
  double sum = 0, squares = 0, min = 1e30, max = -1e30;
  int64_t count = 0;
  void add(double x) { sum += x, squares += x * x, min = std::min(min, x), max = std::max(max, x), ++count; }
  double mean() const { return count ? sum / double(count) : 0; }
  double std() const {
    return count > 1 ? std::sqrt(std::max(0.0, (squares - sum * sum / double(count)) / double(count - 1))) : 0;
  }
};

void put_lengths(Json& row, const std::string& name, const Values& v) {
  row["completions/mean_" + name] = v.mean();
  row["completions/min_" + name] = v.count ? v.min : 0;
  row["completions/max_" + name] = v.count ? v.max : 0;
}

}  // namespace

void SamplingCheck::add(const MicroBatch& batch) {
  const std::vector<float>& sampled =
      batch.loss.sampling_logprobs.empty() ? batch.loss.old_logprobs : batch.loss.sampling_logprobs;
  for (size_t n = 0; n < batch.loss.logprobs.size(); ++n) {
    float ours = batch.loss.logprobs[n], stored = sampled[n];
    double difference = std::abs(double(ours) - stored), ratio = std::exp(double(ours - stored));
    ++tokens, bit_mismatches += std::bit_cast<uint32_t>(ours) != std::bit_cast<uint32_t>(stored);
    difference_sum += difference, difference_max = std::max(difference_max, difference);
    ratio_sum += ratio, ratio_min = std::min(ratio_min, ratio), ratio_max = std::max(ratio_max, ratio);
  }
}

Json to_json(const SamplingCheck& c) {
  return {{"tokens", c.tokens},       {"mismatches", c.bit_mismatches}, {"difference_sum", c.difference_sum},
          {"ratio_sum", c.ratio_sum}, {"ratio_min", c.ratio_min},       {"difference_max", c.difference_max},
          {"ratio_max", c.ratio_max}};
}

SamplingCheck sampling_check_from(const Json& j) {
  const auto number = [&](const char* name) {  // which JSON has no word for where it is not finite
    return j.at(name).is_null() ? std::nan("") : j.at(name).get<double>();
  };
  return {.tokens = j.at("tokens"),
          .bit_mismatches = j.at("mismatches"),
          .difference_sum = number("difference_sum"),
          .difference_max = number("difference_max"),
          .ratio_sum = number("ratio_sum"),
          .ratio_min = number("ratio_min"),
          .ratio_max = number("ratio_max")};
}

Json staleness_metrics(std::span<const Group> groups, int64_t step) {
  Values staleness;
  for (const Group& group : groups)
    for (const Rollout& r : group.rollouts)
      for (size_t t = 0; t < r.completion.tokens.size(); ++t)
        staleness.add(double(step - (r.completion.versions.empty() ? group.policy_version : r.completion.versions[t])));
  return {{"staleness/mean", staleness.mean()}, {"staleness/max", staleness.count ? staleness.max : 0}};
}

Json sampling_metrics(const SamplingCheck& c) {
  double n = double(std::max<int64_t>(1, c.tokens));
  return {{"logprob_bit_mismatches", c.bit_mismatches},
          {"logprob_tokens_checked", c.tokens},
          {"sampling/sampling_logp_difference/mean", c.difference_sum / n},
          {"sampling/sampling_logp_difference/max", c.difference_max},
          {"sampling/importance_sampling_ratio/min", c.tokens ? c.ratio_min : 1.0},
          {"sampling/importance_sampling_ratio/mean", c.tokens ? c.ratio_sum / n : 1.0},
          {"sampling/importance_sampling_ratio/max", c.tokens ? c.ratio_max : 1.0}};
}

Json group_metrics(std::span<const Group> groups) {
  Json row;
  Values length, terminated, reward;
  std::map<std::string, Values> components;
  int64_t clipped = 0, zero_std = 0, errors = 0, total = 0;
  for (const Group& group : groups) {
    for (const Rollout& r : group.rollouts) {
      double tokens = double(r.completion.tokens.size());
      length.add(tokens), ++total;
      if (r.completion.finish == FinishReason::length)
        ++clipped;
      else
        terminated.add(tokens);
      errors += has_error(r.score);
      if (r.score.value) reward.add(*r.score.value);
      for (const auto& [name, value] : r.score.components) components[name].add(value);
    }
    zero_std += has_zero_std(group);
  }
  put_lengths(row, "length", length), put_lengths(row, "terminated_length", terminated);
  row["completions/clipped_ratio"] = total ? double(clipped) / double(total) : 0;
  for (const auto& [name, values] : components)
    row["rewards/" + name + "/mean"] = values.mean(), row["rewards/" + name + "/std"] = values.std();
  row["reward"] = reward.mean(), row["reward_std"] = reward.std();
  row["frac_reward_zero_std"] = groups.empty() ? 0 : double(zero_std) / double(groups.size());
  row["verifier_error_rate"] = total ? double(errors) / double(total) : 0;
  return row;
}

std::vector<double> expert_load(std::span<const Group> groups) {
  std::vector<double> load;
  for (const Group& group : groups) {
    load.resize(std::max(load.size(), group.expert_load.size()));
    for (size_t i = 0; i < group.expert_load.size(); ++i) load[i] += group.expert_load[i];
  }
  return load;
}

double max_violation(std::span<const double> load, size_t experts) {
  double total = 0;
  size_t layers = load.size() / experts;
  for (size_t l = 0; l < layers; ++l) {
    auto first = load.begin() + std::ptrdiff_t(l * experts);
    double sum = 0, most = *std::max_element(first, first + std::ptrdiff_t(experts));
    for (size_t e = 0; e < experts; ++e) sum += first[std::ptrdiff_t(e)];
    total += sum > 0 ? most * double(experts) / sum - 1 : 0;
  }
  return layers ? total / double(layers) : 0;
}

double max_expert_share(std::span<const double> load, size_t experts, int32_t top_k) {
  double share = 0;
  for (size_t begin = 0; begin + experts <= load.size(); begin += experts) {
    const std::span<const double> layer = load.subspan(begin, experts);
    const double sum = std::accumulate(layer.begin(), layer.end(), 0.0);
    if (sum > 0) share = std::max(share, std::ranges::max(layer) * top_k / sum);
  }
  return share;
}

void count_dropped(LossSums& sums, std::span<const Group> groups, const LossConfig& loss, const PackConfig& pack,
                   const LossScale& scale) {
  sums.clip_terms = loss.importance_sampling_level == "token" ? scale.num_tokens : scale.num_sequences;
  for (const Group& group : groups)
    for (const Rollout& r : group.rollouts) {
      if (r.advantage != 0) continue;
      sums.clipped_low_min = 0;
      if (learned_tokens(r.completion, pack) > 0 && r.completion.entropy_sum != 0)
        sums.entropy += r.completion.entropy_sum, sums.entropy_tokens += double(r.completion.tokens.size());
    }
}

Json step_metrics(const StepStats& stats, const LossConfig& loss, int64_t num_tokens) {
  const LossSums& s = stats.sums;
  double tokens = std::max(1.0, s.tokens), terms = std::max(1.0, s.clip_terms);
  Json row = {{"loss", s.loss},
              {"policy_loss", s.policy_loss},
              {"entropy", s.entropy_tokens ? Json(s.entropy / s.entropy_tokens) : Json()},
              {"grad_norm", stats.grad_norm},
              {"learning_rate", stats.learning_rate},
              {"num_tokens", num_tokens},
              {"learner_tokens", stats.learner_tokens},
              {"ratio/min", s.tokens ? s.ratio_min : 1.0},
              {"ratio/mean", s.tokens ? s.ratio_sum / tokens : 1.0},
              {"ratio/max", s.tokens ? s.ratio_max : 1.0}};
  if (is_clipped(loss_type(loss.loss_type)))
    row.update({{"clip_ratio/region_mean", (s.clipped_low + s.clipped_high) / terms},
                {"clip_ratio/low_mean", s.clipped_low / terms},
                {"clip_ratio/high_mean", s.clipped_high / terms},
                {"clip_ratio/low_min", s.clip_terms ? s.clipped_low_min : 0},
                {"clip_ratio/high_max", s.clipped_high_max}});
  if (loss.loss_type == "cispo") row["cispo_clip_ratio"] = (s.clipped_low + s.clipped_high) / terms;
  if (loss.loss_type == "vespo") row["vespo/phi_seq_mean"] = s.phi_terms ? s.phi / s.phi_terms : 1.0;
  if (s.correction_terms)
    row.update({{"sampling/importance_sampling_ratio/min", s.correction_min},
                {"sampling/importance_sampling_ratio/mean", s.correction_sum / s.correction_terms},
                {"sampling/importance_sampling_ratio/max", s.correction_max}});
  if (has_kl_term(loss)) row["kl"] = s.kl / tokens;
  return row;
}

std::string step_file(int64_t step) {
  char name[40];
  std::snprintf(name, sizeof name, "step-%06lld.jsonl", static_cast<long long>(step));
  return name;
}

Json evaluation_metrics(std::span<const Group> groups, const std::filesystem::path& folder, int64_t step) {
  const Evaluation e = summarize(groups);
  Json row = {{"eval/pass@1", e.pass_at_1},
              {"eval/pass@1_low", e.ci_low},
              {"eval/pass@1_high", e.ci_high},
              {"eval/mean_length", e.mean_length},
              {"eval/clipped_ratio", e.truncated}};
  write_groups(folder / step_file(step), groups);
  if (step > 0 && std::filesystem::exists(folder / step_file(0))) {
    const Gain gain = paired_gain(summarize(read_groups(folder / step_file(0))), e);
    row.update({{"eval/gain", gain.mean}, {"eval/gain_low", gain.ci_low}, {"eval/gain_high", gain.ci_high}});
  }
  return row;
}

Json of_the_start(const Json& evaluation) {
  Json renamed = Json::object();
  for (const auto& [key, value] : evaluation.items()) renamed["eval_start/" + key.substr(5)] = value;
  return renamed;
}

}  // namespace cohort
