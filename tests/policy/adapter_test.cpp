// Low-rank adapters: what they add to a forward and what they learn, against the same weights merged.
#include "policy/adapter.h"

#include <gtest/gtest.h>

#include <cstring>

#include "configs/error.h"
#include "policy/backward.h"
#include "policy/lora_config.h"
#include "tests/policy/packed_group.h"
#include "tests/policy/tiny_models.h"

namespace cohort {
namespace {

struct Case {
  const char* name;
  Json config;
};
std::vector<Case> cases() {
  return {{"llama", tiny_llama()},
          {"llama biases", tiny_family("llama", {{"attention_bias", true}, {"mlp_bias", true}, {"head_dim", 16}})},
          {"deepseek", tiny_deepseek()},
          {"deepseek q_lora", tiny_deepseek(24)},
          {"qwen3_moe", tiny_family("qwen3_moe", tiny_mixture({{"mlp_only_layers", {0}}}))},
          {"glm4_moe", tiny_family("glm4_moe", tiny_mixture({{"use_qk_norm", true}, {"head_dim", 16}}))}};
}

/// Adapters whose B is not zero.
Adapter shaken_adapter(const CausalLM& model, const LoraConfig& config, const Compute& compute) {
  Adapter adapter = make_adapter(model.spec, config, "base", 3);
  for (const ParameterSpec& p : adapter.parameters)
    for (int64_t i = p.offset; p.name.ends_with("lora_B.weight") && i < p.offset + p.size(); ++i)
      adapter.values[i] = 0.05f * std::sin(float(5 * i % 997));
  repack(adapter, compute);
  return adapter;
}

LoraConfig lora(int32_t rank, std::vector<std::string> targets = {"all-linear"}) {
  return {.use_peft = true, .lora_r = rank, .lora_alpha = 2.0 * rank, .lora_target_modules = std::move(targets)};
}

/// Hidden rows of a forward, and the gradient of Σ w·hidden.
struct Pass {
  std::vector<float> hidden, gradient;
};
Pass pass(const CausalLM& model, const Compute& compute, const PackedGroup& group,
          Activations kept = Activations::all) {
  KvStore kv(model.spec, group.num_blocks, true);
  ForwardState state;
  forward(model, compute, group.rows(), kv, kept, state);
  const int64_t size = int64_t(group.tokens.size()) * model.spec.dim;
  Pass p{{state.hidden_TD.data(), state.hidden_TD.data() + size}, {}};
  p.gradient.assign(size_t(trained_values(model).size()), 0.0f);
  std::vector<float> d_hidden(static_cast<size_t>(size));
  for (size_t i = 0; i < d_hidden.size(); ++i) d_hidden[i] = 0.1f * std::cos(float(3 * i % 1013));
  BackwardState scratch;
  backward(model, compute, group.rows(), kv, state, scratch, d_hidden.data(), p.gradient.data());
  return p;
}

TEST(Adapter, WithBZeroNoBitChanges) {
  for (const Case& c : cases()) {
    Compute compute(2);
    CausalLM model = random_model(c.config, compute);
    const PackedGroup group(21, {19, 5});
    const std::vector<float> plain = pass(model, compute, group).hidden;
    model.adapter = make_adapter(model.spec, lora(3), "base", 3);
    repack(model, compute);
    EXPECT_EQ(pass(model, compute, group).hidden, plain) << c.name;
  }
}

TEST(Adapter, AddsWhatMergedWeightsHave) {
  for (const Case& c : cases())
    for (const char* target : {"all-linear", "attention", "mlp", "experts"}) {
      if (std::string(target) == "experts" && std::string(c.name).starts_with("llama")) continue;
      Compute compute(2);
      CausalLM model = random_model(c.config, compute), merged = random_model(c.config, compute);
      const PackedGroup group(21, {19, 5});
      const std::vector<float> plain = pass(merged, compute, group).hidden;
      model.adapter = shaken_adapter(model, lora(3, {target}), compute);
      merge(merged, *model.adapter, compute);
      repack(merged, compute);
      const std::vector<float> beside = pass(model, compute, group).hidden,
                               inside = pass(merged, compute, group).hidden;
      float moved = 0;
      for (size_t i = 0; i < inside.size(); ++i) {
        ASSERT_NEAR(beside[i], inside[i], 2e-4) << c.name << " " << target << " " << i;
        moved = std::max(moved, std::abs(inside[i] - plain[i]));
      }
      EXPECT_GT(moved, 0.02f) << c.name << " " << target;
    }
}

/// dA = scale · Bᵀ·dW and dB = scale · dW·Aᵀ, dW being the gradient of the merged weights, which autograd has checked.
TEST(Adapter, GradientsAreThoseOfTheMergedWeights) {
  for (const Case& c : cases()) {
    Compute compute(2);
    CausalLM model = random_model(c.config, compute), merged = random_model(c.config, compute);
    const PackedGroup group(21, {19, 5, 33});
    model.adapter = shaken_adapter(model, lora(3), compute);
    const Adapter& adapter = *model.adapter;
    merge(merged, adapter, compute);
    repack(merged, compute);
    const std::vector<float> own = pass(model, compute, group).gradient, whole = pass(merged, compute, group).gradient;
    ASSERT_EQ(int64_t(own.size()), adapter.values.size());
    std::map<std::string, const ParameterSpec*> weights;
    for (const ParameterSpec& p : merged.spec.parameters) weights[p.name] = &p;
    double largest = 0;
    for (float g : own) largest = std::max(largest, std::abs(double(g)));
    ASSERT_GT(largest, 1e-3);
    for (size_t m = 0; m < adapter.parameters.size(); ++m) {
      const ParameterSpec& p = adapter.parameters[m];
      const bool is_a = p.name.ends_with("lora_A.weight");
      const std::string module = p.name.substr(0, p.name.size() - std::strlen(".lora_A.weight"));
      const auto other = std::ranges::find(adapter.parameters, module + (is_a ? ".lora_B.weight" : ".lora_A.weight"),
                                           &ParameterSpec::name);
      const ParameterSpec& w = *weights.at(module + ".weight");
      const float *d_w = whole.data() + w.offset, *factor = adapter.values.data() + other->offset;
      const int64_t n = w.shape[0], k = w.shape[1], r = 3;
      for (int64_t i = 0; i < p.shape[0]; ++i)
        for (int64_t j = 0; j < p.shape[1]; ++j) {
          double expected = 0;
          for (int64_t s = 0; s < (is_a ? n : k); ++s)
            expected += is_a ? double(factor[s * r + i]) * double(d_w[s * k + j])
                             : double(d_w[i * k + s]) * double(factor[j * k + s]);
          ASSERT_NEAR(own[size_t(p.offset + i * p.shape[1] + j)], double(adapter.scale) * expected, 2e-4 * largest)
              << c.name << " " << p.name << " [" << i << ", " << j << "]";
        }
    }
  }
}

TEST(Adapter, NeitherThreadsNorCheckpointingChangeABit) {
  for (const Case& c : cases()) {
    std::vector<float> first;
    for (int threads : {1, 2, 3})
      for (Activations kept : {Activations::all, Activations::inputs}) {
        Compute compute(threads);
        CausalLM model = random_model(c.config, compute);
        model.adapter = shaken_adapter(model, lora(5), compute);
        const std::vector<float> gradient = pass(model, compute, PackedGroup(21, {19, 5}), kept).gradient;
        if (first.empty()) first = gradient;
        EXPECT_EQ(gradient, first) << c.name;
      }
  }
}

/// The learner of adapters has no masters: it takes the transposed weights out of the packed store.
TEST(Adapter, TheStoreTransposedIsTheMastersTransposed) {
  for (bool bf16 : {false, true}) {
    Compute compute(2);
    const CausalLM model = random_model(tiny_deepseek(24), compute, 1, bf16);
    const LayerOffsets& o = model.spec.layers[1].offsets;
    const PackedLayer& p = model.layers[1];
    const std::pair<const PackedMatrix*, int64_t> matrices[] = {
        {&p.in, o.in}, {&p.q_b, o.q_b}, {&p.o, o.o}, {&p.down, o.down}, {&p.expert_gate_up[3], o.expert_gate_up[3]}};
    for (const auto& [matrix, offset] : matrices) {
      Buffer masters, store;
      pack_as_read(model, compute, offset, matrix->k, matrix->n, 1, matrix->k, masters);
      pack_transposed(model, compute, *matrix, 0, store);
      ASSERT_EQ(masters.size(), store.size());
      EXPECT_EQ(std::memcmp(masters.data(), store.data(), sizeof(float) * size_t(store.size())), 0);
    }
  }
}

TEST(Adapter, TargetsAreNamesOrGroups) {
  const ModelSpec spec = model_spec(tiny_deepseek(24));
  const auto modules = [&](std::vector<std::string> targets) {
    std::vector<std::string> names;
    for (const ParameterSpec& p : make_adapter(spec, lora(2, targets), "", 0).parameters)
      if (p.name.ends_with(".lora_A.weight")) names.push_back(p.name.substr(std::strlen("model.layers.")));
    return names;
  };
  EXPECT_EQ(modules({"q_b_proj"}).size(), 3u);
  EXPECT_EQ(modules({"mlp.down_proj"}), std::vector<std::string>{"0.mlp.down_proj.lora_A.weight"});
  EXPECT_EQ(modules({"shared_experts.down_proj"}).size(), 2u);
  EXPECT_EQ(modules({"down_proj"}).size(), 1u + 2 * 9);
  EXPECT_EQ(modules({"experts"}).size(), 2u * 8 * 3);
  EXPECT_EQ(modules({"attention", "experts", "mlp"}), modules({"all-linear"}));
  try {
    make_adapter(spec, lora(2, {"q_b_proj", "c_attn"}), "", 0);
    FAIL() << "c_attn is no module";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("no module of this model is called c_attn"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("kv_a_proj_with_mqa"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace cohort
