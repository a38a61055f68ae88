// Pairs of a reference and an answer that are the same, or are not.
#pragma once
#include <gtest/gtest.h>

#include "tests/rewards/judging.h"

namespace cohort {

struct Pair {
  const char* gold;
  const char* answer;
};

// Judges `answer` boxed against `gold`, under the options of `reward`.
inline Status judge(const Pair& pair, const std::string& reward = "accuracy") {
  return score_of(reward, pair.gold, std::string("so $\\boxed{") + pair.answer + "}$.").status;
}

inline void expect_same(std::initializer_list<Pair> pairs, const std::string& reward = "accuracy") {
  for (const Pair& pair : pairs)
    EXPECT_EQ(judge(pair, reward), Status::correct) << pair.gold << "   answered   " << pair.answer;
}

inline void expect_different(std::initializer_list<Pair> pairs, const std::string& reward = "accuracy") {
  for (const Pair& pair : pairs) {
    const Status status = judge(pair, reward);
    EXPECT_TRUE(status == Status::wrong || status == Status::unparsable)
        << pair.gold << "   answered   " << pair.answer << "   " << to_string(status);
  }
}

}  // namespace cohort
