// Weights from a folder: what does not fit the config is refused by name, never reinterpreted.
#include "policy/load.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "configs/error.h"
#include "policy/files/safetensors.h"
#include "policy/forward.h"
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

  /// [T, V] over one sequence.
  std::vector<float> logits_of(CausalLM& of, const std::vector<int32_t>& ids) const {
    const auto T = int64_t(ids.size());
    extend_rope(of, T);
    KvStore kv(of.spec, ceil_div(T, kKeyBlock), false);
    std::vector<int32_t> blocks(size_t(kv.num_blocks));
    std::iota(blocks.begin(), blocks.end(), 0);
    const RowSpan span{0, T, 0, blocks.data()};
    ForwardState state;
    forward(of, compute, {ids, {&span, 1}, {}}, kv, Activations::none, state);
    std::vector<float> out(size_t(T * of.spec.vocab));
    logits(of, compute, state.hidden_TD.data(), nullptr, T, out.data());
    return out;
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
/// A folder of bfloat16 is decoded from bfloat16: half the memory, the same bits.
TEST_F(LoadedFolder, MatricesStoredInHalfStayHalf) {
  for (const Json& config : {tiny_llama(true), tiny_llama(false), tiny_deepseek(16)}) {
    fs::remove_all(folder);
    fs::create_directory(folder);
    save_model(random_model(config, compute), nullptr, folder, {.dtype = DType::bf16});
    LoadedModel all = load_model(folder.string(), compute, false),
                decoding = load_model(folder.string(), compute, false, Weights::packed);
    EXPECT_FALSE(all.model.bf16);
    ASSERT_TRUE(decoding.model.bf16);
    const std::vector<int32_t> ids = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3};
    const std::vector<float> expected = logits_of(all.model, ids), found = logits_of(decoding.model, ids);
    EXPECT_EQ(std::memcmp(found.data(), expected.data(), expected.size() * sizeof(float)), 0);
  }
}

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

/// Every matrix of a model whose sizes are no multiples of 128 as F8_E4M3 with block scales, against the plain product;
/// written again, it is a BF16 folder that says nothing of quantisation.
TEST_F(LoadedFolder, BlocksOfOddSizesAreScaledAndWrittenAsHalves) {
  Json config = tiny_llama(false);
  config["hidden_size"] = 150, config["intermediate_size"] = 333, config["head_dim"] = 26;
  config["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", {128, 128}}};
  CausalLM odd = random_model(config, compute);
  std::vector<std::vector<uint8_t>> stored(odd.spec.parameters.size());
  std::vector<std::vector<float>> scales(odd.spec.parameters.size());
  std::vector<TensorView> all;
  for (size_t i = 0; i < odd.spec.parameters.size(); ++i) {
    const ParameterSpec& p = odd.spec.parameters[i];
    float* values = odd.at(p.offset);
    if (p.shape.size() < 2) {
      all.push_back({p.name, DType::f32, p.shape, std::as_bytes(std::span(values, size_t(p.size())))});
      continue;
    }
    const int64_t columns = p.shape[1], blocks = (columns + 127) / 128;
    scales[i].resize(size_t((p.shape[0] + 127) / 128 * blocks));
    for (size_t b = 0; b < scales[i].size(); ++b) scales[i][b] = 0.001f * float(b + 1) + 0.0003f;
    for (int64_t e = 0; e < p.size(); ++e) {
      const auto bits = uint8_t((e * 37 + 11) % 127);  // no NaN
      stored[i].push_back(bits);
      values[e] = f32_from_f8_e4m3(bits) * scales[i][size_t(e / columns / 128 * blocks + e % columns / 128)];
    }
    all.push_back({p.name, DType::f8_e4m3, p.shape, std::as_bytes(std::span(stored[i]))});
    all.push_back(
        {p.name + "_scale_inv", DType::f32, {(p.shape[0] + 127) / 128, blocks}, std::as_bytes(std::span(scales[i]))});
  }
  save_model(odd, nullptr, folder);
  std::ofstream(folder / "config.json") << config;
  write_safetensors(folder / "model.safetensors", all);
  const LoadedModel loaded = load_model(folder.string(), compute);
  EXPECT_TRUE(
      std::equal(odd.parameters.data(), odd.parameters.data() + odd.parameters.size(), loaded.model.parameters.data()));
  save_model(loaded.model, nullptr, folder, {.dtype = DType::bf16});
  EXPECT_FALSE(Json::parse(std::ifstream(folder / "config.json")).contains("quantization_config"));
  for (const TensorView& tensor : open_safetensors(folder).tensors) EXPECT_EQ(tensor.dtype, DType::bf16) << tensor.name;
}

TEST_F(LoadedFolder, EightBitsWithoutScalesAreRefused) {
  std::vector<TensorView> all = tensors();
  const std::vector<uint8_t> ones(48 * 80, 0x38);
  for (TensorView& tensor : all)
    if (tensor.name == "model.layers.0.mlp.down_proj.weight")
      tensor.dtype = DType::f8_e4m3, tensor.bytes = std::as_bytes(std::span(ones));
  write_safetensors(folder / "model.safetensors", all);
  for (const char* word : {"down_proj.weight_scale_inv", "F8_E4M3"})
    EXPECT_NE(refusal().find(word), std::string::npos) << refusal();
}

/// Sizes that no file holds are refused before memory of that size is taken.
TEST_F(LoadedFolder, AConfigFarBeyondTheFileIsRefused) {
  for (const auto& [key, value] : {std::pair("num_hidden_layers", 4096), std::pair("intermediate_size", 1 << 20),
                                   std::pair("vocab_size", 1 << 24)}) {
    Json config = model.spec.config;
    config[key] = value;
    std::ofstream(folder / "config.json") << config;
    EXPECT_NE(refusal().find("model."), std::string::npos) << refusal();
  }
}

/// What somebody put in place of a folder's texts neither hangs nor fills memory, and is named.
TEST_F(LoadedFolder, PipesAndDevicesInPlaceOfTextsAreRefused) {
  save_tokenizer(byte_tokenizer({"<|eos|>"}), folder);
  for (const char* name : {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
                           "special_tokens_map.json", "chat_template.jinja"}) {
    const fs::path text = folder / name, away = folder / "away";
    const bool is_there = fs::exists(text);
    if (is_there) fs::rename(text, away);
    ASSERT_EQ(mkfifo(text.c_str(), 0600), 0);
    EXPECT_TRUE(refusal().starts_with(text.string() + ": is not a regular file")) << refusal();
    fs::remove(text), fs::create_symlink("/dev/zero", text);
    EXPECT_TRUE(refusal().starts_with(text.string() + ": is not a regular file")) << refusal();
    fs::remove(text), fs::create_symlink(name, text);
    EXPECT_TRUE(refusal().starts_with(text.string() + ": cannot be opened")) << refusal();
    fs::remove(text);
    if (is_there) fs::rename(away, text);
  }
}

/// The key and the file, never a type error of the JSON library.
TEST_F(LoadedFolder, ValuesOfAnotherTypeAreNamed) {
  const std::pair<const char*, Json> wrong[] = {{"rope_theta", "1e4"},          {"rms_norm_eps", true},
                                                {"tie_word_embeddings", "yes"}, {"attention_bias", 1},
                                                {"rope_scaling", "yarn"},       {"rope_parameters", {1}},
                                                {"initializer_range", "x"},     {"eos_token_id", "2"},
                                                {"eos_token_id", 1.5},          {"eos_token_id", int64_t{1} << 32},
                                                {"eos_token_id", {1, -1}},      {"model_type", 7}};
  for (const auto& [key, value] : wrong) {
    Json config = model.spec.config;
    config[key] = value;
    std::ofstream(folder / "config.json") << config;
    EXPECT_TRUE(refusal().starts_with((folder / "config.json").string())) << refusal();
    EXPECT_NE(refusal().find(key), std::string::npos) << refusal();
    EXPECT_EQ(refusal().find("json.exception"), std::string::npos) << refusal();
  }
  std::ofstream(folder / "config.json") << "[]";
  EXPECT_NE(refusal().find("config.json"), std::string::npos) << refusal();
  std::ofstream(folder / "config.json") << model.spec.config;
  std::ofstream(folder / "generation_config.json") << R"({"eos_token_id": [1, 4294967297]})";
  EXPECT_NE(refusal().find("generation_config.json"), std::string::npos) << refusal();
}

TEST_F(LoadedFolder, RopeSettingsWithoutMeaningAreNamed) {
  const std::pair<const char*, Json> wrong[] = {
      {"factor", {{"rope_type", "yarn"}}},
      {"factor", {{"rope_type", "yarn"}, {"factor", -4}}},
      {"factor", {{"rope_type", "linear"}, {"factor", "2"}}},
      {"original_max", {{"rope_type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 0}}},
      {"high_freq",
       {{"rope_type", "llama3"},
        {"factor", 8},
        {"low_freq_factor", 4},
        {"high_freq_factor", 4},
        {"original_max_position_embeddings", 64}}}};
  for (const auto& [key, settings] : wrong) {
    Json config = model.spec.config;
    config["rope_scaling"] = settings;
    std::ofstream(folder / "config.json") << config;
    EXPECT_NE(refusal().find(key), std::string::npos) << refusal();
  }
}

TEST_F(LoadedFolder, NamesOutOfFilesAreMadeSafe) {
  std::vector<TensorView> all = tensors();
  TensorView more = all.back();
  more.name = "\x1b[31m\n";
  all.push_back(more);
  write_safetensors(folder / "model.safetensors", all);
  testing::internal::CaptureStderr();
  EXPECT_EQ(refusal(), "");
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(said.find('\x1b'), std::string::npos) << said;
  EXPECT_EQ(std::ranges::count(said, '\n'), 1) << said;
  all.pop_back();
  all[1].shape.resize(100'000, 1);
  write_safetensors(folder / "model.safetensors", all);
  EXPECT_LT(refusal().size(), 500u);
}

/// As DeepSeek's own code takes it.
TEST(DeepSeekConfig, NoSharedExpertsMayBeNull) {
  Json config = tiny_deepseek();
  config["n_shared_experts"] = nullptr;
  for (const ParameterSpec& p : model_spec(config).parameters)
    EXPECT_EQ(p.name.find("shared_experts"), std::string::npos) << p.name;
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
