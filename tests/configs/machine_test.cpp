// What is found out about the machine: the parts that can be laid out by hand, and the sanity of the rest.
#include "configs/machine.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <map>

#include "configs/command_line.h"
#include "configs/commands.h"
#include "configs/config.h"
#include "configs/gpu.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

/// A root with the given files, removed at the end.
struct Root {
  explicit Root(const std::map<std::string, std::string>& files) {
    std::string pattern = testing::TempDir() + "root-XXXXXX";
    path = mkdtemp(pattern.data());
    for (const auto& [name, content] : files) {
      fs::create_directories((path / name).parent_path());
      std::ofstream(path / name) << content;
    }
  }
  ~Root() { fs::remove_all(path); }
  fs::path path;
};

TEST(CgroupLimits, TakesTheTightestOfVersionTwo) {
  const Root root({{"proc/self/cgroup", "0::/user/job\n"},
                   {"sys/fs/cgroup/cgroup.controllers", "cpu memory"},
                   {"sys/fs/cgroup/user/cgroup.controllers", "cpu memory"},
                   {"sys/fs/cgroup/user/cpu.max", "150000 100000\n"},
                   {"sys/fs/cgroup/user/memory.max", "max\n"},
                   {"sys/fs/cgroup/user/job/cgroup.controllers", "cpu memory"},
                   {"sys/fs/cgroup/user/job/cpu.max", "max 100000\n"},
                   {"sys/fs/cgroup/user/job/memory.max", "2000000000\n"}});
  const CgroupLimits limits = cgroup_limits(root.path);
  EXPECT_EQ(limits.version, 2);
  EXPECT_EQ(limits.cores, 1.5);
  EXPECT_EQ(limits.memory_bytes, 2000000000);
}

TEST(CgroupLimits, ReadsVersionOne) {
  const Root root({{"proc/self/cgroup", "4:memory:/job\n2:cpu,cpuacct:/gone\n1:name=systemd:/\n0::/\n"},
                   {"sys/fs/cgroup/memory/job/tasks", ""},
                   {"sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1000000\n"},
                   {"sys/fs/cgroup/memory/tasks", ""},
                   {"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"},
                   {"sys/fs/cgroup/cpu/tasks", ""},
                   {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"},
                   {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}});
  const CgroupLimits limits = cgroup_limits(root.path);
  EXPECT_EQ(limits.version, 1);
  EXPECT_EQ(limits.cores, 0.5);
  EXPECT_EQ(limits.memory_bytes, 1000000);
}

TEST(CgroupLimits, IsEmptyWithoutLimitsOrCgroups) {
  const Root unlimited({{"proc/self/cgroup", "4:memory:/\n2:cpu:/\n"},
                        {"sys/fs/cgroup/memory/tasks", ""},
                        {"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"},
                        {"sys/fs/cgroup/cpu/tasks", ""},
                        {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"},
                        {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}});
  EXPECT_EQ(cgroup_limits(unlimited.path).version, 1);
  EXPECT_FALSE(cgroup_limits(unlimited.path).cores);
  EXPECT_FALSE(cgroup_limits(unlimited.path).memory_bytes);
  const Root bare({{"proc/self/cgroup", "broken\n"}, {"proc/meminfo", ""}});
  EXPECT_EQ(cgroup_limits(bare.path).version, 0);
  EXPECT_FALSE(cgroup_limits(bare.path).writable);
  EXPECT_EQ(cgroup_limits("/nowhere").version, 0);
}

TEST(Cores, AreBoundByAffinityAndQuota) {
  EXPECT_EQ((Cores{8, 4, std::nullopt}.usable()), 4);
  EXPECT_EQ((Cores{8, 4, 2.0}.usable()), 2);
  EXPECT_EQ((Cores{8, 4, 16.0}.usable()), 4);
  EXPECT_EQ((Cores{8, 4, 0.2}.usable()), 1);
  EXPECT_GE(cores().usable(), 1);
  EXPECT_LE(cores().affinity, cores().online);
}

TEST(Machine, HasMemory) {
  EXPECT_GT(memory().total_bytes, int64_t{1} << 28);
  EXPECT_GT(memory().available_bytes, 0);
  EXPECT_LE(memory().available_bytes, memory().total_bytes);
}

TEST(Machine, SeesAPortInUse) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  socklen_t size = sizeof address;
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  EXPECT_FALSE(is_port_free(ntohs(address.sin_port)));
  close(listener);
  EXPECT_TRUE(is_port_free(ntohs(address.sin_port)));
}

/// Runs `cohort WORDS…` with the verbs of configs/ alone.
std::vector<Finding> one_more() {
  return {{.check = "sandbox", .found = "namespaces"}};
}

ImportTarget some_keys() {
  return {.defaults = {{"learning_rate", 1e-6}}, .check = [](const Json&, const std::string&) {}};
}

int run(std::vector<const char*> words, std::string& out, std::string& err) {
  CLI::App app("", "cohort");
  add_configs_commands(app, one_more, some_keys);
  words.insert(words.begin(), "cohort");
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int exit_code = run_command_line(app, static_cast<int>(words.size()), words.data());
  out = testing::internal::GetCapturedStdout();
  err = testing::internal::GetCapturedStderr();
  return exit_code;
}

TEST(Doctor, SaysWhatIsLostAndHowToGetIt) {
  for (const Finding& finding : examine_machine()) {
    EXPECT_NE(finding.found, "") << finding.check;
    EXPECT_EQ(finding.lost.empty(), finding.status == Finding::Status::ok) << finding.check;
    EXPECT_TRUE(finding.status != Finding::Status::missing || !finding.remedy.empty()) << finding.check;
  }
}

TEST(Doctor, PrintsOneLineOrOneObjectForEachCheck) {
  std::string out, err;
  EXPECT_EQ(run({"doctor", "--json"}, out, err), 0);
  const Json report = Json::parse(out);
  EXPECT_EQ(report["checks"].size(), examine_machine().size() + 1);
  EXPECT_EQ(report["checks"].back()["check"], "sandbox");
  EXPECT_EQ(report["checks"][1]["check"], "cores");
  EXPECT_EQ(err, "");
  EXPECT_EQ(run({"doctor"}, out, err), 0);
  EXPECT_EQ(static_cast<size_t>(std::count(out.begin(), out.end(), '\n')), examine_machine().size() + 1);
}

TEST(ConfigImport, TheConfigGoesToStdoutAndWhatBecameOfItToStderr) {
  const Root root({{"grpo.yaml", "learning_rate: 2e-6\nbeta: 0.1\n"}, {"broken.json", "{"}});
  std::string out, err;
  EXPECT_EQ(run({"config", "import", (root.path / "grpo.yaml").c_str()}, out, err), 0);
  EXPECT_EQ(Json::parse(out)["learning_rate"], 2e-6);
  EXPECT_FALSE(Json::parse(out).contains("beta"));
  EXPECT_NE(err.find("2: beta 0.1: this version has no beta"), std::string::npos) << err;
  EXPECT_NE(err.find("still to be given: model\nstill to be given: tasks\n"), std::string::npos) << err;
  EXPECT_EQ(run({"config", "import", (root.path / "broken.json").c_str()}, out, err), 2);
  EXPECT_EQ(run({"config", "import", (root.path / "none.json").c_str()}, out, err), 2);
  EXPECT_EQ(run({"config", "imprt"}, out, err), 2);
}

TEST(Gpu, TheCudaLibraryIsOpenedWhereItWasBuilt) {
  const CudaLibrary cuda = cuda_library();
  EXPECT_EQ(cuda.found, std::filesystem::exists(COHORT_BINARY_DIR "/libcohort_cuda.so"));
  if (!cuda.found) return;
  EXPECT_EQ(cuda.devices.empty(), !cuda.error.empty()) << cuda.error;
  for (const GpuDevice& device : cuda.devices) {
    EXPECT_NE(std::string(device.name), "");
    EXPECT_GT(device.memory_bytes, 0);
  }
}

}  // namespace
}  // namespace cohort
