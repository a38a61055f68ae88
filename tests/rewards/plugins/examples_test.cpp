// The examples as an author runs them, and plug-ins among other rewards of a Scorer.
#include <stdio.h>

#include "tests/rewards/plugins/batches.h"

namespace cohort {
namespace {

Rows sums() {
  Rows rows = Rows::of({"2 + 3 = 5", "it is 6", "none"});
  for (Task& task : rows.tasks) task.answer = "5";
  rows.tasks[1].prompt = {{"user", "2 + 3?"}};
  return rows;
}

TEST(Examples, APythonFileInFourForms) {
  for (const char* function : {"trl_reward", "compute_score", "reward_func", "rubric_reward"}) {
    const auto scores = judged_by(plugin("python:" + kExamples + "final_number.py:" + function), sums());
    expect_value(scores[0], 1);
    expect_value(scores[1], 0);
    expect_value(scores[2], 0);
  }
}

TEST(Examples, AProgram) {
  const auto scores = judged_by(plugin("exec:/usr/bin/python3 " + kExamples + "exec_checker.py --tolerance 1"), sums());
  expect_value(scores[0], 1);
  expect_value(scores[1], 1);
  EXPECT_EQ(scores[1].components.at("error"), 1);
  expect_value(scores[2], 0);
  EXPECT_EQ(scores[2].status, Status::unparsable);
}

TEST(Examples, AService) {
  FILE* server =
      popen(("exec /usr/bin/python3 " + kExamples + "http_checker.py 0 & pid=$!; echo $pid; wait").c_str(), "r");
  int pid = 0, port = 0;
  ASSERT_EQ(fscanf(server, "%d listening on port %d", &pid, &port), 2);
  const std::string url = "http://127.0.0.1:" + std::to_string(port);
  for (const std::string& name : {url, "openrlhf:" + url + "/openrlhf"}) {
    const auto scores = judged_by(plugin(name), sums());
    expect_value(scores[0], 1);
    expect_value(scores[1], 0);
  }
  kill(pid, SIGTERM);
  pclose(server);
}

TEST(PluginsInAScorer, WeighedWithRulesInBatchesOfTheirSize) {
  const std::string name = "python:" + kExamples + "final_number.py:compute_score";
  const Scorer scorer({{.name = name, .weight = 2, .options = {{"batch_size", 2}}}, {.name = "last_number"}}, 2);
  const auto scores = scorer.judge(sums().batch());
  expect_value(scores[0], 3);
  expect_value(scores[1], 0);
  EXPECT_EQ(scores[0].components,
            (std::map<std::string, double>{{name, 1}, {name + "/characters", 9}, {"last_number", 1}}));
  EXPECT_EQ(scores[0].extra_logs, (Json{{"source", ""}}));
}

TEST(PluginsInAScorer, TheirOwnTimeoutReplacesTheJobs) {
  const std::string name = python("verl", "broken.py");
  const auto scores = judged_by(plugin(name, {{"timeout", 1}}), Rows::of({"hang", "ok"}), 1000);
  expect_failed(scores[0], "deadline of 1 s");
  expect_value(scores[1], 1);
}

TEST(PluginsInAScorer, WhatAFailureDoesIsChosen) {
  const std::vector<RewardSpec> rewards = {{.name = python("verl", "broken.py")},
                                           {.name = "regex", .weight = 0.5, .options = {{"pattern", "."}}}};
  const Rows rows = Rows::of({"ok", "raise", "none"});
  const auto skipped = Scorer(rewards, 1).judge(rows.batch());
  expect_value(skipped[0], 1.5F);
  expect_value(skipped[1], 0.5F);
  EXPECT_EQ(skipped[1].num_errors, 1);
  expect_value(skipped[2], 0.5F);
  EXPECT_EQ(skipped[2].num_errors, 0);
  const auto zeroed = Scorer({rewards[0]}, 1, {}, OnVerifierError::zero).judge(rows.batch());
  expect_value(zeroed[1], 0);
  EXPECT_EQ(zeroed[1].num_errors, 1);
  EXPECT_FALSE(zeroed[2].value);
  try {
    Scorer(rewards, 1, {}, OnVerifierError::abort).judge(rows.batch());
    ADD_FAILURE() << "did not abort";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("ValueError: no such"), std::string::npos) << error.what();
    EXPECT_TRUE(std::string(error.what()).starts_with("t1: reward python:")) << error.what();
  }
}

}  // namespace
}  // namespace cohort
