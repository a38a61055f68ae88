// Models through GGUF files and back: every family that llama.cpp has, with the weights, the arithmetic and the
// tokenizer that went in; and files that lie about the model.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <random>
#include <set>

#include "configs/error.h"
#include "policy/files/gguf.h"
#include "policy/files/gguf_writer.h"
#include "policy/files/quantize.h"
#include "policy/load.h"
#include "policy/models/gguf_rope.h"
#include "policy/save_gguf.h"
#include "tests/policy/tiny_models.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;
using Metadata = nlohmann::ordered_json;

class GgufModels : public testing::Test {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / ("cohort_gguf_" + std::to_string(getpid()));
    fs::create_directories(folder);
  }
  void TearDown() override { fs::remove_all(folder); }

  /// Written and read again.
  LoadedModel through_file(const CausalLM& model, const Tokenizer* tokenizer, DType dtype) {
    save_gguf(model, tokenizer, path, dtype);
    return load_model(path.string(), compute);
  }
  std::string refusal() {
    try {
      load_model(path.string(), compute);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "accepted";
  }

  Compute compute{1};
  fs::path folder;
  fs::path path{fs::temp_directory_path() / ("cohort_gguf_" + std::to_string(getpid())) / "model.gguf"};
};

/// Values that the type holds, so that nothing is lost by writing them.
void round_parameters(CausalLM& model, DType dtype) {
  for (int64_t i = 0; i < model.spec.num_parameters; ++i) {
    float& value = *model.at(i);
    value = dtype == DType::bf16 ? f32_from_bf16(bf16_from_f32(value)) : f32_from_f16(f16_from_f32(value));
  }
}

void expect_close(float found, float expected, const std::string& what) {
  EXPECT_LE(std::abs(found - expected), 1e-6f * std::abs(expected)) << what;
}

/// What the forward reads of the two.
void expect_same_arithmetic(const ModelSpec& found, const ModelSpec& expected, const std::string& name) {
  ASSERT_EQ(found.layers.size(), expected.layers.size()) << name;
  EXPECT_EQ(found.tied_embeddings, expected.tied_embeddings) << name;
  EXPECT_EQ(found.norm_epsilon, expected.norm_epsilon) << name;
  EXPECT_EQ(found.max_position, expected.max_position) << name;
  EXPECT_EQ(found.rope.interleaved, expected.rope.interleaved) << name;
  expect_close(found.rope.amplitude, expected.rope.amplitude, name);
  ASSERT_EQ(found.rope.inv_freq.size(), expected.rope.inv_freq.size()) << name;
  for (size_t j = 0; j < found.rope.inv_freq.size(); ++j)
    expect_close(found.rope.inv_freq[j], expected.rope.inv_freq[j], name + " frequency " + std::to_string(j));
  for (size_t l = 0; l < found.layers.size(); ++l) {
    const AttentionSpec &a = found.layers[l].attention, &b = expected.layers[l].attention;
    EXPECT_EQ(std::tuple(a.latent, a.heads, a.kv_heads, a.head_dim, a.value_head_dim, a.window, a.qk_norm),
              std::tuple(b.latent, b.heads, b.kv_heads, b.head_dim, b.value_head_dim, b.window, b.qk_norm))
        << name;
    expect_close(a.scale, b.scale, name);
    const MoeSpec &m = found.layers[l].moe, &n = expected.layers[l].moe;
    EXPECT_EQ(std::tuple(m.experts, m.top_k, m.expert_dim, m.shared_dim, m.sigmoid_scores, m.normalize, m.scale),
              std::tuple(n.experts, n.top_k, n.expert_dim, n.shared_dim, n.sigmoid_scores, n.normalize, n.scale))
        << name;
    const auto chosen = [](const MoeSpec& moe) {  // of groups; all of them is no choice
      return moe.top_groups < moe.groups ? std::pair(moe.groups, moe.top_groups) : std::pair(1, 1);
    };
    EXPECT_EQ(chosen(m), chosen(n)) << name;
  }
}

void expect_same_parameters(const CausalLM& found, const CausalLM& expected, const std::string& name) {
  ASSERT_EQ(found.spec.parameters.size(), expected.spec.parameters.size()) << name;
  for (size_t i = 0; i < found.spec.parameters.size(); ++i) {
    const ParameterSpec &p = found.spec.parameters[i], &q = expected.spec.parameters[i];
    EXPECT_EQ(p.name, q.name) << name;
    ASSERT_EQ(p.shape, q.shape) << name << " " << p.name;
    EXPECT_TRUE(std::equal(found.at(p.offset), found.at(p.offset) + p.size(), expected.at(q.offset)))
        << name << " " << p.name;
  }
}

class GgufFamiliesGolden : public GgufModels {};

/// The cases that transformers computed the log-probabilities of.
TEST_F(GgufFamiliesGolden, WeightsAndArithmeticComeBack) {
  const Json golden = Json::parse(std::ifstream(COHORT_SOURCE_DIR "/tests/policy/golden/families.json"));
  std::set<std::string> families;
  int refused = 0;
  for (const Json& c : golden["cases"]) {
    const std::string name = c["case"];
    CausalLM model = random_model(c["config"], compute);
    for (const DType dtype : {DType::bf16, DType::f16}) {
      round_parameters(model, dtype);
      try {
        const LoadedModel loaded = through_file(model, nullptr, dtype);
        EXPECT_EQ(loaded.tokenizer, nullptr);
        expect_same_arithmetic(loaded.model.spec, model.spec, name);
        expect_same_parameters(loaded.model, model, name);
        families.insert(model.spec.model_type);
      } catch (const UsageError& error) {  // what llama.cpp has no arithmetic for is not written
        EXPECT_NE(std::string(error.what()).find("export an HF folder"), std::string::npos) << name << error.what();
        ++refused;
      }
    }
  }
  EXPECT_EQ(families.size(), 12u);
  EXPECT_EQ(refused, 14);  // seven cases in two types
}

TEST_F(GgufModels, EightBitsAreThoseOfTheBlocks) {
  const CausalLM model = random_model(tiny_family("qwen2", {{"hidden_size", 96}, {"intermediate_size", 64}}), compute);
  const LoadedModel loaded = through_file(model, nullptr, DType::q8_0);
  const GgufFile file = open_gguf(path);
  EXPECT_EQ(file.find("blk.0.attn_q.weight")->dtype, DType::q8_0);
  EXPECT_EQ(file.find("blk.0.attn_q.bias")->dtype, DType::f32);
  EXPECT_EQ(file.metadata.at("general.file_type"), 7);
  for (const ParameterSpec& p : model.spec.parameters) {
    float largest = 0;
    for (int64_t i = 0; i < p.size(); ++i) largest = std::max(largest, std::abs(*model.at(p.offset + i)));
    for (int64_t i = 0; i < p.size(); ++i)
      ASSERT_LE(std::abs(*loaded.model.at(p.offset + i) - *model.at(p.offset + i)), largest / 250) << p.name;
  }
}

TEST_F(GgufModels, RowsThatAreNoBlocksBecomeHalves) {
  save_gguf(random_model(tiny_llama(), compute), nullptr, path, DType::q8_0);  // 48 wide
  const GgufFile file = open_gguf(path);
  EXPECT_EQ(file.find("blk.0.attn_q.weight")->dtype, DType::f16);
  EXPECT_EQ(file.find("output.weight"), nullptr);  // tied
}

/// Files of before 2025 have one tensor for keys and values, and other lengths.
TEST_F(GgufModels, AWholeKvBIsRead) {
  const CausalLM model = random_model(tiny_deepseek(16), compute);
  save_gguf(model, nullptr, path, DType::f32);
  const GgufFile file = open_gguf(path);
  Metadata metadata = Metadata::parse(file.metadata.dump());
  const AttentionSpec& a = model.spec.layers[0].attention;
  metadata["deepseek2.attention.key_length"] = a.head_dim;
  metadata["deepseek2.attention.value_length"] = a.value_head_dim;
  metadata["deepseek2.attention.head_count_kv"] = a.heads;
  metadata.erase("deepseek2.attention.key_length_mla"), metadata.erase("deepseek2.attention.value_length_mla");
  std::vector<GgufTensor> tensors;
  std::vector<std::span<const std::byte>> bytes;
  for (const TensorView& t : file.tensors)
    if (t.name.find("attn_k_b") == std::string::npos && t.name.find("attn_v_b") == std::string::npos)
      tensors.push_back({t.name, t.dtype, t.shape}), bytes.push_back(t.bytes);
  for (size_t l = 0; l < model.spec.layers.size(); ++l) {
    const int64_t rows = int64_t(a.heads) * (a.nope_dim + a.value_head_dim);
    tensors.push_back({"blk." + std::to_string(l) + ".attn_kv_b.weight", DType::f32, {rows, a.kv_lora_rank}});
    bytes.push_back(
        std::as_bytes(std::span(model.at(model.spec.layers[l].offsets.kv_b), size_t(rows * a.kv_lora_rank))));
  }
  const fs::path old = folder / "old.gguf";
  write_gguf(old, metadata, tensors,
             [&](size_t i, std::span<std::byte> out) { std::ranges::copy(bytes[i], out.begin()); });
  expect_same_parameters(load_model(old.string(), compute).model, model, "whole kv_b");
}

/// Without experts the families of mixtures keep their names: llama.cpp asks for the keys of experts in any case.
TEST_F(GgufModels, DenseStartsComeBack) {
  Json v2 = tiny_deepseek(16), glm = tiny_family("glm4_moe", tiny_mixture());
  v2["model_type"] = "deepseek_v2", v2["topk_method"] = "greedy";
  for (Json config : {tiny_deepseek(), v2, glm}) {
    config["first_k_dense_replace"] = config["num_hidden_layers"];
    const CausalLM model = random_model(config, compute);
    ASSERT_EQ(model.spec.moe_layers(), 0);
    const LoadedModel loaded = through_file(model, nullptr, DType::f32);
    EXPECT_EQ(loaded.model.spec.model_type, model.spec.model_type);
    expect_same_arithmetic(loaded.model.spec, model.spec, model.spec.model_type);
    expect_same_parameters(loaded.model, model, model.spec.model_type);
    const Json metadata = open_gguf(path).metadata;
    for (const char* key : {"expert_count", "expert_used_count", "expert_feed_forward_length", "expert_weights_scale",
                            "expert_shared_count", "leading_dense_block_count"})
      EXPECT_TRUE(metadata.contains(metadata["general.architecture"].get<std::string>() + "." + key)) << key;
  }
}

TEST_F(GgufModels, TheLayerThatPredictsFurtherTokensStaysBehind) {
  Json config = tiny_deepseek(16);
  config["num_nextn_predict_layers"] = 1;
  ModelSpec spec = model_spec(config);
  ASSERT_TRUE(add_mtp(spec));
  CausalLM model = make_model(spec);
  initialize(model, 1);
  const LoadedModel loaded = through_file(model, nullptr, DType::f32);
  EXPECT_FALSE(loaded.model.spec.mtp);
  EXPECT_EQ(loaded.model.spec.num_parameters, model.spec.main_parameters());
  EXPECT_TRUE(std::equal(loaded.model.parameters.data(),
                         loaded.model.parameters.data() + loaded.model.spec.num_parameters, model.parameters.data()));
}

TEST_F(GgufModels, TheTokenizerAndItsTemplateComeBack) {
  const Tokenizer tokenizer = byte_tokenizer({"<|bos|>", "<|eos|>", "<|pad|>", "<think>", "</think>"});
  Json config = tiny_llama();
  config["vocab_size"] = 300;  // more ids than tokens
  config["eos_token_id"] = {257, 259};
  const LoadedModel loaded = through_file(random_model(config, compute), &tokenizer, DType::bf16);
  ASSERT_NE(loaded.tokenizer, nullptr);
  EXPECT_EQ(loaded.tokenizer->chat_template(), tokenizer.chat_template());
  EXPECT_EQ(loaded.tokenizer->special_tokens().text, tokenizer.special_tokens().text);
  for (const std::string text : {"3+4=7", "<think>naïve 世界</think><|eos|>", "  two\n\n[PAD270] ", ""}) {
    const std::vector<int32_t> ids = tokenizer.encode(text);
    EXPECT_EQ(loaded.tokenizer->encode(text), ids);
    EXPECT_EQ(loaded.tokenizer->decode(ids, false), tokenizer.decode(ids, false));
  }
  EXPECT_EQ(loaded.tokenizer->token(299), "");
  EXPECT_EQ(std::set<int32_t>(loaded.model.spec.stop_ids.begin(), loaded.model.spec.stop_ids.end()),
            (std::set<int32_t>{257, 259}));
}

TEST_F(GgufModels, Llama3RopeFollowsFromItsDivisors) {
  for (const auto& [factor, high, length, theta] :
       {std::tuple(8.0, 4.0, 8192, 500000.0), std::tuple(32.0, 4.0, 8192, 500000.0), std::tuple(4.0, 3.0, 2048, 1e6)}) {
    Json config = tiny_llama();
    config["hidden_size"] = 768, config["rope_theta"] = theta;
    config["rope_scaling"] = {{"rope_type", "llama3"},
                              {"factor", factor},
                              {"low_freq_factor", 1.0},
                              {"high_freq_factor", high},
                              {"original_max_position_embeddings", length}};
    const ModelSpec spec = model_spec(config);
    const Json scaling = llama3_scaling(llama3_divisors(spec), theta);
    ASSERT_TRUE(scaling.is_object());
    config["rope_scaling"] = scaling;
    EXPECT_EQ(model_spec(config).rope.inv_freq, spec.rope.inv_freq) << scaling;
  }
  std::vector<float> odd = {1, 2, 1.5f, 8};
  EXPECT_TRUE(llama3_scaling(odd, 10000).is_null());
  odd[2] = std::nanf("");
  EXPECT_TRUE(llama3_scaling(odd, 10000).is_null());
  EXPECT_TRUE(llama3_scaling(std::vector<float>(4, 0.0f), 10000).is_null());
}

TEST_F(GgufModels, WhatLlamaCppComputesOtherwiseIsNotWritten) {
  const auto refused = [&](const Json& config) {
    EXPECT_THROW(save_gguf(random_model(config, compute), nullptr, path, DType::f32), UsageError) << config;
    EXPECT_FALSE(fs::exists(path));
  };
  refused(tiny_family("qwen3_moe", tiny_mixture({{"norm_topk_prob", false}})));
  refused(tiny_family("qwen3_moe", tiny_mixture({{"norm_topk_prob", true}, {"mlp_only_layers", {1}}})));
  refused(tiny_family("qwen2", {{"use_sliding_window", true}, {"sliding_window", 7}, {"max_window_layers", 0}}));
  Json config = tiny_deepseek();
  config["rope_interleave"] = false;
  refused(config);
}

// ---- files that lie ----

class GgufModelAttack : public GgufModels {
 protected:
  void SetUp() override {
    GgufModels::SetUp();
    save_gguf(random_model(tiny_deepseek(16), compute), nullptr, path, DType::f16);
    file_ = open_gguf(path);
  }
  /// The file with its metadata changed, and with its tensors under other names or without them.
  std::string refusal_of(const std::function<void(Metadata&)>& change,
                         const std::function<std::string(const std::string&)>& rename = {}) {
    Metadata metadata = Metadata::parse(file_.metadata.dump());
    change(metadata);
    std::vector<GgufTensor> tensors;
    std::vector<std::span<const std::byte>> bytes;
    for (const TensorView& t : file_.tensors) {
      const std::string name = rename ? rename(t.name) : t.name;
      if (!name.empty()) tensors.push_back({name, t.dtype, t.shape}), bytes.push_back(t.bytes);
    }
    const fs::path lying = folder / "lying.gguf";
    write_gguf(lying, metadata, tensors,
               [&](size_t i, std::span<std::byte> out) { std::ranges::copy(bytes[i], out.begin()); });
    const std::clock_t start = std::clock();  // processor time: the machine may be busy
    std::string message = "accepted";
    try {
      load_model(lying.string(), compute);
    } catch (const UsageError& error) {
      message = error.what();
      EXPECT_NE(message.find("lying.gguf"), message.npos) << message;
    }
    EXPECT_LT(std::clock() - start, 2 * CLOCKS_PER_SEC);
    return message;
  }
  GgufFile file_;
};

TEST_F(GgufModelAttack, KeysThatAreAbsentOrOfAnotherKind) {
  EXPECT_EQ(refusal_of([](Metadata&) {}), "accepted");
  for (const char* key : {"embedding_length", "context_length", "attention.head_count", "expert_count",
                          "attention.kv_lora_rank", "rope.dimension_count", "attention.layer_norm_rms_epsilon"}) {
    const std::string name = std::string("deepseek2.") + key;
    EXPECT_NE(refusal_of([&](Metadata& m) { m.erase(name); }).find(key), std::string::npos) << name;
    for (const Metadata& wrong : {Metadata("text"), Metadata(-1), Metadata({1, 2}), Metadata(true)})
      EXPECT_NE(refusal_of([&](Metadata& m) { m[name] = wrong; }), "accepted") << name << " " << wrong;
  }
  EXPECT_NE(refusal_of([](Metadata& m) { m["general.architecture"] = "gpt-j"; }).find("\"gpt-j\""), std::string::npos);
  EXPECT_NE(refusal_of([](Metadata& m) { m.erase("general.architecture"); }), "accepted");
  EXPECT_NE(refusal_of([](Metadata& m) { m["deepseek2.rope.scaling.type"] = "longrope"; }).find("longrope"),
            std::string::npos);
}

TEST_F(GgufModelAttack, CountsFarBeyondTheFile) {
  for (const auto& [key, value] :
       {std::pair("block_count", 4096), std::pair("expert_count", 1024), std::pair("embedding_length", 1 << 20),
        std::pair("feed_forward_length", 1 << 20), std::pair("attention.head_count", 4096),
        std::pair("block_count", 1 << 30), std::pair("nextn_predict_layers", 1 << 30), std::pair("block_count", 0)})
    EXPECT_NE(refusal_of([&](Metadata& m) { m[std::string("deepseek2.") + key] = value; }), "accepted") << key;
  const std::string both =
      refusal_of([](Metadata& m) { m["deepseek2.block_count"] = 4096, m["deepseek2.expert_count"] = 1024; });
  EXPECT_NE(both.find("tensors"), std::string::npos) << both;
}

TEST_F(GgufModelAttack, TensorsThatAreAbsentOrOfAnotherShape) {
  const auto without = [&](const std::string& tensor) {
    return refusal_of([](Metadata&) {}, [&](const std::string& name) { return name == tensor ? "" : name; });
  };
  for (const char* tensor : {"token_embd.weight", "blk.0.attn_q_a.weight", "blk.1.ffn_up_exps.weight",
                             "blk.2.exp_probs_b.bias", "blk.0.attn_k_b.weight"})
    EXPECT_NE(without(tensor).find(tensor), std::string::npos) << tensor;
  const auto swapped = [&](const std::string& a, const std::string& b) {
    return refusal_of([](Metadata&) {}, [&](const std::string& n) { return n == a ? b : n == b ? a : n; });
  };
  const std::string message = swapped("blk.0.ffn_up.weight", "blk.0.ffn_down.weight");
  EXPECT_NE(message.find("blk.0.ffn_"), std::string::npos) << message;
  EXPECT_NE(message.find("[48, 72]"), std::string::npos) << message;
}

/// Whatever single value a key has, the file is refused or its model is whole.
TEST_F(GgufModelAttack, MutatedMetadata) {
  std::mt19937 random(5);
  int accepted = 0, refused = 0;
  for (int round = 0; round < 400; ++round) {
    const std::string message = refusal_of([&](Metadata& metadata) {
      auto at = metadata.begin();
      std::advance(at, random() % metadata.size());
      const Metadata values[] = {0,    1,    -1,       1u << 31, 1e30, 0.0, -1.5, "x", Metadata::array({1, 2}),
                                 true, 4096, 1ll << 50};
      at.value() = values[random() % std::size(values)];
    });
    ++(message == "accepted" ? accepted : refused);
  }
  EXPECT_GT(refused, 100);
  EXPECT_GT(accepted, 20);
}

}  // namespace
}  // namespace cohort
