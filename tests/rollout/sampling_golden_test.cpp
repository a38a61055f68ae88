// The sampler draws from the distributions that transformers' logits processors leave (generate_sampling_goldens.py).
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "policy/kernels/philox.h"
#include "rollout/sampler.h"

namespace cohort {
namespace {

constexpr int kDraws = 200000;

Json golden() {
  std::ifstream in(COHORT_SOURCE_DIR "/tests/rollout/golden/sampling.json");
  return Json::parse(in);
}

struct Case {
  std::string name;
  std::vector<float> logits;
  SamplingConfig settings;
  std::vector<int32_t> prompt, completion, banned, kept;
  std::vector<double> probability;  // [V]
};

Case case_of(const Json& golden, const Json& stored) {
  Case c{.name = stored.dump().substr(0, 160),
         .logits = golden["rows"][stored["row"].get<std::string>()],
         .prompt = golden["prompt"],
         .completion = golden["completion"]};
  read_config(stored["settings"], c.settings, "sampling.json");
  if (c.settings.min_tokens > int32_t(c.completion.size())) golden["stop_ids"].get_to(c.banned);
  c.probability.resize(c.logits.size());
  for (size_t i = 0; i < stored["kept"].size(); ++i) {
    const double p = stored["probabilities"][i];
    if (p < 1e-37) continue;  // below e^-87 of the largest, which is 0 here
    c.kept.push_back(stored["kept"][i]);
    c.probability[size_t(c.kept.back())] = p;
  }
  return c;
}

std::vector<Case> cases() {
  const Json file = golden();
  std::vector<Case> all;
  for (const Json& stored : file["cases"]) all.push_back(case_of(file, stored));
  return all;
}

std::vector<int64_t> draw(const Case& c, uint64_t seed) {
  std::vector<int64_t> counts(c.logits.size());
  SamplerScratch scratch;
  std::vector<float> row;
  for (int i = 0; i < kDraws; ++i) {
    row = c.logits;
    const float uniform = token_uniform(seed, uint32_t(i % 16), uint32_t(i / 16));
    const SamplingContext context{c.prompt, c.completion, c.banned};
    ++counts[size_t(choose_token(best_kernels(), row, c.settings, context, uniform, scratch).token)];
  }
  return counts;
}

/// Pearson's statistic as a normal deviate (Wilson and Hilferty 1931); tokens expected fewer than 10 times are one
/// class. Infinite where a token came that cannot.
double deviate(const std::vector<int64_t>& counts, const std::vector<double>& probability) {
  double statistic = 0, rare_expected = 0, rare_found = 0, classes = 0;
  const auto add = [&](double expected, double found) {
    statistic += (found - expected) * (found - expected) / expected;
    ++classes;
  };
  for (size_t v = 0; v < counts.size(); ++v) {
    const double expected = probability[v] * kDraws;
    if (probability[v] == 0 && counts[v] > 0) return INFINITY;
    if (expected >= 10)
      add(expected, double(counts[v]));
    else
      rare_expected += expected, rare_found += double(counts[v]);
  }
  if (rare_expected >= 10) add(rare_expected, rare_found);
  const double freedom = classes - 1;
  if (freedom < 1) return 0;
  return (std::cbrt(statistic / freedom) - (1 - 2 / (9 * freedom))) / std::sqrt(2 / (9 * freedom));
}

TEST(SamplingGolden, TheKeptSetIsTransformers) {
  int64_t cut = 0;
  for (Case& c : cases()) {
    SamplerScratch scratch;
    c.settings.keep_sampling_mask = true;
    std::vector<float> row = c.logits;
    const Choice choice =
        choose_token(best_kernels(), row, c.settings, {c.prompt, c.completion, c.banned}, 0.3f, scratch);
    EXPECT_NEAR(choice.logprob, std::log(c.probability[size_t(choice.token)]), 2e-5) << c.name;
    if (scratch.kept.empty()) {
      EXPECT_GE(c.kept.size(), c.logits.size() - 1) << c.name;
      continue;
    }
    EXPECT_EQ(scratch.kept, c.kept) << c.name;
    ++cut;
  }
  EXPECT_GE(cut, 30);
}

TEST(SamplingGolden, TwoHundredThousandDrawsFollowTransformersDistribution) {
  const std::vector<Case> all = cases();
  ASSERT_GE(all.size(), 40u);
  for (size_t i = 0; i < all.size(); ++i)
    EXPECT_LT(deviate(draw(all[i], 100 + i), all[i].probability), 4.5) << all[i].name;  // one in 300,000 by chance
}

TEST(SamplingGolden, TheTestSeesADistributionThatIsSlightlyOff) {
  for (const auto& [off, expected] : {std::pair{SamplingConfig{.temperature = 0.95}, SamplingConfig{}},
                                      {SamplingConfig{.presence_penalty = 0.25}, SamplingConfig{}}}) {
    Case c = cases()[0];
    ASSERT_EQ(dump_config(c.settings), dump_config(expected)) << "the first case is the plain softmax";
    c.settings = off;
    EXPECT_GT(deviate(draw(c, 9), c.probability), 6) << dump_config(off).dump();
  }
}

}  // namespace
}  // namespace cohort
