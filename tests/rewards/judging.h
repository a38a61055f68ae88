// Short ways to judge one completion in tests.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "rewards/reward.h"

/// First in a test of Java programs. `make test` installs a JDK where it may; nothing else takes one.
#define SKIP_WITHOUT_JDK() \
  if (has_jdk()) {         \
  } else                   \
    GTEST_SKIP() << "no JDK: there is no /usr/bin/javac"

namespace cohort {

inline bool has_jdk() {
  return std::filesystem::exists("/usr/bin/javac");
}

inline Score score_with(const RewardFn& reward, const Task& task, std::string_view completion,
                        std::span<const int32_t> ids = {}) {
  const Judged judged{&task, completion, ids};
  return reward({&judged, 1}, {}).at(0);
}

/// `reward` in the form of a command line: "exact:extract=boxed".
inline Score score_of(std::string_view reward, std::string_view answer, std::string_view completion) {
  Task task;
  task.answer = answer;
  return score_with(make_reward(parse_reward(reward)), task, completion);
}

}  // namespace cohort
