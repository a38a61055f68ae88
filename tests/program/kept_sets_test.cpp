// Training with keep_sampling_mask: the learner's probabilities, and the reference's, are those over the sets that the
// tokens were chosen from.
#include <gtest/gtest.h>

#include "tests/program/job.h"

namespace cohort {
namespace {

Json with_kept_sets(const TinyJob& job) {
  return job.config({{"keep_sampling_mask", true},
                     {"temperature", 0.9},
                     {"top_p", 0.7},
                     {"top_k", 60},
                     {"min_p", 0.01},
                     {"min_tokens", 2},
                     {"beta", 0.05},
                     {"eval_steps", 9},
                     {"eval_tasks", "arithmetic:operations=2,split=held_out,limit=3"}});
}

TEST(KeptSetsIntegration, RatiosAreOneOnPolicyAndTheReferenceIsAtDistanceZero) {
  const TinyJob job;
  const fs::path out = job.out();
  const Outcome outcome = run_program({"train", job.write(with_kept_sets(job).dump()), "--out", job.out()});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::vector<Json> rows = json_lines(out / "metrics.jsonl");
  ASSERT_EQ(rows.size(), 9u);
  for (const Json& row : rows) {
    EXPECT_EQ(row["logprob_bit_mismatches"], 0) << row["step"];
    const bool is_on_policy = row["step"].get<int>() % 4 == 1;  // 2 steps per generation, 2 iterations
    EXPECT_EQ(row["ratio/min"] == 1.0 && row["ratio/max"] == 1.0, is_on_policy) << row["step"];
    EXPECT_EQ(row["kl"] == 0.0, row["step"] == 1) << row["step"];
  }
  EXPECT_GT(rows[0]["logprob_tokens_checked"], 0);
  double entropy = 0, tokens = 0;
  for (const Json& group : json_lines(out / "completions" / "step-000001.jsonl"))
    for (const Json& rollout : group["rollouts"]) {
      ASSERT_EQ(rollout["kept"].size(), rollout["completion_ids"].size());
      for (const Json& set : rollout["kept"]) EXPECT_TRUE(!set.empty() && set.size() <= 60);
      entropy += rollout["entropy_sum"].get<double>(), tokens += double(rollout["completion_ids"].size());
    }
  EXPECT_NEAR(rows[0]["entropy"].get<double>(), entropy / tokens, 1e-9);
}

TEST(KeptSetsIntegration, FrozenGroupsBringTheirsAlong) {
  const TinyJob job;
  const fs::path out = job.out(), groups = job.folder / "groups.jsonl";
  const std::string config = job.write(with_kept_sets(job).dump());
  ASSERT_EQ(run_program({"train", config, "--out", job.out(), "--set", "max_steps=1"}).exit_code, 0);
  const auto self_test = [&](const std::string& out) {
    return run_program({"train", config, "--out", out, "--self-test", "--groups", groups.string(), "--set",
                        "steps_per_generation=1", "--set", "max_steps=2", "--set", "keep_sampling_mask=false"});
  };
  fs::copy_file(out / "completions" / "step-000001.jsonl", groups);
  const Outcome found = self_test(job.out() + "-kept");
  EXPECT_EQ(found.exit_code, 0) << found.err;

  std::string without;
  for (Json group : json_lines(groups)) {
    for (Json& rollout : group["rollouts"]) rollout.erase("kept");
    without += group.dump() + "\n";
  }
  write_file(groups, without);
  const Outcome lost = self_test(job.out() + "-lost");
  EXPECT_EQ(lost.exit_code, 1) << lost.err;
  EXPECT_NE(lost.err.find("logprob_bit_mismatches"), std::string::npos) << lost.err;
}

}  // namespace
}  // namespace cohort
