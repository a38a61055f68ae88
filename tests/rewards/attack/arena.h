// What an attack meets: the reward `code` under small limits, and a look at what it leaves on the machine.
#pragma once
#include <dirent.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>

#include "tests/rewards/judging.h"

namespace cohort {

struct Attack {
  const char* name;
  const char* program;
  std::set<Status> wanted;
  bool quick = true;  // also in `make test`
};

inline const std::set<Status> kWrong = {Status::wrong}, kTimeout = {Status::timeout}, kMemory = {Status::memory},
                              kHack = {Status::hack}, kLost = {Status::wrong, Status::timeout, Status::memory},
                              kCheat = {Status::wrong, Status::hack},
                              kRefused = {Status::correct};  // the program says "refused" of each try

inline bool all_attacks() {
  return std::getenv("COHORT_TEST_ALL") != nullptr;
}

/// Small limits; much time for what is to end by itself, on a machine that has other work too.
inline RewardFn small_code(int seconds) {
  return make_reward(parse_reward("code:memory_mb=192,output_kb=512,processes=48,compile_timeout=120,timeout=" +
                                  std::to_string(seconds)));
}

inline Task input_task(const char* language, const std::string& input, const std::string& output) {
  Task task;
  task.extra = {{"tests", {{"language", language}, {"inputs", {input}}, {"outputs", {output}}}}};
  return task;
}

inline Score run_code(const Task& task, const std::string& program, bool may_take_its_time = true) {
  static const RewardFn patient = small_code(60), impatient = small_code(2);
  return score_with(may_take_its_time ? patient : impatient, task, program);
}

inline Score run_attack(const Attack& attack, const Task& task, const std::string& program) {
  return run_code(task, program, !attack.wanted.contains(Status::timeout));
}

/// Processes below this one, by id.
inline std::set<int> processes_below(int process) {
  std::set<int> found;
  std::error_code error;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task", error)) {
    std::ifstream children(thread.path() / "children");
    for (int child; children >> child;) {
      found.insert(child);
      found.merge(processes_below(child));
    }
  }
  return found;
}

inline std::set<std::string> files_in_shared_places() {
  std::set<std::string> found;
  std::error_code error;
  for (const char* folder : {"/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue"})
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      std::ifstream owner(entry.path());
      found.insert(entry.path());
    }
  return found;
}

inline int open_files() {
  return static_cast<int>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

/// The machine before an attack; afterwards it has to look the same, and a good program still scores.
class Machine {
 public:
  Machine() {
    run_code(input_task("python", "", "1"), "print(1)");  // what stays for the next program is up
    processes_ = processes_below(getpid());
    files_ = open_files();
  }

  void expect_unharmed() const {
    EXPECT_EQ(run_code(input_task("python", "3", "4"), "print(int(input()) + 1)").status, Status::correct);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    std::set<int> left = new_processes();
    for (; !left.empty() && std::chrono::steady_clock::now() < deadline; left = new_processes())
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_TRUE(left.empty()) << left.size() << " processes are left, " << *left.begin() << " among them";
    EXPECT_EQ(open_files(), files_);
  }

 private:
  std::set<int> new_processes() const {
    std::set<int> left;
    for (const int process : processes_below(getpid()))
      if (!processes_.contains(process)) left.insert(process);
    return left;
  }

  std::set<int> processes_;
  int files_ = 0;
};

inline void expect_outcome(const Attack& attack, const Score& score) {
  EXPECT_TRUE(attack.wanted.contains(score.status))
      << attack.name << ": " << to_string(score.status) << ": " << score.reason;
  EXPECT_TRUE(score.value.has_value()) << attack.name << ": " << score.reason;
  for (const char* broken : {"SyntaxError", "IndentationError", "NameError", "cannot find symbol", "was not declared"})
    EXPECT_EQ(score.reason.find(broken), std::string::npos) << attack.name << " is no attack: " << score.reason;
}

}  // namespace cohort
