// Models that `cohort export` makes smaller, as transformers loads them.
#include <gtest/gtest.h>

#include "tests/program/job.h"

namespace cohort {
namespace {

Json tiny_dense(const char* model_type) {
  Json model = tiny_model();
  model["model_type"] = model_type, model["num_attention_heads"] = 4, model["num_key_value_heads"] = 2;
  model["head_dim"] = 16;
  return model;
}

TEST(ExportIntegration, SmallerModelsAreTheSameInTransformers) {
  TestFolder folder;
  write_file(folder / "texts.jsonl",
             "\"3+4*2=\"\n{\"prompt\": \"5*5=\", \"completion\": \"25\"}\n"
             "[{\"role\": \"user\", \"content\": \"1+1=\"}]\n");
  const std::string texts = (folder / "texts.jsonl").string();
  const char* python = std::getenv("COHORT_TRANSFORMERS_PYTHON");  // one that has the package; default: python3
  const std::vector<std::tuple<std::string, Json, Arguments>> cases = {
      {"llama", tiny_dense("llama"), {"--num-attention-heads", "2", "--intermediate-size", "24"}},
      {"qwen3", tiny_dense("qwen3"), {"--num-attention-heads", "2", "--intermediate-size", "24"}},
      {"qwen2", tiny_dense("qwen2"), {"--hidden-size", "24"}},
      {"deepseek", tiny_model(), {"--num-attention-heads", "1", "--intermediate-size", "24", "--hidden-size", "24"}},
      {"dense", tiny_model(), {"--dense-experts", "2", "--texts", texts}},
      {"smaller still",
       tiny_model(),
       {"--dense-experts", "2", "--texts", texts, "--keep-layers", "1", "--num-attention-heads", "1",
        "--intermediate-size", "50"}}};
  for (const auto& [name, config, flags] : cases) {
    write_file(folder / "model.json", config.dump());
    const std::string out = (folder / name).string();
    Arguments arguments = {"export", "-m", "init:" + (folder / "model.json").string() + "?seed=3", "--out", out};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Outcome outcome = run_program(arguments);
    ASSERT_EQ(outcome.exit_code, 0) << name << ": " << outcome.err;
    EXPECT_EQ(run_program({"inspect", out}).exit_code, 0) << name;
    const std::string log = (folder / "log").string();
    const std::string command = std::string(python ? python : "python3") + " " + COHORT_SOURCE_DIR +
                                "/tests/policy/transformers_parity.py '" + out + "' " + COHORT_BINARY_DIR +
                                "/cohort > " + log + " 2>&1";
    const int status = std::system(command.c_str());
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
      GTEST_SKIP() << "the Python packages torch and transformers are not installed";
    EXPECT_EQ(status, 0) << name << ": " << read_file(log);
  }
}

TEST(ExportIntegration, WhatCannotBeMadeSmallerIsExitTwo) {
  const TinyJob job;
  for (const auto& [flags, word] :
       std::vector<std::pair<Arguments, std::string>>{{{"--dense-experts", "2"}, "--texts"},
                                                      {{"--dense-experts", "2", "--texts", "/no/texts"}, "/no/texts"},
                                                      {{"--num-attention-heads", "2"}, "attention heads 2"},
                                                      {{"--intermediate-size", "64"}, "intermediate size 64"}}) {
    Arguments arguments = {"export", "-m", job.model(), "--out", job.out()};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Outcome outcome = run_program(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
    EXPECT_FALSE(fs::exists(job.out()));
  }
}

}  // namespace
}  // namespace cohort
