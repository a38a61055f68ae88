#include "configs/commands.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <memory>

#include "configs/config.h"
#include "configs/durable_file.h"
#include "configs/error.h"
#include "configs/gpu.h"
#include "configs/machine.h"
#include "configs/read_file.h"

namespace cohort {
namespace {

using Status = Finding::Status;

constexpr uint16_t kDefaultPort = 8000;              // of `cohort serve`
constexpr int64_t kLittleMemory = int64_t{4} << 30;  // bytes

std::string gigabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GB", static_cast<double>(bytes) / 1e9);
  return text;
}

Finding check_cpu() {
  const std::vector<std::string> features = cpu_features();
  const auto has = [&features](const char* name) {
    return std::find(features.begin(), features.end(), name) != features.end();
  };
  Finding finding{"cpu"};
  for (const std::string& name : features) finding.found += (finding.found.empty() ? "" : " ") + name;
  if (has("avx512f") && has("avx512bw") && has("avx512dq") && has("avx512vl")) return finding;
  finding.status = Status::degraded;
  finding.lost =
      has("avx2") && has("fma") ? "the kernels use AVX2 instead of AVX-512" : "the kernels use no vector instructions";
  if (features.empty()) finding.found = "none of avx2, fma, avx512";
  return finding;
}

Finding check_cores() {
  const Cores there = cores();
  Finding finding{"cores"};
  finding.found = std::to_string(there.usable()) + " usable (" + std::to_string(there.online) + " online, " +
                  std::to_string(there.affinity) + " by affinity, " +
                  (there.quota ? Json(*there.quota).dump() + " by cgroup)" : "no cgroup limit)");
  if (there.usable() == 1) {
    finding.status = Status::degraded;
    finding.lost = "sampling, training and rewards share one core";
  }
  return finding;
}

Finding check_memory() {
  const Memory there = memory();
  Finding finding{"memory"};
  finding.found = gigabytes(there.available_bytes) + " available of " + gigabytes(there.total_bytes) +
                  (there.limit_bytes ? ", cgroup limit " + gigabytes(*there.limit_bytes) : "");
  if (there.available_bytes < kLittleMemory) {
    finding.status = Status::degraded;
    finding.lost = "only small models fit";
  }
  return finding;
}

std::string describe(const CudaLibrary& cuda) {
  if (!cuda.found) return "; libcohort_cuda.so is not beside this program (it is built where nvcc is)";
  std::string text = cuda.error.empty() ? "" : "; CUDA: " + cuda.error;
  for (const GpuDevice& device : cuda.devices)
    text += std::string("; ") + device.name + ", " + gigabytes(device.memory_bytes) + ", compute " +
            std::to_string(device.compute_major) + "." + std::to_string(device.compute_minor);
  return text;
}

Finding check_gpu() {
  const Gpu there = gpu();
  Finding finding{"gpu"};
  if (there.device && there.library) {
    finding.found =
        "NVIDIA, driver " + (there.driver.empty() ? "of unknown version" : there.driver) + describe(cuda_library());
    return finding;
  }
  finding.status = Status::degraded;
  finding.found = there.device ? "/dev/nvidia0 without libcuda.so.1" : "none";
  finding.lost = "models run on the CPU";
  if (there.device) finding.remedy = "install the NVIDIA driver's libcuda1";
  return finding;
}

Finding check_namespaces() {
  Finding finding{"sandbox namespaces"};
  finding.found = "user, mount, process, network, IPC and UTS";
  if (can_isolate_processes()) return finding;
  finding.status = Status::missing;
  finding.found = "not permitted";
  finding.lost = "programs in completions cannot be isolated, so code rewards cannot run";
  finding.remedy =
      "as root: sysctl -w kernel.unprivileged_userns_clone=1 (Ubuntu: kernel.apparmor_restrict_unprivileged_userns=0); "
      "in a "
      "container: allow user namespaces";
  return finding;
}

Finding check_seccomp() {
  Finding finding{"sandbox seccomp"};
  finding.found = "system-call filters";
  if (can_filter_system_calls()) return finding;
  finding.status = Status::missing;
  finding.found = "no system-call filters";
  finding.lost = "the system calls of programs in completions cannot be restricted";
  finding.remedy = "a kernel with CONFIG_SECCOMP_FILTER";
  return finding;
}

Finding check_cgroup() {
  const CgroupLimits there = cgroup_limits();
  Finding finding{"sandbox cgroup"};
  finding.found = there.version == 0
                      ? "none"
                      : "version " + std::to_string(there.version) + (there.writable ? ", writable" : ", not writable");
  if (there.writable) return finding;
  finding.status = Status::degraded;
  finding.lost = "a program's memory is watched from outside instead of bounded by the kernel";
  finding.remedy = "run as root, or in a delegated group: systemd-run --user --scope -p Delegate=yes cohort …";
  return finding;
}

Finding check_port() {
  Finding finding{"port " + std::to_string(kDefaultPort)};
  finding.found = "free";
  if (is_port_free(kDefaultPort)) return finding;
  finding.status = Status::degraded;
  finding.found = "in use";
  finding.lost = "cohort serve cannot use its default port";
  finding.remedy = "cohort serve --port N";
  return finding;
}

std::string status_name(Status status) {
  return status == Status::ok ? "ok" : status == Status::degraded ? "degraded" : "missing";
}

void print_line(const Finding& finding) {
  std::string line = finding.found;
  if (!finding.lost.empty()) line += ": " + finding.lost;
  if (!finding.remedy.empty()) line += "; to get it: " + finding.remedy;
  std::printf("%-19s %-9s %s\n", finding.check.c_str(), status_name(finding.status).c_str(), line.c_str());
}

Json json_of_finding(const Finding& finding) {
  Json object = {{"check", finding.check}, {"status", status_name(finding.status)}, {"found", finding.found}};
  if (!finding.lost.empty()) object["lost"] = finding.lost;
  if (!finding.remedy.empty()) object["remedy"] = finding.remedy;
  return object;
}

void run_doctor(bool json, std::vector<Finding> (*examine_more)()) {
  std::vector<Finding> findings = examine_machine();
  for (Finding& more : examine_more()) findings.push_back(std::move(more));
  if (!json) {
    std::for_each(findings.begin(), findings.end(), print_line);
    return;
  }
  Json checks = Json::array();
  std::transform(findings.begin(), findings.end(), std::back_inserter(checks), json_of_finding);
  std::cout << Json{{"checks", checks}}.dump() << "\n";
}

struct ImportOptions {
  std::string file, out;
  int64_t num_processes = 1;
};

void run_import(const ImportOptions& options, const ImportTarget& target) {
  const Imported imported =
      import_config(read_file(options.file, Pipes::read), options.file, options.num_processes, target);
  std::cerr << imported.told;
  if (options.out.empty())
    std::cout << imported.config;
  else
    write_durably(options.out, imported.config);
}

}  // namespace

std::vector<Finding> examine_machine() {
  return {check_cpu(),        check_cores(),   check_memory(), check_gpu(),
          check_namespaces(), check_seccomp(), check_cgroup(), check_port()};
}

void add_configs_commands(CLI::App& app, std::vector<Finding> (*examine_more)(), ImportTarget (*train_target)()) {
  CLI::App* doctor =
      app.add_subcommand("doctor", "What this machine offers, and what is lost where it lacks something");
  const auto json = std::make_shared<bool>(false);
  doctor->add_flag("--json", *json, "one JSON object on stdout");
  doctor->footer("Example: cohort doctor");
  doctor->callback([json, examine_more] { run_doctor(*json, examine_more); });

  CLI::App* config = app.add_subcommand("config", "Configs of other programs");
  config->require_subcommand(1);
  CLI::App* import = config->add_subcommand(
      "import", "Translates a TRL or verl config; stderr says what became of every key, and what has no counterpart");
  const auto options = std::make_shared<ImportOptions>();
  import->add_option("file", options->file, "TRL's YAML, verl's YAML, or a script with verl's a.b=c overrides")
      ->required();
  import->add_option("--out", options->out, "write the config there; default: stdout");
  import->add_option("--num-processes", options->num_processes, "devices of the TRL run, for its batch sizes")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  import->footer("Example: cohort config import grpo_config.yaml --out train.json");
  import->callback([options, train_target] { run_import(*options, train_target());
});
}  // namespace cohort

}  // namespace cohort
