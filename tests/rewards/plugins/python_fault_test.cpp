// Python checkers that crash, hang, lie or throw: what it costs, and that it is named.
#include <sys/wait.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "rewards/plugins/hosted.h"
#include "tests/rewards/plugins/batches.h"

namespace cohort {
namespace {

std::string broken(const std::string& function) {
  return python(function, "broken.py");
}

TEST(PythonFault, OfAFunctionOfOneCompletionOnlyTheOneAtHandIsLost) {
  const auto scores = judged_by(
      broken("verl"), {"ok", "crash", "ok", "exit", "sys.exit", "raise", "nan", "inf", "text", "none", "huge", "ok"});
  for (size_t i : {0, 2, 11}) expect_value(scores[i], 1);
  expect_failed(scores[1], "was killed by signal 11 (Segmentation fault)");
  expect_failed(scores[3], "exited with code 3");
  expect_failed(scores[4], "SystemExit: 0");
  expect_failed(scores[5], "ValueError: no such");
  expect_failed(scores[6], "the score is nan");
  expect_failed(scores[7], "the score is -inf");
  expect_failed(scores[8], "the score is '1'");
  EXPECT_FALSE(scores[9].value);
  EXPECT_NE(scores[9].status, Status::error);
  expect_failed(scores[10], "expected a finite number");  // of a float
}

TEST(PythonFault, AnExceptionIsNamedWithItsLine) {
  const Score score = judged_by(broken("verl"), {"raise"})[0];
  expect_failed(score, "luck: ");
  expect_failed(score, "(broken.py line ");
  EXPECT_NO_THROW(to_json(score).dump());
}

TEST(PythonFault, ASlowItemIsCutOffAtItsOwnDeadline) {
  const auto start = std::chrono::steady_clock::now();
  const auto scores = judged_by(broken("verl"), {"ok", "hang", "ok", "ok"}, 1);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
  expect_failed(scores[1], "took longer than the deadline of 1 s");
  for (size_t i : {0, 2, 3}) expect_value(scores[i], 1);
}

TEST(PythonFault, OfAFunctionOfABatchTheBatchIsLostAndTheNextIsNot) {
  const Reward reward = plugin(broken("trl"));
  const std::vector<std::pair<std::string, std::string>> faults = {
      {"crash", "was killed by signal 11"},
      {"exit", "exited with code 3"},
      {"raise", "ValueError: no such"},
      {"few", "has 1 values for 3"},
      {"scalar", "expected a list of 3"},
      {"sys.exit", "SystemExit"},
      {"hang", "the batch of 3 took longer than 0.2 s an item"},
      {"channel", "noise on its channel"}};
  for (const auto& [fault, reason] : faults) {
    for (const Score& score : judged_by(reward, Rows::of({"ok", fault, "ok"}), fault == "hang" ? 0.2 : 20))
      expect_failed(score, reason);
    for (const Score& score : judged_by(reward, Rows::of({"ok", "ok"}))) expect_value(score, 1);
  }
  const auto scores = judged_by(reward, Rows::of({"nan", "ok"}));
  expect_failed(scores[0], "the score is nan");
  expect_value(scores[1], 1);
}

TEST(PythonFault, AForkThatComesBackSaysNothing) {
  for (const Score& score : judged_by(broken("verl"), {"fork", "fork.exit", "ok"})) expect_value(score, 1);
  for (const Score& score : judged_by(broken("trl"), {"fork", "fork.exit", "ok"})) expect_value(score, 1);
}

/// A checker that runs programs as Popen(start_new_session=True), and is killed while one of them never ends.
TEST(PythonFault, WhatACheckerStartedInASessionOfItsOwnEndsWithIt) {
  const std::string stem = testing::TempDir() + "session_" + std::to_string(getpid());
  std::ofstream(stem + ".py")
      << "import subprocess\ndef f(completions, **k):\n  p = subprocess.Popen(['sleep', '1000'], "
         "start_new_session=True)\n  with open('"
      << stem << ".pid', 'w') as f: f.write(str(p.pid))\n  p.wait()\n";
  expect_failed(judged_by("python:" + stem + ".py:f", {"a"}, 2)[0], "took longer than the deadline of 2 s");
  int pid = 0;
  std::ifstream(stem + ".pid") >> pid;
  ASSERT_GT(pid, 0);
  bool lives = true;
  for (int i = 0; i < 500 && lives; ++i) {
    lives = kill(pid, 0) == 0;
    usleep(10'000);
  }
  EXPECT_FALSE(lives);
  std::filesystem::remove(stem + ".py");
  std::filesystem::remove(stem + ".pid");
}

TEST(PythonFault, AMissingKeyIsNamed) {
  expect_failed(judged_by(broken("openrlhf"), {"a"})[0], "has no 'rewards', its keys are scores");
}

TEST(PythonFault, ChildrenThatHoldTheChannelDoNotDelayTheVerdict) {
  const auto start = std::chrono::steady_clock::now();
  expect_failed(judged_by(broken("verl"), {"family"}, 500)[0], "exited with code 4");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST(PythonFault, EightScorersAtOnceWithBreakingWorkers) {
  const Scorer scorer({{.name = broken("verl"), .options = {{"workers", 3}, {"batch_size", 4}}}}, 2);
  Rows rows = Rows::of({"ok", "exit", "ok", "ok", "raise", "ok"});
  std::atomic<int> good{0}, failed{0};
  std::vector<std::jthread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      for (const Score& score : scorer.judge(rows.batch())) ++(score.value ? good : failed);
    });
  }
  callers.clear();
  EXPECT_EQ(good, 32);
  EXPECT_EQ(failed, 16);
}

TEST(PythonFault, ABrokenWorkerIsReplacedAndOthersAreKept) {
  const Reward reward = plugin(python("which_process"), {{"workers", 1}});
  const float first = *judged_by(reward, Rows::of({"a"}))[0].value;
  EXPECT_EQ(*judged_by(reward, Rows::of({"a"}))[0].value, first);
  kill(pid_t(first), SIGKILL);  // while it is idle
  siginfo_t end{};
  waitid(P_PID, id_t(first), &end, WEXITED | WNOWAIT);
  const Score second = judged_by(reward, Rows::of({"a"}))[0];
  ASSERT_TRUE(second.value) << second.reason;
  EXPECT_NE(*second.value, first);
}

TEST(PythonFault, NoProcessIsLeftBehind) {
  while (waitpid(-1, nullptr, WNOHANG) > 0) {
  }
  judged_by(broken("trl"), {"hang"}, 0.1);
  judged_by(broken("verl"), {"ok", "exit", "ok"});
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

/// Processes whose command line ends with these words, each closed by a NUL.
int num_processes(const std::string& last_words) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline");
    const std::string command{std::istreambuf_iterator<char>(file), {}};
    count += command.ends_with(last_words);
  }
  return count;
}

/// Whether there come to be `count` of them within four seconds.
bool come_to(int count, const std::string& last_words) {
  for (int i = 0; i < 200; ++i, usleep(20'000))
    if (num_processes(last_words) == count) return true;
  return false;
}

TEST(PythonFault, AWorkerLeavesWithTheProgramThatAskedIt) {
  const std::string file = testing::TempDir() + "leaving_" + std::to_string(getpid()) + ".py";
  std::ofstream(file) << "import time\ndef f(completion):\n    time.sleep(1000)\n";
  const std::string words = file + std::string("\0f\0", 3);
  const pid_t program = fork();
  if (program == 0) {
    judged_by("python:" + file + ":f", {"a"}, 1000);
    _exit(0);
  }
  EXPECT_TRUE(come_to(1, words));
  usleep(100'000);  // into the batch
  kill(program, SIGKILL);
  waitpid(program, nullptr, 0);
  EXPECT_TRUE(come_to(0, words));
  std::filesystem::remove(file);
}

TEST(PythonFault, AWorkerThatNeverGetsReadyIsRefused) {
  try {
    hosted_reward({.argv = {"sleep", "1000"}}, {.name = "python:slow.py:f", .start_seconds = 0.1});
    ADD_FAILURE() << "was taken";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("gave no sign in 0.1 s"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace cohort
