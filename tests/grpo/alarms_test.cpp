// Each alarm over made-up histories: when it begins, when it ends, what it says and what it does not.
#include "grpo/alarms.h"

#include <gtest/gtest.h>

#include <cmath>

#include "grpo/train_metrics.h"

namespace cohort {
namespace {

/// Metrics of a step that nothing is wrong with.
Json good_row() {
  return {{"frac_reward_zero_std", 0.25},
          {"reward", 0.5},
          {"entropy", 1.0},
          {"completions/mean_length", 100.0},
          {"completions/clipped_ratio", 0.1},
          {"logprob_bit_mismatches", 0},
          {"loss", 0.1},
          {"grad_norm", 1.0},
          {"max_vio/mean", 0.5},
          {"expert_load/max_share", 0.3}};
}

/// A run whose steps take these values of one metric, in turn.
struct History {
  AlarmConfig config{.baseline_steps = 2, .equal_rewards_steps = 3};
  AlarmState state = {};
  int64_t step = 0;
  bool is_on_policy = true;
  Json row = {};
  AlarmReport take(const std::string& metric, const Json& value) {
    row = good_row();
    row["step"] = ++step, row[metric] = value;
    return watch(config, state, row, is_on_policy);
  }
  /// 1 for a step with the alarm, . for one without; + and - where it is said to begin and end.
  std::string course(const std::string& alarm, const std::string& metric, const std::vector<Json>& values) {
    std::string course;
    for (const Json& value : values) {
      const AlarmReport report = take(metric, value);
      const Json on = row.value("alarms", Json::array());
      course += std::find(on.begin(), on.end(), alarm) != on.end() ? '1' : '.';
      for (const std::string& message : report.messages) {
        if (message.starts_with("alarm " + alarm + " at step " + std::to_string(step) + ": ")) course += '+';
        if (message.starts_with("alarm " + alarm + " of step ")) course += '-';
      }
    }
    return course;
  }
};

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

TEST(Alarms, AGoodRunHasNone) {
  History run;
  for (int i = 0; i < 30; ++i) EXPECT_TRUE(run.take("entropy", 1.0 - 0.02 * i).messages.empty());
  for (const char* key : {"alarms", "alarms_begun", "alarms_ended"}) EXPECT_FALSE(run.row.contains(key));
  Json bare = {{"step", 1}};
  EXPECT_TRUE(watch(run.config, run.state, bare, true).messages.empty()) << "and metrics that are absent say nothing";
}

TEST(Alarms, EqualRewardsOfAStepAndOfManyInARow) {
  const std::vector<Json> shares = {1.0, 0.75, 1.0, 1.0, 1.0, 1.0, 0.0};
  EXPECT_EQ(History().course("equal_rewards", "frac_reward_zero_std", shares), "1+.-1+111.-");
  EXPECT_EQ(History().course("equal_rewards_lasting", "frac_reward_zero_std", shares), "....1+1.-");
}

TEST(Alarms, EntropyFallsBelowAShareOfTheFirstSteps) {
  const std::vector<Json> course = {1.2, 0.8, 0.3, 0.19, 0.21, nullptr, kNan, 0.23, 0.1};
  EXPECT_EQ(History().course("entropy_collapse", "entropy", course),
            "...1+1"
            "11.-1+")
      << "the limit is 0.2; it ends above 0.2 / 0.9, and a step without entropy changes nothing";
  EXPECT_EQ(History().course("entropy_collapse", "entropy", {0.0, 0.0, 0.0}), "...");
  History never{.config = {.baseline_steps = 2, .entropy_share = 0}};
  EXPECT_EQ(never.course("entropy_collapse", "entropy", {1.0, 1.0, 0.0}), "...");
  EXPECT_EQ(History().course("entropy_collapse", "entropy", {kNan, 1.0, 1.0, 0.1}), "...1+")
      << "what is not finite is none of the first steps";
}

TEST(Alarms, LengthDriftsInEitherDirection) {
  EXPECT_EQ(History().course("length_drift", "completions/mean_length", {90, 110, 390, 410, 370, 350, 27, 24, 27, 28}),
            "...1+1.-.1+1.-");
}

TEST(Alarms, NearlyEverythingIsCutOff) {
  EXPECT_EQ(History().course("clipped", "completions/clipped_ratio", {0.95, 0.96, 0.9, 0.85, 1.0}), ".1+1.-1+");
  History never{.config = {.clipped_ratio = 1}};
  EXPECT_EQ(never.course("clipped", "completions/clipped_ratio", {1.0}), ".");
}

TEST(Alarms, ExpertsCollapse) {
  EXPECT_EQ(History().course("expert_collapse", "max_vio/mean", {10, 10.5, 9.5, 8.9}), ".1+1.-");
  EXPECT_EQ(History().course("expert_collapse", "expert_load/max_share", {0.95, 1.0, 0.5}), ".1+.-");
}

TEST(Alarms, AnExpertsShareIsTheLargestOfAnyLayer) {
  const std::vector<double> load = {5, 5, 5, 5, 10, 2, 8, 0};  // two layers of four experts, ten tokens to two each
  EXPECT_EQ(max_expert_share(load, 4, 2), 1.0);
  EXPECT_EQ(max_expert_share(std::span(load).first(4), 4, 2), 0.5);
  EXPECT_EQ(max_expert_share(std::vector<double>(4, 0.0), 4, 2), 0.0);
}

TEST(Alarms, AnotherPolicyStopsTheRunWithoutACheckpoint) {
  History run;
  const AlarmReport report = run.take("logprob_bit_mismatches", 3);
  EXPECT_TRUE(report.stop.starts_with("alarm off_policy at step 1: 3 log-probabilities ")) << report.stop;
  EXPECT_FALSE(report.is_sound);
  EXPECT_TRUE(report.messages.empty()) << "the program's last word says it";
  EXPECT_EQ(run.row["alarms_begun"]["off_policy"], report.stop);
  History frozen{.is_on_policy = false};
  EXPECT_EQ(frozen.take("logprob_bit_mismatches", 3).stop, "");
  EXPECT_FALSE(frozen.row.contains("alarms"));
}

TEST(Alarms, TheSecondStepThatIsNotFiniteStopsTheRun) {
  for (const char* metric : {"loss", "grad_norm"})
    for (double value : {kNan, kInfinity, -kInfinity}) {
      History run;
      run.take("entropy", 1);
      EXPECT_EQ(run.course("not_finite", metric, {value, 1.0}), "1+.-");
      const AlarmReport report = run.take(metric, value);
      EXPECT_TRUE(report.stop.starts_with("alarm not_finite at step 4: ")) << report.stop;
      EXPECT_NE(report.stop.find("step 2 was such a step too"), std::string::npos) << report.stop;
      EXPECT_TRUE(report.is_sound && report.messages.empty());
    }
  History run;
  EXPECT_EQ(run.take("loss", kNan).stop, "");
  EXPECT_NE(run.take("loss", kNan).stop, "") << "two in a row";
}

TEST(Alarms, TheStateOutlivesACheckpoint) {
  History whole, resumed;
  const std::vector<Json> entropies = {1.0, 3.0, 0.3, kNan, 1.0, 0.1};
  for (const Json& entropy : entropies) {
    resumed.state = alarm_state_from(Json::parse(to_json(resumed.state).dump()));
    whole.take("entropy", entropy), resumed.take("entropy", entropy);
    EXPECT_EQ(resumed.row.dump(), whole.row.dump());
  }
  EXPECT_EQ(to_json(resumed.state), to_json(whole.state));
  EXPECT_EQ(whole.state.on_since.at("entropy_collapse"), 6);
}

TEST(Alarms, FailingVerifiersStopTheRunAboveTheirLimit) {
  EXPECT_NO_THROW(expect_few_errors(5, 10, 0.5, "no answer"));
  EXPECT_NO_THROW(expect_few_errors(0, 0, 0, ""));
  try {
    expect_few_errors(6, 10, 0.5, "no answer");
    FAIL();
  } catch (const AlarmStop& stop) {
    const std::string said = stop.what();
    EXPECT_TRUE(said.starts_with("alarm verifier_errors: 6 of 10 verdicts are errors (no answer), ")) << said;
    const Json row = stop.row(7);
    EXPECT_EQ(row, (Json{{"step", 7},
                         {"alarms", Json::array({"verifier_errors"})},
                         {"alarms_begun", {{"verifier_errors", said}}},
                         {"verifier_error_rate", 0.6}}));
  }
}

}  // namespace
}  // namespace cohort
