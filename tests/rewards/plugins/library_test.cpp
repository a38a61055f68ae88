// Shared libraries behind the C ABI, and the examples in C and C++.
#include "tests/rewards/plugins/batches.h"

namespace cohort {
namespace {

const std::string kBroken = library("broken_library", "checker");

TEST(Library, TheExampleInC) {
  const auto scores = judged_by(library("length_limit", "length_limit"),
                                {std::string(10, 'x'), std::string(300, 'x'), std::string(1'000, 'x')});
  expect_value(scores[0], 1);
  expect_value(scores[1], 0.5F);
  expect_value(scores[2], 0);
  EXPECT_EQ(scores[1].status, Status::partial);
  EXPECT_EQ(scores[1].reason, "300 bytes");
}

TEST(Library, TheExampleInCpp) {
  Rows rows = Rows::of({"it is G.", "h", "g"});
  rows.tasks[2].answer = "";
  const auto scores = judged_by(plugin(library("last_word", "last_word")), rows);
  expect_value(scores[0], 1);
  EXPECT_EQ(scores[0].components.at("words"), 3);
  EXPECT_EQ(scores[0].extra_logs, (Json{{"judged", 1}}));
  expect_value(scores[1], 0);
  EXPECT_FALSE(scores[2].value);
  EXPECT_NE(scores[2].status, Status::error);
}

TEST(Library, RefusedAtStart) {
  EXPECT_NE(refusal(library("none", "checker")).find("there is no file"), std::string::npos);
  EXPECT_NE(refusal("lib:" + kCheckers + "broken_library.c:checker").find("cannot be loaded"), std::string::npos);
  EXPECT_NE(refusal(library("broken_library", "chequer")).find("no symbol chequer"), std::string::npos);
  EXPECT_NE(refusal(library("broken_library", "from_the_future")).find("has ABI version 2, this host has version 1"),
            std::string::npos);
  EXPECT_NE(refusal(library("broken_library", "too_small")).find("struct_size is 8"), std::string::npos);
  EXPECT_NE(refusal(library("broken_library", "no_judge")).find("judge must be set"), std::string::npos);
}

TEST(LibraryFault, ACrashCostsOneBatch) {
  setenv("ASAN_OPTIONS", "handle_segv=0", 1);  // sanitized, the host process is to die of the signal all the same
  const Reward reward = plugin(kBroken, {{"workers", 1}});
  const std::vector<std::pair<std::string, std::string>> faults = {{"crash", "was killed by signal 11"},
                                                                   {"abort", "was killed by signal 6"},
                                                                   {"exit", "exited with code 5"},
                                                                   {"hang", "took longer than 0.2 s"},
                                                                   {"fail", "judge returned 7"}};
  for (const auto& [fault, reason] : faults) {
    const auto scores = judged_by(reward, Rows::of({"ok", fault, "ok"}), fault == "hang" ? 0.2 : 20);
    expect_failed(scores[0], reason);
    expect_failed(scores[1], reason);
    expect_value(scores[2], 1);  // it answers backwards: this one was said before
    expect_value(judged_by(reward, Rows::of({"ok"}))[0], 1);
  }
}

TEST(LibraryFault, BrokenAnswersAreNamed) {
  const auto scores = judged_by(kBroken, {"nan", "error", "noise", "small", "components", "silent"});
  expect_failed(scores[0], "expected a finite number");
  expect_failed(scores[1], "");
  expect_value(scores[2], 1);  // its stdout is not the channel
  expect_failed(scores[3], "struct_size");
  expect_failed(scores[4], "components is");
  expect_failed(scores[5], "no answer came for this id");
  for (const Score& score : judged_by(kBroken, {"twice", "ok"})) expect_failed(score, "was answered twice");
}

}  // namespace
}  // namespace cohort
