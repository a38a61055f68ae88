// Weights from a folder: what does not fit the config is refused by name, never reinterpreted.
#include "policy/load.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "configs/error.h"
#include "policy/files/safetensors.h"
#include "policy/save.h"
#include "tests/policy/tiny_models.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

class LoadedFolder : public testing::Test {
 protected:
  LoadedFolder() : model(random_model(tiny_llama(), compute)) {
    std::string pattern = testing::TempDir() + "load-XXXXXX";
    folder = mkdtemp(pattern.data());
    save_model(model, nullptr, folder);
  }
  ~LoadedFolder() override { fs::remove_all(folder); }

  /// The tensors of the model, in HF's names and shapes.
  std::vector<TensorView> tensors() const {
    std::vector<TensorView> all;
    for (const ParameterSpec& p : model.spec.parameters)
      all.push_back({p.name,
                     DType::f32,
                     p.shape,
                     {reinterpret_cast<const std::byte*>(model.at(p.offset)), size_t(p.size()) * sizeof(float)}});
    return all;
  }
  std::string refusal() const {
    try {
      load_model(folder.string(), compute, false);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }

  Compute compute{1};
  CausalLM model;
  fs::path folder;
};

TEST_F(LoadedFolder, GivesBackWhatWasSaved) {
  const LoadedModel loaded = load_model(folder.string(), compute, false);
  EXPECT_TRUE(std::equal(model.parameters.data(), model.parameters.data() + model.parameters.size(),
                         loaded.model.parameters.data()));
}

/// Decoding reads the packed store, norms, and rows of the embedding: they stay when the other parameters go.
TEST_F(LoadedFolder, DecodingKeepsWhatItReads) {
  for (const Json& config : {tiny_llama(true), tiny_llama(false), tiny_deepseek(16)}) {
    for (bool bf16 : {false, true}) {
      save_model(random_model(config, compute), nullptr, folder);
      const LoadedModel all = load_model(folder.string(), compute, bf16);
      const LoadedModel decoding = load_model(folder.string(), compute, bf16, Weights::packed);
      ASSERT_EQ(all.model.packed.size(), decoding.model.packed.size());
      EXPECT_TRUE(std::equal(all.model.packed.data(), all.model.packed.data() + all.model.packed.size(),
                             decoding.model.packed.data()));
      for (const ParameterSpec& p : all.model.spec.parameters) {
        if (p.shape.size() > 1) continue;
        const float* values = all.model.at(p.offset);
        EXPECT_TRUE(std::equal(values, values + p.size(), decoding.model.at(p.offset))) << p.name;
      }
      std::vector<float> row(size_t(all.model.spec.dim)), other(row.size());
      for (int32_t token : {0, 1, 63, 64, all.model.spec.vocab - 1}) {
        embed(all.model, token, row.data()), embed(decoding.model, token, other.data());
        EXPECT_EQ(row, other);
        const float expected = all.model.at(all.model.spec.embedding)[int64_t(token) * all.model.spec.dim + 1];
        EXPECT_EQ(row[1], bf16 ? to_float(to_bfloat16(expected)) : expected);
      }
      EXPECT_THROW(save_model(decoding.model, nullptr, folder), std::logic_error);
    }
  }
}

/// transformers' eager attention divides the heads by num_key_value_heads, whose default is 128.
TEST_F(LoadedFolder, AnMlaModelSaysThatEveryHeadHasItsKeys) {
  save_model(random_model(tiny_deepseek(), compute), nullptr, folder);
  const Json config = Json::parse(std::ifstream(folder / "config.json"));
  EXPECT_EQ(config["num_key_value_heads"], config["num_attention_heads"]);
}

TEST_F(LoadedFolder, ATransposedTensorIsRefused) {
  std::vector<TensorView> all = tensors();
  for (TensorView& tensor : all)
    if (tensor.name.ends_with("down_proj.weight")) std::swap(tensor.shape[0], tensor.shape[1]);
  write_safetensors(folder / "model.safetensors", all);
  for (const char* word : {"down_proj", "[80, 48]", "[48, 80]"})
    EXPECT_NE(refusal().find(word), std::string::npos) << refusal();
}

TEST_F(LoadedFolder, ATensorTooFewIsRefusedAndOneTooManyIsNamed) {
  std::vector<TensorView> all = tensors();
  TensorView more = all.back();
  more.name = "model.layers.2.eh_proj.weight";
  all.push_back(more);
  write_safetensors(folder / "model.safetensors", all);
  testing::internal::CaptureStderr();
  EXPECT_EQ(refusal(), "");
  EXPECT_NE(testing::internal::GetCapturedStderr().find("model.layers.2.eh_proj.weight"), std::string::npos);
  all.resize(all.size() - 2);
  write_safetensors(folder / "model.safetensors", all);
  EXPECT_NE(refusal().find(model.spec.parameters.back().name), std::string::npos);
}

/// DeepSeek's FP8 folders: a weight of bytes times the scale of its 128 × 128 block.
TEST_F(LoadedFolder, BlockScaledWeightsAreScaled) {
  std::vector<TensorView> all = tensors();
  const std::vector<uint8_t> ones(48 * 80, 0x38);  // 1.0 in F8_E4M3
  const std::vector<float> scale = {0.25f};
  const std::string name = "model.layers.0.mlp.down_proj.weight";
  for (TensorView& tensor : all)
    if (tensor.name == name) tensor.dtype = DType::f8_e4m3, tensor.bytes = std::as_bytes(std::span(ones));
  all.push_back({name + "_scale_inv", DType::f32, {1, 1}, std::as_bytes(std::span(scale))});
  write_safetensors(folder / "model.safetensors", all);
  const LoadedModel loaded = load_model(folder.string(), compute, false);
  EXPECT_EQ(*loaded.model.at(loaded.model.spec.layers[0].offsets.down), 0.25f);
}

}  // namespace
}  // namespace cohort
