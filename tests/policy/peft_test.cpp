// PEFT folders: written and read, and what of PEFT is refused. tests/policy/peft_parity.py asks PEFT itself.
#include "policy/peft.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "configs/error.h"
#include "policy/files/safetensors.h"
#include "policy/save.h"
#include "tests/policy/tiny_models.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

class PeftFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / ("cohort_peft_" + std::to_string(getpid()));
    base = folder / "base", adapter = folder / "adapter";
    fs::create_directories(base), fs::create_directories(adapter);
    model = random_model(tiny_deepseek(24), compute);
    save_model(model, nullptr, base);
    model.adapter = make_adapter(model.spec, {.use_peft = true, .lora_r = 3}, base.string(), 5);
    for (int64_t i = 0; i < model.adapter->values.size(); ++i)
      model.adapter->values[i] = 0.1f * std::sin(float(i % 991));
    repack(model, compute);
    save_model(model, nullptr, adapter);
  }
  void TearDown() override { fs::remove_all(folder); }

  Json config() const { return Json::parse(std::ifstream(adapter / "adapter_config.json")); }
  void change(const Json& changes) {
    Json changed = config();
    changed.update(changes);
    std::ofstream(adapter / "adapter_config.json") << changed;
  }
  std::string refusal() {
    try {
      load_model(adapter.string(), compute, false, Weights::packed);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "nothing";
  }

  Compute compute{2};
  fs::path folder, base, adapter;
  CausalLM model;
};

TEST_F(PeftFolder, ComesBackBesideTheWeightsOrMerged) {
  const LoadedModel beside = load_model(adapter.string(), compute, false, Weights::packed);
  ASSERT_TRUE(beside.model.adapter.has_value());
  const Adapter &found = *beside.model.adapter, &expected = *model.adapter;
  ASSERT_EQ(found.values.size(), expected.values.size());
  EXPECT_TRUE(std::equal(found.values.data(), found.values.data() + found.values.size(), expected.values.data()));
  EXPECT_TRUE(std::equal(found.packed.data(), found.packed.data() + found.packed.size(), expected.packed.data()));
  EXPECT_EQ(found.scale, expected.scale);
  EXPECT_EQ(found.base, base.string());

  const LoadedModel merged = load_model(adapter.string(), compute, false, Weights::parameters);
  EXPECT_FALSE(merged.model.adapter.has_value());
  merge(model, expected, compute);
  EXPECT_TRUE(std::equal(model.parameters.data(), model.parameters.data() + model.parameters.size(),
                         merged.model.parameters.data()));
}

TEST_F(PeftFolder, ScalesByTheRootOfTheRankWhereItSaysSo) {
  change({{"use_rslora", true}, {"lora_alpha", 6}});
  EXPECT_FLOAT_EQ(load_model(adapter.string(), compute, false, Weights::packed).model.adapter->scale,
                  6 / std::sqrt(3.0f));
}

TEST_F(PeftFolder, NamesOfTargetsAreShortWhereTheySayItAll) {
  const auto targets = [&] { return config().at("target_modules").get<std::vector<std::string>>(); };
  EXPECT_EQ(targets().front(), "down_proj");
  model.adapter = make_adapter(model.spec, {.use_peft = true, .lora_target_modules = {"experts"}}, base.string(), 5);
  save_model(model, nullptr, adapter);
  EXPECT_EQ(targets().front(),
            "model.layers.1.mlp.experts.0.down_proj");  // down_proj alone would be the dense ones too
}

TEST_F(PeftFolder, WhatIsNotAvailableIsNamed) {
  const std::pair<Json, const char*> cases[] = {
      {{{"use_dora", true}}, "use_dora is true"},
      {{{"bias", "all"}}, "bias is \"all\""},
      {{{"modules_to_save", {"lm_head"}}}, "modules_to_save is [\"lm_head\"]"},
      {{{"alpha_pattern", {{"q_b_proj", 4}}}}, "alpha_pattern"},
      {{{"peft_type", "IA3"}}, "peft_type is \"IA3\""},
      {{{"r", 4}}, "has rank 3, r is 4"},
      {{{"r", "many"}}, "r is \"many\""},
      {{{"base_model_name_or_path", nullptr}}, "base_model_name_or_path is null"},
      {{{"base_model_name_or_path", "/nowhere"}}, "/nowhere does not exist"},
      {{{"base_model_name_or_path", adapter.string()}}, "is an adapter itself"}};
  const Json before = config();
  for (const auto& [changes, expected] : cases) {
    std::ofstream(adapter / "adapter_config.json") << before;
    change(changes);
    EXPECT_NE(refusal().find(expected), std::string::npos) << refusal();
  }
}

TEST_F(PeftFolder, TensorsOfOtherModulesOrShapesAreNamed) {
  const std::vector<float> values(3 * 48);
  const auto write = [&](std::vector<std::pair<std::string, std::vector<int64_t>>> named) {
    std::vector<TensorView> tensors;
    for (const auto& [name, shape] : named)
      tensors.push_back({name, DType::f32, shape, std::as_bytes(std::span(values).first(size_t(shape[0] * shape[1])))});
    write_safetensors(adapter / "adapter_model.safetensors", tensors);
  };
  const std::string q_b = "base_model.model.model.layers.0.self_attn.q_b_proj";
  write({{q_b + ".lora_magnitude_vector", {1, 3}}});
  EXPECT_NE(refusal().find("is no LoRA matrix of a module"), std::string::npos) << refusal();
  write({{"base_model.model.lm_head.lora_A.weight", {3, 48}}, {"base_model.model.lm_head.lora_B.weight", {48, 3}}});
  EXPECT_NE(refusal().find("module \"lm_head\" has an adapter"), std::string::npos) << refusal();
  write({{q_b + ".lora_A.weight", {3, 48}}, {q_b + ".lora_B.weight", {48, 3}}});
  EXPECT_NE(refusal().find("the base model asks for [3,24]"), std::string::npos) << refusal();
  write({{q_b + ".lora_A.weight", {3, 24}}});
  EXPECT_NE(refusal().find("has no tensor " + q_b + ".lora_B.weight"), std::string::npos) << refusal();
}

}  // namespace
}  // namespace cohort
