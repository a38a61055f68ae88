// What a local teacher's traces hold, by the real program.
#include <gtest/gtest.h>

#include "tests/program/job.h"

namespace cohort {
namespace {

Json local_config() {
  Json config = distill_config();
  config["student"]["max_steps"] = 1;
  return config;
}

TEST(LocalTeacherIntegration, TheBudgetIsLookedAtBeforeEachPiece) {
  const Job job("distill", local_config());
  const fs::path all = job.reference(), some = job.out("some");
  const Outcome outcome = job.run(some, {"--set", "max_teacher_tokens=1500"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json whole = Json::parse(read_file(all / "sampling.json")),
             part = Json::parse(read_file(some / "sampling.json"));
  const int64_t spent = part["tokens"].get<int64_t>() + part["prompt_tokens"].get<int64_t>();
  EXPECT_GE(spent, 1500);
  EXPECT_LT(part["prompts"], whole["prompts"]);
  EXPECT_EQ(part["prompts"].get<int64_t>() % 8, 0);
  EXPECT_NE(outcome.err.find("max_teacher_tokens ended the sampling"), std::string::npos) << outcome.err;
  const std::string expected = read_file(all / "candidates.jsonl"), found = read_file(some / "candidates.jsonl");
  EXPECT_FALSE(found.empty());
  EXPECT_EQ(found, expected.substr(0, found.size())) << "the same, as far as it goes";
}

TEST(LocalTeacherIntegration, TokensOfEachTraceAreTold) {
  const Job job("distill", local_config());
  int64_t compared = 0;
  for (const Json& row : json_lines(job.reference() / "traces.jsonl")) {
    const Json& from = row["provenance"];
    EXPECT_GT(from["completion_tokens"], 0);
    EXPECT_LE(from["completion_tokens"], 32);
    EXPECT_EQ(from["teacher"], "init:" + (job.folder / "model.json").string() + "?seed=1");
    EXPECT_FALSE(from.contains("teacher_model"));
    ++compared;
  }
  EXPECT_GT(compared, 0);
}

TEST(LocalTeacherIntegration, SettingsThatCannotBeAreRefused) {
  for (const auto& [set, word] :
       std::vector<std::pair<std::string, std::string>>{{"filters.language=xx", "xx"},
                                                        {"difficulty_weights=[1,2]", "max_traces"},
                                                        {"filters.max_tokens=3", ""},
                                                        {"filters.decontaminate=/no/such.jsonl", "/no/such.jsonl"},
                                                        {"filters.max_repetition=2", "max_repetition"}}) {
    const Job job("distill", local_config());
    Arguments flags = {"--dry-run", "--set", set};
    if (word.empty()) flags.insert(flags.end(), {"--set", "filters.min_tokens=4"});
    const Outcome outcome = job.run(job.out("run"), flags);
    EXPECT_EQ(outcome.exit_code, 2) << set << outcome.err;
    EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
  }
}

}  // namespace
}  // namespace cohort
