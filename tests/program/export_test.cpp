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

const char* const kTexts =
    "\"3+4*2=\"\n{\"prompt\": \"5*5=\", \"completion\": \"25\"}\n[{\"role\": \"user\", \"content\": \"1+1=\"}]\n";

/// The exit status of a script of tests/policy on the program's models, and what it wrote. Python is one that has the
/// packages of the peers, COHORT_TRANSFORMERS_PYTHON; else python3.
std::pair<int, std::string> run_script(const std::string& name, const Arguments& arguments) {
  const TestFolder folder;
  const char* python = std::getenv("COHORT_TRANSFORMERS_PYTHON");
  std::string command = std::string(python ? python : "python3") + " " + COHORT_SOURCE_DIR + "/tests/policy/" + name;
  for (const std::string& argument : arguments) command += " '" + argument + "'";
  const int status = std::system((command + " > " + (folder / "log").string() + " 2>&1").c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(folder / "log")};
}

TEST(ExportIntegration, SmallerModelsAreTheSameInTransformers) {
  TestFolder folder;
  write_file(folder / "texts.jsonl", kTexts);
  const std::string texts = (folder / "texts.jsonl").string();
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
    const auto [status, said] = run_script("transformers_parity.py", {out, COHORT_BINARY_DIR "/cohort"});
    if (status == 77) GTEST_SKIP() << "the Python packages torch and transformers are not installed";
    EXPECT_EQ(status, 0) << name << ": " << said;
  }
}

/// A student made in each way that the program has, as a folder below.
class Students {
 public:
  Students() {
    write_file(folder_ / "texts.jsonl", kTexts);
    Json llama = tiny_dense("llama"), glm = tiny_dense("glm4_moe");
    llama["num_hidden_layers"] = 4;
    cut("layers", llama, {"--keep-layers", "0", "3"});
    cut("heads", tiny_dense("qwen3"), {"--num-attention-heads", "2"});
    cut("channels", tiny_dense("llama"), {"--intermediate-size", "40"});
    cut("dense_start", tiny_model(), {"--dense-experts", "2", "--texts", texts()});
    cut("dense_start_of_glm", glm, {"--dense-experts", "2", "--texts", texts()});
    cut("all_at_once", tiny_model(),
        {"--dense-experts", "2", "--texts", texts(), "--keep-layers", "1", "--num-attention-heads", "1"});
    add("distilled", distilled_.reference() / "final", {});
    add("merged", adapters_.reference() / "final", {});
    const fs::path smollm2 = COHORT_SOURCE_DIR "/.deps/models/SmolLM2-135M-Instruct.Q4_1.gguf";
    if (test_all() && fs::exists(smollm2))
      add("half_of_smollm2", smollm2,
          {"--keep-layers", "0", "1", "2", "3", "4", "5", "6", "7", "23", "24", "25", "26", "27", "28", "29"});
  }
  /// With `more` before them.
  Arguments folders(Arguments more) const {
    more.insert(more.end(), folders_.begin(), folders_.end());
    return more;
  }

 private:
  std::string texts() const { return (folder_ / "texts.jsonl").string(); }
  void cut(const std::string& name, const Json& config, const Arguments& flags) {
    write_file(folder_ / "model.json", config.dump());
    add(name, "init:" + (folder_ / "model.json").string() + "?seed=3", flags);
  }
  void add(const std::string& name, const fs::path& model, const Arguments& flags) {
    folders_.push_back((folder_ / name).string());
    Arguments arguments = {"export", "-m", model.string(), "--out", folders_.back()};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Outcome outcome = run_program(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << name << ": " << outcome.err;
  }

  TestFolder folder_;
  Job distilled_{"distill", distill_config()};
  Job adapters_{"train", train_config_with({{"use_peft", true}, {"lora_r", 4}, {"router_bias_update_rate", 0}})};
  Arguments folders_;
};

TEST(ExportIntegration, StudentsWriteTheSameGreedyTextInTransformers) {
  const Students students;
  const auto [status, said] = run_script(
      "greedy_parity.py", students.folders({"--peer", "transformers", "--program", COHORT_BINARY_DIR "/cohort"}));
  if (status == 77) GTEST_SKIP() << "the Python packages torch and transformers are not installed";
  EXPECT_EQ(status, 0) << said;
}

TEST(ExportIntegration, StudentsWriteTheSameGreedyTextInLlamaCpp) {
  const Students students;
  const auto [status, said] =
      run_script("greedy_parity.py", students.folders({"--peer", "llama.cpp", "--program", COHORT_BINARY_DIR "/cohort",
                                                       "--dtypes", test_all() ? "f32,f16,bf16,q8_0" : "f32,q8_0"}));
  if (status == 77) GTEST_SKIP() << "the Python package llama-cpp-python is not installed";
  EXPECT_EQ(status, 0) << said;
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
