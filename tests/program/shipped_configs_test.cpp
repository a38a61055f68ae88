// Every config under configs/ names its schema and starts.
#include <gtest/gtest.h>

#include "tests/program/job.h"

namespace cohort {
namespace {

/// Every property, however deep, says what it is; every one that is not required says its default.
void expect_described(const Json& schema, const std::string& where) {
  const Json required = schema.value("required", Json::array());
  for (const auto& [name, property] : schema.at("properties").items()) {
    if (name.starts_with("$")) continue;
    EXPECT_TRUE(property.contains("description")) << where << "." << name;
    const bool is_required = std::find(required.begin(), required.end(), name) != required.end();
    EXPECT_TRUE(is_required || property.contains("default") || property.contains("properties")) << where << "." << name;
    if (property.contains("properties")) expect_described(property, where + "." + name);
  }
}

TEST(ShippedConfigsIntegration, SchemasDescribeEveryKey) {
  for (const std::string verb : {"train", "sft", "distill", "run"}) {
    const Outcome outcome = run_program({verb, "--print-schema"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const Json schema = Json::parse(outcome.out, nullptr, false);
    ASSERT_TRUE(schema.is_object()) << verb;
    EXPECT_EQ(schema.value("$schema", ""), "https://json-schema.org/draft/2020-12/schema");
    expect_described(schema, verb);
  }
}

/// Two steps of every stage on a few tasks.
Json shortened(Json chain) {
  chain["eval"]["tasks"] = "arithmetic:split=held_out,limit=8";
  for (Json& stage : chain["stages"]) {
    Json& config = stage["config"];
    if (stage["kind"] == "distill") {  // a teacher of two steps solves nothing: all it writes is taken
      config["rewards"] = Json::array({"regex:pattern=."});
      config["num_prompts"] = 16, config["prompts_per_step"] = 8, config["student"]["max_steps"] = 2;
    } else
      config["max_steps"] = 2;
    if (config.contains("eval_tasks")) config["eval_tasks"] = "arithmetic:split=held_out,limit=8";
  }
  return chain;
}

/// An editor completes a config from the file that its $schema names.
TEST(ShippedConfigsIntegration, EveryShippedConfigNamesItsSchema) {
  const fs::path configs = COHORT_SOURCE_DIR "/configs";
  for (const fs::path& folder : {configs, configs / "recipes"})
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
      if (entry.path().extension() == ".json") {
        const Json config = Json::parse(read_file(entry.path()));
        ASSERT_TRUE(config.contains("$schema")) << entry.path();
        EXPECT_TRUE(fs::exists(folder / config["$schema"])) << entry.path();
      }
  for (const char* verb : {"train", "sft", "distill", "run"})
    EXPECT_TRUE(read_file(configs / "schema" / (std::string(verb) + ".json")) ==
                run_program({verb, "--print-schema"}).out)
        << "write it anew: cohort " << verb << " --print-schema > configs/schema/" << verb << ".json";
}

TEST(ShippedConfigsIntegration, EveryShippedConfigStarts) {
  int chains = 0, plans = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(COHORT_SOURCE_DIR "/configs")) {
    if (entry.path().extension() != ".json") continue;
    const TestFolder folder;
    const Json config = Json::parse(read_file(entry.path()));
    if (config.contains("stages")) {
      write_file(folder / "config.json", shortened(config).dump());
      const Outcome outcome =
          run_program({"run", (folder / "config.json").string(), "--out", (folder / "out").string()});
      EXPECT_EQ(outcome.exit_code, 0) << entry.path() << ": " << outcome.err;
      EXPECT_TRUE(fs::exists(folder / "out/report.html")) << entry.path();
      ++chains;
      continue;
    }
    const bool is_distill = config.contains("teacher"), is_train = config.contains("num_generations") && !is_distill;
    if (!is_distill && !is_train) {
      const Outcome outcome =
          run_program({"sft", entry.path().string(), "--set", "max_steps=2", "--out", (folder / "out").string()});
      EXPECT_EQ(outcome.exit_code, 0) << entry.path() << ": " << outcome.err;
      continue;
    }
    // Of a model or data that are not on this machine, the refusal names the file.
    const std::string model = config[is_distill ? "teacher" : "model"];
    const bool is_here = fs::exists(model) && (is_distill || fs::exists("datasets"));
    const Outcome outcome = run_program({is_distill ? "distill" : "train", entry.path().string(), "--dry-run"});
    EXPECT_EQ(outcome.exit_code, is_here ? 0 : 2) << entry.path() << ": " << outcome.err;
    const bool names_it =
        outcome.err.find("datasets/") != outcome.err.npos || outcome.err.find(model) != outcome.err.npos;
    EXPECT_EQ(names_it, !is_here) << outcome.err;
    ++plans;
  }
  EXPECT_GE(chains, 1);
  EXPECT_GE(plans, 2);
}

}  // namespace
}  // namespace cohort
