// The sampler without a sort against the one that sorts: the same choice, log-probability and kept set to the bit, on
// every instruction set, for rows of any length and shape.
#include "rollout/sampler_reference.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

namespace cohort {
namespace {

std::vector<const Kernels*> all_kernels() {
  std::vector<const Kernels*> found;
  for (const char* isa : {"scalar", "avx2", "avx512"})
    if (const Kernels* kernels = kernels_for(isa)) found.push_back(kernels);
  return found;
}

struct Drawn {  // a random row and what is asked of it
  std::vector<float> logits;
  SamplingConfig settings;
  std::vector<int32_t> prompt, completion, banned;
  float uniform = 0;
  SamplingContext context() const { return {prompt, completion, banned}; }
};

/// Flat, peaked, with ties, far apart, with tokens that cannot be chosen.
std::vector<float> draw_logits(std::mt19937& random, int64_t vocab) {
  std::normal_distribution<float> normal;
  const float spread = std::array{0.01f, 1.0f, 3.0f, 8.0f, 60.0f}[random() % 5];
  const uint32_t kind = random() % 4;
  std::vector<float> logits;
  for (int64_t v = 0; v < vocab; ++v) {
    float logit = normal(random) * spread;
    if (kind == 1) logit = std::round(logit * 2) / 2;
    if (kind == 2 && random() % 3 == 0) logit = -INFINITY;
    logits.push_back(logit);
  }
  if (kind == 3) logits[random() % logits.size()] = 40;
  if (kind == 2) logits[0] = 0;
  return logits;
}

Drawn draw(std::mt19937& random) {
  const int64_t vocabs[] = {1, 2, 15, 16, 17, 63, 64, 65, 258, 1000, 1023, 1024, 1025, 4097, 20000};
  const int64_t vocab = vocabs[random() % std::size(vocabs)];
  Drawn d{.logits = draw_logits(random, vocab)};
  std::uniform_real_distribution<double> uniform;
  SamplingConfig& s = d.settings;
  s.temperature = std::array{0.0, 0.3, 0.7, 1.0, 1.9}[random() % 5];
  if (random() % 2) s.top_k = int32_t(std::array<int64_t, 6>{1, 2, 50, 777, vocab - 1, vocab}[random() % 6]);
  if (random() % 2) s.top_p = std::array{1e-9, 0.1, 0.9, 0.999, 1 - 1e-12, uniform(random)}[random() % 6];
  if (random() % 3 == 0) s.min_p = std::array{1e-6, 0.1, 1.0, uniform(random)}[random() % 4];
  if (random() % 4 == 0) s.repetition_penalty = 1.3, s.frequency_penalty = 0.2;
  if (random() % 4 == 0) s.logit_bias = {{int32_t(random() % vocab), 5.5}, {0, -2.0}};
  s.keep_sampling_mask = random() % 2;
  const auto ids = [&](size_t count) {
    std::vector<int32_t> some;
    while (some.size() < count) some.push_back(int32_t(random() % vocab));
    return some;
  };
  d.prompt = ids(random() % 9), d.completion = ids(random() % 9);
  if (random() % 3 == 0) d.banned = ids(random() % 4);
  d.uniform = std::array{0x1p-25f, 1 - 0x1p-24f, float(uniform(random)), float(uniform(random))}[random() % 4];
  return d;
}

TEST(SamplerReference, IsMatchedToTheBitOnEveryInstructionSet) {
  std::mt19937 random(7);
  std::vector<SamplerScratch> scratch(3);  // reused from row to row as by the engine
  const std::vector<const Kernels*> tables = all_kernels();
  int64_t cut = 0;
  for (int i = 0; i < 4000; ++i) {
    const Drawn d = draw(random);
    std::vector<float> logits = d.logits;
    const ReferenceChoice expected = choose_token_reference(*tables[0], logits, d.settings, d.context(), d.uniform);
    for (size_t t = 0; t < tables.size(); ++t) {
      std::vector<float> row = d.logits;
      const Choice found = choose_token(*tables[t], row, d.settings, d.context(), d.uniform, scratch[t]);
      const std::string where = "row " + std::to_string(i) + " of " + std::to_string(row.size()) + " on " +
                                tables[t]->isa + " " + dump_config(d.settings).dump();
      ASSERT_EQ(found.token, expected.choice.token) << where;
      ASSERT_EQ(std::bit_cast<uint32_t>(found.logprob), std::bit_cast<uint32_t>(expected.choice.logprob)) << where;
      ASSERT_EQ(std::bit_cast<uint32_t>(found.entropy), std::bit_cast<uint32_t>(expected.choice.entropy)) << where;
      if (!scratch[t].kept.empty()) {
        ASSERT_EQ(scratch[t].kept, expected.kept) << where;
      }
    }
    cut += !scratch[0].kept.empty();
  }
  EXPECT_GT(cut, 500);
}

TEST(SamplerReference, ManyEqualLogitsAreCutAtTheSamePlace) {
  SamplerScratch scratch;
  std::vector<float> logits(30000);
  for (size_t v = 0; v < logits.size(); ++v) logits[v] = float(v * 7919 % 3);
  for (int32_t k : {1, 49, 9999, 10000, 10001, 25000})
    for (double p : {1.0, 0.5, 0.9}) {
      const SamplingConfig s{.top_p = p, .top_k = k, .keep_sampling_mask = true};
      std::vector<float> a = logits, b = logits;
      choose_token(best_kernels(), a, s, {}, 0.5f, scratch);
      ASSERT_EQ(scratch.kept, choose_token_reference(best_kernels(), b, s, {}, 0.5f).kept) << k << " " << p;
    }
}

}  // namespace
}  // namespace cohort
