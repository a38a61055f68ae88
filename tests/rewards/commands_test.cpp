// The verb `score`, driven through its flags on files.
#include "rewards/commands.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "configs/error.h"
#include "rewards/reward.h"

namespace cohort {
namespace {

class ScoreIntegration : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }

  // Runs `cohort score ARGS`; what it writes to stdout is returned.
  static std::string run(std::vector<std::string> args) {
    CLI::App app;
    add_rewards_commands(app);
    args.insert(args.begin(), "score");
    std::reverse(args.begin(), args.end());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    try {
      app.parse(args);
    } catch (...) {
      testing::internal::GetCapturedStdout();
      testing::internal::GetCapturedStderr();
      throw;
    }
    testing::internal::GetCapturedStderr();
    return testing::internal::GetCapturedStdout();
  }

  static std::vector<Json> lines(const std::string& text) {
    std::vector<Json> rows;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) rows.push_back(Json::parse(line));
    return rows;
  }

  static std::string read(const std::string& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("cohort_score_" + std::to_string(::getpid()));
};

TEST_F(ScoreIntegration, TheReferenceGoesByTheNamesOfTheField) {
  const std::string rows = write("rows.jsonl",
                                 "{\"completion\": \"5\", \"answer\": \"5\"}\n"
                                 "{\"completion\": \"5\", \"solution\": \"5\"}\n"
                                 "{\"completion\": \"5\", \"solution\": null, \"ground_truth\": \"5\"}\n"
                                 "{\"completion\": \"5\", \"reward_model\": {\"ground_truth\": \"5\"}}\n");
  for (const Json& line : lines(run({"--in", rows, "--reward", "exact"}))) EXPECT_EQ(line["value"], 1) << line;
}

TEST_F(ScoreIntegration, RowsInScoresOut) {
  const std::string in = write(
      "rows.jsonl",
      "\xEF\xBB\xBF{\"id\": \"a\", \"completion\": \"\\\\boxed{1/2}\", \"answer\": \"0.5\"}\n\n"
      "{\"completion\": \"#### 7\", \"answer\": 8, \"level\": 3}\n"
      "{\"id\": 3, \"completion\": [{\"role\": \"assistant\", \"content\": \"\\\\boxed{2}\"}], \"answer\": \"2\"}\n"
      "{\"completion\": \"\\\\boxed{2}\", \"answer\": \"\"}\n");
  const auto rows = lines(run({"--in", in, "--reward", "accuracy"}));
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[0]["id"], "a");
  EXPECT_EQ(rows[0]["value"], 1.0);
  EXPECT_EQ(rows[0]["status"], "correct");
  EXPECT_EQ(rows[0]["components"], (Json{{"accuracy", 1.0}}));
  EXPECT_GE(rows[0]["seconds"], 0);
  EXPECT_EQ(rows[1]["id"], "rows/3");
  EXPECT_EQ(rows[1]["value"], 0.0);
  EXPECT_EQ(rows[1]["status"], "wrong");
  EXPECT_EQ(rows[2]["id"], 3);
  EXPECT_EQ(rows[2]["status"], "correct");
  EXPECT_TRUE(rows[3]["value"].is_null());
  EXPECT_EQ(rows[3]["status"], "error");
}

TEST_F(ScoreIntegration, ColumnsAndTokensReachTheRewards) {
  const std::string in = write(
      "rows.jsonl",
      R"({"completion": "<answer>1+2*3</answer>", "numbers": [1, 2, 3], "target": 7, "completion_ids": [1, 2, 3]})");
  const auto rows = lines(run({"--in", in, "--reward", "countdown", "--reward",
                               "soft_overlong:max_completion_length=4,cache=2,weight=2", "--workers", "2"}));
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0]["components"], (Json{{"countdown", 1.0}, {"soft_overlong", -0.5}}));
  EXPECT_EQ(rows[0]["value"], 0.0);
  EXPECT_EQ(rows[0]["status"], "partial");
}

TEST_F(ScoreIntegration, OutTakesItsNameWhenAllIsWritten) {
  const std::string in = write("rows.jsonl", "{\"completion\": \"5\", \"answer\": \"5\"}\n");
  const std::string text = run({"--in", in, "--reward", "accuracy", "--out", path("scores.jsonl"), "--json"});
  EXPECT_EQ(lines(text).at(0)["statuses"], (Json{{"correct", 1}}));
  EXPECT_EQ(lines(read(path("scores.jsonl"))).at(0)["value"], 1.0);
  EXPECT_FALSE(std::filesystem::exists(path("scores.jsonl.part")));
}

TEST_F(ScoreIntegration, ListNamesEveryReward) {
  const auto rows = lines(run({"--list", "--json"}));
  ASSERT_EQ(rows.size(), reward_rules().size());
  EXPECT_EQ(rows[0]["name"], "accuracy");
  const std::string text = run({"--list"});
  for (const RewardRule& rule : reward_rules()) EXPECT_NE(text.find(std::string(rule.name) + ": "), std::string::npos);
}

TEST_F(ScoreIntegration, WrongUsageIsRefusedBeforeAnyWork) {
  const std::string in = write("rows.jsonl", "{\"completion\": \"5\", \"answer\": \"5\"}\n");
  EXPECT_THROW(run({"--in", write("empty.jsonl", ""), "--reward", "accuracy"}), UsageError);
  EXPECT_THROW(run({"--in", write("blank.jsonl", "\n \n"), "--reward", "accuracy"}), UsageError);
  EXPECT_THROW(run({"--in", path("none.jsonl"), "--reward", "accuracy"}), UsageError);
  EXPECT_THROW(run({"--in", path(""), "--reward", "accuracy"}), UsageError);
  EXPECT_THROW(run({"--in", in}), UsageError);
  EXPECT_THROW(run({"--reward", "accuracy"}), UsageError);
  EXPECT_THROW(run({"--in", in, "--reward", "acuracy"}), UsageError);
  EXPECT_THROW(run({"--in", in, "--reward", "accuracy", "--timeout", "0"}), UsageError);
  EXPECT_THROW(run({"--in", in, "--reward", "accuracy", "--workers", "0"}), UsageError);
  EXPECT_THROW(run({"--in", in, "--reward", "accuracy", "--out", in + "/below.jsonl"}), UsageError);
  EXPECT_THROW(run({"--in", in, "--reward", "accuracy", "--out", path("")}), UsageError);
  EXPECT_THROW(run({"--in", in, "--reward", "python:my.py:f"}), UsageError);
  EXPECT_THROW(run({"--in", in, "--reward", "accuracy", "--on-verifier-error", "retry"}), UsageError);
}

TEST_F(ScoreIntegration, ABrokenLineIsNamed) {
  for (const char* line : {"{", "[]", "{\"answer\": \"5\"}", "{\"completion\": 5}",
                           "{\"completion\": \"5\", \"completion_ids\": [\"a\"]}"}) {
    const std::string in =
        write("rows.jsonl", std::string("{\"completion\": \"5\", \"answer\": \"5\"}\n") + line + "\n");
    try {
      run({"--in", in, "--reward", "accuracy", "--out", path("scores.jsonl")});
      ADD_FAILURE() << line;
    } catch (const UsageError& error) {
      EXPECT_NE(std::string(error.what()).find("line 2"), std::string::npos) << error.what();
    }
    EXPECT_FALSE(std::filesystem::exists(path("scores.jsonl")));
  }
}

}  // namespace
}  // namespace cohort
