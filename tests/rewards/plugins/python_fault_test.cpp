// Python checkers that crash, hang, lie or throw: what it costs, and that it is named.
#include <sys/wait.h>

#include <atomic>
#include <set>
#include <thread>

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
  const auto scores = judged_by(broken("verl"), {"ok", "hang", "ok", "ok"}, 0.3);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
  expect_failed(scores[1], "took longer than the deadline of 0.3 s");
  for (size_t i : {0, 2, 3}) expect_value(scores[i], 1);
}

TEST(PythonFault, OfAFunctionOfABatchTheBatchIsLostAndTheNextIsNot) {
  const Reward reward = plugin(broken("trl"));
  const std::vector<std::pair<std::string, std::string>> faults = {
      {"crash", "was killed by signal 11"}, {"exit", "exited with code 3"},      {"raise", "ValueError: no such"},
      {"few", "has 1 values for 3"},        {"scalar", "expected a list of 3"}, {"sys.exit", "SystemExit"},
      {"hang", "the batch of 3 took longer than 0.2 s an item"}, {"channel", "noise on its channel"}};
  for (const auto& [fault, reason] : faults) {
    for (const Score& score : judged_by(reward, Rows::of({"ok", fault, "ok"}), 0.2)) expect_failed(score, reason);
    for (const Score& score : judged_by(reward, Rows::of({"ok", "ok"}))) expect_value(score, 1);
  }
  const auto scores = judged_by(reward, Rows::of({"nan", "ok"}));
  expect_failed(scores[0], "the score is nan");
  expect_value(scores[1], 1);
}

TEST(PythonFault, AMissingKeyIsNamed) {
  expect_failed(judged_by(broken("openrlhf"), {"a"})[0], "has no 'rewards', its keys are scores");
}

TEST(PythonFault, ChildrenThatHoldTheChannelDoNotDelayTheVerdict) {
  const auto start = std::chrono::steady_clock::now();
  expect_failed(judged_by(broken("verl"), {"family"}, 10)[0], "exited with code 4");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
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
  while (waitpid(-1, nullptr, WNOHANG) > 0) {}
  judged_by(broken("trl"), {"hang"}, 0.1);
  judged_by(broken("verl"), {"ok", "exit", "ok"});
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(PythonFault, AWorkerLeavesWithTheProgramThatAskedIt) {
  // A program that is killed in the middle of a batch, with a checker that never returns.
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t program = fork();
  if (program == 0) {
    dup2(ends[1], 1);  // the worker's stdout is its own, but it would keep this pipe if it inherited it
    judged_by(broken("verl"), {"hang"}, 1000);
    _exit(0);
  }
  usleep(300'000);
  kill(program, SIGKILL);
  waitpid(program, nullptr, 0);
  close(ends[1]);
  char byte;
  EXPECT_EQ(read(ends[0], &byte, 1), 0);  // end of file: nobody holds it
  close(ends[0]);
  const std::string command = "pgrep -f '" + kCheckers + "broken.py verl$' >/dev/null";
  bool is_gone = false;
  for (int i = 0; i < 100 && !is_gone; ++i) {
    usleep(20'000);
    is_gone = std::system(command.c_str()) != 0;
  }
  EXPECT_TRUE(is_gone);
}

}  // namespace
}  // namespace cohort
