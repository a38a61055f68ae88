// What goes wrong in a run without an error is said once when it begins and once when it ends, and stands in
// metrics.jsonl in between.
#include <gtest/gtest.h>

#include "tests/program/job.h"

namespace cohort {
namespace {

bool is_on(const Json& row, const std::string& alarm) {
  const Json on = row.value("alarms", Json::array());
  return std::find(on.begin(), on.end(), alarm) != on.end();
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

struct AlarmJob : TinyJob {
  fs::path out(const std::string& name) const { return folder / name; }
  Outcome train(const std::string& name, const Json& changes, const Arguments& more = {}) const {
    Arguments all = {"train", write(config(changes).dump()), "--out", out(name).string()};
    all.insert(all.end(), more.begin(), more.end());
    return run_program(all);
  }
  std::vector<Json> rows(const std::string& name) const { return json_lines(out(name) / "metrics.jsonl"); }

  /// Four groups that this model sampled; `change` gets those of the second half, the second mini-batch.
  std::string frozen_groups(const std::function<void(Json& rollout)>& change) const {
    const Outcome sampled =
        train("sampled", {{"max_steps", 1}, {"steps_per_generation", 1}, {"num_iterations", 1}}, {"--overwrite"});
    EXPECT_EQ(sampled.exit_code, 0) << sampled.err;
    std::vector<Json> groups = json_lines(out("sampled") / "completions/step-000001.jsonl");
    EXPECT_EQ(groups.size(), 4u);
    std::string text;
    for (size_t i = 0; i < groups.size(); ++i) {
      for (Json& rollout : groups[i]["rollouts"])
        if (i >= 2) change(rollout);
      text += groups[i].dump() + "\n";
    }
    write_file(folder / "groups.jsonl", text);
    return (folder / "groups.jsonl").string();
  }
};

/// Spoken of exactly where it goes on and off, with the sentences of stderr in those rows.
void expect_said_once(const std::string& alarm, const std::vector<Json>& rows, const std::string& err) {
  size_t begun = 0, ended = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const bool was_on = i > 0 && is_on(rows[i - 1], alarm);
    for (const char* change : {"alarms_begun", "alarms_ended"}) {
      const Json said = rows[i].value(change, Json::object());
      const bool is_begin = change == std::string("alarms_begun");
      ASSERT_EQ(said.contains(alarm), is_on(rows[i], alarm) != was_on && is_on(rows[i], alarm) == is_begin)
          << change << " of row " << i + 1;
      if (!said.contains(alarm)) continue;
      ++(is_begin ? begun : ended);
      EXPECT_EQ(count(err, "cohort: " + said[alarm].get<std::string>() + "\n"), 1u) << said[alarm];
    }
  }
  EXPECT_EQ(count(err, "alarm " + alarm + " at step "), begun) << err;
  EXPECT_EQ(count(err, "alarm " + alarm + " of step "), ended) << err;
}

TEST(AlarmsIntegration, EqualRewards) {
  const AlarmJob job;
  const Json never = {{{"name", "regex"}, {"options", {{"pattern", "no completion of eight bytes has this"}}}}};
  const Outcome outcome =
      job.train("out", {{"rewards", never}, {"max_steps", 4}, {"alarms", {{"equal_rewards_steps", 3}}}});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::vector<Json> rows = job.rows("out");
  ASSERT_EQ(rows.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(is_on(rows[i], "equal_rewards"));
    EXPECT_EQ(is_on(rows[i], "equal_rewards_lasting"), i >= 2);
    EXPECT_TRUE(is_on(rows[i], "clipped")) << "and nothing ends within eight tokens";
  }
  for (const char* alarm : {"equal_rewards", "equal_rewards_lasting", "clipped"})
    expect_said_once(alarm, rows, outcome.err);
  EXPECT_NE(read_file(job.out("out") / "report.html").find("alarm equal_rewards_lasting at step 3"), std::string::npos);
}

TEST(AlarmsIntegration, EntropyCollapse) {
  const AlarmJob job;
  const Outcome outcome =
      job.train("out", {{"learning_rate", 0.1},
                        {"max_steps", 16},
                        {"alarms", {{"baseline_steps", 2}, {"entropy_share", 0.6}, {"expert_share", 1}}}});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::vector<Json> rows = job.rows("out");
  const double first = (rows.at(0)["entropy"].get<double>() + rows.at(1)["entropy"].get<double>()) / 2;
  EXPECT_FALSE(is_on(rows[2], "entropy_collapse"));
  EXPECT_TRUE(is_on(rows.back(), "entropy_collapse"));
  for (const Json& row : rows) {
    const double share = row["entropy"].get<double>() / first;
    const bool is_between = share >= 0.6 && share <= 0.6 / 0.9;  // where an alarm that is on stays on
    EXPECT_TRUE(is_between || is_on(row, "entropy_collapse") == (share < 0.6)) << row["step"];
    EXPECT_FALSE(is_on(row, "expert_collapse")) << "a share is never above 1";
  }
  expect_said_once("entropy_collapse", rows, outcome.err);
}

TEST(AlarmsIntegration, LengthDrift) {
  const AlarmJob job;
  const std::string groups = job.frozen_groups([](Json& rollout) {
    for (const char* part : {"completion_ids", "logprobs"})
      rollout[part].erase(rollout[part].begin() + 2, rollout[part].end());
  });
  const Outcome outcome = job.train(
      "out", {{"max_steps", 3}, {"alarms", {{"baseline_steps", 1}, {"length_factor", 3}}}}, {"--groups", groups});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::vector<Json> rows = job.rows("out");
  for (const Json& row : rows)
    EXPECT_EQ(is_on(row, "length_drift"), row["step"] == 2) << row["completions/mean_length"];
  expect_said_once("length_drift", rows, outcome.err);
}

TEST(AlarmsIntegration, ExpertCollapse) {
  const AlarmJob job;  // router biases that move by 100: every token goes to those that had the least
  const Outcome outcome = job.train("out", {{"router_bias_update_rate", 100}});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::vector<Json> rows = job.rows("out");
  EXPECT_FALSE(is_on(rows.at(0), "expert_collapse"));
  EXPECT_TRUE(is_on(rows.at(4), "expert_collapse")) << "the second rollout";
  EXPECT_EQ(rows[4]["expert_load/max_share"], 1.0);
  EXPECT_EQ(rows[4]["max_vio/mean"], 1.0) << "of 4 experts, 2 a token";
  expect_said_once("expert_collapse", rows, outcome.err);
}

TEST(AlarmsIntegration, AnotherPolicysGroupsEndASelfTest) {
  const AlarmJob job;
  const std::string groups = job.frozen_groups([](Json& rollout) { rollout["logprobs"][0] = -1.0; });
  const Outcome outcome = job.train("out", Json::object(), {"--groups", groups, "--self-test"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(count(outcome.err, "alarm off_policy at step 2: 8 log-probabilities"), 1u) << outcome.err;
  ASSERT_EQ(job.rows("out").size(), 2u);
  EXPECT_TRUE(is_on(job.rows("out")[1], "off_policy"));
}

/// Log-probabilities that make every ratio infinite, in every second step: where the advantage is negative, nothing
/// clips it.
struct NotFinite : AlarmJob {
  const std::string groups = frozen_groups([](Json& rollout) {
    for (Json& logprob : rollout["logprobs"]) logprob = -1e30;
  });
  Outcome run(const std::string& name, int max_steps, const Arguments& more = {}) const {
    Arguments all = {"--groups", groups};
    all.insert(all.end(), more.begin(), more.end());
    return train(name, {{"max_steps", max_steps}, {"save_steps", 1}, {"save_total_limit", 0}}, all);
  }
  std::string weights(const std::string& name, int step) const {
    const fs::path folder = out(name) / ("checkpoints/step-00000" + std::to_string(step));
    return read_file(folder / "model.safetensors") + read_file(folder / "optimizer.safetensors");
  }
};

TEST(AlarmsIntegration, AStepThatIsNotFiniteIsSkippedOnceAndNamed) {
  const NotFinite job;
  const Outcome whole = job.run("whole", 3);
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  const std::vector<Json> rows = job.rows("whole");
  ASSERT_EQ(rows.size(), 3u);
  for (const Json& row : rows) EXPECT_EQ(is_on(row, "not_finite"), row["step"] == 2);
  EXPECT_TRUE(rows[1]["grad_norm"].is_null() || rows[1]["loss"].is_null()) << rows[1];
  expect_said_once("not_finite", rows, whole.err);
  EXPECT_TRUE(job.weights("whole", 2) == job.weights("whole", 1)) << "weights and AdamW's state are as they were";
  EXPECT_TRUE(job.weights("whole", 3) != job.weights("whole", 1));

  ASSERT_EQ(job.run("resumed", 2).exit_code, 0);
  ASSERT_EQ(job.run("resumed", 3, {"--resume"}).exit_code, 0);
  expect_same_run(job.out("whole"), job.out("resumed"));
}

TEST(AlarmsIntegration, TheSecondSuchStepStopsTheRun) {
  const NotFinite job;
  const Outcome whole = job.run("whole", 9);
  EXPECT_EQ(whole.exit_code, 1);
  const fs::path checkpoint = job.out("whole") / "checkpoints/step-000004";
  for (const std::string& word : {std::string("alarm not_finite at step 4"), std::string("step 2 was such a step too"),
                                  "the checkpoint of this step is " + checkpoint.string()})
    EXPECT_EQ(count(whole.err, word), 1u) << word << " in: " << whole.err;
  EXPECT_TRUE(fs::exists(checkpoint / "COMPLETE"));
  EXPECT_FALSE(fs::exists(job.out("whole") / "final"));
  EXPECT_EQ(job.rows("whole").size(), 4u);
  EXPECT_TRUE(job.weights("whole", 4) == job.weights("whole", 3));

  ASSERT_EQ(job.run("resumed", 3).exit_code, 0);  // which remembers the first one
  fs::remove_all(job.out("resumed") / "final"), fs::remove(job.out("resumed") / "report.html");
  EXPECT_EQ(job.run("resumed", 9, {"--resume"}).exit_code, 1);
  expect_same_run(job.out("whole"), job.out("resumed"));

  const Outcome further = job.run("whole", 9, {"--resume"});
  EXPECT_EQ(further.exit_code, 1) << "past it, to the next";
  EXPECT_EQ(count(further.err, "alarm not_finite at step 6"), 1u) << further.err;
}

TEST(AlarmsIntegration, WhatAlarmsRememberIsResumed) {
  const AlarmJob job;
  Json changes = {{"learning_rate", 0.1},
                  {"router_bias_update_rate", 100},
                  {"max_steps", 16},
                  {"save_total_limit", 0},
                  {"alarms", {{"baseline_steps", 4}, {"entropy_share", 0.9}, {"equal_rewards_steps", 2}}}};
  ASSERT_EQ(job.train("whole", changes).exit_code, 0);
  const std::vector<Json> whole = job.rows("whole");
  for (int until : {3, 6, 9, 12}) {
    const std::string name = "resumed-" + std::to_string(until);
    const fs::path from =
        job.out("whole") / ("checkpoints/step-0000" + std::string(until < 10 ? "0" : "") + std::to_string(until));
    ASSERT_EQ(job.train(name, changes, {"--resume=" + from.string()}).exit_code, 0);
    EXPECT_EQ(without_times(job.rows(name)), without_times(whole)) << until;
  }
  EXPECT_TRUE(std::any_of(whole.begin(), whole.end(), [](const Json& row) { return row.contains("alarms_ended"); }));
}

}  // namespace
}  // namespace cohort
