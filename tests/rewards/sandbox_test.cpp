// The sandbox when parts of it die, and on machines that lack what it needs.
#include "rewards/sandbox/sandbox.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>
#include <tuple>

#include "configs/error.h"
#include "rewards/code/examine.h"
#include "rewards/sandbox/processes.h"
#include "tests/rewards/judging.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;
using sandbox::Ended;

Task sum_task(const char* language) {
  Task task;
  task.extra = {{"tests", {{"language", language}, {"inputs", {"20 22"}}, {"outputs", {"42"}}}}};
  return task;
}

const char* const kPythonSum = "print(sum(map(int, input().split())))";
const char* const kCppSum = "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }";
const char* const kJavaSum =
    "import java.util.*;\npublic class Main { public static void main(String[] x) { Scanner in = new "
    "Scanner(System.in); System.out.println(in.nextInt() + in.nextInt()); } }";

Score score_sum(const char* language, const char* program, const std::string& options = "") {
  return score_with(make_reward(parse_reward("code:timeout=60" + options)), sum_task(language), program);
}

// ---- parts that die

struct Process {
  int id;
  std::string command;  // its arguments, joined by spaces
};

void append_processes_below(int process, std::vector<Process>& found) {
  std::error_code error;
  for (const auto& thread : fs::directory_iterator("/proc/" + std::to_string(process) + "/task", error)) {
    std::ifstream children(thread.path() / "children");
    for (int child; children >> child;) {
      std::ifstream file("/proc/" + std::to_string(child) + "/cmdline");
      std::string command(std::istreambuf_iterator<char>(file), {});
      std::replace(command.begin(), command.end(), '\0', ' ');
      found.push_back({child, command});
      append_processes_below(child, found);
    }
  }
}

/// Kills every process below this one whose command holds the word; how many there were.
int kill_below(const std::string& word) {
  std::vector<Process> found;
  append_processes_below(getpid(), found);
  int killed = 0;
  for (const Process& process : found)
    if (process.command.find(word) != std::string::npos) killed += kill(process.id, SIGKILL) == 0;
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  return killed;
}

TEST(CodeFault, AKilledWardenIsReplaced) {
  ASSERT_EQ(score_sum("python", kPythonSum).status, Status::correct);
  for (int round = 0; round < 3; ++round) {
    ASSERT_GE(kill_below("sandbox-warden"), 1);
    const Score score = score_sum("python", kPythonSum);
    EXPECT_EQ(score.status, Status::correct) << score.reason;
  }
  ASSERT_GE(kill_below("sandbox-warden"), 1);
  EXPECT_EQ(score_sum("cpp", kCppSum).status, Status::correct);
}

TEST(CodeFault, AKilledZygoteIsReplaced) {
  ASSERT_EQ(score_sum("python", kPythonSum).status, Status::correct);
  for (int round = 0; round < 3; ++round) {
    ASSERT_GE(kill_below("zygote.py"), 1);
    const Score score = score_sum("python", kPythonSum);
    EXPECT_EQ(score.status, Status::correct) << score.reason;
  }
}

TEST(CodeFault, AKilledJavaCompilerIsReplaced) {
  SKIP_WITHOUT_JDK();
  ASSERT_EQ(score_sum("java", kJavaSum).status, Status::correct);
  ASSERT_GE(kill_below("/tmp/Compiler.java"), 1);
  EXPECT_EQ(score_sum("java", kJavaSum).status, Status::correct);
  ASSERT_GE(kill_below("sandbox-warden"), 1);
  EXPECT_EQ(score_sum("java", kJavaSum).status, Status::correct);
}

/// While a program runs: the row is judged all the same.
TEST(CodeFault, AWardenKilledDuringATest) {
  ASSERT_EQ(score_sum("python", kPythonSum).status, Status::correct);
  std::thread killer([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(1000));
    EXPECT_GE(kill_below("sandbox-warden"), 1);
  });
  const Score score = score_sum("python", "import time\ntime.sleep(3)\nprint(42)");
  killer.join();
  EXPECT_EQ(score.status, Status::correct) << score.reason;
}

// ---- what a box sees of the machine

/// Compiled headers and an interpreter of the user's own stand outside /usr.
TEST(CodeFault, FoldersThatAreNamedCanBeReadAndNotWritten) {
  const fs::path folder = fs::temp_directory_path() / ("cohort_readable_" + std::to_string(getpid()));
  fs::create_directories(folder);
  fs::permissions(folder, fs::perms(0755));
  std::ofstream(folder / "file") << "seen";
  sandbox::Sandbox one({.readable = {{folder.string(), "/named/here"}}});
  const sandbox::Ended read = one.run({.argv = {"/bin/cat", "/named/here/file"}});
  EXPECT_EQ(read.out, "seen") << read.err << read.reason;
  EXPECT_NE(one.run({.argv = {"/bin/sh", "-c", "echo x > /named/here/file"}}).code, 0);
  EXPECT_NE(one.run({.argv = {"/bin/cat", (folder / "file").string()}}).code, 0);
  fs::remove_all(folder);
}

// ---- a machine that gives a compiler no processor

/// Stops every process below this one whose command holds the word, as soon as it is there.
class Stopper {
 public:
  explicit Stopper(const std::string& word)
      : thread_([this, word] {
          while (!is_over_) {
            std::vector<Process> found;
            append_processes_below(getpid(), found);
            for (const Process& process : found)
              if (process.command.find(word) != std::string::npos) stopped_ += kill(process.id, SIGSTOP) == 0;
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
          }
        }) {}
  ~Stopper() {
    is_over_ = true;
    thread_.join();
    EXPECT_GE(stopped_, 1);
  }

 private:
  std::atomic<bool> is_over_ = false;
  int stopped_ = 0;
  std::thread thread_;
};

/// Our side's slowness: no value, and nobody is punished.
void expect_error_while_stopped(const char* language, const char* program, const char* compiler) {
  ASSERT_EQ(score_sum(language, program).status, Status::correct);
  const Score score = [&] {
    const Stopper stopper(compiler);
    return score_with(make_reward(parse_reward("code:timeout=60,compile_timeout=0.2")), sum_task(language), program);
  }();
  EXPECT_EQ(score.status, Status::error) << score.reason;
  EXPECT_FALSE(score.value);
  EXPECT_NE(score.reason.find("the machine is too busy"), std::string::npos) << score.reason;
  EXPECT_EQ(score_sum(language, program).status, Status::correct);
}

TEST(CodeFault, ACompilerWithoutAProcessorIsAnError) {
  expect_error_while_stopped("cpp", kCppSum, "cc1plus");
}

TEST(CodeFault, AJavaCompilerWithoutAProcessorIsAnError) {
  SKIP_WITHOUT_JDK();
  expect_error_while_stopped("java", kJavaSum, "/tmp/Compiler.java");
}

// ---- machines that lack something: children of this process that see less of it

/// What `look` says in a process of its own that `change` made poorer.
std::string seen_after(const std::function<bool()>& change, const std::function<std::string()>& look) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    std::string text = "the change was refused";
    try {
      if (change()) text = look();
    } catch (const std::exception& error) {
      text = std::string("thrown: ") + error.what();
    }
    const bool is_whole = write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(is_whole ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  char bytes[4096];
  for (ssize_t got; (got = read(ends[0], bytes, sizeof bytes)) > 0;) text.append(bytes, static_cast<size_t>(got));
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return text;
}

/// Root of namespaces of its own.
bool enter_namespaces(int more) {
  const std::string user = std::to_string(geteuid()), group = std::to_string(getegid());
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS | more) != 0) return false;
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << "0 " + user + " 1";
  std::ofstream("/proc/self/gid_map") << "0 " + group + " 1";
  return mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

/// As if the program were not installed: what stands there cannot be executed.
bool hide(const char* program) {
  const fs::path path = fs::canonical(program);
  return enter_namespaces(0) && mount("/dev/null", path.c_str(), nullptr, MS_BIND, nullptr) == 0;
}

bool refuse_system_call(unsigned number) {
  sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog program{.len = 4, .filter = rules};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

std::string described(const Score& score) {
  return std::string(to_string(score.status)) + (score.value ? " with a value: " : " without: ") + score.reason;
}

TEST(CodeFault, ACompilerThatIsMissingIsNamed) {
  const std::string cpp =
      seen_after([] { return hide("/usr/bin/g++"); }, [] { return described(score_sum("cpp", kCppSum)); });
  EXPECT_EQ(cpp, "error without: C++ programs cannot be run: there is no /usr/bin/g++: apt-get install g++");
  const std::string java = seen_after([] { return !has_jdk() || hide("/usr/bin/javac"); },
                                      [] { return described(score_sum("java", kJavaSum)); });
  EXPECT_EQ(java,
            "error without: Java programs cannot be run: there is no /usr/bin/javac: apt-get install "
            "default-jdk-headless");
  const auto other = [](const char* language, const char* program) {
    return seen_after([] { return hide("/usr/bin/g++"); },
                      [=] { return std::string(to_string(score_sum(language, program).status)); });
  };
  EXPECT_EQ(other("python", kPythonSum), "correct") << "the other languages go on";
}

TEST(CodeFault, AnInterpreterThatIsMissingIsNamed) {
  const Score score = score_sum("python", kPythonSum, ",python=/usr/bin/no-such-python");
  EXPECT_EQ(score.status, Status::error);
  EXPECT_FALSE(score.value);
  for (const char* word : {"/usr/bin/no-such-python", "apt-get install python3", "option python"})
    EXPECT_NE(score.reason.find(word), std::string::npos) << score.reason;
}

TEST(CodeFault, AMachineWithoutNamespacesIsRefused) {
  const auto without_unshare = [] { return refuse_system_call(SYS_unshare); };
  const std::string made = seen_after(without_unshare, [] {
    make_reward(parse_reward("code:python=/usr/bin/../bin/python3"));  // a sandbox that nobody has started
    return std::string("made");
  });
  EXPECT_TRUE(made.starts_with("thrown: the sandbox cannot be set up here: unshare")) << made;
  EXPECT_NE(made.find("kernel.unprivileged_userns_clone=1"), std::string::npos) << made;
  const std::string doctor = seen_after(without_unshare, [] {
    const Finding finding = examine_code_rewards().front();
    return (finding.status == Finding::Status::missing ? "missing: " : "there: ") + finding.found;
  });
  EXPECT_TRUE(doctor.starts_with("missing: the sandbox cannot be set up here: unshare")) << doctor;
}

TEST(CodeFault, AMachineWithoutFiltersIsRefused) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "under the memory limit of a box the address sanitizer cannot throw what this is to see";
#endif
  const std::string made = seen_after(
      [] {  // the filter of a filter: prctl(PR_SET_SECCOMP) alone is refused
        sock_filter rules[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                               BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
                               BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
                               BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_SECCOMP, 0, 1),
                               BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
                               BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
        const sock_fprog program{.len = 6, .filter = rules};
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
      },
      [] {
        sandbox::Sandbox one;
        return std::string("made");
      });
  EXPECT_TRUE(made.starts_with("thrown: the sandbox cannot be set up here: seccomp")) << made;
}

/// A /proc that numbers processes otherwise, as in a container that kept the one of its host.
TEST(CodeFault, AProcOfAnotherProcessNamespace) {
  const auto in_new_namespace = [](const std::function<std::string()>& look) {
    return seen_after([] { return enter_namespaces(CLONE_NEWPID); },
                      [&] { return seen_after([] { return true; }, look); });
  };
  EXPECT_EQ(in_new_namespace([] { return std::to_string(getpid()); }), "1");
  EXPECT_NE(in_new_namespace([] { return fs::read_symlink("/proc/self").string(); }), "1");
  const std::string numbers = in_new_namespace([] {
    const std::string own = std::to_string(sandbox::number_in_proc(getpid()).value_or(-1));
    return own == fs::read_symlink("/proc/self").string() ? std::string("same") : own;
  });
  EXPECT_EQ(numbers, "same");
  const std::string verdicts = in_new_namespace([] {
    const RewardFn reward = make_reward(parse_reward("code:timeout=60,memory_mb=64,python=/usr/bin/../bin/python3"));
    const char* adds_up =
        "import os, time\nfor i in range(8):\n  if os.fork() == 0:\n    a = b'a' * (30 << 20)\n    "
        "time.sleep(60)\ntime.sleep(60)";
    return std::string(to_string(score_with(reward, sum_task("python"), kPythonSum).status)) + ", " +
           std::string(to_string(score_with(reward, sum_task("python"), adds_up).status));
  });
  EXPECT_EQ(verdicts, "correct, memory");
}

/// A container as its runtime makes it: processes of its own, and a /proc of which parts are covered, so that the
/// kernel mounts no other.
std::string seen_in_container(const std::function<std::string()>& look) {
  return seen_after([] { return enter_namespaces(CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS); },
                    [&] {
                      return seen_after(
                          [] {
                            return mount("proc", "/proc", "proc", 0, nullptr) == 0 &&
                                   mount("tmpfs", "/proc/acpi", "tmpfs", MS_RDONLY, nullptr) == 0 &&
                                   mount("/dev/null", "/proc/keys", nullptr, MS_BIND, nullptr) == 0;
                          },
                          look);
                    });
}

/// Weaker, and said so.
TEST(CodeFault, AContainerThatCoversPartsOfProc) {
  const std::string weaker = "/proc cannot be mounted anew here: boxes have none";
  const std::string made = seen_in_container([] {
    testing::internal::CaptureStderr();
    make_reward(parse_reward("code:python=/usr/bin/../bin/python3"));  // a sandbox that nobody has started
    return testing::internal::GetCapturedStderr();
  });
  EXPECT_EQ(made, "code rewards: the sandbox is weaker here: " + weaker + "\n");
  const std::string doctor = seen_in_container([] {
    const Finding finding = examine_code_rewards().front();
    return (finding.status == Finding::Status::degraded ? "degraded: " : "other: ") + finding.lost;
  });
  EXPECT_EQ(doctor, "degraded: " + weaker);
  const auto score = [](const char* language, const char* program, const char* options) {
    return seen_in_container([=] {
      const std::string spec = std::string("code:timeout=60,python=/usr/bin/../bin/python3") + options;
      return described(score_with(make_reward(parse_reward(spec)), sum_task(language), program));
    });
  };
  for (const auto& [language, program] : {std::pair{"python", kPythonSum}, {"cpp", kCppSum}, {"java", kJavaSum}})
    if (language != std::string("java") || has_jdk()) {
      EXPECT_EQ(score(language, program, ""), "correct with a value: 1 of 1 tests");
    }
  const std::string adds_up = score("python",
                                    "import os, time\nfor i in range(8):\n  if os.fork() == 0:\n    a = b'a' * (30 << "
                                    "20)\n    time.sleep(60)\ntime.sleep(60)",
                                    ",memory_mb=64");
  EXPECT_TRUE(adds_up.starts_with("memory with a value")) << adds_up;
  const std::string sees = score("python", "import os\nprint(os.listdir('/proc'))", "");
  EXPECT_NE(sees.find("found \"[] \""), std::string::npos) << sees;
}

TEST(CodeFault, UserNamespacesThatAreForbiddenAreARefusal) {
  const std::string made = seen_after(
      [] {
        if (!enter_namespaces(0)) return false;
        std::ofstream file("/proc/sys/user/max_user_namespaces");
        return static_cast<bool>(file << "0" << std::flush);
      },
      [] {
        make_reward(parse_reward("code:python=/usr/bin/../bin/python3"));
        return std::string("made");
      });
  EXPECT_TRUE(made.starts_with("thrown: the sandbox cannot be set up here: unshare")) << made;
  EXPECT_NE(made.find("sysctl user.max_user_namespaces above 0"), std::string::npos) << made;
}

/// No number at all: what is lost is said, and no program is called too large for it.
TEST(CodeFault, AProcThatShowsNothingOfThisNamespace) {
  const std::string seen =
      seen_after([] { return refuse_system_call(SYS_pidfd_open); }, [] { return sandbox::why_processes_are_unseen(); });
  EXPECT_EQ(seen, "") << "nothing but the usual /proc is needed on the usual machine";
  const std::string hidden = seen_after(
      [] { return enter_namespaces(0) && mount("tmpfs", "/proc", "tmpfs", 0, nullptr) == 0; },
      [] { return sandbox::why_processes_are_unseen() + "; " + std::to_string(sandbox::resident_bytes_below(1)); });
  EXPECT_EQ(hidden, "/proc belongs to another process namespace; 0");
}

TEST(CodeIntegration, DoctorTriesTheSandbox) {
  const std::vector<Finding> findings = examine_code_rewards();
  ASSERT_EQ(findings.size(), 4u);
  EXPECT_EQ(findings[0].check, "sandbox");
  EXPECT_NE(findings[0].status, Finding::Status::missing) << findings[0].found;
  for (const Finding& finding : findings) {
    EXPECT_NE(finding.found, "");
    EXPECT_EQ(finding.lost.empty(), finding.status == Finding::Status::ok) << finding.check;
  }
  const std::string hidden = seen_after([] { return hide("/usr/bin/g++"); },
                                        [] {
                                          const Finding gcc = examine_code_rewards().at(1);
                                          return gcc.check + ": " + gcc.found + ": " + gcc.lost + ": " + gcc.remedy;
                                        });
  EXPECT_EQ(hidden, "g++: no /usr/bin/g++: code rewards cannot judge C++: as root: apt-get install g++");
}

}  // namespace
}  // namespace cohort
