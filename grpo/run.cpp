#include "grpo/run.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <fstream>

#include "configs/error.h"
#include "grpo/checkpoint.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

volatile sig_atomic_t interrupts = 0;
void on_interrupt(int) {
  interrupts = interrupts + 1;
  if (interrupts > 1) _exit(130);
}

const std::vector<std::string> kMayChange = {"max_steps", "save_steps", "eval_steps", "out", "threads", "save_total_limit", "log_completions_steps"};

void expect_same_config(const Json& saved, const Json& now, const fs::path& folder) {
  Json keys = saved;
  keys.update(now);
  for (const auto& [key, value] : keys.items()) {
    if (std::find(kMayChange.begin(), kMayChange.end(), key) != kMayChange.end()) continue;
    Json before = saved.value(key, Json()), after = now.value(key, Json());
    if (before != after)
      throw UsageError("config key \"" + key + "\" is " + after.dump() + ", the run in " + folder.string() + " has " + before.dump() +
                       ": resume with the same value, or start a new run with another --out");
  }
}

bool holds_run(const fs::path& folder) { return fs::exists(folder / "config.json") || fs::exists(folder / "metrics.jsonl") || fs::exists(folder / "checkpoints"); }

void clear_run(const fs::path& folder) {
  for (const char* name : {"config.json", "metrics.jsonl", "checkpoints", "completions", "final", "sampled", "report.html", "events.out.tfevents.cohort", "evaluations"})
    fs::remove_all(folder / name);
}

}  // namespace

Run open_run(const RunRequest& request, const Json& effective_config) {
  Run run{.folder = request.out};
  make_writable_folder(run.folder);
  run.lock = std::make_unique<RunLock>(run.folder);
  if (holds_run(run.folder) && !request.resume && !request.overwrite)
    throw UsageError(run.folder.string() + " already holds a run: give --resume to go on with it, --overwrite to replace it, or another --out");
  if (request.overwrite && !request.resume) clear_run(run.folder);
  for (const fs::path& folder : {run.folder, run.folder / "checkpoints"})
    if (fs::is_directory(folder)) remove_unfinished(folder);
  if (request.resume) {
    fs::path from = request.resume_from.empty() ? run.folder : request.resume_from;
    if (!request.resume_from.empty() && !fs::is_directory(from)) throw UsageError("--resume=" + from.string() + " is not a folder");
    bool is_checkpoint = fs::exists(from / "COMPLETE");
    run.checkpoint = is_checkpoint ? std::optional(from) : newest_checkpoint(from);
    fs::path config = (is_checkpoint ? from.parent_path().parent_path() : from) / "config.json";
    if (run.checkpoint && fs::exists(config)) expect_same_config(parse_config_file(config), effective_config, from);
    run.finished = fs::exists(run.folder / "final" / "config.json");
  }
  write_durably(run.folder / "config.json", effective_config.dump(2) + "\n");
  return run;
}

RunMetrics::RunMetrics(const fs::path& folder, int64_t last_step)
    : metrics_(folder / "metrics.jsonl", last_step), events_(folder, last_step, wall_time()) {}

void RunMetrics::log(const Json& row) {
  metrics_.append(row);
  std::vector<std::pair<std::string, double>> scalars;
  for (const auto& [key, value] : row.items())
    if (value.is_number() && key != "step") scalars.emplace_back(key, value.get<double>());
  events_.add_scalars(row.at("step"), wall_time(), scalars);
}

void watch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}
bool interrupted() { return interrupts > 0; }

double wall_time() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

}  // namespace cohort
