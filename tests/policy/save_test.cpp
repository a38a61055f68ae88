// Folders that were written: their types, shards and layers.
#include "policy/save.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "configs/error.h"
#include "policy/files/safetensors.h"
#include "policy/load.h"
#include "tests/policy/tiny_models.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

class Saved : public testing::Test {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / ("cohort_save_" + std::to_string(getpid()));
    fs::create_directories(folder);
  }
  void TearDown() override { fs::remove_all(folder); }

  Json config() const { return Json::parse(std::ifstream(folder / "config.json")); }

  Compute compute{1};
  fs::path folder;
};

TEST_F(Saved, ShardsHoldTheSameWeightsAsOneFile) {
  const CausalLM model = random_model(tiny_deepseek(), compute);
  save_model(model, nullptr, folder, {.shard_bytes = 20'000});
  EXPECT_FALSE(fs::exists(folder / "model.safetensors"));
  const Json index = Json::parse(std::ifstream(folder / "model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], model.spec.num_parameters * 4);
  EXPECT_EQ(index["weight_map"].size(), model.spec.parameters.size());
  EXPECT_GT(open_safetensors(folder).files.size(), 3u);
  const LoadedModel loaded = load_model(folder.string(), compute);
  EXPECT_TRUE(std::equal(model.parameters.data(), model.parameters.data() + model.parameters.size(),
                         loaded.model.parameters.data()));
}

TEST_F(Saved, HalvesAreRoundedToNearestAndCorrectionBiasesAreNot) {
  const CausalLM model = random_model(tiny_deepseek(), compute);
  for (const auto& [dtype, name, error] :
       {std::tuple(DType::bf16, "bfloat16", 0x1p-8), std::tuple(DType::f16, "float16", 0x1p-11)}) {
    save_model(model, nullptr, folder, {.dtype = dtype});
    EXPECT_EQ(config()["dtype"], name);
    for (const TensorView& tensor : open_safetensors(folder).tensors)
      EXPECT_EQ(tensor.dtype, tensor.name.ends_with("correction_bias") ? DType::f32 : dtype) << tensor.name;
    const LoadedModel loaded = load_model(folder.string(), compute);
    for (int64_t i = 0; i < model.parameters.size(); ++i)
      ASSERT_LE(std::abs(loaded.model.parameters[i] - model.parameters[i]),
                error * std::abs(model.parameters[i]) + 1e-7);
  }
}

TEST_F(Saved, WhatTheSourceSaysOfSamplingStays) {
  save_model(random_model(tiny_llama(), compute), nullptr, folder);
  std::ofstream(folder / "generation_config.json") << R"({"temperature": 0.6, "eos_token_id": [2, 3]})";
  const LoadedModel loaded = load_model(folder.string(), compute);
  save_model(loaded.model, nullptr, folder);
  const Json generation = Json::parse(std::ifstream(folder / "generation_config.json"));
  EXPECT_EQ(generation["temperature"], 0.6);
  EXPECT_EQ(std::set<int>(generation["eos_token_id"].begin(), generation["eos_token_id"].end()).count(3), 1u);
}

TEST_F(Saved, KeptLayersAreThoseOfTheModel) {
  const CausalLM model = random_model(tiny_deepseek(), compute);
  const int32_t last = int32_t(model.spec.layers.size()) - 1;
  const CausalLM left = keep_layers(model, {0, last});
  EXPECT_EQ(left.spec.layers.size(), 2u);
  const LayerOffsets &from = model.spec.layers.back().offsets, &to = left.spec.layers.back().offsets;
  EXPECT_EQ(*left.at(to.o), *model.at(from.o));
  EXPECT_EQ(*left.at(to.expert_down.back()), *model.at(from.expert_down.back()));
  EXPECT_EQ(*left.at(left.spec.final_norm), *model.at(model.spec.final_norm));
  save_model(left, nullptr, folder);
  EXPECT_EQ(config()["num_hidden_layers"], 2);
  EXPECT_EQ(load_model(folder.string(), compute).model.spec.num_parameters, left.spec.num_parameters);
  for (const std::vector<int32_t>& wrong : {std::vector<int32_t>{}, {last + 1}, {1, 1}, {1, 0}, {-1}})
    EXPECT_THROW(keep_layers(model, wrong), UsageError);
}

}  // namespace
}  // namespace cohort
