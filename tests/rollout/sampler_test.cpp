// One token from one row of logits: the distribution, and what each cut leaves.
#include "rollout/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "configs/error.h"
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

Choice choose(std::vector<float> logits, const SamplingConfig& settings, float at,
              const SamplingContext& context = {}) {
  SamplerScratch scratch;
  return choose_token(best_kernels(), logits, settings, context, at, scratch);
}
Choice choose(const SamplingConfig& settings, float at, const std::vector<int32_t>& banned = {}) {
  return choose(kLogits, settings, at, {.banned = banned});
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
  const std::vector<float> logits(100, 1.0f);
  EXPECT_EQ(choose(logits, {.temperature = 0}, 0.99f).token, 0);
  EXPECT_EQ(choose(logits, {.top_k = 1}, 0.99f).token, 0);
  EXPECT_EQ(choose(logits, {.top_k = 7}, 0.99f).token, 6);
  EXPECT_EQ(choose(logits, {.top_p = 0.2}, 0.99f).token, 19);
}

TEST(Sampler, EveryUniformNumberChoosesATokenThatIsPossible) {
  std::vector<float> logits(500);
  for (size_t v = 0; v < 500; ++v) logits[v] = v % 7 ? -200.0f : float(v % 11);
  for (float at : {0x1p-25f, 0.5f, 1 - 0x1p-25f, std::nextafter(1.0f, 0.0f)}) {
    EXPECT_EQ(choose(logits, {}, at).token % 7, 0) << at;
    EXPECT_EQ(choose(logits, {.top_k = 400}, at).token % 7, 0) << at;
  }
}

TEST(Sampler, PenaltiesAndBiasesChangeTheLogitsInTheirOrder) {
  const std::vector<int32_t> prompt = {1, 1, 2}, completion = {3, 5, 3, 3};
  const SamplingConfig s{.repetition_penalty = 2,
                         .presence_penalty = 0.25,
                         .frequency_penalty = 0.5,
                         .logit_bias = {{1, 1.0}, {4, -3.0}, {5, 7.0}}};
  std::vector<float> logits = kLogits;
  std::vector<int32_t> counts;
  for (int round = 0; round < 2; ++round) {  // what it counted is forgotten
    logits = kLogits;
    apply_penalties(logits, s, {.prompt = prompt, .completion = completion}, counts);
  }
  // 1: (2 + 1)/2; 2: −1·2; 3: 1.5/2 − 3·0.5 − 0.25; 4: 0 − 3; 5: (−3 + 7)/2 − 0.5 − 0.25
  const std::vector<float> expected = {0.1f, 1.5f, -2.0f, -1.0f, -3.0f, 1.25f, 1.0f, 0.5f};
  EXPECT_EQ(logits, expected);
}

TEST(Sampler, LogprobIsThatOfThePenalisedDistribution) {
  const std::vector<int32_t> completion = {1};
  const SamplingConfig s{.temperature = 0.5, .top_k = 4, .presence_penalty = 1.5};
  std::vector<float> logits = kLogits;
  logits[1] -= 1.5f;
  const Choice plain = choose(logits, {.temperature = 0.5, .top_k = 4}, 0.6f),
               penalised = choose(kLogits, s, 0.6f, {.completion = completion});
  EXPECT_EQ(penalised.token, plain.token);
  EXPECT_EQ(penalised.logprob, plain.logprob);
  EXPECT_EQ(penalised.entropy, plain.entropy);
}

TEST(Sampler, TheKeptSetIsStoredAndRenormalisedOverWhenAskedFor) {
  SamplerScratch scratch;
  const std::vector<double> p = softmax(1);
  const double sum = p[1] + p[3] + p[6];
  for (const SamplingConfig& s : {SamplingConfig{.top_k = 3, .keep_sampling_mask = true},
                                  SamplingConfig{.top_p = p[1] + p[3] + 0.01, .keep_sampling_mask = true},
                                  SamplingConfig{.min_p = std::exp(-1.01), .keep_sampling_mask = true}}) {
    std::vector<float> logits = kLogits;
    const Choice choice = choose_token(best_kernels(), logits, s, {}, 0.7f, scratch);
    EXPECT_EQ(scratch.kept, (std::vector<int32_t>{1, 3, 6}));
    EXPECT_NEAR(choice.logprob, std::log(p[size_t(choice.token)] / sum), 1e-6);
  }
  std::vector<float> logits = kLogits;
  const Choice all = choose_token(best_kernels(), logits, {.keep_sampling_mask = true}, {}, 0.7f, scratch);
  EXPECT_TRUE(scratch.kept.empty()) << "nothing was cut";
  EXPECT_EQ(all.logprob, choose({}, 0.7f).logprob);
}

TEST(Sampler, RefusesTokensOutsideTheVocabulary) {
  EXPECT_NO_THROW(expect_in_vocabulary({.stop_token_ids = {7}, .logit_bias = {{0, 1.0}}}, 8));
  EXPECT_THROW(expect_in_vocabulary({.logit_bias = {{8, 1.0}}}, 8), UsageError);
  EXPECT_THROW(expect_in_vocabulary({.logit_bias = {{-1, 1.0}}}, 8), UsageError);
  EXPECT_THROW(expect_in_vocabulary({.stop_token_ids = {8}}, 8), UsageError);
}

TEST(Sampler, SettingsAreReadAndWritten) {
  const Json settings = {{"logit_bias", {{"42", -100.0}, {"7", 0.5}}},
                         {"repetition_penalty", 1.25},
                         {"presence_penalty", 0.5},
                         {"frequency_penalty", -0.5},
                         {"stop_token_ids", {2, 3}},
                         {"keep_sampling_mask", true}};
  SamplingConfig s;
  read_config(settings, s, "test");
  EXPECT_EQ(s.logit_bias, (std::map<int32_t, double>{{7, 0.5}, {42, -100.0}}));
  const Json written = dump_config(s);
  for (const auto& [key, value] : settings.items()) EXPECT_EQ(written[key], value) << key;
  for (const char* key : {"x", "-1", "1.5", "", "99999999999"})
    EXPECT_THROW(read_config(Json{{"logit_bias", {{key, 1}}}}, s, "test"), UsageError) << key;
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
