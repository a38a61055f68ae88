// What an attack meets: the reward `code` under small limits, and a look at what it leaves on the machine.
#pragma once
#include <dirent.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>
#include <tuple>

#include "tests/rewards/judging.h"

namespace cohort {

struct Attack {
  const char* name;
  std::string program;
  std::set<Status> wanted;
  bool quick = true;             // also in `make test`
  bool may_not_compile = false;  // the compiler is what is attacked, or what refuses
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
  return make_reward(parse_reward("code:memory_mb=192,output_kb=512,processes=48,timeout=" + std::to_string(seconds)));
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

/// Processes below this one, by id. What lost its parent is among them: Machine makes this process the one that orphans
/// come to, so that nothing that an attack started can leave its sight.
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

/// Every file below the places that all processes share, and in the cache of compiled headers, as it stands.
inline std::set<std::string> files_in_shared_places() {
  namespace fs = std::filesystem;
  std::set<std::string> found;
  for (const fs::path& place :
       {fs::path("/tmp"), fs::path("/var/tmp"), fs::path("/dev/shm"), fs::path("/dev/mqueue"),
        fs::path("/var/cache/cohort"), fs::path(std::getenv("HOME") ? std::getenv("HOME") : "") / ".cache/cohort"}) {
    std::error_code error;
    fs::recursive_directory_iterator entry(place, fs::directory_options::skip_permission_denied, error);
    for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
      struct stat about {};
      if (lstat(entry->path().c_str(), &about) != 0) continue;
      const auto [inode, owner, size, seconds, nanoseconds] =
          std::tuple(about.st_ino, about.st_uid, S_ISDIR(about.st_mode) ? 0 : about.st_size, about.st_mtim.tv_sec,
                     about.st_mtim.tv_nsec);
      found.insert(entry->path().string() + ": inode " + std::to_string(inode) + ", owner " + std::to_string(owner) +
                   ", " + std::to_string(size) + " bytes, changed " + std::to_string(seconds) + "." +
                   std::to_string(nanoseconds));
    }
  }
  return found;
}

/// Shared places that nobody else shares, so that what is new in them is the work of an attack. False where the machine
/// does not grant them: the machine's own are then looked at.
inline bool make_shared_places_private() {
  const std::string user = std::to_string(geteuid()), group = std::to_string(getegid());
  if (unshare(CLONE_NEWNS) != 0) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << user + " " + user + " 1";
    std::ofstream("/proc/self/gid_map") << group + " " + group + " 1";
  }
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  for (const char* place : {"/tmp", "/var/tmp", "/dev/shm"})
    if (mount("tmpfs", place, "tmpfs", 0, "mode=1777") != 0) return false;
  return true;
}

class SharedPlaces : public testing::Environment {
  void SetUp() override {
    if (!make_shared_places_private())
      std::puts("What others leave in /tmp counts here: no mount namespace is granted.");
  }
};
inline testing::Environment* const kSharedPlaces = testing::AddGlobalTestEnvironment(new SharedPlaces);

inline int open_files() {
  return static_cast<int>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

/// Mounts of this process, memory and queues that all processes share, and control groups, as they stand.
inline std::set<std::string> kernel_objects() {
  std::set<std::string> found;
  for (const char* path : {"/proc/self/mountinfo", "/proc/self/cgroup", "/proc/sysvipc/shm", "/proc/sysvipc/sem",
                           "/proc/sysvipc/msg", "/proc/net/unix"}) {
    std::ifstream file(path);
    const bool is_sockets = std::string_view(path) == "/proc/net/unix";
    for (std::string line; std::getline(file, line);)  // of sockets those that have a name
      if (!is_sockets || line.find("cohort") != std::string::npos) found.insert(std::string(path) + ": " + line);
  }
  for (const char* group : {"/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"}) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(group, error))
      if (entry.is_directory()) found.insert("control group " + entry.path().string());
  }
  return found;
}

/// The machine before an attack; afterwards it has to look the same, and a good program still scores.
class Machine {
 public:
  Machine() {
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    run_code(input_task("python", "", "1"), "print(1)");  // what stays for the next program is up
    processes_ = processes_below(getpid());
    files_ = open_files();
    shared_files_ = files_in_shared_places();
    kernel_objects_ = kernel_objects();
  }

  void expect_unharmed() const {
    EXPECT_EQ(run_code(input_task("python", "3", "4"), "print(int(input()) + 1)").status, Status::correct);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    std::set<int> left = new_processes();
    for (; !left.empty() && std::chrono::steady_clock::now() < deadline; left = new_processes())
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_TRUE(left.empty()) << left.size() << " processes are left, " << *left.begin() << " among them";
    EXPECT_EQ(open_files(), files_);
    EXPECT_EQ(kernel_objects(), kernel_objects_);
    const std::set<std::string> shared_files = files_in_shared_places();
    for (const std::string& file : shared_files) EXPECT_TRUE(shared_files_.contains(file)) << "left behind: " << file;
    for (const std::string& file : shared_files_)
      EXPECT_TRUE(shared_files.contains(file)) << "gone or changed: " << file;
  }

 private:
  std::set<int> new_processes() const {
    std::set<int> left;
    for (const int process : processes_below(getpid()))
      if (!processes_.contains(process)) left.insert(process);
    return left;
  }

  std::set<int> processes_;
  std::set<std::string> shared_files_, kernel_objects_;
  int files_ = 0;
};

inline void expect_outcome(const Attack& attack, const Score& score) {
  EXPECT_TRUE(attack.wanted.contains(score.status))
      << attack.name << ": " << to_string(score.status) << ": " << score.reason;
  EXPECT_TRUE(score.value.has_value()) << attack.name << ": " << score.reason;
  for (const char* broken :
       {"SyntaxError", "IndentationError", "NameError", "cannot find symbol", "was not declared", "does not compile"})
    if (!attack.may_not_compile) {
      EXPECT_EQ(score.reason.find(broken), std::string::npos) << attack.name << " is no attack: " << score.reason;
    }
}

}  // namespace cohort
