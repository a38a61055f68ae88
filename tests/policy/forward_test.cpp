// The engine's forward and backward against plain LibTorch operations and autograd, over packed groups with shared
// prompts.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>

#include "configs/error.h"
#include "policy/backward.h"
#include "policy/reference.h"
#include "tests/policy/packed_group.h"
#include "tests/policy/tiny_models.h"

namespace cohort {
namespace {

struct Case {
  const char* name;
  Json config;
};
Json deepseek_v2(bool has_groups) {
  Json config = tiny_deepseek();
  config["model_type"] = "deepseek_v2";
  config["topk_method"] = has_groups ? "group_limited_greedy" : "greedy";
  if (has_groups) config["n_group"] = 4, config["topk_group"] = 2;
  config["norm_topk_prob"] = has_groups;
  return config;
}

std::vector<Case> cases() {
  return {{"llama", tiny_llama()},
          {"llama untied", tiny_llama(false)},
          {"deepseek", tiny_deepseek()},
          {"deepseek q_lora", tiny_deepseek(24)},
          {"deepseek groups", tiny_deepseek(0, 4)},
          {"llama biases", tiny_family("llama", {{"attention_bias", true}, {"mlp_bias", true}, {"head_dim", 16}})},
          {"mistral window", tiny_family("mistral", {{"sliding_window", 11}})},
          {"mixtral", tiny_family("mixtral", tiny_mixture())},
          {"qwen2 windows",
           tiny_family("qwen2", {{"use_sliding_window", true}, {"sliding_window", 7}, {"max_window_layers", 1}})},
          {"qwen3", tiny_family("qwen3", {{"head_dim", 12}})},
          {"qwen3_moe", tiny_family("qwen3_moe", tiny_mixture({{"mlp_only_layers", {0}}}))},
          {"glm4_moe", tiny_family("glm4_moe", tiny_mixture({{"use_qk_norm", true}, {"head_dim", 16}}))},
          {"minimax_m2", tiny_family("minimax_m2", tiny_mixture({{"head_dim", 16}, {"rotary_dim", 8}}))},
          {"hunyuan dense", tiny_family("hunyuan_v1_dense")},
          {"hunyuan moe", tiny_family("hunyuan_v1_moe", tiny_mixture())},
          {"deepseek_v2", deepseek_v2(false)},
          {"deepseek_v2 groups", deepseek_v2(true)}};
}

/// Hidden rows that predict the tokens of completion i after the first, and their targets.
TEST(Forward, AgreesWithPlainOperationsAndAutograd) {
  for (const Case& c : cases()) {
    Compute compute(2);
    CausalLM model = random_model(c.config, compute);
    PackedGroup group(21, {19, 5, 33});
    KvStore kv(model.spec, group.num_blocks, true);
    ForwardState state;
    forward(model, compute, group.rows(), kv, Activations::all, state);
    const int64_t V = model.spec.vocab, D = model.spec.dim, T = int64_t(group.tokens.size());

    // Objective: Σ over completions of Σ_j w_j · log p(token_j), the first token predicted by the prompt's last row.
    std::vector<int32_t> row, target;
    for (size_t i = 1; i < group.spans.size(); ++i)
      for (int64_t j = 0; j < group.spans[i].num_rows; ++j)
        row.push_back(int32_t(j ? group.spans[i].first_row + j - 1 : 20)),
            target.push_back(group.tokens[size_t(group.spans[i].first_row + j)]);
    int64_t N = int64_t(row.size());
    Buffer logit_NV(N * V), d_hidden(T * D), gradient(model.spec.num_parameters), panels;
    logits(model, compute, state.hidden_TD.data(), row.data(), N, logit_NV.data());
    std::fill_n(gradient.data(), gradient.size(), 0.0f);
    std::fill_n(d_hidden.data(), d_hidden.size(), 0.0f);
    auto weight = [](int64_t n) { return 0.5f + 0.01f * float(n % 13); };
    std::vector<float> logprob;
    for (int64_t n = 0; n < N; ++n) {
      float* l = logit_NV.data() + n * V;
      TokenStatistics s = compute.kernels->token_statistics(l, V, 0.8f, target[size_t(n)]);
      logprob.push_back(s.logprob);
      std::vector<float> before(l, l + V);
      compute.kernels->logits_gradient(before.data(), V, 0.8f, target[size_t(n)], s, weight(n), 0, l);
      for (int64_t v = 0; v < V; ++v)
        compute.kernels->add_scaled(model.at(model.spec.head) + v * D, l[v], D, d_hidden.data() + row[size_t(n)] * D);
    }
    weight_gradient(compute, logit_NV.data(), V, V, state.hidden_TD.data(), D, row.data(), D, N, panels,
                    gradient.data() + model.spec.head);
    BackwardState scratch;
    std::vector<float> d_hidden_again(d_hidden.data(), d_hidden.data() + d_hidden.size()),
        gradient_again(gradient.data(), gradient.data() + gradient.size());
    backward(model, compute, group.rows(), kv, state, scratch, d_hidden.data(), gradient.data());
    KvStore kv_again(model.spec, group.num_blocks, true);  // gradient checkpointing
    ForwardState inputs;
    forward(model, compute, group.rows(), kv_again, Activations::inputs, inputs);
    backward(model, compute, group.rows(), kv_again, inputs, scratch, d_hidden_again.data(), gradient_again.data());
    EXPECT_EQ(inputs.layers.size(), 1u);
    EXPECT_EQ(gradient_again, std::vector<float>(gradient.data(), gradient.data() + gradient.size())) << c.name;

    at::Tensor parameters = parameter_tensor(model), objective = at::zeros({});
    int64_t n = 0;
    for (const auto& sequence : group.sequences) {
      at::Tensor expected = reference_logprobs(model.spec, parameters, sequence, 0.8);
      for (int64_t j = 20; j < expected.size(0); ++j, ++n) {
        EXPECT_NEAR(logprob[size_t(n)], expected[j].item<float>(), 2e-4) << c.name << " token " << n;
        objective = objective + expected[j] * weight(n);
      }
    }
    objective.backward();
    at::Tensor ours = at::from_blob(gradient.data(), {gradient.size()}), theirs = parameters.grad();
    for (const ParameterSpec& p : model.spec.parameters) {
      if (!p.gradient) continue;
      at::Tensor a = ours.narrow(0, p.offset, p.size()), b = theirs.narrow(0, p.offset, p.size());
      double scale = std::max(1e-3, b.abs().max().item<double>());
      EXPECT_LT((a - b).abs().max().item<double>() / scale, 2e-3) << c.name << " " << p.name;
      const bool may_be_idle = p.name.find(".experts.") != std::string::npos;  // an expert that no row chose
      EXPECT_TRUE(may_be_idle || b.abs().max().item<double>() > 0) << c.name << " " << p.name;
    }
  }
}

TEST(Forward, DecodingGivesTheBitsOfTheTrainingForward) {
  for (const Case& c : cases())
    for (bool bf16 : {false, true}) {
      Compute compute(2);
      CausalLM model = random_model(c.config, compute, 3, bf16);
      PackedGroup group(37, {20, 41});
      KvStore training(model.spec, group.num_blocks, true), cache(model.spec, group.num_blocks, false);
      ForwardState kept, state;
      forward(model, compute, group.rows(), training, Activations::all, kept);
      int64_t D = model.spec.dim;
      // Prompt in two chunks, tail copied once, then tokens one by one; the second completion joins later.
      RowSpan first{0, 15, 0, group.tables[0].data()}, second{0, 22, 15, group.tables[0].data()};
      std::span<const int32_t> ids = group.tokens;
      forward(model, compute, {ids.subspan(0, 15), {&first, 1}, {}}, cache, Activations::none, state);
      EXPECT_EQ(std::memcmp(state.hidden_TD.data(), kept.hidden_TD.data(), sizeof(float) * size_t(15 * D)), 0)
          << c.name;
      forward(model, compute, {ids.subspan(15, 22), {&second, 1}, {}}, cache, Activations::none, state);
      EXPECT_EQ(std::memcmp(state.hidden_TD.data(), kept.hidden_TD.data() + 15 * D, sizeof(float) * size_t(22 * D)), 0)
          << c.name;
      for (const TailCopy& copy : group.copies) copy_lanes(cache, model.spec, copy);
      for (int64_t step = 0; step < 41; ++step) {
        std::vector<int32_t> tokens;
        std::vector<RowSpan> spans;
        std::vector<int64_t> training_row;
        auto add = [&](size_t i, int64_t j) {
          spans.push_back({int64_t(tokens.size()), 1, int32_t(37 + j), group.tables[i].data()});
          training_row.push_back(group.spans[i].first_row + j);
          tokens.push_back(group.tokens[size_t(training_row.back())]);
        };
        add(2, step);
        if (step >= 7 && step < 27) add(1, step - 7);
        forward(model, compute, {tokens, spans, {}}, cache, Activations::none, state);
        for (size_t r = 0; r < tokens.size(); ++r)
          ASSERT_EQ(std::memcmp(state.hidden_TD.data() + int64_t(r) * D, kept.hidden_TD.data() + training_row[r] * D,
                                sizeof(float) * size_t(D)),
                    0)
              << c.name << " step " << step << " bf16 " << bf16;
      }
    }
}

TEST(Backward, SameBitsForEveryThreadCount) {
  for (const Case& c : cases()) {
    std::vector<float> reference;
    for (int threads : {1, 2, 3}) {
      Compute compute(threads);
      CausalLM model = random_model(c.config, compute);
      PackedGroup group(21, {19, 5, 33});
      KvStore kv(model.spec, group.num_blocks, true);
      ForwardState state;
      BackwardState scratch;
      forward(model, compute, group.rows(), kv, Activations::all, state);
      Buffer d_hidden(int64_t(group.tokens.size()) * model.spec.dim);
      for (int64_t i = 0; i < d_hidden.size(); ++i) d_hidden[i] = 0.01f * float(i % 17) - 0.05f;
      std::vector<float> gradient(size_t(model.spec.num_parameters), 0.0f);
      backward(model, compute, group.rows(), kv, state, scratch, d_hidden.data(), gradient.data());
      if (threads == 1) reference = gradient;
      ASSERT_EQ(std::memcmp(gradient.data(), reference.data(), gradient.size() * 4), 0)
          << c.name << " threads " << threads;
    }
  }
}

/// The sentence that refuses a config with these changes.
std::string refusal(Json config, const Json& changes) {
  config.update(changes);
  try {
    model_spec(config);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ModelSpec, SizesThatNoModelHasAreRefusedByName) {
  const std::vector<std::pair<Json, const char*>> latent = {{{{"n_group", 0}}, "n_group"},
                                                            {{{"kv_lora_rank", 4096}}, "kv_lora_rank"},
                                                            {{{"n_routed_experts", 2048}}, "n_routed_experts"},
                                                            {{{"vocab_size", -1}}, "vocab_size"},
                                                            {{{"hidden_size", 0}}, "hidden_size"},
                                                            {{{"qk_rope_head_dim", 7}}, "even"},
                                                            {{{"rope_theta", "y"}}, "rope_theta"},
                                                            {{{"num_experts_per_tok", 0}}, "num_experts_per_tok"},
                                                            {{{"n_shared_experts", -1}}, "n_shared_experts"},
                                                            {{{"n_shared_experts", 100000000}}, "n_shared_experts"},
                                                            {{{"q_lora_rank", -5}}, "q_lora_rank"},
                                                            {{{"eos_token_id", {97}}}, "eos_token_id"},
                                                            {{{"eos_token_id", -1}}, "eos_token_id"},
                                                            {{{"num_hidden_layers", 2147483647}}, "num_hidden_layers"},
                                                            {{{"rms_norm_eps", -1}}, "rms_norm_eps"},
                                                            {{{"rope_theta", 0}}, "rope_theta"},
                                                            {{{"initializer_range", "a"}}, "initializer_range"},
                                                            {{{"scoring_func", "softmax"}}, "scoring_func"},
                                                            {{{"topk_method", "greedy"}}, "topk_method"},
                                                            {{{"hidden_act", "gelu"}}, "hidden_act"},
                                                            {{{"moe_layer_freq", 2}}, "moe_layer_freq"}};
  for (const auto& [changes, word] : latent)
    EXPECT_NE(refusal(tiny_deepseek(), changes).find(word), std::string::npos)
        << changes << ": " << refusal(tiny_deepseek(), changes);
  const std::vector<std::pair<Json, const char*>> grouped = {{{{"num_attention_heads", 0}}, "num_attention_heads"},
                                                             {{{"num_key_value_heads", 4}}, "num_key_value_heads"},
                                                             {{{"head_dim", 1024}}, "head_dim"},
                                                             {{{"model_type", "gpt2"}}, "qwen3_moe"},
                                                             {{{"num_hidden_layers", 0}}, "num_hidden_layers"},
                                                             {{{"intermediate_size", 2.5}}, "intermediate_size"}};
  for (const auto& [changes, word] : grouped)
    EXPECT_NE(refusal(tiny_llama(), changes).find(word), std::string::npos)
        << changes << ": " << refusal(tiny_llama(), changes);
}

}  // namespace
}  // namespace cohort
