// Smaller models say what the larger ones say where what was cut off said nothing, and are loaded from their folders.
#include "policy/shrink.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <numeric>

#include "configs/error.h"
#include "policy/load.h"
#include "policy/reference.h"
#include "policy/save.h"
#include "tests/policy/tiny_models.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

std::vector<int32_t> some_tokens(int32_t seed = 0) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 24; ++i) tokens.push_back((i * i * 7 + i * 3 + seed) % 97);
  return tokens;
}

at::Tensor logprobs_of(const CausalLM& model) {
  return reference_logprobs(model.spec, parameter_tensor(model).detach().to(at::kDouble), some_tokens());
}

/// Bounded by the rounding of a sum that is added up in another order.
void expect_same_function(const CausalLM& expected, const CausalLM& found, const std::string& name) {
  const double worst = (logprobs_of(expected) - logprobs_of(found)).abs().max().item<double>();
  EXPECT_LT(worst, 1e-6) << name;
}

/// Saved and loaded again it has the same parameters.
void expect_loadable(const CausalLM& model, const std::string& name) {
  const fs::path folder = fs::temp_directory_path() / ("cohort_shrink_" + std::to_string(getpid()));
  fs::create_directories(folder);
  save_model(model, nullptr, folder);
  const LoadedModel loaded = load_model(folder.string(), Compute(1));
  EXPECT_EQ(loaded.model.spec.model_type, model.spec.model_type) << name;
  ASSERT_EQ(loaded.model.parameters.size(), model.parameters.size()) << name;
  EXPECT_TRUE(std::equal(model.parameters.data(), model.parameters.data() + model.parameters.size(),
                         loaded.model.parameters.data()))
      << name;
  fs::remove_all(folder);
}

/// Families with a dense block in every layer.
std::vector<std::pair<std::string, Json>> dense_families() {
  Json dense_deepseek = tiny_deepseek(), with_q_lora = tiny_deepseek(24);
  dense_deepseek["first_k_dense_replace"] = with_q_lora["first_k_dense_replace"] = 3;
  return {{"llama", tiny_llama()},
          {"llama biases", tiny_family("llama", {{"attention_bias", true}, {"mlp_bias", true}, {"head_dim", 16}})},
          {"mistral", tiny_family("mistral", {{"sliding_window", 11}})},
          {"qwen2", tiny_family("qwen2")},
          {"qwen3", tiny_family("qwen3", {{"head_dim", 12}})},
          {"hunyuan", tiny_family("hunyuan_v1_dense")},
          {"deepseek", dense_deepseek},
          {"deepseek q_lora", with_q_lora}};
}

void clear_columns(CausalLM& model, int64_t offset, int64_t columns, int64_t first, int64_t count) {
  for (int64_t r = 0; r < model.spec.dim; ++r) std::fill_n(model.at(offset) + r * columns + first, count, 0.0f);
}

TEST(Shrink, ChannelsThatSayNothingAreTheFirstToGo) {
  for (const auto& [name, config] : dense_families()) {
    CausalLM model = random_model(config, Compute(1));
    const int32_t ffn = model.spec.layers[0].dense_dim, left = ffn - ffn / 4;
    for (size_t l = 0; l < model.spec.layers.size(); ++l)
      for (int64_t i = 0; i < ffn / 4; ++i)  // others in every layer
        clear_columns(model, model.spec.layers[l].offsets.down, ffn, int64_t(l) + 3 * i, 1);
    const CausalLM small = keep_channels(model, left);
    EXPECT_EQ(small.spec.layers[0].dense_dim, left);
    EXPECT_EQ(small.spec.config["intermediate_size"], left);
    expect_same_function(small, model, name);
    EXPECT_LT(small.spec.num_parameters, model.spec.num_parameters);
    expect_loadable(small, name);
  }
}

TEST(Shrink, WhatIsKeptIsWhatWasThere) {
  CausalLM model = random_model(tiny_llama(), Compute(1));
  const LayerSpec& layer = model.spec.layers[1];
  for (int64_t c : {3, 50, 79}) clear_columns(model, layer.offsets.down, 80, c, 1);
  for (int64_t c : {0, 1, 2}) clear_columns(model, model.spec.layers[0].offsets.down, 80, c, 1);
  const CausalLM small = keep_channels(model, 77);
  expect_same_function(small, model, "three channels of 80");
  const int64_t gate = layer.offsets.gate_up, kept = small.spec.layers[1].offsets.gate_up;
  EXPECT_EQ(*small.at(kept + 3 * 48), *model.at(gate + 4 * 48)) << "in their order, without the third";
  EXPECT_EQ(*small.at(kept + 77 * 48), *model.at(gate + 80 * 48)) << "up behind gate";
}

TEST(Shrink, HeadsThatSayNothingAreTheFirstToGo) {
  for (const auto& [name, config] : dense_families()) {
    CausalLM model = random_model(config, Compute(1));
    const AttentionSpec& a = model.spec.layers[0].attention;
    const int32_t groups = a.latent ? a.heads : a.kv_heads, queries = a.heads / groups,
                  size = queries * a.value_head_dim;
    for (size_t l = 0; l < model.spec.layers.size(); ++l)  // another one in every layer
      clear_columns(model, model.spec.layers[l].offsets.o, int64_t(groups) * size, int64_t(l) % groups * size, size);
    const CausalLM small = keep_heads(model, a.heads - queries);
    EXPECT_EQ(small.spec.layers[0].attention.heads, a.heads - queries);
    EXPECT_EQ(small.spec.layers[0].attention.head_dim, a.head_dim);
    expect_same_function(small, model, name);
    expect_loadable(small, name);
  }
}

/// Nothing is written to the channel.
void silence(CausalLM& model, int64_t channel) {
  const int64_t dim = model.spec.dim;
  for (const ParameterSpec& p : model.spec.parameters) {
    const int64_t columns = p.size() / p.shape[0];
    if (p.offset == model.spec.embedding)
      for (int64_t r = 0; r < p.shape[0]; ++r) model.at(p.offset)[r * dim + channel] = 0;
    else if (p.name.ends_with("o_proj.weight") || p.name.ends_with("down_proj.weight") ||
             p.name.ends_with("o_proj.bias") || p.name.ends_with("down_proj.bias"))
      std::fill_n(model.at(p.offset) + channel * columns, columns, 0.0f);
  }
}

TEST(Shrink, ResidualChannelsThatHoldNothingAreTheFirstToGo) {
  auto families = dense_families();
  families.emplace_back("deepseek mixture", tiny_deepseek());
  families.emplace_back("qwen3 mixture", tiny_family("qwen3_moe", tiny_mixture({{"mlp_only_layers", {0}}})));
  for (const auto& [name, config] : families) {
    CausalLM model = random_model(config, Compute(1));
    model.spec.norm_epsilon = 1e-12f;  // a mean of squares that grows must not meet it
    for (int64_t c : {0, 5, 6, 31}) silence(model, c);
    CausalLM small = keep_residual(model, model.spec.dim - 4);
    EXPECT_EQ(small.spec.config["hidden_size"], model.spec.dim - 4);
    EXPECT_EQ(small.spec.layers[0].attention.head_dim, model.spec.layers[0].attention.head_dim);
    EXPECT_LT(small.spec.num_parameters, model.spec.num_parameters);
    expect_loadable(small, name);
    small.spec.norm_epsilon = 1e-12f;
    expect_same_function(small, model, name);
  }
}

TEST(Shrink, MixturesLoseHeadsToo) {
  for (const Json& config : {tiny_deepseek(), tiny_family("minimax_m2", tiny_mixture({{"head_dim", 16}})),
                             tiny_family("qwen3_moe", tiny_mixture({{"mlp_only_layers", {0}}}))}) {
    const CausalLM model = random_model(config, Compute(1));
    const AttentionSpec& a = model.spec.layers[0].attention;
    const CausalLM small = keep_heads(model, a.latent ? 1 : a.heads / a.kv_heads);
    EXPECT_TRUE(logprobs_of(small).isfinite().all().item<bool>());
    expect_loadable(small, small.spec.model_type);
  }
}

TEST(Shrink, WhatCannotBeIsSaid) {
  const Compute compute(1);
  const CausalLM llama = random_model(tiny_llama(), compute),
                 mixtral = random_model(tiny_family("mixtral", tiny_mixture()), compute);
  for (int32_t heads : {0, 6, 7, 1, 4}) EXPECT_THROW(keep_heads(llama, heads), UsageError) << heads;
  for (int32_t channels : {0, 80, 100}) EXPECT_THROW(keep_channels(llama, channels), UsageError) << channels;
  EXPECT_THROW(keep_channels(mixtral, 8), UsageError);
  for (int32_t size : {0, 48, 100}) EXPECT_THROW(keep_residual(llama, size), UsageError) << size;
  EXPECT_THROW(dense_start(llama, {.tokens = 1}, 1), UsageError);
  EXPECT_THROW(dense_start(mixtral, {}, 1), UsageError);
  CausalLM minimax = random_model(tiny_family("minimax_m2", tiny_mixture({{"head_dim", 16}})), compute);
  const std::vector<std::vector<int32_t>> texts = {some_tokens()};
  EXPECT_THROW(dense_start(minimax, count_experts(minimax, compute, texts), 1), UsageError);
  CausalLM deepseek = random_model(tiny_deepseek(), compute);
  EXPECT_THROW(dense_start(deepseek, count_experts(deepseek, compute, texts), 9), UsageError);
}

TEST(DenseStart, UsageCountsEveryChoiceAndItsWeight) {
  const Compute compute(2);
  CausalLM model = random_model(tiny_deepseek(), compute);
  const std::vector<std::vector<int32_t>> texts = {some_tokens(), some_tokens(5), {}};
  const ExpertUsage usage = count_experts(model, compute, texts);
  EXPECT_EQ(usage.tokens, 48);
  ASSERT_EQ(usage.chosen.size(), 2U);
  for (size_t m = 0; m < 2; ++m) {
    EXPECT_EQ(std::accumulate(usage.chosen[m].begin(), usage.chosen[m].end(), 0.0), 48.0 * 3);
    EXPECT_NEAR(std::accumulate(usage.weight[m].begin(), usage.weight[m].end(), 0.0), 48 * 1.8, 1e-3) << "normalised";
  }
}

/// Mixtures, their routers without a say: every token chooses the same experts with the same weights.
std::vector<std::pair<std::string, Json>> mixtures() {
  Json v2 = tiny_deepseek();
  v2["model_type"] = "deepseek_v2", v2["scoring_func"] = "softmax", v2["topk_method"] = "greedy";
  v2["norm_topk_prob"] = false;
  return {{"deepseek_v3", tiny_deepseek()},
          {"deepseek_v3 q_lora", tiny_deepseek(24)},
          {"deepseek_v2", v2},
          {"glm4_moe", tiny_family("glm4_moe", tiny_mixture({{"use_qk_norm", true}, {"head_dim", 16}}))},
          {"qwen3_moe", tiny_family("qwen3_moe", tiny_mixture({{"mlp_only_layers", {0}}}))},
          {"mixtral", tiny_family("mixtral", tiny_mixture())},
          {"hunyuan_v1_moe", tiny_family("hunyuan_v1_moe", tiny_mixture())}};
}

/// By the correction bias; without one all experts become the first, since peers choose among equals as they like.
void choose_the_same(CausalLM& model, const LayerSpec& layer) {
  const LayerOffsets& o = layer.offsets;
  const int64_t size = int64_t(layer.moe.expert_dim) * model.spec.dim;
  std::fill_n(model.at(o.router), int64_t(layer.moe.experts) * model.spec.dim, 0.0f);
  for (size_t e = 0; e < size_t(layer.moe.experts); ++e) {
    if (layer.moe.correction_bias) {
      *model.at(o.router_bias + int64_t(e)) = float(e * 5 % 8);
    } else {
      std::copy_n(model.at(o.expert_gate_up[0]), 2 * size, model.at(o.expert_gate_up[e]));
      std::copy_n(model.at(o.expert_down[0]), size, model.at(o.expert_down[e]));
    }
  }
}

TEST(DenseStart, IsTheMixtureWhereEveryTokenChoosesTheSameExperts) {
  const Compute compute(1);
  for (const auto& [name, config] : mixtures()) {
    CausalLM model = random_model(config, compute);
    int32_t top_k = 0;
    for (const LayerSpec& layer : model.spec.layers)
      if (!layer.dense_dim) top_k = layer.moe.top_k, choose_the_same(model, layer);
    repack(model, compute);
    const std::vector<std::vector<int32_t>> texts = {some_tokens()};
    const ExpertUsage usage = count_experts(model, compute, texts);
    const CausalLM dense = dense_start(model, usage, top_k);
    EXPECT_EQ(dense.spec.moe_layers(), 0) << name;
    expect_same_function(dense, model, name);
    expect_loadable(dense, name);
    const CausalLM more = dense_start(model, usage, top_k + 2);  // the others were never chosen
    expect_same_function(more, model, name + " with unused experts");
    EXPECT_GT((logprobs_of(dense_start(model, usage, top_k - 1)) - logprobs_of(model)).abs().max().item<double>(), 1e-4)
        << name << ": one of them is missing";
  }
}

TEST(DenseStart, AnExpertGivesAsMuchAsItGivesInTheMean) {
  const Compute compute(1);
  CausalLM model = random_model(tiny_deepseek(), compute);
  const std::vector<std::vector<int32_t>> texts = {some_tokens()};
  const ExpertUsage usage = count_experts(model, compute, texts);
  const CausalLM dense = dense_start(model, usage, 1);
  const auto most = size_t(std::ranges::max_element(usage.chosen[0]) - usage.chosen[0].begin());
  const LayerSpec &from = model.spec.layers[1], &to = dense.spec.layers[1];
  const auto scale = float(usage.weight[0][most] / 24);
  EXPECT_EQ(to.dense_dim, 80) << "the shared expert of 40 and one of 40, more than the first layer's 72";
  EXPECT_EQ(*dense.at(to.offsets.down), *model.at(from.offsets.down));
  EXPECT_FLOAT_EQ(*dense.at(to.offsets.down + 40), scale * *model.at(from.offsets.expert_down[most]));
  EXPECT_EQ(*dense.at(to.offsets.gate_up + 40 * 48), *model.at(from.offsets.expert_gate_up[most]));
  const LayerSpec& first = dense.spec.layers[0];
  EXPECT_EQ(*dense.at(first.offsets.down + 72), 0) << "filled up: it adds nothing";
  EXPECT_NE(*dense.at(first.offsets.gate_up + 72 * 48), 0) << "but can learn";
}

}  // namespace
}  // namespace cohort
