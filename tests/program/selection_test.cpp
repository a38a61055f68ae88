// What a run learns from and what it keeps: mixed tasks, prompts that are too long, groups without signal, the best
// checkpoint.
#include <gtest/gtest.h>

#include "tests/program/job.h"

namespace cohort {
namespace {

/// A file of short problems whose ids begin with its name.
void write_tasks(const fs::path& file, int count, const std::string& more = "") {
  std::string rows;
  for (int i = 0; i < count; ++i)
    rows += Json{{"id", file.stem().string() + std::to_string(i)},
                 {"prompt", std::to_string(i) + "+1=" + (i % 3 == 0 ? more : "")},
                 {"answer", "1"}}
                .dump() +
            "\n";
  write_file(file, rows);
}

/// Ids of the tasks of each logged step.
std::vector<std::string> logged_ids(const fs::path& out) {
  std::vector<std::string> ids;
  for (int64_t step = 1; step <= num_lines(out / "metrics.jsonl"); ++step) {
    char name[32];
    std::snprintf(name, sizeof name, "step-%06d.jsonl", int(step));
    for (const Json& group : json_lines(out / "completions" / name)) ids.push_back(group["task"]["id"]);
  }
  return ids;
}

TEST(SelectionIntegration, MixedTasksKeepTheirProportionsAtEveryStep) {
  const TinyJob job;
  write_tasks(job.folder / "a.jsonl", 7), write_tasks(job.folder / "b.jsonl", 50);
  const Json tasks = {{{"reference", (job.folder / "a.jsonl").string()}, {"weight", 3}},
                      {{"reference", (job.folder / "b.jsonl").string()}, {"weight", 1}}};
  const std::string config =
      job.write(job.config({{"tasks", tasks}, {"num_iterations", 1}, {"steps_per_generation", 1}}).dump());
  const Outcome outcome = run_program({"train", config, "--out", job.out()});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::vector<std::string> ids = logged_ids(job.out());
  ASSERT_EQ(ids.size(), 36u);
  for (size_t step = 0; step < 9; ++step)
    EXPECT_EQ(std::count_if(ids.begin() + 4 * step, ids.begin() + 4 * step + 4, [](auto& id) { return id[0] == 'a'; }),
              3)
        << "step " << step + 1;
  for (size_t i = 0; i + 7 <= 27; i += 7) {  // each epoch of the small file has all of it
    std::vector<std::string> of_a;
    std::copy_if(ids.begin(), ids.end(), std::back_inserter(of_a), [](const std::string& id) { return id[0] == 'a'; });
    EXPECT_EQ(std::set(of_a.begin() + i, of_a.begin() + i + 7).size(), 7u);
  }
}

TEST(SelectionIntegration, LongPromptsAreRefusedOrLeftOut) {
  const TinyJob job;
  write_tasks(job.folder / "long.jsonl", 9, std::string(60, ' '));
  const Json changes = {{"tasks", (job.folder / "long.jsonl").string()}, {"max_prompt_length", 40}};
  const std::string config = job.write(job.config(changes).dump());
  const Outcome refused = run_program({"train", config, "--out", job.out()});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("the prompt of task long0 has 64 tokens"), std::string::npos) << refused.err;
  const Outcome plan = run_program({"train", config, "--dry-run", "--set", "filter_overlong_prompts=true"});
  EXPECT_EQ(plan.exit_code, 0) << plan.err;
  const Outcome outcome = run_program({"train", config, "--out", job.out(), "--set", "filter_overlong_prompts=true"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const Outcome& told : {plan, outcome})
    EXPECT_NE(told.err.find("long.jsonl: 3 of 9 prompts have more than 40 tokens and are left out"), std::string::npos)
        << told.err;
  const std::vector<std::string> ids = logged_ids(job.out());
  EXPECT_EQ(std::set(ids.begin(), ids.end()),
            (std::set<std::string>{"long1", "long2", "long4", "long5", "long7", "long8"}));
  const Outcome none = run_program({"train", config, "--out", job.out(), "--overwrite", "--set",
                                    "filter_overlong_prompts=true", "--set", "max_prompt_length=2"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_NE(none.err.find("no prompt has at most 2 tokens"), std::string::npos) << none.err;
}

/// Groups of four whose rewards are mostly all 0.
Json rare_reward() {
  return Json::array({{{"name", "regex"}, {"options", {{"pattern", "[0-3]"}}}}});
}

TEST(SelectionIntegration, GroupsWithoutSignalAreRefilled) {
  const TinyJob job;
  const Json changes = {{"rewards", rare_reward()}, {"num_iterations", 1}};
  const auto run = [&](const std::string& name, const Json& dynamic_sampling) {
    Json config = job.config(changes);
    if (!dynamic_sampling.is_null()) config["dynamic_sampling"] = dynamic_sampling;
    const Outcome outcome = run_program({"train", job.write(config.dump()), "--out", (job.folder / name).string()});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return json_lines(job.folder / name / "metrics.jsonl");
  };
  double dull_before = 0, dull_within = 0, left_within = 0;
  for (const Json& row : run("without", nullptr)) {
    dull_before += row["frac_reward_zero_std"].get<double>();
    EXPECT_FALSE(row.contains("dynamic_sampling/refilled_groups"));
  }
  ASSERT_GT(dull_before, 2.0) << "of nine steps";
  for (const Json& row : run("whole", {{"max_refill_batches", 1000}})) {
    EXPECT_EQ(row["frac_reward_zero_std"], 0.0);
    EXPECT_EQ(row["dynamic_sampling/groups_without_signal"], 0);
    EXPECT_EQ(row["logprob_bit_mismatches"], 0);
    EXPECT_GE(row["dynamic_sampling/refill_batches"], 1);
    EXPECT_GE(row["dynamic_sampling/refilled_groups"], 1);
    EXPECT_GT(row["dynamic_sampling/discarded_tokens"], 0);
  }
  const std::vector<Json> rows = run("budget", {{"max_refill_batches", 1}});
  for (size_t i = 0; i + 1 < rows.size(); i += 2) {  // a rollout is two steps of four prompts
    EXPECT_EQ(rows[i]["dynamic_sampling/refilled_groups"], rows[i + 1]["dynamic_sampling/refilled_groups"]);
    EXPECT_LE(rows[i]["dynamic_sampling/refill_batches"], 1);
    const double share =
        rows[i]["frac_reward_zero_std"].get<double>() + rows[i + 1]["frac_reward_zero_std"].get<double>();
    EXPECT_EQ(share * 4, rows[i]["dynamic_sampling/groups_without_signal"].get<double>());
    left_within += rows[i]["dynamic_sampling/groups_without_signal"].get<double>();
    dull_within += share;
  }
  EXPECT_GT(left_within, 0) << "once is not enough";
  EXPECT_LT(dull_within, dull_before);
  const Outcome refused =
      run_program({"train", job.write(job.config({{"dynamic_sampling", {{"max_refill_batches", 2}}}}).dump()),
                   "--groups", (job.folder / "whole/completions/step-000001.jsonl").string(), "--out", job.out()});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("dynamic_sampling"), std::string::npos) << refused.err;
}

TEST(SelectionIntegration, TheBestCheckpointOutlivesTheLimitAndMayBeTheFinalModel) {
  const TinyJob job;
  const Json changes = {{"eval_steps", 1},
                        {"eval_tasks", "arithmetic:operations=2,split=held_out,limit=12"},
                        {"eval_temperature", 1.0},
                        {"save_steps", 0},
                        {"save_total_limit", 1},
                        {"keep_best_checkpoint", true},
                        {"load_best_model_at_end", true},
                        {"rewards", rare_reward()}};
  const std::string config = job.write(job.config(changes).dump());
  const Outcome outcome = run_program({"train", config, "--out", job.out()});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  int64_t best_step = 0;
  double best = -1;
  for (const Json& row : json_lines(fs::path(job.out()) / "metrics.jsonl"))
    if (row["eval/pass@1"].get<double>() > best) best = row["eval/pass@1"], best_step = row["step"];
  ASSERT_LT(best_step, 9) << "else the last checkpoint is the best";
  const Json named = Json::parse(read_file(fs::path(job.out()) / "best.json"));
  EXPECT_EQ(named["step"], best_step);
  EXPECT_EQ(named["eval/pass@1"], best);
  std::set<std::string> kept;
  for (const auto& entry : fs::directory_iterator(fs::path(job.out()) / "checkpoints"))
    kept.insert("checkpoints/" + entry.path().filename().string());
  EXPECT_EQ(kept, (std::set<std::string>{named["checkpoint"], "checkpoints/step-000009"}));
  const auto weights = [&](const fs::path& folder) { return read_file(job.out() / folder / "model.safetensors"); };
  EXPECT_TRUE(weights("final") == weights(named["checkpoint"].get<std::string>()));
  EXPECT_FALSE(weights("final") == weights("checkpoints/step-000009"));
  for (const char* set : {"eval_steps=0", "keep_best_checkpoint=false"}) {
    const Outcome refused = run_program({"train", config, "--dry-run", "--set", set});
    EXPECT_EQ(refused.exit_code, 2) << set;
    EXPECT_NE(refused.err.find("best"), std::string::npos) << refused.err;
  }
}

}  // namespace
}  // namespace cohort
