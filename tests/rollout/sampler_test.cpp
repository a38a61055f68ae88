// One token from one row of logits: the distribution, and what each cut leaves.
#include "rollout/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "policy/kernels/philox.h"

namespace cohort {
namespace {

const std::vector<float> kLogits = {0.1f, 2.0f, -1.0f, 1.5f, 0.0f, -3.0f, 1.0f, 0.5f};

std::vector<double> softmax(double temperature) {
  std::vector<double> p;
  double sum = 0;
  for (float l : kLogits) p.push_back(std::exp(l / temperature)), sum += p.back();
  for (double& x : p) x /= sum;
  return p;
}

Choice choose(const SamplingConfig& settings, float at, std::vector<int32_t> banned = {}) {
  std::vector<float> logits = kLogits, scratch(kLogits.size());
  return choose_token(best_kernels(), logits, settings, banned, at, scratch);
}

/// How often each token is chosen over evenly spaced uniform numbers: its probability, up to 1/count.
std::vector<double> shares(const SamplingConfig& settings, const std::vector<int32_t>& banned = {}) {
  const int count = 20000;
  std::vector<double> share(kLogits.size());
  for (int i = 0; i < count; ++i)
    share[size_t(choose(settings, (float(i) + 0.5f) / count, banned).token)] += 1.0 / count;
  return share;
}

/// Probabilities of the tokens in `kept`, renormalised.
void expect_shares(const std::vector<double>& found, std::vector<double> p, const std::set<int32_t>& kept) {
  double sum = 0;
  for (int32_t id : kept) sum += p[size_t(id)];
  for (int32_t id = 0; id < int32_t(p.size()); ++id)
    EXPECT_NEAR(found[size_t(id)], kept.count(id) ? p[size_t(id)] / sum : 0, 2e-4) << id;
}

TEST(Sampler, FollowsTheSoftmaxOfTheTemperature) {
  for (double t : {0.5, 1.0, 2.0}) expect_shares(shares({.temperature = t}), softmax(t), {0, 1, 2, 3, 4, 5, 6, 7});
}

TEST(Sampler, LogprobIsOverTheWholeVocabularyWhateverIsCut) {
  for (double t : {0.5, 1.0})
    for (const SamplingConfig& s :
         {SamplingConfig{.temperature = t}, SamplingConfig{.temperature = t, .top_p = 0.7, .top_k = 3}}) {
      Choice choice = choose(s, 0.2f);
      EXPECT_NEAR(choice.logprob, std::log(softmax(t)[size_t(choice.token)]), 1e-5);
    }
  EXPECT_NEAR(choose({.temperature = 0}, 0.9f).logprob, std::log(softmax(1)[1]), 1e-5);
}

TEST(Sampler, TopKKeepsTheMostLikely) {
  expect_shares(shares({.top_k = 3}), softmax(1), {1, 3, 6});
  expect_shares(shares({.top_k = 99}), softmax(1), {0, 1, 2, 3, 4, 5, 6, 7});
}

TEST(Sampler, TopPKeepsTheTokenThatCrosses) {
  std::vector<double> p = softmax(1);
  expect_shares(shares({.top_p = p[1] - 0.01}), p, {1});
  expect_shares(shares({.top_p = p[1] + 0.01}), p, {1, 3});
  expect_shares(shares({.top_p = p[1] + p[3] + p[6] + 0.01}), p, {1, 3, 6, 7});
}

TEST(Sampler, TopPIsOfWhatTopKLeaves) {
  std::vector<double> p = softmax(1);
  double share = p[1] / (p[1] + p[3]);  // of the two kept, more than of all
  expect_shares(shares({.top_p = share - 0.01, .top_k = 2}), p, {1});
}

TEST(Sampler, MinPIsAShareOfTheMostLikely) {
  expect_shares(shares({.min_p = std::exp(-1.01)}), softmax(1), {1, 3, 6});
  expect_shares(shares({.min_p = std::exp(-0.99)}), softmax(1), {1, 3});
}

TEST(Sampler, BannedTokensAreNeverChosen) {
  expect_shares(shares({}, {1, 6}), softmax(1), {0, 2, 3, 4, 5, 7});
  EXPECT_EQ(choose({.temperature = 0}, 0.5f, {1}).token, 3);
  EXPECT_EQ(choose({.top_k = 1}, 0.5f, {1, 3}).token, 6);
}

TEST(Sampler, TiesGoToTheLowerId) {
  std::vector<float> logits(100, 1.0f), scratch(100);
  EXPECT_EQ(choose_token(best_kernels(), logits, {.temperature = 0}, {}, 0.99f, scratch).token, 0);
  EXPECT_EQ(choose_token(best_kernels(), logits, {.top_k = 1}, {}, 0.99f, scratch).token, 0);
}

TEST(Sampler, EveryUniformNumberChoosesATokenThatIsPossible) {
  std::vector<float> logits(500), scratch(500);
  for (size_t v = 0; v < 500; ++v) logits[v] = v % 7 ? -200.0f : float(v % 11);
  for (float at : {0x1p-25f, 0.5f, 1 - 0x1p-25f, std::nextafter(1.0f, 0.0f)}) {
    std::vector<float> copy = logits;
    int32_t token = choose_token(best_kernels(), copy, {}, {}, at, scratch).token;
    EXPECT_EQ(token % 7, 0) << at;
  }
}

TEST(TokenUniform, DiffersByMemberAndPosition) {
  std::set<float> seen;
  for (uint32_t member = 0; member < 10; ++member)
    for (uint32_t position = 0; position < 10; ++position) seen.insert(token_uniform(5, member, position));
  EXPECT_EQ(seen.size(), 100u);
  EXPECT_NE(token_uniform(5, 0, 0), token_uniform(6, 0, 0));
  EXPECT_NE(token_uniform(5, 0, 0), token_uniform(5 + (1ull << 32), 0, 0));
}

}  // namespace
}  // namespace cohort
