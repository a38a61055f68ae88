#include "tasks/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "tasks/cursor.h"
#include "tasks/split.h"

namespace cohort {
namespace {

// Expected values: the formulas of random.h and split.h worked in arbitrary-precision integers outside of this program.
TEST(RandomGolden, BitsAreTheSameOnEveryMachine) {
  RandomStream first(0, 0);
  EXPECT_EQ(first.next(), 0x568a9b0b1a2c05ecULL);
  EXPECT_EQ(first.next(), 0x44e5b8b147ef718bULL);
  EXPECT_EQ(first.next(), 0x458563ab55521133ULL);
  RandomStream second(7, 3);
  for (uint64_t digit : {1, 5, 1, 2, 8, 2, 8, 5}) EXPECT_EQ(second.below(10), digit);
  EXPECT_EQ(second.uniform(), 0.5215784990161847);
}

TEST(RandomGolden, PermutationsAndHashesAreTheSameOnEveryMachine) {
  EXPECT_EQ(permutation(10, 1, 0), (std::vector<int64_t>{1, 9, 6, 5, 7, 4, 3, 2, 8, 0}));
  EXPECT_EQ(permutation(10, 1, 1), (std::vector<int64_t>{0, 8, 1, 4, 2, 3, 6, 9, 7, 5}));
  EXPECT_EQ(stable_hash(""), 0xf52a15e9a9b5e89bULL);
  EXPECT_EQ(stable_hash("3+4*2-7="), 0x8fbf6ae4646df339ULL);
  EXPECT_EQ(prompt_hash({{"", "  What is\t2 +\n2? "}}), 0x6a51752b7d8785f9ULL);  // of "what is 2 + 2?"
}

TEST(Random, BelowIsUniform) {
  std::array<int, 7> counts{};
  RandomStream random(1, 2);
  for (int i = 0; i < 70000; ++i) ++counts[random.below(7)];
  for (int count : counts) EXPECT_NEAR(count, 10000, 5 * 93);  // five standard deviations
  for (int i = 0; i < 100; ++i) EXPECT_EQ(random.below(1), 0U);
}

TEST(Random, BetweenReachesBothEnds) {
  RandomStream random(1, 3);
  int64_t low = 0, high = 0;
  for (int i = 0; i < 1000; ++i) {
    const int64_t x = random.between(-3, 3);
    low = std::min(low, x);
    high = std::max(high, x);
  }
  EXPECT_EQ(low, -3);
  EXPECT_EQ(high, 3);
}

TEST(Random, EveryPermutationHoldsEachIndexOnce) {
  for (int64_t size : {0, 1, 2, 3, 100, 1000}) {
    std::vector<int64_t> order = permutation(size, 5, size), all(size);
    std::iota(all.begin(), all.end(), 0);
    if (size > 50) {
      EXPECT_NE(order, all);
    }
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, all);
  }
}

TEST(Split, SidesAreDisjointAndMeetTheShare) {
  int held_out = 0;
  for (int i = 0; i < 20000; ++i) {
    const uint64_t hash = stable_hash(std::to_string(i));
    const bool is_held_out = in_split(hash, Split::held_out, 0.2);
    EXPECT_NE(is_held_out, in_split(hash, Split::train, 0.2));
    EXPECT_TRUE(in_split(hash, Split::all, 0.2));
    if (in_split(hash, Split::held_out, 0.1)) {
      EXPECT_TRUE(is_held_out);
    }  // a smaller share lies inside a larger
    held_out += is_held_out;
  }
  EXPECT_NEAR(held_out, 4000, 5 * 57);
}

TEST(Split, EndsOfTheShare) {
  for (int i = 0; i < 100; ++i) {
    const uint64_t hash = stable_hash(std::to_string(i));
    EXPECT_TRUE(in_split(hash, Split::train, 0));
    EXPECT_TRUE(in_split(hash, Split::held_out, 1));
  }
  EXPECT_TRUE(in_split(UINT64_MAX, Split::held_out, 1));
}

TEST(Split, EqualPromptsHaveEqualHashes) {
  const uint64_t plain = prompt_hash({{"", "What is 2 + 2?"}});
  EXPECT_EQ(plain, prompt_hash({{"user", "what is  2 + 2?\n"}}));
  EXPECT_EQ(plain, prompt_hash({{"system", "Think."}, {"user", "What is 2 + 2?"}}));
  EXPECT_NE(plain, prompt_hash({{"", "What is 2 + 3?"}}));
  EXPECT_NE(prompt_hash({{"user", "a"}, {"user", "b"}}), prompt_hash({{"user", "a b"}}));
}

}  // namespace
}  // namespace cohort
