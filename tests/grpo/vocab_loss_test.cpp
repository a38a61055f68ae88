// Losses of distillation and their gradients against TRL's on stored cases, and against the definition in plain
// doubles.
#include "grpo/loss/vocab_loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "grpo/loss/loss.h"
#include "tests/grpo/golden_file.h"
#include "tests/grpo/tiny_groups.h"

namespace cohort {
namespace {

struct Mean {
  double loss = 0;
  std::vector<float> gradient;  // [rows · V]
};

/// Over the rows whose mask is 1.
Mean mean_divergence(const DivergenceConfig& config, const Kernels& kernels, const Json& batch, float temperature) {
  const std::vector<float> student = batch.at("student"), teacher = batch.at("teacher");
  const std::vector<int> mask = batch.at("mask");
  const size_t V = batch.at("vocab");
  const double count = double(std::ranges::count(mask, 1));
  Mean mean{.gradient = std::vector<float>(student.size())};
  for (size_t r = 0; r < mask.size(); ++r) {
    if (!mask[r]) continue;
    const std::span<float> gradient = std::span(mean.gradient).subspan(r * V, V);
    const VocabRow row{std::span(student).subspan(r * V, V), std::span(teacher).subspan(r * V, V), temperature};
    mean.loss += divergence(config, kernels, row, gradient) / count;
    for (float& g : gradient) g = float(g / count);
  }
  return mean;
}

void expect_trls(const Json& golden, const Json& cases) {
  for (const Json& expected : cases) {
    Json given = expected.at("config");
    const float temperature = given.at("temperature");
    given.erase("temperature");
    DivergenceConfig config;
    read_config(given, config, "the case");
    for (const char* isa : {"scalar", "avx2", "avx512"}) {
      const Kernels* kernels = kernels_for(isa);
      if (!kernels) continue;
      SCOPED_TRACE(expected.at("batch").get<std::string>() + " " + expected.at("config").dump() + " " + isa);
      const Mean ours = mean_divergence(config, *kernels,
                                        golden.at("batches").at(expected.at("batch").get<std::string>()), temperature);
      const double loss = expected.at("loss");
      EXPECT_NEAR(ours.loss, loss, 1e-6 * std::max(1.0, std::abs(loss)));
      const std::vector<double> theirs = expected.at("gradient");
      ASSERT_EQ(ours.gradient.size(), theirs.size());
      for (size_t i = 0; i < theirs.size(); ++i)
        ASSERT_NEAR(ours.gradient[i], theirs[i], 1e-6 * std::max(1.0, std::abs(theirs[i]))) << i;
    }
  }
}

TEST(VocabLossGolden, ValueAndGradientOverTheVocabularyAreTrls) {
  const Json golden = read_golden("trl_distillation.json");
  EXPECT_EQ(golden.at("full").size(), 60u);
  expect_trls(golden, golden.at("full"));
}

TEST(VocabLossGolden, ValueAndGradientOverTheMostLikelyTokensAreTrls) {
  const Json golden = read_golden("trl_distillation.json");
  EXPECT_EQ(golden.at("top_k").size(), 72u);
  expect_trls(golden, golden.at("top_k"));
}

TEST(VocabLossGolden, SampledKlIsTrls) {
  const Json golden = read_golden("trl_distillation.json");
  for (const Json& expected : golden.at("sampled")) {
    TokenBatch batch{
        .logprobs = expected.at("logprobs"), .mask = expected.at("mask"), .ref_logprobs = expected.at("ref_logprobs")};
    batch.entropies.assign(batch.logprobs.size(), 0.5f);
    const double tokens = double(std::ranges::count(batch.mask, 1.0f));
    std::vector<float> gradient(batch.logprobs.size(), NAN);
    const LossSums sums = sampled_kl_loss(batch, {.num_tokens = tokens}, gradient);
    const double loss = expected.at("loss");
    EXPECT_NEAR(sums.loss, loss, 1e-6 * std::max(1.0, std::abs(loss)));
    EXPECT_EQ(sums.tokens, tokens);
    EXPECT_EQ(sums.entropy, 0.5 * tokens);
    for (size_t n = 0; n < gradient.size(); ++n)
      EXPECT_NEAR(gradient[n], expected.at("gradient")[n].get<double>(), 1e-6);
  }
}

std::vector<float> random_logits(size_t vocab, uint32_t seed) {
  std::vector<float> row;
  for (size_t v = 0; v < vocab; ++v) row.push_back(10 * draw(seed, uint32_t(v)));
  return row;
}

/// The definition, Σ over tokens in double.
double plain_divergence(double beta, std::span<const float> student, std::span<const float> teacher, double T) {
  const auto log_p = [&](std::span<const float> row) {
    double sum = 0;
    for (float x : row) sum += std::exp(x / T);
    std::vector<double> all;
    for (float x : row) all.push_back(x / T - std::log(sum));
    return all;
  };
  const std::vector<double> p = log_p(student), q = log_p(teacher);
  double forward = 0, reverse = 0, jsd = 0;
  for (size_t v = 0; v < p.size(); ++v) {
    const double m = std::log((1 - beta) * std::exp(p[v]) + beta * std::exp(q[v]));
    forward += std::exp(q[v]) * (q[v] - p[v]), reverse += std::exp(p[v]) * (p[v] - q[v]);
    jsd += beta * std::exp(q[v]) * (q[v] - m) + (1 - beta) * std::exp(p[v]) * (p[v] - m);
  }
  return beta == 0 ? forward : beta == 1 ? reverse : jsd;
}

TEST(VocabLoss, IsItsDefinitionOverALargeVocabulary) {
  const size_t V = 50001;
  const std::vector<float> student = random_logits(V, 1), teacher = random_logits(V, 2);
  std::vector<float> gradient(V);
  for (double beta : {0.0, 0.4, 1.0}) {
    const double plain = plain_divergence(beta, student, teacher, 0.8);
    EXPECT_NEAR(divergence({.beta = beta}, best_kernels(), {student, teacher, 0.8f}, gradient), plain, 1e-6 * plain);
    double sum = 0;
    for (float g : gradient) sum += g;
    EXPECT_NEAR(sum, 0, 1e-6);
    // one step along a direction changes it by as much as the gradient says
    double along = 0;
    std::vector<float> ahead = student, behind = student;
    for (size_t v = 0; v < V; ++v) {
      const float d = draw(3, uint32_t(v)) - 0.5f;
      along += double(gradient[v]) * d, ahead[v] += 0.01f * d, behind[v] -= 0.01f * d;
    }
    const double slope =
        (plain_divergence(beta, ahead, teacher, 0.8) - plain_divergence(beta, behind, teacher, 0.8)) / 0.02;
    EXPECT_NEAR(along, slope, 1e-3 * std::abs(slope) + 1e-6);
  }
}

TEST(VocabLoss, OfEqualsIsZeroWithoutGradient) {
  const std::vector<float> row = random_logits(264, 1);
  std::vector<float> gradient(264);
  for (double beta : {0.0, 0.5, 1.0})
    for (int32_t top_k : {0, 3}) {
      EXPECT_NEAR(divergence({.beta = beta, .loss_top_k = top_k}, best_kernels(), {row, row, 1}, gradient), 0, 1e-7);
      for (float g : gradient) EXPECT_NEAR(g, 0, 1e-7);
    }
}

/// Logits so far apart that probabilities underflow.
TEST(VocabLoss, IsFiniteWhereStudentAndTeacherAreSureOfDifferentTokens) {
  std::vector<float> student(100, -300.0f), teacher(100, -300.0f), gradient(100);
  student[3] = 300, teacher[7] = 300;
  for (double beta : {0.0, 0.5, 1.0})
    for (int32_t top_k : {0, 1, 5})
      for (bool tail : {true, false}) {
        EXPECT_TRUE(std::isfinite(divergence({.beta = beta, .loss_top_k = top_k, .loss_add_tail = tail}, best_kernels(),
                                             {student, teacher, 1}, gradient)));
        for (float g : gradient) EXPECT_TRUE(std::isfinite(g));
      }
  EXPECT_NEAR(divergence({.beta = 0.5}, best_kernels(), {student, teacher, 1}, gradient), std::log(2.0), 1e-6);
  EXPECT_NEAR(divergence({.beta = 1}, best_kernels(), {student, teacher, 1}, gradient), 600, 1e-3);
}

TEST(VocabLoss, OfEqualLogitsTheLowerIdsAreTheMostLikely) {
  const std::vector<float> student = {0, 1, 1, 1, 0.5f}, teacher = {2, 0, 1, -1, 3};
  std::vector<float> gradient(5);
  divergence({.beta = 1, .loss_top_k = 2, .loss_add_tail = false}, best_kernels(), {student, teacher, 1}, gradient);
  for (size_t likely : {1, 2}) EXPECT_NE(gradient[likely], 0);
  for (size_t other : {0, 3, 4}) EXPECT_EQ(gradient[other], 0);
}

}  // namespace
}  // namespace cohort
