#include "grpo/run.h"

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <utility>

#include "configs/error.h"
#include "grpo/checkpoint.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kMayChange = {"max_steps",
                                             "num_train_epochs",
                                             "save_steps",
                                             "eval_steps",
                                             "out",
                                             "threads",
                                             "sampling_threads",
                                             "learn_while_sampling",  // the same bits
                                             "save_total_limit",
                                             "log_completions_steps",
                                             "max_verifier_error_rate",
                                             "alarms",
                                             "dry_step",
                                             "gradient_checkpointing",  // here too
                                             "api_key_file",            // how a teacher is asked, not what
                                             "max_concurrent_requests",
                                             "request_timeout",
                                             "max_retries",
                                             "stages"};  // of a chain: each stage compares its own

/// `key` is where the two stand, dotted; empty at the top.
void expect_same_config(const Json& saved, const Json& now, const std::string& key, const fs::path& folder) {
  if (saved.is_object() && now.is_object()) {
    Json keys = saved;
    keys.update(now);
    for (const auto& [name, value] : keys.items())
      if (std::find(kMayChange.begin(), kMayChange.end(), name) == kMayChange.end())
        expect_same_config(saved.value(name, Json()), now.value(name, Json()), key.empty() ? name : key + "." + name,
                           folder);
  } else if (saved.is_array() && now.is_array() && saved.size() == now.size()) {
    for (size_t i = 0; i < saved.size(); ++i)
      expect_same_config(saved[i], now[i], key + "." + std::to_string(i), folder);
  } else if (saved != now) {
    throw UsageError("config key \"" + key + "\" is " + now.dump() + ", the run in " + folder.string() + " has " +
                     saved.dump() + ": resume with the same value, or start a new run with another --out");
  }
}

/// All that runs leave in their folder; config.json goes last, so that a folder half cleared still holds a run.
const std::vector<std::string> kLeftByRuns = {
    "checkpoints",      "final",        "sampled",       "completions", "evaluations",
    "candidates.jsonl", "traces.jsonl", "sampling.json", "report.html", "events.out.tfevents.cohort",
    "stages.json",      "best.json",    "metrics.jsonl", "config.json"};

bool holds_run(const fs::path& folder) {
  return std::any_of(kLeftByRuns.begin(), kLeftByRuns.end(),
                     [&](const std::string& name) { return fs::exists(folder / name); });
}

/// completions/ and evaluations/ of steps that are to come again.
void forget_later_steps(const fs::path& folder, int64_t step) {
  std::vector<fs::path> later;
  for (const char* part : {"completions", "evaluations"})
    if (fs::is_directory(folder / part))
      for (const auto& entry : fs::directory_iterator(folder / part))
        if (int64_t of = 0;
            std::sscanf(entry.path().filename().c_str(), "step-%" SCNd64 ".jsonl", &of) == 1 && of > step)
          later.push_back(entry.path());
  for (const fs::path& path : later) fs::remove(path);
}

/// Of the last row of metrics.jsonl; 0 without one.
int64_t last_logged_step(const fs::path& folder) {
  if (!fs::exists(folder / "metrics.jsonl")) return 0;
  const std::vector<Json> rows = read_metrics(folder / "metrics.jsonl");
  return rows.empty() ? 0 : rows.back().at("step").get<int64_t>();
}

void remove_temporary_names(const fs::path& folder) {
  for (const char* part : {"", "checkpoints", "completions", "evaluations"})
    if (fs::is_directory(folder / part)) remove_unfinished(folder / part);
}

fs::path whole_path(const fs::path& folder) {
  const fs::path path = fs::absolute(folder).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

/// A checkpoint folder as it is given, or the newest of a run folder; config.json stands beside both.
void resume_run(Run& run, const fs::path& given, ReadStoredConfig read) {
  const fs::path from = whole_path(given);
  if (!fs::is_directory(from)) throw UsageError("--resume=" + from.string() + " is not a folder");
  const bool is_checkpoint = fs::exists(from / "COMPLETE"), is_elsewhere = !fs::equivalent(from, run.folder);
  run.checkpoint = is_checkpoint ? std::optional(from) : newest_checkpoint(from);
  if (!run.checkpoint && is_elsewhere) throw UsageError("--resume=" + from.string() + " holds no whole checkpoint");
  const fs::path home = run_of(from);
  if (!fs::equivalent(home, run.folder)) run.began_in = home;
  for (const fs::path& folder : {home, run.folder})
    if (fs::exists(folder / "config.json")) expect_same_config(read(folder / "config.json"), run.config, "", folder);
  if (is_checkpoint)  // which may have been copied away from its run
    expect_same_config(read(from / "run.json"), run.config, "", from);
}

/// The rows up to the step that the run goes on from: its own, all of them, or those of the run it began in.
void take_up_metrics(const Run& run, int64_t step) {
  const fs::path log = run.folder / "metrics.jsonl";
  const int64_t last = last_logged_step(run.folder);
  if (run.began_in.empty() || last > 0) {
    if (last < step)
      throw UsageError(log.string() + " ends at step " + std::to_string(last) + ", the checkpoint is of step " +
                       std::to_string(step) +
                       ": put the whole file back, or go on from an earlier checkpoint with --resume=FOLDER");
    MetricsLog(log, step);
  } else if (fs::exists(run.began_in / "metrics.jsonl")) {
    MetricsLog begun(log, 0);
    for (const Json& row : read_metrics(run.began_in / "metrics.jsonl"))
      if (row.at("step").get<int64_t>() <= step) begun.append(row);
  }
}

}  // namespace

fs::path run_of(const fs::path& folder) {
  const fs::path path = whole_path(folder);
  return fs::exists(path / "COMPLETE") ? path.parent_path().parent_path() : path;
}

void expect_same_config(const Json& saved, const Json& now, const fs::path& folder) {
  expect_same_config(saved, now, "", folder);
}

void refuse_stored_config(const UsageError& error) {
  throw UsageError(std::string(error.what()) +
                   "; another version of cohort wrote it: finish the run with that one, or start a run with another "
                   "--out, its model being a checkpoint of this one");
}

Run open_run(const RunRequest& request, const Json& effective_config, ReadStoredConfig read) {
  if (request.resume && request.overwrite)
    throw UsageError("--resume goes on with the run and --overwrite replaces it: give one of them");
  Run run{.folder = request.out, .config = effective_config, .overwrite = request.overwrite};
  make_writable_folder(run.folder);
  run.lock = std::make_unique<RunLock>(run.folder);
  if (holds_run(run.folder) && !request.resume && !request.overwrite)
    throw UsageError(
        run.folder.string() +
        " already holds a run: give --resume to go on with it, --overwrite to replace it, or another --out");
  remove_temporary_names(run.folder);
  if (request.resume) resume_run(run, request.resume_from.empty() ? run.folder : request.resume_from, read);
  run.finished = request.resume && fs::exists(run.folder / "final" / "config.json");
  if (run.finished && !run.checkpoint) {
    const int64_t steps = last_logged_step(run.folder), wanted = effective_config.value("max_steps", steps);
    if (wanted > steps)
      throw UsageError(run.folder.string() + " is finished at step " + std::to_string(steps) +
                       " and has no checkpoint to go on from, max_steps is " + std::to_string(wanted) +
                       ": start a run with another --out, its model being " + (run.folder / "final").string());
    run.is_over = true;
  }
  return run;
}

void begin_run(Run& run, int64_t step) {
  if (!run.overwrite && step > 0) take_up_metrics(run, step);
  fs::remove(run.folder / "final" / "config.json");  // first: half a folder is no finished run
  if (std::exchange(run.overwrite, false))
    for (const std::string& name : kLeftByRuns) fs::remove_all(run.folder / name);
  fs::remove_all(run.folder / "final");
  forget_later_checkpoints(run.folder, step);
  forget_later_steps(run.folder, step);
  write_durably(run.folder / "config.json", run.config.dump(2) + "\n");
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

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace cohort
