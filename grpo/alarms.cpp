#include "grpo/alarms.h"

#include <cmath>
#include <cstdio>
#include <optional>
#include <utility>

namespace cohort {
namespace {

/// Three digits, as people read them.
std::string shown(double value) {
  if (std::isnan(value)) return "nan";  // which has a sign for printf
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

std::string counted(int64_t count, const std::string& unit) {
  return std::to_string(count) + " " + unit + (count == 1 ? "" : "s");
}

/// A metric that is there and finite.
std::optional<double> metric(const Json& row, const char* name) {
  const auto found = row.find(name);
  if (found == row.end() || !found->is_number() || !std::isfinite(found->get<double>())) return std::nullopt;
  return found->get<double>();
}

bool is_not_finite(const Json& row, const char* name) {
  const auto found = row.find(name);
  return found != row.end() && found->is_number() && !std::isfinite(found->get<double>());
}

bool is_not_finite(const Json& row) {
  return is_not_finite(row, "loss") || is_not_finite(row, "grad_norm");
}

/// An alarm ends a tenth on the good side of its limit, so that a value that sways about it is said once.
constexpr double kSlack = 0.9;

bool is_above(double value, double limit, bool is_on) {
  return value > (is_on ? limit * kSlack : limit);
}

struct Step {
  const AlarmConfig& config;
  const AlarmState& state;  // with this step counted in
  const Json& row;
  bool is_on_policy, is_on;  // is_on: this alarm, up to now
};

struct Verdict {
  bool is_on;
  std::string found;  // with its number
};
using Judged = std::optional<Verdict>;  // none: this step says nothing of it, and the alarm stays as it was

Judged equal_rewards(const Step& s) {
  const auto share = metric(s.row, "frac_reward_zero_std");
  if (!share) return std::nullopt;
  const std::string reward = " (mean reward " + shown(metric(s.row, "reward").value_or(0)) + ")";
  if (*share < 1) return Verdict{false, shown(100 * *share) + " % of the groups have equal rewards" + reward};
  return Verdict{true, "100 % of the groups have equal rewards" + reward};
}

Judged equal_rewards_lasting(const Step& s) {
  const int64_t steps = s.state.equal_rewards_steps;
  return Verdict{steps >= s.config.equal_rewards_steps,
                 counted(steps, "step") + " in a row with equal rewards in every group"};
}

Judged entropy_collapse(const Step& s) {
  const auto entropy = metric(s.row, "entropy");
  if (!entropy || s.state.entropy.count < s.config.baseline_steps) return std::nullopt;
  const double first = s.state.entropy.sum / double(s.state.entropy.count);
  const double limit = s.config.entropy_share * first;
  return Verdict{*entropy < (s.is_on ? limit / kSlack : limit), "the entropy is " + shown(*entropy) +
                                                                    " nats a token, that of the first steps was " +
                                                                    shown(first) + ", the limit is " + shown(limit)};
}

Judged length_drift(const Step& s) {
  const auto length = metric(s.row, "completions/mean_length");
  if (!length || s.state.length.count < s.config.baseline_steps || s.state.length.sum <= 0) return std::nullopt;
  const double first = s.state.length.sum / double(s.state.length.count), factor = *length / first;
  const double limit = s.is_on ? s.config.length_factor * kSlack : s.config.length_factor;
  return Verdict{factor > limit || factor * limit < 1,
                 "completions have " + shown(*length) + " tokens in the mean, those of the first " + "steps had " +
                     shown(first) + ", the limit is a factor of " + shown(s.config.length_factor)};
}

Judged clipped(const Step& s) {
  const auto ratio = metric(s.row, "completions/clipped_ratio");
  if (!ratio) return std::nullopt;
  return Verdict{is_above(*ratio, s.config.clipped_ratio, s.is_on),
                 shown(100 * *ratio) + " % of the completions are cut off by max_completion_length, the limit is " +
                     shown(100 * s.config.clipped_ratio) + " %"};
}

Judged off_policy(const Step& s) {
  const auto mismatches = metric(s.row, "logprob_bit_mismatches");
  if (!mismatches || !s.is_on_policy) return std::nullopt;
  return Verdict{*mismatches != 0, shown(*mismatches) +
                                       " log-probabilities of the learner differ from those stored while decoding " +
                                       "(logprob_bit_mismatches)"};
}

Judged not_finite(const Step& s) {
  if (!is_not_finite(s.row)) return Verdict{false, "loss and gradient are finite"};
  const std::string found = "the loss is " + shown(s.row.at("loss")) + " and the gradient's norm " +
                            shown(s.row.at("grad_norm")) + ", so the step is skipped (weights and optimizer stay as " +
                            "they were) and the run ";
  const std::vector<int64_t>& steps = s.state.not_finite_steps;
  if (steps.size() > 1)
    return Verdict{true, found + "stops, since step " + std::to_string(steps[0]) + " was such a step too"};
  return Verdict{true, found + "goes on until the next such step"};
}

Judged expert_collapse(const Step& s) {
  const auto violation = metric(s.row, "max_vio/mean"), share = metric(s.row, "expert_load/max_share");
  if (!violation || !share) return std::nullopt;
  return Verdict{is_above(*violation, s.config.max_vio, s.is_on) || is_above(*share, s.config.expert_share, s.is_on),
                 "max_vio/mean is " + shown(*violation) + ", the limit is " + shown(s.config.max_vio) +
                     ", and one expert takes part in " + shown(100 * *share) +
                     " % of its layer's tokens, the limit is " + shown(100 * s.config.expert_share) + " %"};
}

struct Alarm {
  const char* name;
  Judged (*judge)(const Step&);
  const char* advice;  // what is usual, the probable cause, what to do
};

constexpr const char* kVerifierErrors =
    "usual is none; probably the reward cannot read these tasks or what it calls is down: mend the tasks or the reward "
    "and start anew, or --resume with a higher max_verifier_error_rate";

const Alarm kAlarms[] = {
    {"equal_rewards", equal_rewards,
     "usual is a part of the groups; such a step has no advantages to learn from, probably because its tasks are all "
     "too hard or all too easy: read its completions, and see equal_rewards_lasting should it last"},
    {"equal_rewards_lasting", equal_rewards_lasting,
     "usual are lone steps at most; probably the reward never fits what the model writes (mean reward 0) or the tasks "
     "are learned: try the reward on completions/ with cohort score, choose other tasks, or set dynamic_sampling"},
    {"entropy_collapse", entropy_collapse,
     "usual is a slow fall; probably the policy has stopped exploring under too high a learning_rate or too tight an "
     "upper clip: lower learning_rate, or raise epsilon_high or entropy_coef"},
    {"length_drift", length_drift,
     "usual is a slow growth; probably the reward or the loss pays for length by itself: read completions/, and set "
     "overlong.soft_cache against growth or check the reward where answers come without thought"},
    {"clipped", clipped,
     "usual is a few per cent; probably completions need more tokens or never end, and what is cut off is scored "
     "without its answer: raise max_completion_length, or ask for shorter answers in the prompt"},
    {"off_policy", off_policy,
     "usual is 0 to the bit; probably groups of --groups were sampled by other weights, at another temperature or in "
     "another storage (bf16): sample them anew; without --groups it is a defect of this program, please report it"},
    {"not_finite", not_finite,
     "usual are finite numbers at every step; probably the weights ran away under too high a learning_rate, or "
     "--groups holds log-probabilities that no policy has: start a run with a lower learning_rate, its model an "
     "earlier checkpoint, or mend the groups"},
    {"expert_collapse", expert_collapse,
     "usual is a load within a few times the mean; probably the routers were drawn to few experts by too high a "
     "learning_rate or router_bias_update_rate: lower them, or set router_policy to freeze"},
};

std::string opening(const std::string& alarm, int64_t step, const std::string& found) {
  return "alarm " + alarm + " at step " + std::to_string(step) + ": " + found + "; ";
}

void count_in(AlarmState::Mean& mean, const std::optional<double>& value, int64_t steps) {
  if (value && mean.count < steps) mean.sum += *value, ++mean.count;
}

void count_in(AlarmState& state, const AlarmConfig& config, const Json& row) {
  count_in(state.entropy, metric(row, "entropy"), config.baseline_steps);
  count_in(state.length, metric(row, "completions/mean_length"), config.baseline_steps);
  state.equal_rewards_steps = metric(row, "frac_reward_zero_std") == 1.0 ? state.equal_rewards_steps + 1 : 0;
  if (is_not_finite(row)) state.not_finite_steps.push_back(row.at("step"));
}

Json to_json(const AlarmState::Mean& mean) {
  return {{"sum", mean.sum}, {"count", mean.count}};
}
AlarmState::Mean mean_from(const Json& saved) {
  return {saved.at("sum"), saved.at("count")};
}

}  // namespace

Json to_json(const AlarmState& state) {
  return {{"entropy", to_json(state.entropy)},
          {"length", to_json(state.length)},
          {"equal_rewards_steps", state.equal_rewards_steps},
          {"not_finite_steps", state.not_finite_steps},
          {"on_since", state.on_since}};
}

AlarmState alarm_state_from(const Json& saved) {
  return {.entropy = mean_from(saved.at("entropy")),
          .length = mean_from(saved.at("length")),
          .equal_rewards_steps = saved.at("equal_rewards_steps"),
          .not_finite_steps = saved.at("not_finite_steps"),
          .on_since = saved.at("on_since")};
}

AlarmReport watch(const AlarmConfig& config, AlarmState& state, Json& row, bool is_on_policy) {
  count_in(state, config, row);
  AlarmReport report;
  Json on = Json::array(), begun = Json::object(), ended = Json::object();
  const int64_t step = row.at("step");
  for (const Alarm& alarm : kAlarms) {
    const std::string name = alarm.name;
    const auto since = state.on_since.find(name);
    const bool was_on = since != state.on_since.end();
    const Judged verdict = alarm.judge({config, state, row, is_on_policy, was_on});
    const bool is_on = verdict ? verdict->is_on : was_on;
    if (is_on) on.push_back(name);
    if (!verdict) continue;
    const std::string sentence = opening(name, step, verdict->found) + alarm.advice;
    if (is_on && (name == "off_policy" || (name == "not_finite" && state.not_finite_steps.size() > 1)))
      report.stop = begun[name] = sentence, report.is_sound = name == "not_finite";
    if (is_on && !was_on) {
      state.on_since[name] = step, begun[name] = sentence;
      if (report.stop != sentence) report.messages.push_back(sentence);
    } else if (!is_on && was_on) {
      ended[name] = "alarm " + name + " of step " + std::to_string(since->second) + " ended at step " +
                    std::to_string(step) + ": " + verdict->found;
      report.messages.push_back(ended[name]), state.on_since.erase(since);
    }
  }
  for (const auto& [key, value] :
       {std::pair<const char*, Json&>("alarms", on), {"alarms_begun", begun}, {"alarms_ended", ended}})
    if (!value.empty()) row[key] = value;
  return report;
}

AlarmStop::AlarmStop(std::string alarm, const std::string& sentence, Json metrics)
    : std::runtime_error(sentence), alarm(std::move(alarm)), metrics(std::move(metrics)) {}

Json AlarmStop::row(int64_t step) const {
  Json row = {{"step", step}, {"alarms", {alarm}}, {"alarms_begun", {{alarm, what()}}}};
  row.update(metrics);
  return row;
}

void expect_few_errors(int64_t errors, int64_t total, double max_rate, const std::string& reason) {
  if (total == 0 || double(errors) <= max_rate * double(total)) return;
  throw AlarmStop("verifier_errors",
                  "alarm verifier_errors: " + std::to_string(errors) + " of " + std::to_string(total) +
                      " verdicts are errors (" + reason + "), above max_verifier_error_rate " + shown(max_rate) + "; " +
                      kVerifierErrors,
                  {{"verifier_error_rate", double(errors) / double(total)}});
}

}  // namespace cohort
