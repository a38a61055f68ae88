// Recipes of papers: each is a config that starts, has a twin of minutes, and a line in the table.
#include <gtest/gtest.h>

#include "tests/program/job.h"

namespace cohort {
namespace {

const fs::path kRecipes = COHORT_SOURCE_DIR "/configs/recipes";

std::vector<std::string> recipes() {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(kRecipes))
    if (const std::string name = entry.path().stem().string();
        entry.path().extension() == ".json" && !name.ends_with("-small"))
      names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

Json recipe(const std::string& name) {
  return Json::parse(read_file(kRecipes / (name + ".json")));
}

/// Stands for each model folder and file of problems that a recipe names.
void place(Json& value, const std::string& model) {
  if (value.is_structured())
    for (Json& child : value) place(child, model);
  if (!value.is_string()) return;
  const std::string text = value;
  if (text.starts_with("models/") || text.starts_with("runs/recipes/")) value = model;
  if (text.starts_with("datasets/"))
    value = text.find("cold_start") != text.npos ? "arithmetic_cold_start" : "arithmetic:limit=40";
}

/// A tiny model with room for completions of a paper's length, over the demo's tokens.
std::string roomy_model(const TestFolder& folder) {
  Json model = tiny_model();
  model["max_position_embeddings"] = 1 << 17;
  model["tokenizer"]["bytes"] = {"<|eos|>", "<|bos|>", "<|pad|>", "<think>", "</think>", "<answer>", "</answer>"};
  write_file(folder / "model.json", model.dump());
  return "init:" + (folder / "model.json").string() + "?seed=1";
}

TEST(RecipesIntegration, EachHasATwinAndALineInTheTable) {
  const std::string table = read_file(kRecipes / "README.md");
  EXPECT_EQ(recipes().size(), 8u);
  for (const std::string& name : recipes()) {
    EXPECT_TRUE(fs::exists(kRecipes / (name + "-small.json"))) << name;
    EXPECT_NE(table.find("| `" + name + "` |"), std::string::npos) << name;
  }
}

TEST(RecipesIntegration, EachStartsOnAModelAndTasksThatAreHere) {
  const TestFolder folder;
  const std::string model = roomy_model(folder);
  for (const std::string& name : recipes()) {
    Json config = recipe(name);
    place(config, model);
    write_file(folder / "config.json", config.dump());
    const Outcome outcome =
        run_program({config.contains("stages") ? "run" : "train", (folder / "config.json").string(), "--dry-run"});
    EXPECT_EQ(outcome.exit_code, 0) << name << ": " << outcome.err;
  }
}

/// Two steps of a twin on a model of random weights, every knob in place but the batch.
void shorten(Json& config) {
  config["max_steps"] = 2, config["prompts_per_step"] = 2, config["eval_tasks"] = "arithmetic:split=held_out,limit=4";
  config["eval_steps"] = 2, config["max_completion_length"] = 40;
}

TEST(RecipesIntegration, EachTwinTakesItsSteps) {
  const TestFolder folder;
  const std::string model = "init:" COHORT_SOURCE_DIR "/configs/models/demo-moe.json?seed=1";
  for (const std::string& name : recipes()) {
    Json config = recipe(name + "-small");
    if (config.contains("stages")) continue;
    place(config, model);
    shorten(config);
    write_file(folder / "config.json", config.dump());
    const fs::path out = folder / name;
    const Outcome outcome =
        run_program({"train", (folder / "config.json").string(), "--out", out.string(), "--set", "num_generations=4"});
    ASSERT_EQ(outcome.exit_code, 0) << name << ": " << outcome.err;
    const std::vector<Json> rows = json_lines(out / "metrics.jsonl");
    ASSERT_EQ(rows.size(), 2u) << name;
    for (const Json& row : rows) EXPECT_EQ(row["logprob_bit_mismatches"], 0) << name;
    EXPECT_TRUE(rows[1].contains("eval/pass@1")) << name;
  }
}

/// The chains of small models are those of the demo, stage by stage.
TEST(RecipesIntegration, ChainsOfTwinsStart) {
  for (const std::string name : {"start-small", "r1-small"}) {
    const Outcome outcome = run_program({"run", (kRecipes / (name + ".json")).string(), "--dry-run"});
    EXPECT_EQ(outcome.exit_code, 0) << name << ": " << outcome.err;
  }
}

}  // namespace
}  // namespace cohort
