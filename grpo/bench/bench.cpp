#include "grpo/bench/bench.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>

#include "configs/command_line.h"
#include "configs/error.h"

namespace cohort {
namespace {

struct Bench {
  const char* name;
  void (*run)(const Compute&, const BenchConfig&, const BenchReport&);
};
constexpr Bench kBenches[] = {{"roofs", bench_roofs},     {"rollout", bench_rollout}, {"decode", bench_decode},
                              {"learner", bench_learner}, {"step", bench_step},       {"rewards", bench_rewards}};

struct BenchOptions {
  std::string which;
  BenchConfig config;
  int threads = 0;
  bool json = false;
};

std::vector<std::string> bench_names() {
  std::vector<std::string> names;
  for (const Bench& bench : kBenches) names.push_back(bench.name);
  names.push_back("all");
  return names;
}

/// The processor as the kernel calls it, and the instruction set of the kernels.
std::string device_name(const Compute& compute) {
  std::ifstream file("/proc/cpuinfo");
  std::string name = "CPU";
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name") && line.find(": ") != std::string::npos) {
      name = line.substr(line.find(": ") + 2);
      break;
    }
  return name + ", " + compute.kernels->isa;
}

/// What stands in brackets in "cohort VERSION (COMMIT)".
std::string commit_of(const std::string& version) {
  size_t begin = version.find('('), end = version.find(')', begin);
  return begin == std::string::npos || end == std::string::npos ? "" : version.substr(begin + 1, end - begin - 1);
}

void print_header(const BenchContext& context) {
  std::printf("%d thread%s on %s, commit %s\n", context.threads, context.threads == 1 ? "" : "s",
              context.device.c_str(), context.commit.c_str());
  std::printf("%-8s %-36s %10s %-11s %10s %6s  %s\n", "bench", "case", "value", "unit", "roof", "of it", "bound by");
}

std::string number_text(double x) {
  char text[32];
  std::snprintf(text, sizeof text, x < 100 ? "%.2f" : "%.0f", x);
  return text;
}

void print_row(const BenchCase& c) {
  char share[16] = "";
  if (c.roof) std::snprintf(share, sizeof share, "%.0f %%", 100 * *c.fraction_of_roof());
  std::printf("%-8s %-36s %10s %-11s %10s %6s  %s\n", c.bench.c_str(), c.name.c_str(), number_text(c.value).c_str(),
              c.unit.c_str(), c.roof ? number_text(*c.roof).c_str() : "", share, c.bound.c_str());
  if (c.peer_value)
    std::printf("%8s %.1f times as fast as %s %s, %s\n", "", *c.times_peer(), number_text(*c.peer_value).c_str(),
                c.unit.c_str(), c.peer.c_str());
  std::fflush(stdout);
}

/// Seconds of each repetition.
std::vector<double> repeat(double seconds, const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  constexpr size_t kLeast = 3;
  run();
  std::vector<double> taken;
  Clock::time_point first = Clock::now(), begin = first;
  while (taken.size() < kLeast || std::chrono::duration<double>(begin - first).count() < seconds) {
    run();
    Clock::time_point end = Clock::now();
    taken.push_back(std::chrono::duration<double>(end - begin).count());
    begin = end;
  }
  return taken;
}

void run_bench(const BenchOptions& options, const std::string& version) {
  Compute compute(options.threads ? options.threads : usable_cores());
  BenchContext context{compute.pool.num_threads(), device_name(compute), commit_of(version)};
  if (!options.json) print_header(context);
  for (const Bench& bench : kBenches) {
    if (options.which != "all" && options.which != bench.name) continue;
    bench.run(compute, options.config, [&](const BenchCase& result) {
      if (options.json)
        std::cout << to_json(result, context).dump() << std::endl;
      else
        print_row(result);
    });
  }
}

}  // namespace

std::optional<double> BenchCase::fraction_of_roof() const {
  if (!roof) return std::nullopt;
  return unit == "s" ? *roof / value : value / *roof;
}

std::optional<double> BenchCase::times_peer() const {
  if (!peer_value) return std::nullopt;
  return unit == "s" ? *peer_value / value : value / *peer_value;
}

Json to_json(const BenchCase& c, const BenchContext& context) {
  Json json = {{"bench", c.bench},
               {"case", c.name},
               {"value", c.value},
               {"unit", c.unit},
               {"roof", nullptr},
               {"fraction_of_roof", nullptr},
               {"threads", context.threads},
               {"device", context.device},
               {"commit", context.commit}};
  if (c.roof) json["roof"] = *c.roof, json["fraction_of_roof"] = *c.fraction_of_roof(), json["bound"] = c.bound;
  if (c.peer_value) json["peer"] = c.peer, json["peer_value"] = *c.peer_value, json["times_peer"] = *c.times_peer();
  return json;
}

double median(std::vector<double> values) {
  if (values.empty()) throw std::logic_error("[bench] the median of nothing");
  std::sort(values.begin(), values.end());
  size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double median_seconds(double seconds, const std::function<void()>& run) {
  return median(repeat(seconds, run));
}

double fastest_seconds(double seconds, const std::function<void()>& run) {
  std::vector<double> taken = repeat(seconds, run);
  return *std::min_element(taken.begin(), taken.end());
}

void add_bench(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  BenchShape& shape = options->config.shape;
  CLI::App* verb =
      app.add_subcommand("bench", "Measured speed, and its fraction of what this machine could do at most");
  verb->add_option("which", options->which, "roofs, rollout, decode, learner, step, rewards or all")
      ->required()
      ->check(CLI::IsMember(bench_names()));
  verb->add_option("-m,--model", options->config.model, "an HF folder, a .gguf file, or init:CONFIG.json")
      ->capture_default_str();
  verb->add_flag("--bf16", options->config.bf16, "store the weights as bfloat16; arithmetic stays fp32");
  verb->add_flag("--json", options->json, "one JSON object a case on stdout");
  verb->add_option("--threads", options->threads, "0: the cores this process may use")->check(CLI::Range(0, 1024));
  verb->add_option("--seconds", options->config.seconds, "of repetitions for each figure, their median is reported")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--prompt-length", shape.prompt_length, "tokens")->capture_default_str()->check(at_least_one());
  verb->add_option("--max-completion-length", shape.completion_length, "tokens of every completion")
      ->capture_default_str()
      ->check(at_least_one());
  verb->add_option("--slots", shape.slots, "of rollout and decode: completions decoded at once, e.g. 1,8,64")
      ->delimiter(',')
      ->check(at_least_one());
  verb->add_option("--contexts", shape.contexts, "of decode: keys of each completion, e.g. 64,256,1024")
      ->delimiter(',')
      ->check(at_least_one());
  verb->add_option("--plot", options->config.plot, "of decode: an HTML file, the cost of a step over both");
  verb->add_option("--prompts", shape.prompts, "of learner and step: prompts of a step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->add_option("--generations", shape.generations, "completions of each prompt")
      ->capture_default_str()
      ->check(at_least_one());
  verb->footer("Example:\n  cohort bench rollout --slots 1,64");
  verb->callback([options, &app] { run_bench(*options, app.version()); });
}

}  // namespace cohort
