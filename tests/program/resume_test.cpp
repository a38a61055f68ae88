// Nothing is lost: the real program is killed, interrupted and starved at many moments, and --resume ends at the bytes
// of a run that nobody disturbed. COHORT_TEST_ALL=1 kills ten times as often.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "configs/durable_file.h"
#include "tests/program/job.h"

namespace cohort {
namespace {

using Moment = std::function<bool()>;

int times(int by_default) {
  return test_all() ? 10 * by_default : by_default;
}

/// One of the moments that hurt: in the writing of a checkpoint (0) or of the end (1), in a rollout (2), in an update
/// (3), any at all.
Moment some_moment(const fs::path& out, double seconds, int kind, std::mt19937& random) {
  const int64_t rows_before = num_lines(out / "metrics.jsonl"), groups_before = sampled_groups(out);
  const int64_t more = std::uniform_int_distribution<int64_t>(1, 3)(random);
  const auto end =
      std::chrono::steady_clock::now() + Seconds(std::uniform_real_distribution<double>(0, seconds)(random));
  if (kind == 2) return [=] { return sampled_groups(out) >= groups_before % 8 + more; };
  if (kind == 3) return [=] { return num_lines(out / "metrics.jsonl") >= rows_before + more; };
  if (kind == 0) return [=] { return is_writing(out / "checkpoints", ""); };
  if (kind == 1) return [=] { return is_writing(out, "final"); };
  return [=] { return std::chrono::steady_clock::now() >= end; };
}

/// Kills the job `num_kills` times, each time going on with --resume; whenever it gets through, its run is compared
/// and a fresh one begun. `threads` are taken in turn.
void kill_and_resume(const Job& job, int num_kills, const std::vector<int>& threads,
                     const std::function<fs::path(const fs::path&)>& watched = {}) {
  const auto start = std::chrono::steady_clock::now();
  const fs::path reference = job.reference(), out = job.out("killed");
  const double seconds = Seconds(std::chrono::steady_clock::now() - start).count() + 0.5;
  std::mt19937 random(static_cast<unsigned>(num_kills) + 7);
  for (int kills = 0, attempt = 0, finished = 0; kills < num_kills || finished == 0; ++attempt) {
    const std::string set = "threads=" + std::to_string(threads[size_t(attempt) % threads.size()]);
    Process process(job.arguments(out, {"--resume", "--set", set}));
    if (kills < num_kills &&
        process.wait_until(some_moment(watched ? watched(out) : out, seconds, attempt % 5, random)))
      process.signal(SIGKILL);
    const Outcome outcome = process.wait();
    if (outcome.exit_code == -SIGKILL) {
      ++kills;
      finished = 0;
      continue;
    }
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    ASSERT_NO_FATAL_FAILURE(expect_same_run(reference, out)) << "after " << kills << " kills";
    if (testing::Test::HasFailure()) return;
    fs::remove_all(out);
    finished = 1;
  }
}

TEST(ResumeFault, AKilledRunEndsAtTheSameBytes) {
  const Job job("train", train_config());
  for (int threads : {1, 2, 3}) kill_and_resume(job, times(4), {threads});
}

TEST(ResumeFault, AKilledRunMayGoOnWithOtherThreadCounts) {
  const Job job("train", train_config());
  kill_and_resume(job, times(6), {1, 3, 2});
}

TEST(ResumeFault, AReferenceModelThatMovesIsResumed) {
  const Json changes = {{"beta", 0.05},
                        {"sync_ref_model", true},
                        {"ref_model_sync_steps", 2},
                        {"ref_model_mixup_alpha", 0.5},
                        {"eval_steps", 4},
                        {"eval_tasks", "arithmetic:operations=2,split=held_out,limit=6"}};
  const Job job("train", train_config_with(changes));
  kill_and_resume(job, times(3), {2, 1});
}

TEST(ResumeFault, RefilledGroupsOfMixedAndFilteredTasksAreResumed) {
  const Json tasks = {{{"reference", "arithmetic:operations=2"}, {"weight", 2}},
                      {{"reference", "arithmetic:operations=3,limit=20"}, {"weight", 1}}};
  const Job job("train",
                train_config_with({{"tasks", tasks},
                                   {"max_prompt_length", 40},
                                   {"filter_overlong_prompts", true},
                                   {"rewards", Json::array({{{"name", "regex"}, {"options", {{"pattern", "[0-3]"}}}}})},
                                   {"dynamic_sampling", {{"max_refill_batches", 3}}},
                                   {"overlong", {{"soft_cache", 2}, {"penalty", 0.0}}}}));
  kill_and_resume(job, times(5), {2, 1, 3});
  const std::vector<Json> rows = json_lines(job.reference() / "metrics.jsonl");
  EXPECT_TRUE(std::any_of(rows.begin(), rows.end(),
                          [](const Json& row) { return row["dynamic_sampling/refilled_groups"] > 0; }));
}

TEST(ResumeFault, TheBestCheckpointIsKeptOverKills) {
  const Job job("train", train_config_with({{"eval_steps", 1},
                                            {"eval_tasks", "arithmetic:operations=2,split=held_out,limit=6"},
                                            {"eval_temperature", 1.0},
                                            {"save_total_limit", 1},
                                            {"keep_best_checkpoint", true},
                                            {"load_best_model_at_end", true}}));
  kill_and_resume(job, times(5), {2, 1});
  EXPECT_TRUE(fs::exists(job.reference() / "best.json"));
}

TEST(ResumeFault, KeptSetsAreResumed) {
  const Job job("train", train_config_with({{"keep_sampling_mask", true}, {"top_p", 0.7}, {"min_p", 0.02}}));
  kill_and_resume(job, times(3), {2, 1});
}

TEST(ResumeFault, RolloutsSampledAheadAreResumed) {
  for (const int ahead : {1, 2}) {
    const Job job("train", train_config_with({{"max_staleness", ahead},
                                              {"num_iterations", 1},
                                              {"importance_sampling_correction", "sequence_truncate"}}));
    kill_and_resume(job, times(5), {2, 1, 3});
  }
}

TEST(ResumeFault, SupervisedTuningIsResumed) {
  const Job job("sft", tiny_sft("MODEL"));
  kill_and_resume(job, times(3), {2, 1, 3});
}

TEST(ResumeFault, DistillationIsResumed) {
  const Job job("distill", distill_config());
  kill_and_resume(job, times(3), {2, 1});
}

TEST(ResumeFault, OnPolicyDistillationIsResumed) {
  const Json mixed = {{"distillation_weight", 0.7},
                      {"lmbda", 0.6},
                      {"beta", 0.5},
                      {"eval_steps", 4},
                      {"eval_tasks", "arithmetic:operations=2,split=held_out,limit=6"},
                      {"student", tiny_sft("MODEL")}};
  const Json taught = {{"distillation_mode", "topk_logits"}, {"loss_top_k", 5}, {"lmbda", 0.5}, {"seq_kd", true}};
  Json adapters = {{"student", tiny_sft("MODEL")}};
  adapters["student"].erase("tasks"), adapters["student"]["use_peft"] = true;
  for (const Json& changes : {mixed, taught, adapters, Json{{"distillation_mode", "sampled_token"}}}) {
    const Job job("distill", on_policy_config(changes));
    kill_and_resume(job, times(3), {2, 1, 3});
  }
}

TEST(ResumeFault, AnInterruptedOnPolicyDistillationSavesItsStepAndGoesOn) {
  const Job job("distill", on_policy_config());
  for (int signal : {SIGINT, SIGTERM}) {
    const fs::path out = job.out("interrupted " + std::to_string(signal));
    Process process(job.arguments(out));
    ASSERT_TRUE(process.wait_until([&] { return num_lines(out / "metrics.jsonl") >= 2; }));
    process.signal(signal);
    const Outcome outcome = process.wait();
    EXPECT_EQ(outcome.exit_code, 130) << outcome.err;
    EXPECT_NE(outcome.err.find("--resume"), std::string::npos) << outcome.err;
    EXPECT_FALSE(fs::exists(out / "final"));
    const Outcome resumed = job.run(out, {"--resume"});
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    expect_same_run(job.reference(), out);
  }
}

TEST(ResumeFault, AChainIsResumedAtItsStageAndStep) {
  Json base = tiny_sft("MODEL"), grpo = train_config(), student = distill_config(), on_policy = on_policy_config();
  base.erase("threads"), grpo.erase("threads");
  student["teacher"] = on_policy["teacher"] = "stage:grpo";
  grpo["model"] = "stage:base";
  student["student"]["model"] = "stage:base", on_policy["student"]["model"] = "stage:student";
  const Json eval = {{"tasks", "arithmetic:operations=2,split=held_out,limit=8"},
                     {"rewards", grpo["rewards"]},
                     {"lenient_rewards", {"last_number"}},
                     {"max_completion_length", 8}};
  const Json stages = {{{"name", "base"}, {"kind", "sft"}, {"config", base}, {"evaluate", true}},
                       {{"name", "grpo"}, {"kind", "train"}, {"config", grpo}, {"evaluate", true}},
                       {{"name", "student"}, {"kind", "distill"}, {"config", student}, {"seed_offset", 7}},
                       {{"name", "on_policy"}, {"kind", "distill"}, {"config", on_policy}},
                       {{"name", "measured"},
                        {"kind", "eval"},
                        {"config",
                         {{"model", "stage:student"},
                          {"tasks", "arithmetic:operations=2,split=held_out,limit=6"},
                          {"max_completion_length", 8}}}}};
  const Job job("run", {{"eval", eval}, {"stages", stages}});
  kill_and_resume(job, times(4), {2, 1}, [&, turn = 0](const fs::path& out) mutable {
    return out / std::vector<std::string>{"base", "grpo", "student", "on_policy"}[size_t(turn++ % 4)];
  });
}

/// A run killed once so many groups are kept; the file they are in.
fs::path kill_in_first_rollout(const Job& job, const fs::path& out, int64_t num_groups) {
  const fs::path sampled = out / "sampled" / "version-000000.jsonl";
  Process process(job.arguments(out));
  EXPECT_TRUE(process.wait_until([&] { return num_lines(sampled) >= num_groups; }));
  process.signal(SIGKILL);
  process.wait();
  return sampled;
}

TEST(ResumeFault, SampledGroupsAreKept) {
  const Json config = train_config_with({{"prompts_per_step", 16}, {"max_slots", 4}, {"max_completion_length", 64}});
  const Job job("train", config);
  const fs::path out = job.out("killed"), sampled = kill_in_first_rollout(job, out, 5);

  std::string marked, text = read_file(sampled);
  std::set<int64_t> kept;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != text.npos; begin = end + 1) {
    Json row = Json::parse(text.substr(begin, end - begin));
    kept.insert(row["index"].get<int64_t>());
    row["group"]["rollouts"][0]["completion"] = "kept";  // a text that no new sample would have
    row["checksum"] = crc32c(row["group"].dump());
    marked += row.dump() + "\n";
  }
  ASSERT_LT(kept.size(), 32u);
  write_file(sampled, marked + "{\"index\": 31, \"gro");  // and half a line, as a kill leaves it
  const Outcome outcome = job.run(out, {"--resume"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::vector<Json> groups = json_lines(out / "completions" / "step-000001.jsonl");
  ASSERT_EQ(groups.size(), 16u);
  for (int64_t i = 0; i < 16; ++i)
    EXPECT_EQ(groups[size_t(i)]["rollouts"][0]["completion"] == "kept", kept.contains(i)) << i;
  EXPECT_TRUE(read_file(out / "final" / "model.safetensors") ==
              read_file(job.reference() / "final" / "model.safetensors"));
}

TEST(ResumeFault, ADamagedSampledGroupIsSampledAnew) {
  const Json config = train_config_with({{"prompts_per_step", 16}, {"max_slots", 4}, {"max_completion_length", 64}});
  const Job job("train", config);
  const fs::path out = job.out("killed"), sampled = kill_in_first_rollout(job, out, 2);
  std::vector<Json> rows = json_lines(sampled);
  Json& id = rows[0]["group"]["rollouts"][0]["completion_ids"][0];
  id = id == 7 ? 8 : 7;
  std::string text;
  for (const Json& row : rows) text += row.dump() + "\n";
  write_file(sampled, text);
  EXPECT_EQ(job.run(out, {"--resume"}).exit_code, 0);
  expect_same_run(job.reference(), out);
}

TEST(ResumeFault, ATornCheckpointIsSkippedByName) {
  const Job job("train", train_config());
  const std::map<std::string, std::function<void(const fs::path&)>> tears = {
      {"model.safetensors",
       [](const fs::path& c) { fs::resize_file(c / "model.safetensors", fs::file_size(c / "model.safetensors") - 1); }},
      {"optimizer.safetensors",
       [](const fs::path& c) {
         std::string bytes = read_file(c / "optimizer.safetensors");
         bytes[bytes.size() / 2] ^= 1;
         write_file(c / "optimizer.safetensors", bytes);
       }},
      {"state.json", [](const fs::path& c) { fs::remove(c / "state.json"); }},
      {"COMPLETE is missing", [](const fs::path& c) { fs::remove(c / "COMPLETE"); }},
      {"COMPLETE is broken", [](const fs::path& c) { write_file(c / "COMPLETE", "[1]"); }},
  };
  for (const auto& [named, tear] : tears) {
    const fs::path out = job.out("torn");
    fs::remove_all(out);
    fs::copy(job.reference(), out, fs::copy_options::recursive);
    fs::remove_all(out / "final");  // as if killed after the last checkpoint
    tear(out / "checkpoints" / "step-000009");
    const Outcome outcome = job.run(out, {"--resume"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_NE(outcome.err.find("checkpoints/step-000009: " + named), std::string::npos) << outcome.err;
    expect_same_run(job.reference(), out);
  }
}

/// Killed after its last checkpoint, while it removed an older one.
TEST(ResumeFault, AHalfRemovedCheckpointGoes) {
  for (const std::string verb : {"train", "sft"}) {
    const Job job(verb, verb == "train" ? train_config() : tiny_sft("MODEL"));
    const fs::path out = job.out("killed");
    fs::copy(job.reference(), out, fs::copy_options::recursive);
    fs::remove_all(out / "final");
    fs::create_directory(out / "checkpoints" / "step-000003");
    fs::copy(out / "checkpoints/step-000009/config.json", out / "checkpoints/step-000003/config.json");
    const Outcome outcome = job.run(out, {"--resume"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    expect_same_run(job.reference(), out);
  }
}

TEST(ResumeFault, ATornCheckpointDoesNotPushOutWholeOnes) {
  const Job job("train", train_config());
  const fs::path out = job.out("torn");
  fs::copy(job.reference(), out, fs::copy_options::recursive);
  fs::remove(out / "checkpoints" / "step-000009" / "COMPLETE");
  Process process(job.arguments(
      out, {"--resume", "--set", "save_steps=1", "--set", "save_total_limit=1", "--set", "max_steps=100000"}));
  ASSERT_TRUE(process.wait_until([&] {
    return fs::exists(out / "checkpoints" / "step-000008") && !fs::exists(out / "checkpoints" / "step-000006");
  }));
  process.signal(SIGKILL);
  process.wait();
  const Outcome outcome = job.run(out, {"--resume"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(num_lines(out / "metrics.jsonl") >= 8);
}

TEST(ResumeFault, AnInterruptFinishesTheStepAndSaves) {
  for (int number : {SIGINT, SIGTERM}) {
    const Job job("train",
                  train_config_with({{"max_steps", 60}, {"save_steps", 0}, {"max_staleness", int(number == SIGINT)}}));
    const fs::path out = job.out("interrupted");
    fs::remove_all(out);
    Process process(job.arguments(out));
    ASSERT_TRUE(process.wait_until([&] { return num_lines(out / "metrics.jsonl") >= 1; }));
    process.signal(number);
    const Outcome outcome = process.wait();
    ASSERT_EQ(outcome.exit_code, 130) << outcome.err;
    EXPECT_NE(outcome.err.find("--resume"), std::string::npos) << outcome.err;
    char name[32];
    std::snprintf(name, sizeof name, "step-%06d", int(num_lines(out / "metrics.jsonl")));
    EXPECT_TRUE(fs::exists(out / "checkpoints" / name / "COMPLETE")) << name;
    EXPECT_FALSE(fs::exists(out / "final"));
    ASSERT_EQ(job.run(out, {"--resume"}).exit_code, 0);
    EXPECT_TRUE(read_file(out / "final" / "model.safetensors") ==
                read_file(job.reference() / "final" / "model.safetensors"));
  }
}

/// A job whose first rollout takes many seconds.
Json slow_config() {
  return train_config_with({{"prompts_per_step", 512}, {"num_generations", 16}, {"max_completion_length", 200}});
}

TEST(ResumeFault, ASecondInterruptEndsAtOnce) {
  const Job job("train", slow_config());
  const fs::path out = job.out("interrupted");
  Process process(job.arguments(out));
  ASSERT_TRUE(process.wait_until([&] { return sampled_groups(out) >= 1; }));
  process.signal(SIGINT);
  std::this_thread::sleep_for(Seconds(0.1));
  EXPECT_TRUE(process.is_running());
  process.signal(SIGINT);
  EXPECT_EQ(process.wait().exit_code, 130);
  EXPECT_FALSE(fs::exists(out / "metrics.jsonl") && num_lines(out / "metrics.jsonl") > 0);
}

TEST(ResumeFault, AnInterruptBeforeTheFirstStepExitsWith130) {
  for (const std::string verb : {"train", "sft", "distill"}) {
    const Job job(verb, verb == "train" ? train_config() : verb == "sft" ? tiny_sft("MODEL") : distill_config());
    const fs::path out = job.out("interrupted");
    Process process(job.arguments(out));
    ASSERT_TRUE(process.wait_until([&] { return fs::exists(out / ".lock"); }));
    process.signal(SIGINT);
    const Outcome outcome = process.wait();
    EXPECT_EQ(outcome.exit_code, 130) << verb << outcome.err;
    EXPECT_NE(outcome.err.find("interrupted"), std::string::npos) << outcome.err;
    const Outcome resumed = job.run(out, {"--resume"});
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    expect_same_run(job.reference(), out);
  }
}

/// Another max_steps is another learning rate: the same version number then stands for other weights.
TEST(ResumeFault, WhatOtherWeightsSampledIsSampledAnew) {
  const Job job("train", train_config_with({{"lr_scheduler_type", "linear"},
                                            {"steps_per_generation", 1},
                                            {"num_iterations", 1},
                                            {"max_steps", 60},
                                            {"save_steps", 30}}));
  const fs::path out = job.out("longer");
  Process process(job.arguments(out));
  ASSERT_TRUE(process.wait_until([&] { return num_lines(out / "metrics.jsonl") >= 5; }));
  process.signal(SIGKILL);
  process.wait();
  ASSERT_GE(sampled_groups(out), 5 * 4);
  const Outcome outcome = job.run(out, {"--resume", "--set", "max_steps=8"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const Json& row : json_lines(out / "metrics.jsonl")) {
    EXPECT_EQ(row.at("logprob_bit_mismatches"), 0) << row.at("step");
    EXPECT_EQ(row.at("sampling/importance_sampling_ratio/min"), 1.0) << row.at("step");
  }
  const fs::path straight = job.out("straight");
  ASSERT_EQ(job.run(straight, {"--set", "max_steps=8"}).exit_code, 0);
  EXPECT_TRUE(read_file(out / "final" / "model.safetensors") == read_file(straight / "final" / "model.safetensors"));
}

}  // namespace
}  // namespace cohort
