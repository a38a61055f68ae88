// Checkers of the author's own in the whole program: tried on rows, then trained with.
#include <gtest/gtest.h>

#include "tests/program/job.h"

namespace cohort {
namespace {

const char* const kChecker = R"(
import os

def steps(completions, trainer_state, log_extra, **columns):
    log_extra("step", [trainer_state.global_step] * len(completions))
    return [len(c) / 10 for c in completions]

def fails(completions, **columns):
    raise ValueError("no model here")

def dies(completions, **columns):
    os._exit(1)
)";

struct Checked : TinyJob {
  Checked() { write_file(folder / "my.py", kChecker); }
  std::string name(const std::string& function) const {
    return "python:" + (folder / "my.py").string() + ":" + function;
  }
  Outcome train(const Json& changes, const std::string& out = "run", const Arguments& more = {}) const {
    Json config = tiny_train(folder / "model.json");
    config.update({{"max_steps", 4}, {"num_iterations", 1}});
    config.update(changes);
    Arguments all = {"train", write(config.dump()), "--out", (folder / out).string()};
    all.insert(all.end(), more.begin(), more.end());
    return run_program(all);
  }
};

TEST(PluginsIntegration, ScoredThenTrainedWith) {
  const Checked job;
  write_file(job.folder / "rows.jsonl", "{\"completion\": \"12345\"}\n{\"completion\": \"\"}\n");
  const std::string rows = (job.folder / "rows.jsonl").string();
  const Outcome scored = run_program({"score", "--reward", job.name("steps"), "--in", rows});
  ASSERT_EQ(scored.exit_code, 0) << scored.err;
  EXPECT_EQ(Json::parse(scored.out.substr(0, scored.out.find('\n')))["value"], 0.5);
  const Outcome trained = job.train({{"rewards", {job.name("steps")}}});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  std::ifstream file(job.folder / "run" / "completions" / "step-000004.jsonl");
  std::string line;
  ASSERT_TRUE(std::getline(file, line));
  const Json score = Json::parse(line)["rollouts"][0]["score"];
  EXPECT_EQ(score["extra_logs"]["step"], 2);  // two steps share a rollout
  EXPECT_TRUE(score["components"].contains(job.name("steps"))) << score;
}

TEST(PluginsFault, AFailingCheckerEndsTheRunAsTheConfigSays) {
  const Checked job;
  for (const char* function : {"fails", "dies"}) {
    const Json rewards = Json::array({job.name(function), tiny_train("")["rewards"][0]});
    const Outcome skipped = job.train({{"rewards", rewards}}, std::string("skip_") + function);
    EXPECT_EQ(skipped.exit_code, 1);
    EXPECT_NE(skipped.err.find("alarm verifier_errors: 32 of 32 verdicts are errors"), std::string::npos)
        << skipped.err;
    const std::vector<Json> rows = json_lines(job.folder / (std::string("skip_") + function) / "metrics.jsonl");
    ASSERT_EQ(rows.size(), 1u) << "of the step that was not finished";
    EXPECT_EQ(rows[0]["alarms"], Json::array({"verifier_errors"}));
    const Outcome resumed = job.train({{"rewards", rewards}, {"max_verifier_error_rate", 1.0}},
                                      std::string("skip_") + function, {"--resume"});
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_EQ(num_lines(job.folder / (std::string("skip_") + function) / "metrics.jsonl"), 4);
    const Outcome aborted = job.train({{"rewards", rewards}, {"on_verifier_error", "abort"}}, "abort");
    EXPECT_EQ(aborted.exit_code, 1);
    EXPECT_NE(aborted.err.find("on_verifier_error is abort"), std::string::npos) << aborted.err;
    fs::remove_all(job.folder / "abort");
    const Outcome zeroed =
        job.train({{"rewards", rewards}, {"on_verifier_error", "zero"}, {"max_verifier_error_rate", 1.0}},
                  std::string("zero_") + function);
    EXPECT_EQ(zeroed.exit_code, 0) << zeroed.err;
  }
}

TEST(PluginsIntegration, ASpecThatNamesNothingIsRefusedBeforeAnyWork) {
  const Checked job;
  const Outcome outcome = job.train({{"rewards", {job.name("stepz")}}});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.err.find("no function 'stepz'; the nearest is 'steps'; the functions it has: steps, fails, dies"),
            std::string::npos)
      << outcome.err;
  EXPECT_FALSE(fs::exists(job.folder / "run" / "metrics.jsonl"));
}

}  // namespace
}  // namespace cohort
