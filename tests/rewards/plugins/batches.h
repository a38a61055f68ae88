// Batches for plug-ins under test.
#pragma once
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "configs/error.h"
#include "rewards/compose.h"
#include "rewards/plugins/plugin.h"

namespace cohort {

inline const std::string kCheckers = std::string(COHORT_SOURCE_DIR) + "/tests/rewards/plugins/checkers/";
inline const std::string kExamples = std::string(COHORT_SOURCE_DIR) + "/rewards/examples/";

inline std::string python(const std::string& function, const std::string& file = "called.py") {
  return "python:" + kCheckers + file + ":" + function;
}
inline std::string library(const std::string& file, const std::string& symbol) {
  return "lib:" + std::string(COHORT_BINARY_DIR) + "/" + file + ".so:" + symbol;
}

/// Completions to judge, with their tasks.
struct Rows {
  std::vector<Task> tasks;
  std::vector<std::string> completions;
  std::vector<int32_t> ids = {7, 8, 9};

  /// A plain prompt "p", the reference "g", ids t0, t1, …
  static Rows of(std::vector<std::string> completions) {
    Rows rows{.completions = std::move(completions)};
    for (size_t i = 0; i < rows.completions.size(); ++i)
      rows.tasks.push_back({.id = "t" + std::to_string(i), .prompt = {{"", "p"}}, .answer = "g"});
    return rows;
  }

  std::vector<Judged> batch() const {
    std::vector<Judged> batch;
    for (size_t i = 0; i < tasks.size(); ++i) batch.push_back({&tasks[i], completions[i], ids, false, 3});
    return batch;
  }
};

inline Reward plugin(const std::string& name, const Json& options = Json::object()) {
  return make_reward({.name = name, .options = options});
}

inline std::vector<Score> judged_by(const Reward& reward, const Rows& rows, double seconds = 20) {
  return guarded_batch(reward.judge, rows.batch(), {std::chrono::duration<double>(seconds)});
}

inline std::vector<Score> judged_by(const std::string& name, std::vector<std::string> completions,
                                    double seconds = 20) {
  return judged_by(plugin(name), Rows::of(std::move(completions)), seconds);
}

/// The sentence a plug-in is refused with at start.
inline std::string refusal(const std::string& name, const Json& options = Json::object()) {
  try {
    plugin(name, options);
  } catch (const UsageError& error) {
    return error.what();
  }
  ADD_FAILURE() << name << " was not refused";
  return "";
}

inline void expect_failed(const Score& score, const std::string& reason) {
  EXPECT_FALSE(score.value) << reason;
  EXPECT_EQ(score.status, Status::error) << reason;
  EXPECT_NE(score.reason.find(reason), std::string::npos) << "found: " << score.reason << "\nexpected: " << reason;
}

inline void expect_value(const Score& score, float value) {
  ASSERT_TRUE(score.value) << score.reason;
  EXPECT_FLOAT_EQ(*score.value, value);
}

}  // namespace cohort
