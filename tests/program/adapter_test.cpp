// Adapters through the whole program: learned, resumed, evaluated, exported, and what is refused of them.
#include <gtest/gtest.h>

#include "tests/program/job.h"

namespace cohort {
namespace {

Json lora_config(const Json& changes = Json::object()) {
  Json config = train_config_with({{"use_peft", true}, {"lora_r", 4}, {"router_bias_update_rate", 0}, {"beta", 0.01}});
  config.update(changes);
  return config;
}

TEST(AdapterIntegration, EveryTokenIsSampledByTheWeightsThatLearn) {
  const Job job("train", lora_config({{"steps_per_generation", 1}, {"num_iterations", 1}}));
  const fs::path out = job.reference();
  double largest_kl = 0;
  for (const Json& row : json_lines(out / "metrics.jsonl")) {
    EXPECT_EQ(row.at("logprob_bit_mismatches"), 0);
    EXPECT_EQ(row.at("sampling/importance_sampling_ratio/min"), 1.0);
    EXPECT_EQ(row.at("sampling/importance_sampling_ratio/max"), 1.0);
    if (row.at("step") == 1) {
      EXPECT_EQ(row.at("kl"), 0.0);  // the reference is the model without its adapters
    }
    largest_kl = std::max(largest_kl, row.at("kl").get<double>());
  }
  EXPECT_GT(largest_kl, 1e-4);
}

TEST(AdapterIntegration, AKilledRunEndsAtTheSameBytes) {
  const Job job("train", lora_config());
  const fs::path reference = job.reference(), out = job.out("killed");
  for (int rows : {2, 5, 8}) {
    Process process(job.arguments(out, {"--resume", "--set", "threads=" + std::to_string(1 + rows % 2)}));
    if (process.wait_until([&] { return num_lines(out / "metrics.jsonl") >= rows; })) process.signal(SIGKILL);
    process.wait();
  }
  const Outcome outcome = job.run(out, {"--resume"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  expect_same_run(reference, out);
}

TEST(AdapterIntegration, TheFolderIsAModelReferenceThatExportMerges) {
  const Job job("train", lora_config());
  const fs::path out = job.reference(), merged = job.out("merged");
  EXPECT_TRUE(fs::exists(out / "final/adapter_model.safetensors"));
  EXPECT_FALSE(fs::exists(out / "final/model.safetensors"));
  write_file(job.out("ids.json"), R"({"ids": [[5, 80, 81, 90, 7, 100]]})");
  const auto logprobs = [&](const fs::path& model) {
    const Outcome outcome = run_program({"inspect", model.string(), "--logprobs", job.out("ids.json").string()});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return Json::parse(outcome.out).at("logprobs").at(0);
  };
  ASSERT_EQ(run_program({"export", "-m", (out / "final").string(), "--out", merged.string()}).exit_code, 0);
  const Json beside = logprobs(out / "final"), inside = logprobs(merged),
             base = logprobs("init:" + (job.folder / "model.json").string() + "?seed=1");
  double moved = 0;
  for (size_t t = 1; t < beside.size(); ++t) {
    EXPECT_NEAR(beside[t].get<double>(), inside[t].get<double>(), 1e-4);
    moved = std::max(moved, std::abs(inside[t].get<double>() - base[t].get<double>()));
  }
  EXPECT_GT(moved, 0.01);
}

TEST(AdapterIntegration, ARunGoesOnWithTheAdaptersOfAFolder) {
  const Job job("train", lora_config());
  const std::string first = (job.reference() / "final").string();
  const Outcome outcome = job.run(job.out("second"), {"--set", "model=" + first, "--set", "max_steps=1"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json row = json_lines(job.out("second") / "metrics.jsonl").at(0);
  EXPECT_EQ(row.at("logprob_bit_mismatches"), 0);
  EXPECT_EQ(row.at("kl"), 0.0);  // the reference begins where the run begins
  const std::string name = "final/adapter_config.json";
  EXPECT_EQ(read_file(job.out("second") / name), read_file(job.reference() / name));
}

TEST(AdapterIntegration, SupervisedTuningTakesThemToo) {
  Json config = tiny_sft("MODEL");
  config.update({{"use_peft", true}, {"lora_target_modules", {"attention"}}, {"lora_r", 4}});
  const Job job("sft", config);
  const std::vector<Json> rows = json_lines(job.reference() / "metrics.jsonl");
  EXPECT_LT(rows.back().at("loss").get<double>(), rows.front().at("loss").get<double>());
  EXPECT_TRUE(fs::exists(job.reference() / "final/adapter_model.safetensors"));
}

TEST(AdapterIntegration, WhatAdaptersHaveNoPartInIsRefused) {
  const std::pair<Json, const char*> cases[] = {
      {{{"router_bias_update_rate", 0.001}}, "router_bias_update_rate is 0.001, but use_peft"},
      {{{"sync_ref_model", true}, {"ref_model_mixup_alpha", 0.5}}, "ref_model_mixup_alpha is 0.5"},
      {{{"lora_target_modules", {"c_attn"}}}, "no module of this model is called c_attn"},
      {{{"lora_target_modules", Json::array()}}, "nothing is named"},
      {{{"lora_r", 0}}, "lora_r"}};
  for (const auto& [changes, expected] : cases) {
    const Job job("train", lora_config(changes));
    const Outcome outcome = job.run(job.out("refused"), {"--dry-run"});
    EXPECT_EQ(outcome.exit_code, 2) << changes;
    EXPECT_NE(outcome.err.find(expected), std::string::npos) << outcome.err;
  }
}

}  // namespace
}  // namespace cohort
