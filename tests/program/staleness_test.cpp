// Sampling that runs ahead of learning: which weights sample which rollout follows from its place alone, and nothing
// of when things happen is in the result.
#include <gtest/gtest.h>

#include "tests/program/job.h"

namespace cohort {
namespace {

struct StalenessIntegration : testing::Test, TinyJob {
  fs::path out(const std::string& name) const { return folder / name; }
  Outcome train(const std::string& name, const Json& changes, const Arguments& more = {}) const {
    Arguments all = {"train", write(config(changes).dump()), "--out", out(name).string()};
    all.insert(all.end(), more.begin(), more.end());
    return run_program(all);
  }
  std::vector<Json> rows(const std::string& name) const { return json_lines(out(name) / "metrics.jsonl"); }
  std::string weights(const std::string& name) const { return read_file(out(name) / "final/model.safetensors"); }
};

TEST_F(StalenessIntegration, APlaceTellsWhichWeightsSampledARollout) {
  const int64_t inner = 4;  // optimizer steps of a rollout
  for (const int64_t ahead : {0, 1, 2}) {
    const std::string name = "ahead-" + std::to_string(ahead);
    const Outcome outcome = train(name, {{"max_staleness", ahead}, {"max_steps", 17}});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(outcome.err.find("importance_sampling_correction none") != std::string::npos, ahead > 0) << outcome.err;
    for (const Json& row : rows(name)) {
      const int64_t step = row["step"].get<int64_t>() - 1, first = step / inner * inner,
                    version = std::max<int64_t>(0, first - ahead * inner);
      char file[40];
      std::snprintf(file, sizeof file, "completions/step-%06d.jsonl", int(step) + 1);
      for (const Json& group : json_lines(out(name) / file)) EXPECT_EQ(group["policy_version"], version) << step;
      EXPECT_EQ(row["staleness/mean"], step - version);
      EXPECT_EQ(row["staleness/max"], step - version);
      const bool is_fresh = version == first;
      EXPECT_EQ(row["logprob_bit_mismatches"] == 0, is_fresh) << row;
      EXPECT_EQ(row["sampling/importance_sampling_ratio/max"] == 1.0, is_fresh) << row;
      EXPECT_FALSE(row.value("alarms", Json::array()).dump().find("off_policy") != std::string::npos) << row;
    }
  }
  EXPECT_NE(weights("ahead-0"), weights("ahead-1"));
  EXPECT_NE(weights("ahead-1"), weights("ahead-2"));
}

/// The first rollouts are those of the initial weights, which a run with a learning rate of 0 keeps: what they sample
/// has to be the same under any max_staleness, down to the log-probabilities.
TEST_F(StalenessIntegration, CopiedWeightsSampleTheSameBits) {
  for (const bool bf16 : {false, true}) {
    std::string logs[2];
    for (const int64_t ahead : {0, 2}) {
      const std::string name = "still-" + std::to_string(bf16) + std::to_string(ahead);
      const Outcome outcome =
          train(name, {{"max_staleness", ahead}, {"bf16", bf16}, {"max_steps", 13}}, {"--self-test"});
      ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
      for (const Json& row : rows(name)) {
        EXPECT_EQ(row["logprob_bit_mismatches"], 0) << row;
        logs[ahead > 0] += row["reward"].dump() + row["completions/mean_length"].dump() + row["policy_loss"].dump();
      }
    }
    EXPECT_EQ(logs[0], logs[1]);
  }
}

const char* const kSlowChecker = R"(
import random, time

def slow(completions, **columns):
    time.sleep(random.random() * 0.03)
    return [float(sum(map(ord, c)) % 3) for c in completions]
)";

TEST_F(StalenessIntegration, NeitherThreadsNorTimingChangeABit) {
  write_file(folder / "slow.py", kSlowChecker);
  const Json rewards = Json::array({"python:" + (folder / "slow.py").string() + ":slow"});
  for (const int64_t ahead : {1, 3}) {
    std::set<std::string> found;
    for (const int threads : {1, 2, 3}) {
      const std::string name = "timed-" + std::to_string(ahead) + std::to_string(threads);
      const Outcome outcome = train(name, {{"max_staleness", ahead},
                                           {"rewards", rewards},
                                           {"threads", threads},
                                           {"steps_per_generation", 1},
                                           {"num_iterations", 1},
                                           {"importance_sampling_correction", "token_truncate"}});
      ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
      found.insert(weights(name));
    }
    EXPECT_EQ(found.size(), 1u);
  }
}

/// Every other part of a rollout goes along: refills, left-out prompts, kept sets, a KL on the reward and one in the
/// loss, a reference that moves, evaluations in between.
TEST_F(StalenessIntegration, TheOtherOptionsGoAlong) {
  const Json mixed = {{{"reference", "arithmetic:operations=2"}, {"weight", 2}},
                      {{"reference", "arithmetic:operations=3,limit=20"}, {"weight", 1}}};
  const std::map<std::string, Json> options = {
      {"refills",
       {{"dynamic_sampling", {{"max_refill_batches", 2}}},
        {"rewards", Json::array({{{"name", "regex"}, {"options", {{"pattern", "[0-3]"}}}}})}}},
      {"filter", {{"tasks", mixed}, {"max_prompt_length", 40}, {"filter_overlong_prompts", true}}},
      {"kept", {{"keep_sampling_mask", true}, {"top_p", 0.7}}},
      {"kl", {{"beta", 0.1}, {"kl_in_reward", true}, {"sync_ref_model", true}, {"ref_model_sync_steps", 3}}},
      {"evaluated",
       {{"beta", 0.1}, {"eval_steps", 2}, {"eval_tasks", "arithmetic:operations=2,split=held_out,limit=3"}}},
      {"masked", {{"off_policy_mask_threshold", 0.1}, {"importance_sampling_correction", "sequence_mask"}}}};
  for (const auto& [name, option] : options) {
    Json changes = option;
    changes["max_staleness"] = 1;
    const Outcome outcome = train(name, changes);
    ASSERT_EQ(outcome.exit_code, 0) << name << outcome.err;
    ASSERT_EQ(rows(name).size(), 9u);
    EXPECT_EQ(rows(name).back()["staleness/max"], 4) << name;
    EXPECT_GT(rows(name).back()["grad_norm"], 0.0) << name;
  }
}

TEST_F(StalenessIntegration, FrozenGroupsAndSamplingAheadExcludeEachOther) {
  ASSERT_EQ(train("sampled", {{"max_steps", 1}}).exit_code, 0);
  const Outcome outcome = train("frozen", {{"max_staleness", 1}, {"steps_per_generation", 1}},
                                {"--groups", (out("sampled") / "completions/step-000001.jsonl").string()});
  EXPECT_EQ(outcome.exit_code, 2);
  for (const char* word : {"max_staleness", "--groups"})
    EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
}

/// A verifier that fails for a rollout sampled ahead ends the run, with its alarm in metrics.jsonl; once it works, the
/// run goes on to the bits of one that it never failed in.
TEST_F(StalenessIntegration, AVerifierThatFailedIsMendedAndTheRunGoesOn) {
  const std::string broken = R"(
def judge(completions, trainer_state, **columns):
    if trainer_state.global_step >= 4:
        raise ValueError("the server is down")
    return [float(sum(map(ord, c)) % 3) for c in completions]
)";
  std::string mended = broken;
  mended.replace(mended.find(">= 4"), 4, "< 0 ");
  const Json changes = {{"max_staleness", 1}, {"rewards", {"python:" + (folder / "judge.py").string() + ":judge"}}};
  write_file(folder / "judge.py", mended);
  ASSERT_EQ(train("whole", changes).exit_code, 0);
  write_file(folder / "judge.py", broken);
  const Outcome failed = train("run", changes);
  EXPECT_EQ(failed.exit_code, 1) << failed.err;
  EXPECT_NE(failed.err.find("verifier_errors"), std::string::npos) << failed.err;
  EXPECT_NE(rows("run").back().value("alarms", Json()).dump().find("verifier_errors"), std::string::npos);
  write_file(folder / "judge.py", mended);
  const Outcome resumed = train("run", changes, {"--resume"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(weights("run"), weights("whole"));
}

}  // namespace
}  // namespace cohort
