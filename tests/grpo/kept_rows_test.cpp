// A kept set as a row of its own against the plain way: every other logit −infinity, the whole vocabulary summed.
#include "grpo/loss/kept_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "policy/kernels/kernels.h"

namespace cohort {
namespace {

struct Drawn {
  std::vector<float> logits;  // [V]
  std::vector<int32_t> kept;  // ascending
  size_t place;               // of the token among them
  int32_t token() const { return kept[place]; }
};

Drawn draw(std::mt19937& random) {
  const size_t vocabs[] = {1, 2, 15, 16, 17, 97, 258, 1025};
  std::normal_distribution<float> normal(0, 3);
  Drawn d{.logits = std::vector<float>(vocabs[random() % std::size(vocabs)])};
  for (float& logit : d.logits) logit = normal(random);
  const uint32_t one_in = 1 + random() % 9;
  for (size_t id = 0; id < d.logits.size(); ++id)
    if (random() % one_in == 0) d.kept.push_back(int32_t(id));
  if (d.kept.empty()) d.kept.push_back(int32_t(random() % d.logits.size()));
  d.place = random() % d.kept.size();
  return d;
}

std::vector<float> masked(const Drawn& d) {
  std::vector<float> row(d.logits.size(), -INFINITY);
  for (int32_t id : d.kept) row[size_t(id)] = d.logits[size_t(id)];
  return row;
}

TEST(KeptRows, GiveTheStatisticsAndTheGradientOfTheMaskedVocabulary) {
  const Kernels& kernels = best_kernels();
  std::mt19937 random(11);
  for (int i = 0; i < 2000; ++i) {
    const Drawn d = draw(random);
    std::vector<float> plain = masked(d), row = d.logits;
    gather_kept(d.kept, row.data());
    const int64_t V = int64_t(row.size()), K = int64_t(d.kept.size());
    const TokenStatistics expected = kernels.token_statistics(plain.data(), V, 0.7f, d.token()),
                          found = kernels.token_statistics(row.data(), K, 0.7f, int32_t(d.place));
    ASSERT_NEAR(found.logprob, expected.logprob, 1e-5);
    ASSERT_NEAR(found.entropy, expected.entropy, 1e-5);
    kernels.logits_gradient(plain.data(), V, 0.7f, d.token(), expected, 1.3f, 0.4f, plain.data());
    kernels.logits_gradient(row.data(), K, 0.7f, int32_t(d.place), found, 1.3f, 0.4f, row.data());
    scatter_kept(d.kept, row);
    for (size_t v = 0; v < row.size(); ++v) {
      ASSERT_NEAR(row[v], plain[v], 1e-5) << v;
      if (!std::ranges::binary_search(d.kept, int32_t(v))) {
        ASSERT_EQ(row[v], 0.0f) << v;
      }
    }
  }
}

TEST(KeptRows, GoBackToTheirPlaces) {
  std::mt19937 random(12);
  for (int i = 0; i < 500; ++i) {
    const Drawn d = draw(random);
    std::vector<float> row = d.logits;
    gather_kept(d.kept, row.data());
    scatter_kept(d.kept, row);
    for (size_t v = 0; v < row.size(); ++v)
      ASSERT_EQ(row[v], std::ranges::binary_search(d.kept, int32_t(v)) ? d.logits[v] : 0.0f);
  }
}

}  // namespace
}  // namespace cohort
