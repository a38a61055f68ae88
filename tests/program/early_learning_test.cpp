// Learning from complete groups while others are still sampled or judged: the same bits as behind the whole rollout,
// whatever completes first.
#include <gtest/gtest.h>

#include "tests/program/job.h"

namespace cohort {
namespace {

const char* const kSlowChecker = R"(
import random, time

def slow(completions, **columns):
    time.sleep(random.random() * 0.03)
    return [float(sum(map(ord, c)) % 3) for c in completions]

def failing(completions, trainer_state, **columns):
    if trainer_state.global_step >= 4:
        raise ValueError("the server is down")
    return slow(completions)
)";

struct EarlyLearningIntegration : testing::Test, TinyJob {
  EarlyLearningIntegration() { write_file(folder / "slow.py", kSlowChecker); }
  Json rewards(const std::string& name) const {
    return Json::array({"python:" + (folder / "slow.py").string() + ":" + name});
  }
  fs::path out(const std::string& name) const { return folder / name; }
  Outcome train(const std::string& name, const Json& changes, const Arguments& more = {}) const {
    Arguments all = {"train", write(config(changes).dump()), "--out", out(name).string()};
    all.insert(all.end(), more.begin(), more.end());
    return run_program(all);
  }
  /// Weights and metrics.
  std::string run(const std::string& name, const Json& changes) const {
    const Outcome outcome = train(name, changes);
    EXPECT_EQ(outcome.exit_code, 0) << name << ": " << outcome.err;
    return read_file(out(name) / "final/model.safetensors") +
           without_times(Json(json_lines(out(name) / "metrics.jsonl"))).dump();
  }
};

TEST_F(EarlyLearningIntegration, TheBitsAreThoseOfAWholeRollout) {
  const std::map<std::string, Json> options = {
      {"grpo", {{"loss_type", "grpo"}}},
      {"dapo", {{"loss_type", "dapo"}, {"epsilon_high", 0.28}}},
      {"dr_grpo", {{"loss_type", "dr_grpo"}, {"scale_rewards", "none"}}},
      {"mini_batches", {{"steps_per_generation", 3}, {"num_iterations", 2}, {"max_steps", 12}}},
      {"one_step", {{"steps_per_generation", 1}, {"num_iterations", 1}}},
      {"kl", {{"beta", 0.1}, {"sync_ref_model", true}, {"ref_model_sync_steps", 3}}},
      {"kept", {{"keep_sampling_mask", true}, {"top_p", 0.7}}},
      {"entropy", {{"loss_type", "bnpo"}, {"use_adaptive_entropy", true}, {"entropy_coef", 0.01}}},
      {"lengths", {{"overlong", {{"soft_cache", 4}}}, {"mask_truncated_completions", true}}},
      {"adapters", {{"use_peft", true}, {"router_bias_update_rate", 0}, {"bf16", true}}},
      {"all_equal", {{"rewards", Json::array({{{"name", "regex"}, {"options", {{"pattern", "no such text"}}}}})}}}};
  for (auto [name, changes] : options) {
    if (!changes.contains("rewards")) changes["rewards"] = rewards("slow");
    changes["max_tokens_per_batch"] = 64;
    const std::string whole = run(name, changes);
    changes["learn_while_sampling"] = true;
    EXPECT_TRUE(run(name + "_early", changes) == whole) << name;
  }
}

TEST_F(EarlyLearningIntegration, NeitherThreadsNorTimingChangeABit) {
  std::set<std::string> found;
  for (const int threads : {1, 3})
    for (const int sampling_threads : {0, 1, 2})
      found.insert(run("timed-" + std::to_string(threads) + std::to_string(sampling_threads),
                       {{"rewards", rewards("slow")},
                        {"learn_while_sampling", true},
                        {"max_tokens_per_batch", 64},
                        {"threads", threads},
                        {"sampling_threads", sampling_threads}}));
  EXPECT_EQ(found.size(), 1u);
}

/// What was learned early is lost with the rollout, and done again by a resumed run.
TEST_F(EarlyLearningIntegration, AVerifierThatFailsEndsTheRunAndIsMended) {
  const Json changes = {{"rewards", rewards("failing")}, {"learn_while_sampling", true}};
  const Outcome failed = train("run", changes);
  EXPECT_EQ(failed.exit_code, 1) << failed.err;
  EXPECT_NE(failed.err.find("verifier_errors"), std::string::npos) << failed.err;
  std::string mended = kSlowChecker;
  mended.replace(mended.find(">= 4"), 4, "< 0 ");
  write_file(folder / "slow.py", mended);
  const Outcome resumed = train("run", changes, {"--resume"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  run("whole", changes);
  EXPECT_TRUE(read_file(out("run") / "final/model.safetensors") == read_file(out("whole") / "final/model.safetensors"));
}

TEST_F(EarlyLearningIntegration, WhatNeedsAllGroupsIsRefused) {
  for (const auto& [changes, word] : std::vector<std::pair<Json, std::string>>{
           {{{"max_staleness", 1}}, "max_staleness"},
           {{{"dynamic_sampling", {{"max_refill_batches", 1}}}}, "dynamic_sampling"},
           {{{"scale_rewards", "batch"}}, "std of the batch"},
           {{{"multi_objective_aggregation", "normalize_then_sum"}}, "std of the batch"},
           {{{"beta", 0.1}, {"kl_in_reward", true}}, "kl_in_reward"},
           {{{"importance_sampling_correction", "token_mask"}}, "importance_sampling_correction"},
           {{{"top_entropy_quantile", 0.5}}, "top_entropy_quantile"},
           {{{"loss_type", "grpo"}, {"entropy_coef", 0.1}}, "entropy bonus"}}) {
    Json all = changes;
    all["learn_while_sampling"] = true;
    const Outcome outcome = train("refused", all);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_NE(outcome.err.find("learn_while_sampling cannot be: "), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
  }
}

}  // namespace
}  // namespace cohort
