// Weights whose shapes fit and whose computation differs are not taken for the served model's.
#include "rollout/same_model.h"

#include <gtest/gtest.h>

#include "configs/error.h"
#include "tests/policy/tiny_models.h"

namespace cohort {
namespace {

std::string refusal(const Json& served, const Json& fresh) {
  try {
    expect_same_model(model_spec(served), model_spec(fresh), "FOLDER");
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

/// What `change` of a config is refused with.
std::string refusal_of(const Json& served, const Json& change) {
  Json fresh = served;
  fresh.update(change);
  return refusal(served, fresh);
}

TEST(SameModel, TheSameIsTaken) {
  for (const Json& config : {tiny_llama(), tiny_deepseek(16, 4), tiny_family("mistral", {{"sliding_window", 64}})}) {
    EXPECT_EQ(refusal(config, config), "");
    EXPECT_EQ(refusal_of(config, {{"eos_token_id", 3}, {"initializer_range", 0.5}}), "");
  }
}

TEST(SameModel, WhateverDecidesTheComputationIsCompared) {
  const auto expect_refused = [](const Json& served, const Json& change, const std::string& named) {
    const std::string message = refusal_of(served, change);
    EXPECT_NE(message.find("FOLDER is another model"), std::string::npos) << change << message;
    EXPECT_NE(message.find(named), std::string::npos) << change << message;
  };
  const Json mistral = tiny_family("mistral", {{"sliding_window", nullptr}});
  // Heads of other sizes with projections of the same shape.
  expect_refused(mistral, {{"num_attention_heads", 3}, {"num_key_value_heads", 1}, {"head_dim", 16}},
                 "head_dim is 16, expected 8");
  expect_refused(mistral, {{"sliding_window", 64}}, "layers/0/attention/window is 64, expected 0");
  expect_refused(mistral, {{"rope_theta", 20000.0}}, "rope/frequencies");
  expect_refused(mistral, {{"rms_norm_eps", 1e-6}}, "norm_epsilon");
  expect_refused(mistral, {{"max_position_embeddings", 256}}, "context is 256, expected 512");
  expect_refused(mistral, {{"tie_word_embeddings", true}}, "shapes/lm_head.weight/0 is missing, expected 97");
  expect_refused(mistral, {{"num_hidden_layers", 3}}, "num_layers");
  expect_refused(mistral, {{"intermediate_size", 96}}, "dense_dim is 96, expected 80");
  expect_refused(mistral, {{"model_type", "llama"}}, "model_type is \"llama\"");
  const Json deepseek = tiny_deepseek(0, 4);
  expect_refused(deepseek, {{"num_experts_per_tok", 2}}, "layers/1/experts/top_k is 2, expected 3");
  expect_refused(deepseek, {{"norm_topk_prob", false}}, "normalize");
  expect_refused(deepseek, {{"routed_scaling_factor", 1.0}}, "layers/1/experts/scale");
  expect_refused(deepseek, {{"topk_group", 3}}, "layers/1/experts/top_groups is 3, expected 2");
  expect_refused(deepseek, {{"first_k_dense_replace", 2}}, "layers/1/");
  expect_refused(deepseek, {{"rope_interleave", false}}, "interleaved");
}

}  // namespace
}  // namespace cohort
