// Multi-token prediction: its loss and gradient against autograd over plain operations; its layer in files.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "configs/error.h"
#include "grpo/learner.h"
#include "policy/files/safetensors.h"
#include "policy/load.h"
#include "policy/reference.h"
#include "policy/save.h"
#include "tests/grpo/autograd.h"
#include "tests/grpo/tiny_groups.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

Json deepseek_with_mtp(int q_lora = 0, int groups = 1) {
  Json config = tiny_deepseek(q_lora, groups);
  config["num_nextn_predict_layers"] = 1;
  return config;
}

/// Rows of 2 to 33 tokens, some learned from their second token on, some later.
std::vector<SftSequence> rows_of(uint32_t stream) {
  std::vector<SftSequence> rows;
  for (uint32_t i = 0; i < 6; ++i) {
    SftSequence& row = rows.emplace_back(SftSequence{.tokens = tiny_ids(2 + 31 * i / 5, stream + i)});
    for (size_t t = 0; t < row.tokens.size(); ++t) row.mask.push_back(t > i % 3 && t % 7 != i);
  }
  return rows;
}

StepStats step(Learner& learner, std::vector<MicroBatch> batches, double learned) {
  LossScale scale{.num_tokens = learned};
  return learner.step(
      batches, [&](const TokenBatch& b, const TokenGradient& d) { return cross_entropy_loss(b, scale, d.logprobs); },
      10);
}

double learned_in(const std::vector<SftSequence>& rows) {
  double learned = 0;
  for (const SftSequence& row : rows)
    for (size_t t = 1; t < row.mask.size(); ++t) learned += row.mask[t];
  return learned;
}

TEST(MultiTokenPrediction, LossAndGradientAreThoseOfAutograd) {
  at::set_num_threads(1);
  constexpr double kWeight = 0.3;
  for (const Json& config : {deepseek_with_mtp(), deepseek_with_mtp(24, 4)}) {
    Compute compute(2);
    CausalLM model = random_model(config, compute);
    ASSERT_TRUE(model.spec.mtp);
    Learner learner(model, compute, {.learning_rate = 0, .max_grad_norm = 0}, 1.0, kWeight);
    const std::vector<SftSequence> rows = rows_of(600);
    const double learned = learned_in(rows);
    std::vector<MicroBatch> batches = pack_sequences(rows, {.max_tokens_per_batch = 40});
    EXPECT_GT(batches.size(), 2u);
    at::Tensor parameters = parameter_tensor(model), wide = parameters.to(at::kDouble),
               loss = at::zeros({}, at::kDouble), mtp_loss = at::zeros({}, at::kDouble);
    const StepStats stats = step(learner, std::move(batches), learned);
    double num_targets = 0;
    for (const SftSequence& row : rows) {
      at::Tensor next = reference_logprobs(model.spec, wide, row.tokens, 1.0);
      for (size_t t = 1; t < row.tokens.size(); ++t)
        if (row.mask[t]) loss = loss - next[int64_t(t) - 1] / learned;
      if (row.tokens.size() < 3) continue;
      at::Tensor behind = reference_mtp_logprobs(model.spec, wide, row.tokens);
      for (size_t t = 2; t < row.tokens.size(); ++t)
        if (row.mask[t]) mtp_loss = mtp_loss - behind[int64_t(t) - 2], ++num_targets;
    }
    mtp_loss = mtp_loss / num_targets;
    (loss + kWeight * mtp_loss).backward();
    EXPECT_NEAR(stats.sums.loss, loss.item<double>(), 1e-5);
    EXPECT_NEAR(stats.mtp_loss, mtp_loss.item<double>(), 1e-5);
    expect_same_gradient(model, learner.gradient, parameters.grad());
  }
}

TEST(MultiTokenPrediction, PackingChangesNoGradient) {
  Compute compute(2);
  const std::vector<SftSequence> rows = rows_of(700);
  std::vector<std::vector<float>> gradients;
  for (int64_t tokens : {30, 4096}) {
    CausalLM model = random_model(deepseek_with_mtp(), compute);
    Learner learner(model, compute, {.learning_rate = 0}, 1.0, 1.0);
    step(learner, pack_sequences(rows, {.max_tokens_per_batch = tokens}), learned_in(rows));
    gradients.push_back(copy_of(learner.gradient));
  }
  for (size_t i = 0; i < gradients[0].size(); ++i)
    ASSERT_NEAR(gradients[0][i], gradients[1][i], 2e-5 + 1e-3 * std::abs(gradients[1][i])) << i;
}

/// With weight 0 nothing of the layer moves, decay neither; with a weight its matrices and its router's bias do.
TEST(MultiTokenPrediction, TheLayerIsLearnedOnlyWhereItsLossIsAskedFor) {
  Compute compute(2);
  const std::vector<SftSequence> rows = rows_of(800);
  for (double weight : {0.0, 0.1}) {
    CausalLM model = random_model(deepseek_with_mtp(), compute), before = random_model(deepseek_with_mtp(), compute);
    Learner learner(model, compute, {.learning_rate = 1e-3, .weight_decay = 0.1, .router_bias_update_rate = 1e-3}, 1.0,
                    weight);
    step(learner, pack_sequences(rows, {}), learned_in(rows));
    EXPECT_NE(*model.at(model.spec.head), *before.at(before.spec.head));
    for (const ParameterSpec& p : model.spec.parameters) {
      if (p.offset < model.spec.main_parameters() || p.name.find(".experts.") != std::string::npos) continue;
      EXPECT_EQ(std::equal(model.at(p.offset), model.at(p.offset) + p.size(), before.at(p.offset)), weight == 0)
          << p.name << " with weight " << weight;
    }
  }
}

TEST(MultiTokenPrediction, AModelWithoutTheLayerIsRefused) {
  Compute compute(1);
  CausalLM model = random_model(tiny_deepseek(), compute);
  try {
    Learner(model, compute, {}, 1.0, 0.3);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(),
                 "mtp_loss_weight is 0.3, but the model has no multi-token-prediction layer: set it to 0");
  }
}

class MtpFiles : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder); }
  void TearDown() override { fs::remove_all(folder); }
  Json config() const { return Json::parse(std::ifstream(folder / "config.json")); }
  Compute compute{1};
  fs::path folder = fs::temp_directory_path() / ("cohort_mtp_" + std::to_string(getpid()));
};

/// As published: embedding and head stand in the files a second time.
TEST_F(MtpFiles, TheLayerComesBackFromAFolder) {
  const CausalLM model = random_model(deepseek_with_mtp(), compute);
  save_model(model, nullptr, folder);
  const SafetensorsFolder files = open_safetensors(folder);
  for (const char* name : {"enorm", "hnorm", "eh_proj", "shared_head.norm", "shared_head.head", "embed_tokens",
                           "mlp.experts.7.down_proj", "self_attn.kv_b_proj"})
    EXPECT_TRUE(files.find("model.layers.3." + std::string(name) + ".weight")) << name;
  EXPECT_EQ(config()["num_nextn_predict_layers"], 1);
  testing::internal::CaptureStderr();
  const LoadedModel whole = load_model(folder.string(), compute);
  ASSERT_EQ(whole.model.spec.num_parameters, model.spec.num_parameters);
  EXPECT_TRUE(std::equal(model.parameters.data(), model.parameters.data() + model.parameters.size(),
                         whole.model.parameters.data()));
  const LoadedModel decoding = load_model(folder.string(), compute, false, Weights::packed);
  EXPECT_FALSE(decoding.model.spec.mtp);
  EXPECT_EQ(decoding.model.spec.num_parameters, model.spec.main_parameters());
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << "nothing is left out that matters";
}

/// transformers writes num_nextn_predict_layers without the layer.
TEST_F(MtpFiles, FilesWithoutTheLayerAreBelieved) {
  CausalLM model = random_model(deepseek_with_mtp(), compute);
  remove_mtp(model.spec);
  save_model(model, nullptr, folder);
  EXPECT_EQ(config()["num_nextn_predict_layers"], 0);
  std::ofstream(folder / "config.json") << deepseek_with_mtp().dump();
  EXPECT_FALSE(load_spec(folder.string()).mtp);
  EXPECT_FALSE(load_model(folder.string(), compute).model.spec.mtp);
  fs::remove(folder / "model.safetensors");
  EXPECT_TRUE(load_spec(folder.string()).mtp) << "a config.json alone is all there is to go by";
}

}  // namespace
}  // namespace cohort
