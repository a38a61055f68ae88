// The verb sft as a shell sees it: how long it learns, and what it measures on held-out rows while it does.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/program/job.h"

namespace cohort {
namespace {

/// Sums of `count` pairs from `first` on, as prompts and completions.
std::string write_rows(const fs::path& file, int count, int first = 0) {
  std::string rows;
  for (int i = first; i < first + count; ++i)
    rows +=
        Json{{"prompt", std::to_string(i) + "+" + std::to_string(3 * i) + "="}, {"completion", std::to_string(4 * i)}}
            .dump() +
        "\n";
  write_file(file, rows);
  return file.string();
}

Json with(Json config, const Json& changes) {
  config.update(changes);
  for (const auto& [key, value] : changes.items())
    if (value.is_null()) config.erase(key);
  return config;
}

struct SftRuns {
  TestFolder rows;
  Json config(const Json& changes) const { return with(tiny_sft("MODEL"), changes); }
};

std::vector<Json> metrics(const fs::path& out) {
  return json_lines(out / "metrics.jsonl");
}

std::string weights(const fs::path& folder) {
  return read_file(folder / "model.safetensors");
}

void expect_refused(const Outcome& outcome, const std::vector<std::string>& words) {
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  for (const std::string& word : words) EXPECT_NE(outcome.err.find(word), std::string::npos) << word << outcome.err;
}

TEST(SftIntegration, EpochsMakeTheStepsAndTheirLearningRates) {
  const SftRuns given;
  const Json tasks = write_rows(given.rows / "rows.jsonl", 21);
  const Job epochs("sft", given.config({{"tasks", tasks}, {"max_steps", nullptr}, {"num_train_epochs", 2.5}}));
  const fs::path out = epochs.reference();
  const std::vector<Json> found = metrics(out);
  ASSERT_EQ(found.size(), 7u) << "52.5 rows in steps of 8";
  for (const Json& row : found) EXPECT_EQ(row["epoch"], row["step"].get<double>() * 8 / 21);
  EXPECT_EQ(Json::parse(read_file(out / "config.json"))["max_steps"], 7);
  const Outcome dry = run_program({"sft", (epochs.folder / "config.json").string(), "--dry-run"});
  EXPECT_EQ(Json::parse(dry.out)["max_steps"], 7) << dry.err;
  const Job steps("sft", given.config({{"tasks", tasks}, {"max_steps", 7}}));
  EXPECT_EQ(without_times(metrics(steps.reference())), without_times(found)) << "the schedule ends with the last epoch";
  EXPECT_TRUE(weights(steps.reference() / "final") == weights(out / "final"));
  EXPECT_GT(found.back()["learning_rate"], 0.0);
  EXPECT_LT(found.back()["learning_rate"], 0.002);
  EXPECT_EQ(run_program({"sft", (out / "config.json").string(), "--dry-run"}).exit_code, 0) << "as it was stored";

  const Outcome longer = epochs.run(out, {"--resume", "--set", "num_train_epochs=4"});
  ASSERT_EQ(longer.exit_code, 0) << longer.err;
  EXPECT_EQ(metrics(out).size(), 11u);
}

TEST(SftIntegration, EpochsThatContradictMaxStepsOrHaveNoEndAreRefused) {
  const SftRuns given;
  const Json tasks = write_rows(given.rows / "rows.jsonl", 20);
  const Job both("sft", given.config({{"tasks", tasks}, {"num_train_epochs", 2}}));
  expect_refused(both.run(both.out("refused")), {"num_train_epochs is 2", "5 steps", "max_steps is 9", "leave one"});
  EXPECT_FALSE(fs::exists(both.out("refused") / "config.json"));
  const Job endless("sft", given.config({{"max_steps", nullptr}, {"num_train_epochs", 1}}));
  expect_refused(endless.run(endless.out("refused"), {"--dry-run"}), {"arithmetic_text", "has no end", "limit=N"});
  const Job limited("sft", given.config({{"tasks", "arithmetic_text:operations=2,limit=16"},
                                         {"max_steps", nullptr},
                                         {"num_train_epochs", 1}}));
  EXPECT_EQ(metrics(limited.reference()).size(), 2u);
  const Job neither("sft", given.config({{"max_steps", nullptr}}));
  EXPECT_EQ(Json::parse(run_program({"sft", (neither.folder / "config.json").string(), "--dry-run"}).out)["max_steps"],
            100);
  EXPECT_FALSE(metrics(Job("sft", given.config({{"max_steps", 1}})).reference())[0].contains("epoch")) << "endless";
}

/// Held-out rows that are those of every step: before step k + 1 they have the loss that it learns from.
TEST(SftIntegration, HeldOutLossIsThatOfTheNextStepOverTheSameRows) {
  const SftRuns given;
  const Json rows = write_rows(given.rows / "rows.jsonl", 8);
  const Job job("sft", given.config({{"tasks", rows},
                                     {"eval_tasks", rows},
                                     {"eval_steps", 1},
                                     {"lr_scheduler_type", "constant"},
                                     {"max_tokens_per_batch", 40}}));
  const Outcome outcome = job.run(job.out("run"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("8 of 8 rows of eval_tasks are also among tasks"), std::string::npos) << outcome.err;
  const std::vector<Json> found = metrics(job.out("run"));
  ASSERT_EQ(found.size(), 9u);
  double best_accuracy = 0;
  for (size_t k = 0; k < found.size(); ++k) {
    const std::string before = k ? "eval/" : "eval_start/";
    const Json& of = found[k ? k - 1 : 0];
    EXPECT_NEAR(of[before + "loss"].get<double>(), found[k]["loss"].get<double>(), 1e-6) << k;
    EXPECT_NEAR(of[before + "entropy"].get<double>(), found[k]["entropy"].get<double>(), 1e-6) << k;
    EXPECT_EQ(of[before + "mean_token_accuracy"], found[k]["mean_token_accuracy"]) << k;
    best_accuracy = std::max(best_accuracy, found[k]["mean_token_accuracy"].get<double>());
  }
  EXPECT_NEAR(found[0]["loss"].get<double>(), std::log(264), 0.3) << "a random model over 264 tokens";
  EXPECT_LT(found[8]["eval/loss"].get<double>(), 0.7 * found[0]["loss"].get<double>());
  EXPECT_GT(best_accuracy, 0.2);
  EXPECT_EQ(found[0]["eval/num_tokens"], 3 * 1 + 5 * 2 + 8) << "the digits of 0, 4 … 28, an end each";
}

TEST(SftIntegration, EvaluationsChangeNoBitOfWhatIsLearned) {
  const SftRuns given;
  const Json file = write_rows(given.rows / "rows.jsonl", 60);
  const Json train = {{"reference", file}, {"split", "train"}, {"held_out", 0.2}},
             held_out = {{"reference", file}, {"split", "held_out"}, {"held_out", 0.2}};
  for (const Json& more : {Json::object(), Json{{"use_peft", true}}, Json{{"router_bias_update_rate", 0.01}}}) {
    const Json plain = with(given.config({{"tasks", train}}), more);
    const Job without("sft", plain), evaluated("sft", with(plain, {{"eval_tasks", held_out}, {"eval_steps", 4}}));
    const Outcome outcome = evaluated.run(evaluated.out("run"));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(outcome.err.find("are also among tasks"), std::string::npos) << outcome.err;
    std::vector<Json> found = metrics(evaluated.out("run"));
    for (Json& row : found) {
      const int64_t step = row["step"];
      EXPECT_EQ(row.contains("eval/loss"), step == 1 || step == 4 || step == 8 || step == 9) << step;
      for (const char* key : {"eval/loss", "eval/entropy", "eval/mean_token_accuracy", "eval/num_tokens"})
        row.erase(key);
    }
    EXPECT_EQ(without_times(found), without_times(metrics(without.reference())));
    for (const char* folder : {"final", "checkpoints/step-000009"}) {
      const std::string file = more.contains("use_peft") ? "adapter_model.safetensors" : "model.safetensors";
      EXPECT_TRUE(read_file(evaluated.out("run") / folder / file) == read_file(without.reference() / folder / file));
    }
    const std::string page = read_file(evaluated.out("run") / "report.html");
    for (const char* part : {"Held-out loss", "Token accuracy", "held-out loss"})
      EXPECT_NE(page.find(part), std::string::npos) << part;
  }
}

/// A few rows learned by heart, and others: their loss falls and rises again.
TEST(SftIntegration, TheCheckpointOfTheLowestHeldOutLossOutlivesTheLimitAndMayBeTheFinalModel) {
  const SftRuns given;
  const Job job("sft", given.config({{"tasks", write_rows(given.rows / "few.jsonl", 3)},
                                     {"eval_tasks", write_rows(given.rows / "others.jsonl", 12, 30)},
                                     {"eval_steps", 2},
                                     {"max_steps", 24},
                                     {"save_steps", 0},
                                     {"save_total_limit", 1},
                                     {"lr_scheduler_type", "constant"},
                                     {"keep_best_checkpoint", true},
                                     {"load_best_model_at_end", true}}));
  const fs::path out = job.reference();
  int64_t best_step = 0;
  double best = 1e30;
  for (const Json& row : metrics(out))
    if (row["step"] > 1 && row.contains("eval/loss") && row["eval/loss"].get<double>() < best)
      best = row["eval/loss"], best_step = row["step"];
  ASSERT_LT(best_step, 24) << "else the last checkpoint is the best";
  const Json named = Json::parse(read_file(out / "best.json"));
  EXPECT_EQ(named["step"], best_step);
  EXPECT_EQ(named["eval/loss"], best);
  std::set<std::string> kept;
  for (const auto& entry : fs::directory_iterator(out / "checkpoints"))
    kept.insert("checkpoints/" + entry.path().filename().string());
  EXPECT_EQ(kept, (std::set<std::string>{named["checkpoint"], "checkpoints/step-000024"}));
  EXPECT_TRUE(weights(out / "final") == weights(out / named["checkpoint"].get<std::string>()));
  EXPECT_FALSE(weights(out / "final") == weights(out / "checkpoints/step-000024"));
}

TEST(SftIntegration, EvaluationsThatCannotBeAreRefused) {
  const SftRuns given;
  const Json rows = write_rows(given.rows / "rows.jsonl", 8);
  const std::vector<std::pair<Json, std::vector<std::string>>> cases = {
      {{{"eval_steps", 2}}, {"eval_steps is 2", "eval_tasks is empty"}},
      {{{"eval_tasks", rows}, {"keep_best_checkpoint", true}}, {"keep_best_checkpoint", "eval_steps is 0"}},
      {{{"eval_tasks", rows}, {"eval_steps", 2}, {"load_best_model_at_end", true}}, {"keep_best_checkpoint"}},
      {{{"eval_tasks", "arithmetic_text:seed=3"}, {"eval_steps", 2}}, {"arithmetic_text", "has no end", "limit"}},
      {{{"eval_tasks", (given.rows / "absent.jsonl").string()}, {"eval_steps", 2}}, {"absent.jsonl"}},
  };
  for (const auto& [changes, words] : cases) {
    const Job job("sft", given.config(changes));
    expect_refused(job.run(job.out("refused")), words);
    expect_refused(job.run(job.out("refused"), {"--dry-run"}), words);
    Json student = with(given.config(changes), {{"tasks", nullptr}, {"threads", nullptr}});
    const Job distill("distill", with(distill_config(), {{"student", student}}));
    expect_refused(distill.run(distill.out("refused")), words);
    EXPECT_FALSE(fs::exists(distill.out("refused") / "candidates.jsonl")) << "before the teacher samples";
  }
  write_file(given.rows / "long.jsonl", Json{{"prompt", std::string(80, 'x')}, {"completion", "y"}}.dump() + "\n");
  const Job cut("sft", given.config({{"eval_tasks", (given.rows / "long.jsonl").string()}, {"eval_steps", 2}}));
  expect_refused(cut.run(cut.out("refused")), {"eval_tasks: all 1 rows are cut", "raise max_length"});
  Json student = with(given.config({{"num_train_epochs", 2}}), {{"tasks", nullptr}});
  const Job both("distill", with(distill_config(), {{"student", student}}));
  expect_refused(both.run(both.out("refused")), {"student.num_train_epochs", "student.max_steps"});
}

TEST(SftIntegration, AStudentOfTracesIsTunedOverEpochsAndMeasured) {
  const SftRuns given;
  Json student = given.config({{"tasks", nullptr},
                               {"max_steps", nullptr},
                               {"num_train_epochs", 2},
                               {"eval_tasks", write_rows(given.rows / "rows.jsonl", 8)},
                               {"eval_steps", 2},
                               {"keep_best_checkpoint", true},
                               {"load_best_model_at_end", true}});
  const Job job("distill", with(distill_config(), {{"student", student}}));
  const fs::path out = job.reference();
  const std::vector<Json> found = metrics(out);
  const int64_t traces = num_lines(out / "traces.jsonl");
  ASSERT_GT(traces, 8);
  EXPECT_EQ(int64_t(found.size()), (2 * traces + 7) / 8);
  EXPECT_GE(found.back()["epoch"], 2.0);
  EXPECT_TRUE(found.back().contains("eval/loss"));
  const Json named = Json::parse(read_file(out / "best.json"));
  EXPECT_TRUE(weights(out / "final") == weights(out / named["checkpoint"].get<std::string>()));
}

}  // namespace
}  // namespace cohort
