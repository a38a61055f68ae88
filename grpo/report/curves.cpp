#include "grpo/report/curves.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "grpo/report/html.h"

namespace cohort {
namespace {

struct Metric {
  std::string key, label;  // the label tells lines of one chart apart
};

struct CurveSpec {
  std::string group, title;
  std::vector<Metric> metrics;
  bool percent;
  std::string note;
  std::string only_kind = {};  // of runs; empty: every kind
};

const std::vector<CurveSpec>& curve_table() {
  static const std::vector<CurveSpec> table{
      {"What was learned",
       "Held-out accuracy",
       {{"eval/pass@1", "pass@1"}},
       true,
       "Share of held-out tasks that one completion each solves."},
      {"What was learned",
       "Held-out gain",
       {{"eval/gain", "gain"}, {"eval/gain_low", "low"}, {"eval/gain_high", "high"}},
       true,
       "Held-out accuracy since the start, with the 95 % interval of a bootstrap over pairs of the same task."},
      {"What was learned",
       "Held-out loss",
       {{"eval/loss", "loss"}},
       false,
       "Mean over the learned tokens of held-out rows, in nats. Where it rises while the loss falls, rows are "
       "memorised."},
      {"What was learned",
       "Reward",
       {{"reward", "reward"}},
       false,
       "Mean score of a step's completions. GRPO learns from each score relative to its group, so the level is for the "
       "reader."},
      {"What was learned",
       "Completion length",
       {{"completions/mean_length", "mean"}},
       false,
       "Tokens in a completion, the stop token included. Thought that pays off makes this grow together with "
       "accuracy."},
      {"What was learned",
       "Cut off",
       {{"completions/clipped_ratio", "cut off"}},
       true,
       "Completions that ran into the length limit before they ended."},
      {"What was learned",
       "Groups without signal",
       {{"frac_reward_zero_std", "groups"}},
       true,
       "Groups whose completions all scored the same: their advantages are zero and they teach nothing."},
      {"What was learned",
       "Spread of rewards",
       {{"reward_std", "std"}},
       false,
       "Standard deviation of the scores. Where it goes to zero, learning stops."},
      {"What was learned",
       "Token accuracy",
       {{"mean_token_accuracy", "learned"}, {"eval/mean_token_accuracy", "held out"}},
       true,
       "Share of target tokens that are the model's first choice."},
      {"The update",
       "Loss",
       {{"loss", "loss"}},
       false,
       "No measure of progress: advantages of a group sum to zero, so on policy the loss stays near zero.",
       "train"},
      {"The update", "Loss", {{"loss", "loss"}}, false, "Mean over the learned tokens, in nats.", "sft"},
      {"The update", "Loss", {{"loss", "loss"}}, false, "Mean over the learned tokens, in nats.", "distill"},
      {"The update",
       "Entropy",
       {{"entropy", "entropy"}},
       false,
       "Mean entropy of the next-token distribution, in nats. At zero the policy has stopped exploring."},
      {"The update",
       "KL to the reference",
       {{"kl", "KL"}},
       false,
       "Estimated divergence from the reference model, in nats a token.",
       "train"},
      {"The update",
       "Divergence from the teacher",
       {{"kl", "divergence"}},
       false,
       "Mean over the learned tokens, in nats: the KL or the JSD that is learned from.",
       "distill"},
      {"The update",
       "Clipped tokens",
       {{"clip_ratio/low_mean", "low"},
        {"clip_ratio/high_mean", "high"},
        {"clip_ratio/region_mean", "either"},
        {"cispo_clip_ratio", "cispo"}},
       true,
       "Tokens whose ratio left the trust region, below and above. Zero while a batch serves one optimizer step."},
      {"The update",
       "Gradient norm",
       {{"grad_norm", "norm"}},
       false,
       "Before clipping. Lone spikes are harmless, a rising floor is not."},
      {"The update", "Learning rate", {{"learning_rate", "rate"}}, false, "As the schedule set it."},
      {"Exactness",
       "Importance ratio",
       {{"sampling/importance_sampling_ratio/mean", "mean"},
        {"sampling/importance_sampling_ratio/min", "min"},
        {"sampling/importance_sampling_ratio/max", "max"}},
       false,
       "Probability under the learner over probability under the sampler, before a batch's first update. 1 is on "
       "policy to the bit."},
      {"Exactness",
       "Log-probability mismatches",
       {{"logprob_bit_mismatches", "tokens"}},
       false,
       "Sampled tokens whose stored log-probability differs in any bit from the learner's own. 0 is the claim."},
      {"Exactness",
       "Log-probability difference",
       {{"sampling/sampling_logp_difference/mean", "mean"}, {"sampling/sampling_logp_difference/max", "max"}},
       false,
       "Between the sampler's log-probabilities and the learner's, in nats."},
      {"Speed",
       "Tokens per second",
       {{"tokens_per_second", "tok/s"}, {"tokens/s", "tok/s"}},
       false,
       "Tokens of whole steps over their wall time."},
      {"Speed", "Seconds a step", {{"step_time", "seconds"}}, false, "Wall time of a whole step."},
  };
  return table;
}

// a/{b, c} for a/b and a/c; otherwise the keys one after another.
std::string shown_keys(const std::vector<std::string>& keys) {
  const size_t slash = keys[0].rfind('/');
  const std::string stem = slash == std::string::npos ? "" : keys[0].substr(0, slash + 1);
  const bool shared = keys.size() > 1 && !stem.empty() &&
                      std::ranges::all_of(keys, [&](const std::string& key) { return key.starts_with(stem); });
  std::string shown;
  for (const std::string& key : keys) shown += (shown.empty() ? "" : ", ") + (shared ? key.substr(stem.size()) : key);
  return shared ? stem + "{" + shown + "}" : shown;
}

std::string summary_of(const Chart& chart) {
  if (chart.lines.size() == 1) return first_to_last(chart.lines[0].series, chart.percent);
  const double first = chart.lines[0].series[0].value;
  const bool constant = std::ranges::all_of(chart.lines, [&](const Line& line) {
    return std::ranges::all_of(line.series, [&](const Point& point) { return point.value == first; });
  });
  return constant ? first_to_last(chart.lines[0].series, chart.percent) : "";
}

// A line for each metric and each run of the kind that has it.
void add_lines(CurveCard& card, const std::vector<Metric>& metrics, std::span<const RunFolder> all,
               std::string_view kind) {
  std::vector<std::string> keys;
  for (size_t dash = 0; dash < metrics.size(); ++dash) {
    const auto& [key, metric_label] = metrics[dash];
    const size_t num_before = card.chart.lines.size();
    for (size_t run = 0; run < all.size(); ++run) {
      Series series = all[run].kind == kind ? series_of(all[run].metrics, key) : Series{};
      if (series.empty()) continue;
      const std::string label = metrics.size() == 1 ? all[run].name : all[run].name + " " + metric_label;
      card.chart.lines.push_back({label, run, dash, std::move(series)});
    }
    const bool found = card.chart.lines.size() > num_before;
    card.dash_labels.push_back(found ? metric_label : "");
    if (found) keys.push_back(key);
  }
  if (!has_values(card.chart)) return;
  card.keys = shown_keys(keys);
  card.summary = summary_of(card.chart);
}

CurveGroup& group_of(std::vector<CurveGroup>& groups, const std::string& title) {
  const auto found = std::ranges::find(groups, title, &CurveGroup::title);
  return found != groups.end() ? *found : groups.emplace_back(CurveGroup{title, {}});
}

bool is_number_anywhere(const RunFolder& run, const std::string& key) {
  return std::ranges::any_of(run.metrics,
                             [&](const nlohmann::json& row) { return row.contains(key) && row[key].is_number(); });
}

std::set<std::string> keys_of(std::span<const RunFolder> all, std::string_view kind) {
  std::set<std::string> keys;
  for (const RunFolder& run : all)
    if (run.kind == kind)
      for (const nlohmann::json& row : run.metrics)
        for (const auto& [key, value] : row.items()) keys.insert(key);
  keys.erase("step");
  std::erase_if(keys, [&](const std::string& key) {
    return std::ranges::none_of(all, [&](const RunFolder& run) { return is_number_anywhere(run, key); });
  });
  return keys;
}

}  // namespace

std::string first_to_last(const Series& series, bool percent) {
  const size_t tenth = std::max<size_t>(1, series.size() / 10);
  const auto first = mean_of_first(series, tenth), last = mean_of_last(series, tenth);
  if (!first || !last) return "";
  const auto shown = [&](double value) { return percent ? format_percent(value) : format_number(value); };
  const bool constant = std::ranges::all_of(series, [&](const Point& point) { return point.value == series[0].value; });
  if (constant) return shown(*first) + (series.size() > 1 ? " throughout" : "");
  return (percent ? format_number(std::round(*first * 1000) / 10) : shown(*first)) + " → " + shown(*last);
}

std::vector<CurveGroup> curve_groups(std::span<const RunFolder> all, std::string_view kind) {
  std::vector<CurveGroup> groups;
  std::set<std::string> others = keys_of(all, kind);
  for (const CurveSpec& spec : curve_table()) {
    if (!spec.only_kind.empty() && spec.only_kind != kind) continue;
    CurveCard card{.chart = {spec.title, spec.percent, {}}, .note = spec.note};
    add_lines(card, spec.metrics, all, kind);
    if (!has_values(card.chart)) continue;
    for (const Metric& metric : spec.metrics) others.erase(metric.key);
    group_of(groups, spec.group).cards.push_back(std::move(card));
  }
  CurveGroup rest{"Everything else in metrics.jsonl", {}, false};
  for (const std::string& key : others) {
    CurveCard card{.chart = {key, false, {}}};
    add_lines(card, {{key, key}}, all, kind);
    if (has_values(card.chart)) rest.cards.push_back(std::move(card));
  }
  if (!rest.cards.empty()) groups.push_back(std::move(rest));
  return groups;
}

}  // namespace cohort
