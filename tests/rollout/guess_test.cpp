#include "rollout/guess.h"

#include <gtest/gtest.h>

namespace cohort {
namespace {

using Ids = std::vector<int32_t>;

TEST(GuessNext, TakesWhatFollowedTheSameTokensInAnEarlierCompletion) {
  const std::vector<Ids> earlier = {{5, 6, 7, 8, 9, 10, 11}};
  EXPECT_EQ(guess_next(Ids{1, 2, 3}, Ids{5, 6}, earlier, 0, 3), (Ids{7, 8, 9}));
  EXPECT_EQ(guess_next(Ids{1, 2, 3}, Ids{5}, earlier, 0, 2), (Ids{6, 7}));  // the match reaches into the prompt
  EXPECT_EQ(guess_next(Ids{1, 2, 3}, Ids{4, 8, 9, 10}, earlier, 0, 9), (Ids{11}));
  EXPECT_EQ(guess_next(Ids{1, 2, 3}, Ids{4, 12}, earlier, 0, 9), Ids{});
}

TEST(GuessNext, TheMembersOwnCompletionComesFirstAndTheNearestPlaceInIt) {
  const std::vector<Ids> earlier = {{5, 6, 70}, {5, 6, 71, 0, 0, 0, 5, 6, 72, 0}};
  EXPECT_EQ(guess_next(Ids{1}, Ids{5, 6}, earlier, 0, 1), (Ids{70}));
  EXPECT_EQ(guess_next(Ids{1}, Ids{5, 6}, earlier, 1, 1), (Ids{71}));
  EXPECT_EQ(guess_next(Ids{1}, Ids{9, 9, 9, 9, 5, 6}, earlier, 1, 1), (Ids{72}));
}

TEST(GuessNext, ALongerMatchIsPreferredAndTheTextItselfServesToo) {
  EXPECT_EQ(guess_next(Ids{1, 2, 3, 4, 9, 2, 3, 7}, Ids{1, 2, 3}, {}, 0, 2), (Ids{4, 9}));
  EXPECT_EQ(guess_next(Ids{2, 3, 4, 9, 2, 3, 7}, Ids{8, 2, 3}, {}, 0, 2), (Ids{7, 8}));  // the latest
  EXPECT_EQ(guess_next(Ids{7}, Ids{}, {}, 0, 2), Ids{});
  EXPECT_EQ(guess_next(Ids{7, 7, 7}, Ids{}, {}, 0, 5), (Ids{7}));
}

}  // namespace
}  // namespace cohort
