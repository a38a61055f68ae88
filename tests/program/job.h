// A run as tests drive it: its config on disk, the program on it, and what two runs have to agree in.
#pragma once
#include <algorithm>
#include <set>

#include "tests/program/program.h"

namespace cohort {

/// A job on disk: its verb, its config and where its runs go.
struct Job {
  Job(std::string verb, const Json& config, const Json& model = tiny_model()) : verb(std::move(verb)) {
    write_file(folder / "model.json", model.dump());
    Json placed = config;
    place_model(placed);
    write_file(folder / "config.json", placed.dump());
  }

  /// Configs name the model "MODEL", and another with the same vocabulary "TEACHER"; the path is only known here.
  void place_model(Json& value) const {
    if (value.is_structured())
      for (Json& child : value) place_model(child);
    if (value == "MODEL") value = "init:" + (folder / "model.json").string() + "?seed=1";
    if (value == "TEACHER") value = "init:" + (folder / "model.json").string() + "?seed=2";
  }

  fs::path out(const std::string& name) const { return folder / name; }

  Arguments arguments(const fs::path& out, Arguments more = {}) const {
    Arguments all = {verb, (folder / "config.json").string(), "--out", out.string()};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Outcome run(const fs::path& out, const Arguments& more = {}) const { return run_program(arguments(out, more)); }

  /// A run that nobody disturbs.
  fs::path reference(const Arguments& more = {}) const {
    const fs::path out = this->out("reference");
    if (fs::exists(out)) return out;
    const Outcome outcome = run(out, more);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return out;
  }

  TestFolder folder;
  std::string verb;
};

inline Json train_config() {
  Json config = tiny_train("");
  config["model"] = "MODEL";
  return config;
}

inline Json train_config_with(const Json& changes) {
  Json config = train_config();
  config.update(changes);
  return config;
}

inline Json distill_config() {
  Json student = tiny_sft("MODEL");
  student.erase("tasks"), student.erase("threads");
  return {{"teacher", "MODEL"},
          {"tasks", "arithmetic:operations=2"},
          {"rewards", train_config()["rewards"]},
          {"num_prompts", 48},
          {"prompts_per_step", 8},
          {"max_completion_length", 32},
          {"student", student}};
}

/// Nine steps, three checkpoints; the student samples every completion.
inline Json on_policy_config(const Json& changes = Json::object()) {
  Json config = distill_config();
  config.update({{"mode", "on_policy"},
                 {"teacher", "TEACHER"},
                 {"num_generations", 2},
                 {"prompts_per_step", 4},
                 {"max_completion_length", 8},
                 {"log_completions_steps", 1}});
  config.update(changes);
  return config;
}

/// A tiny model and a GRPO config on it, in a folder of their own.
struct TinyJob {
  TinyJob() { write_file(folder / "model.json", tiny_model().dump()); }

  std::string model() const { return "init:" + (folder / "model.json").string() + "?seed=1"; }
  std::string write(const std::string& text) const {
    write_file(folder / "config.json", text);
    return (folder / "config.json").string();
  }
  Json config(const Json& changes = Json::object()) const {
    Json config = tiny_train(folder / "model.json");
    config.update(changes);
    return config;
  }
  std::string out() const { return (folder / "out").string(); }

  TestFolder folder;
};

inline bool is_time(const std::string& name) {
  for (const char* part : {"time", "timing", "perf", "seconds"})
    if (name.find(part) != name.npos) return true;
  return false;
}

/// Nor a trace's teacher, which in a chain is a folder of this very run.
inline Json without_times(Json value) {
  if (value.is_object())
    for (auto field = value.begin(); field != value.end();)
      field = is_time(field.key()) || field.key() == "teacher" ? value.erase(field) : ++field;
  if (value.is_structured())
    for (Json& child : value) child = without_times(child);
  return value;
}

inline bool is_temporary(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.find(".unfinished-") != name.npos || name == ".lock" || name == "sampled";
}

/// Whether a name that is only there while something is written stands directly in the folder.
inline bool is_writing(const fs::path& folder, const std::string& what) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (entry->path().filename().string().find(what + ".unfinished-") != std::string::npos) return true;
  return false;
}

inline int64_t sampled_groups(const fs::path& out) {
  int64_t count = 0;
  std::error_code error;
  for (fs::directory_iterator entry(out / "sampled", error), end; !error && entry != end; entry.increment(error))
    count += num_lines(entry->path());
  return count;
}

/// Weights, optimizer, metrics and completions agree to the bit, times aside, and nothing unfinished is left.
inline void expect_same_run(const fs::path& reference, const fs::path& out) {
  const std::map<std::string, std::string> expected = files_of(reference), found = files_of(out);
  const std::set<std::string> not_compared = {"config.json", "run.json", "report.html", "events.out.tfevents.cohort",
                                              "sampling.json"};
  for (const auto& [name, bytes] : expected) {
    const fs::path path = name;
    const bool is_state = path.filename() == "state.json" || path.filename() == "COMPLETE";  // the seconds so far
    if (not_compared.contains(path.filename().string()) || is_state) continue;
    ASSERT_TRUE(found.contains(name)) << name << " is missing";
    const bool has_times = path.extension() == ".jsonl" || path.filename() == "stages.json";
    if (!has_times) {
      EXPECT_TRUE(found.at(name) == bytes) << name << " differs";
      continue;
    }
    const auto rows = [&](const fs::path& run) {
      return path.extension() == ".jsonl" ? Json(json_lines(run / path)) : Json::parse(read_file(run / path));
    };
    EXPECT_EQ(without_times(rows(out)), without_times(rows(reference))) << name;
  }
  EXPECT_EQ(found.size(), expected.size());
  for (const auto& entry : fs::recursive_directory_iterator(out))
    EXPECT_FALSE(is_temporary(entry.path())) << entry.path();
}

}  // namespace cohort
