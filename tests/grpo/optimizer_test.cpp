// AdamW, its schedule, clipping, and the balancing of routers.
#include <gtest/gtest.h>

#include "tests/grpo/golden_file.h"
#include "tests/grpo/tiny_groups.h"

namespace cohort {
namespace {

TEST(AdamWGolden, WeightsAreTorchs) {
  Json golden = read_golden("adamw.json");
  double lr = golden.at("learning_rate"), beta1 = golden.at("beta1"), beta2 = golden.at("beta2"),
         epsilon = golden.at("epsilon");
  for (const char* isa : {"scalar", "avx2", "avx512"}) {
    const Kernels* kernels = kernels_for(isa);
    if (!kernels) continue;
    for (const Json& expected : golden.at("cases")) {
      std::vector<float> weight = golden.at("start"), mean(8, 0.0f), variance(8, 0.0f);
      double clip = expected.at("max_grad_norm");
      for (size_t t = 0; t < golden.at("gradients").size(); ++t) {
        std::vector<float> gradient = golden.at("gradients")[t];
        double norm = std::sqrt(kernels->sum_of_squares(gradient.data(), 8)), count = double(t + 1);
        EXPECT_NEAR(norm, expected.at("norms")[t].get<double>(), 1e-6);
        kernels->adamw(weight.data(), mean.data(), variance.data(), gradient.data(), 8,
                       {.learning_rate = float(lr),
                        .beta1 = float(beta1),
                        .beta2 = float(beta2),
                        .epsilon = float(epsilon),
                        .weight_decay = expected.at("weight_decay"),
                        .correction1 = float(1 - std::pow(beta1, count)),
                        .correction2 = float(1 - std::pow(beta2, count)),
                        .gradient_scale = clip > 0 && norm > clip ? float(clip / (norm + 1e-6)) : 1.0f});
        for (size_t i = 0; i < 8; ++i)
          EXPECT_NEAR(weight[i], expected.at("after")[t][i].get<double>(), 2e-6) << isa << " step " << t;
      }
    }
  }
}

struct Trainee {
  Trainee(const Json& config, const OptimizerConfig& optimizer, int threads = 2)
      : compute(threads), model(random_model(config, compute)), learner(model, compute, optimizer, 1.0) {}
  StepStats step(std::span<const Group> groups, std::span<const double> load = {}) {
    std::vector<MicroBatch> batches = pack(groups, {.max_tokens_per_batch = 64}, Keep::all);
    LossScale scale = loss_scale(groups, {}, 24);
    return learner.step(
        batches, [&](const TokenBatch& b, const TokenGradient& d) { return grpo_loss({}, b, scale, d); }, 100, load);
  }
  std::vector<float> weights() const { return copy_of(model.parameters); }
  Compute compute;
  CausalLM model;
  Learner learner;
};

std::vector<Group> stored_groups(const Json& config) {
  StillLearner still(config);
  std::vector<Group> groups = tiny_groups();
  store_logprobs(groups, still.learner, 0.1f);
  return groups;
}

/// AdamW in double over the learner's own gradients.
struct PlainAdamW {
  std::vector<double> weight, mean, variance;
  explicit PlainAdamW(const std::vector<float>& start)
      : weight(start.begin(), start.end()), mean(start.size()), variance(start.size()) {}
  void step(const ParameterSpec& p, const std::vector<float>& gradient, double scale, double lr, double decay,
            int count) {
    for (size_t i = size_t(p.offset); i < size_t(p.offset + p.size()); ++i) {
      double g = gradient[i] * scale;
      mean[i] = 0.9 * mean[i] + 0.1 * g, variance[i] = 0.999 * variance[i] + 0.001 * g * g;
      weight[i] -= lr * (p.shape.size() > 1 ? decay : 0) * weight[i];
      weight[i] -=
          lr * (mean[i] / (1 - std::pow(0.9, count))) / (std::sqrt(variance[i] / (1 - std::pow(0.999, count))) + 1e-8);
    }
  }
};

/// So that a run with a skipped step learns from the others what it would have learned without it.
TEST(Optimizer, ASkippedStepLeavesTheOthersAsTheyWere) {
  for (const Json& config : {tiny_llama(), tiny_deepseek(24)}) {
    const std::vector<Group> groups = stored_groups(config);
    const OptimizerConfig optimizer{
        .learning_rate = 0.01, .lr_scheduler_type = "constant", .router_bias_update_rate = 0.1};
    Trainee plain(config, optimizer), skipping(config, optimizer);
    for (int i = 0; i < 2; ++i) plain.step(groups), skipping.step(groups);
    const std::vector<float> before = skipping.weights(), mean = copy_of(skipping.learner.mean);
    for (bool loss_alone : {false, true}) {
      const TokenLoss broken = [&](const TokenBatch&, const TokenGradient& d) {
        LossSums sums;
        loss_alone ? sums.loss = NAN : d.logprobs[0] = NAN;
        return sums;
      };
      std::vector<MicroBatch> batches = pack(groups, {.max_tokens_per_batch = 64}, Keep::all);
      EXPECT_THROW(skipping.learner.step(batches, broken, 100), std::runtime_error);
      skipping.learner.begin_step();
      for (MicroBatch& batch : batches) skipping.learner.pass(batch, broken);
      EXPECT_TRUE(skipping.learner.end_step(100).is_skipped);
    }
    EXPECT_EQ(skipping.learner.step(), 4) << "it counts as taken";
    EXPECT_EQ(skipping.weights(), before);
    EXPECT_EQ(copy_of(skipping.learner.mean), mean);
    for (int i = 0; i < 2; ++i) EXPECT_FALSE((plain.step(groups), skipping.step(groups)).is_skipped);
    EXPECT_EQ(skipping.weights(), plain.weights());
  }
}

TEST(Optimizer, StepsAreAdamWOfTheClippedGradient) {
  for (double max_norm : {0.0, 0.01, 1e9}) {
    Json config = tiny_deepseek();
    std::vector<Group> groups = stored_groups(config);
    Trainee trainee(
        config,
        {.learning_rate = 1e-2, .weight_decay = 0.1, .max_grad_norm = max_norm, .lr_scheduler_type = "constant"});
    PlainAdamW plain(trainee.weights());
    for (int count = 1; count <= 3; ++count) {
      StepStats stats = trainee.step(groups);
      std::vector<float> gradient = copy_of(trainee.learner.gradient);
      double squares = 0;
      for (float g : gradient) squares += double(g) * g;
      EXPECT_NEAR(stats.grad_norm, std::sqrt(squares), 1e-6 * stats.grad_norm);
      EXPECT_EQ(stats.learning_rate, 1e-2);
      EXPECT_EQ(trainee.learner.step(), count);
      double scale = max_norm > 0 && stats.grad_norm > max_norm ? max_norm / stats.grad_norm : 1;
      EXPECT_EQ(scale < 1, max_norm == 0.01);
      std::vector<float> weights = trainee.weights();
      for (const ParameterSpec& p : trainee.model.spec.parameters) {
        if (!p.gradient) continue;
        plain.step(p, gradient, scale, 1e-2, 0.1, count);
        for (size_t i = size_t(p.offset); i < size_t(p.offset + p.size()); ++i) {
          ASSERT_NEAR(trainee.learner.mean[int64_t(i)], plain.mean[i], 1e-5 * std::abs(plain.mean[i]) + 1e-9) << p.name;
          ASSERT_NEAR(weights[i], plain.weight[i], 2e-5) << p.name << " step " << count << " clip " << max_norm;
        }
      }
    }
  }
}

TEST(Optimizer, AStepWithoutMicroBatchesStillMoves) {
  std::vector<Group> groups = stored_groups(tiny_llama());
  Trainee trainee(tiny_llama(), {.learning_rate = 1e-2, .lr_scheduler_type = "constant"});
  trainee.step(groups);
  std::vector<float> before = trainee.weights();
  StepStats stats = trainee.step({});
  EXPECT_EQ(stats.grad_norm, 0);
  EXPECT_EQ(trainee.learner.step(), 2);
  EXPECT_GT(relative_difference(trainee.weights(), before), 1e-4);  // momentum
}

TEST(Optimizer, WeightsHaveTheSameBitsForEveryThreadCount) {
  for (const Json& config : {tiny_llama(), tiny_deepseek(24)}) {
    std::vector<Group> groups = stored_groups(config);
    std::vector<float> expected;
    for (int threads : {1, 2, 3}) {
      Trainee trainee(config, {.learning_rate = 1e-2, .router_bias_update_rate = 1e-3}, threads);
      for (int i = 0; i < 3; ++i) trainee.step(groups);
      if (threads == 1) expected = trainee.weights();
      EXPECT_TRUE(trainee.weights() == expected) << threads;
    }
  }
}

TEST(Optimizer, UpdatesLowerTheLoss) {
  Json config = tiny_deepseek();
  std::vector<Group> groups = stored_groups(config);
  Trainee trainee(config, {.learning_rate = 2e-3, .lr_scheduler_type = "constant"});
  double first = trainee.step(groups).sums.loss, last = first;
  for (int i = 0; i < 5; ++i) last = trainee.step(groups).sums.loss;
  EXPECT_LT(last, first - 0.01);
}

TEST(LearningRate, FollowsItsSchedule) {
  OptimizerConfig linear{.learning_rate = 1.0, .lr_scheduler_type = "linear"};
  EXPECT_EQ(learning_rate_at(linear, 0, 10), 1.0);
  EXPECT_NEAR(learning_rate_at(linear, 5, 10), 0.5, 1e-12);
  EXPECT_NEAR(learning_rate_at(linear, 9, 10), 0.1, 1e-12);
  EXPECT_EQ(learning_rate_at(linear, 15, 10), 0.0);
  for (const auto& [type, least] : {std::pair("cosine", 0.0), std::pair("cosine_with_min_lr", 0.2)}) {
    OptimizerConfig cosine{.learning_rate = 2.0, .lr_scheduler_type = type};
    EXPECT_EQ(learning_rate_at(cosine, 0, 8), 2.0);
    EXPECT_NEAR(learning_rate_at(cosine, 4, 8), (2 + least) / 2, 1e-12);
    EXPECT_NEAR(learning_rate_at(cosine, 8, 8), least, 1e-12);
    EXPECT_NEAR(learning_rate_at(cosine, 99, 8), least, 1e-12);
  }
  for (const char* type : {"constant", "constant_with_warmup"})
    EXPECT_EQ(learning_rate_at({.learning_rate = 3.0, .lr_scheduler_type = type}, 7, 8), 3.0);
}

TEST(LearningRate, RisesDuringWarmUp) {
  EXPECT_EQ(learning_rate_at({.learning_rate = 1.0, .lr_scheduler_type = "constant", .warmup_steps = 4}, 0, 20), 1.0);
  for (const char* type : {"linear", "cosine", "cosine_with_min_lr", "constant_with_warmup"}) {
    OptimizerConfig c{.learning_rate = 1.0, .lr_scheduler_type = type, .warmup_steps = 4};
    for (int64_t step = 0; step < 4; ++step)
      EXPECT_NEAR(learning_rate_at(c, step, 20), double(step + 1) / 5, 1e-12) << type;
    EXPECT_EQ(learning_rate_at(c, 4, 20), 1.0) << type;
    EXPECT_GT(learning_rate_at(c, 0, 20), 0) << type;
  }
  EXPECT_NEAR(learning_rate_at({.learning_rate = 1.0, .lr_scheduler_type = "linear", .warmup_steps = 4}, 12, 20), 0.5,
              1e-12);
}

std::vector<float> router_biases(const CausalLM& model) {
  std::vector<float> biases;
  for (const LayerSpec& layer : model.spec.layers)
    for (int32_t e = 0; !layer.dense_dim && e < layer.moe.experts; ++e)
      biases.push_back(*model.at(layer.offsets.router_bias + e));
  return biases;
}

TEST(RouterBalance, MovesEachBiasByGammaTowardsAnEvenLoad) {
  std::vector<double> load = {10, 0, 4, 4, 4, 4, 6, 0, /* layer 2 */ 1, 1, 1, 1, 1, 1, 1, 9};
  Trainee trainee(tiny_deepseek(), {.learning_rate = 0, .router_bias_update_rate = 0.25});
  EXPECT_EQ(router_biases(trainee.model), std::vector<float>(16, 0.0f));
  trainee.step({}, load);
  EXPECT_EQ(router_biases(trainee.model), (std::vector<float>{-0.25f, 0.25f, 0, 0, 0, 0, -0.25f, 0.25f, 0.25f, 0.25f,
                                                              0.25f, 0.25f, 0.25f, 0.25f, 0.25f, -0.25f}));
}

TEST(RouterBalance, EvensTheLoad) {
  Json config = tiny_deepseek();
  std::vector<Group> groups = stored_groups(config);
  Trainee trainee(config, {.learning_rate = 0, .router_bias_update_rate = 0.01});
  auto spread = [&] {
    double most = 0;
    for (double l : trainee.learner.expert_load()) most = std::max(most, l);
    return most;
  };
  trainee.step(groups);
  double first = spread();
  for (int i = 0; i < 40; ++i) trainee.step(groups);
  EXPECT_LT(spread(), 0.9 * first);
}

TEST(RouterBalance, PolicyDecidesWhatIsTrained) {
  Json config = tiny_deepseek();
  std::vector<Group> groups = stored_groups(config);
  for (const char* policy : {"train", "bias_only", "freeze"}) {
    Trainee trainee(config, {.learning_rate = 1e-2, .router_policy = policy, .router_bias_update_rate = 0.01});
    std::vector<float> before = trainee.weights();
    trainee.step(groups);
    std::vector<float> after = trainee.weights();
    for (const ParameterSpec& p : trainee.model.spec.parameters) {
      bool moved =
          !std::equal(before.begin() + p.offset, before.begin() + p.offset + p.size(), after.begin() + p.offset);
      bool expected = p.name.ends_with("mlp.gate.weight") ? policy == std::string("train")
                                                          : p.gradient || policy != std::string("freeze");
      EXPECT_EQ(moved, expected) << policy << " " << p.name;
    }
  }
}

}  // namespace
}  // namespace cohort
