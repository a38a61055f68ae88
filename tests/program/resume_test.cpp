// Nothing is lost: the real program is killed, interrupted and starved at many moments, and --resume ends at the bytes
// of a run that nobody disturbed. COHORT_TEST_ALL=1 kills ten times as often.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/program/program.h"

namespace cohort {
namespace {

using Arguments = std::vector<std::string>;
using Moment = std::function<bool()>;

int times(int by_default) {
  return test_all() ? 10 * by_default : by_default;
}

/// A job on disk: its verb, its config and where its runs go.
struct Job {
  Job(std::string verb, const Json& config, const Json& model = tiny_model()) : verb(std::move(verb)) {
    write_file(folder / "model.json", model.dump());
    Json placed = config;
    place_model(placed);
    write_file(folder / "config.json", placed.dump());
  }

  /// Configs name the model "MODEL", whose path is only known here.
  void place_model(Json& value) const {
    if (value.is_structured())
      for (Json& child : value) place_model(child);
    if (value == "MODEL") value = "init:" + (folder / "model.json").string() + "?seed=1";
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

Json train_config() {
  Json config = tiny_train("");
  config["model"] = "MODEL";
  return config;
}

Json train_config_with(const Json& changes) {
  Json config = train_config();
  config.update(changes);
  return config;
}

bool is_time(const std::string& name) {
  for (const char* part : {"time", "timing", "perf", "seconds"})
    if (name.find(part) != name.npos) return true;
  return false;
}

/// Nor a trace's teacher, which in a chain is a folder of this very run.
Json without_times(Json value) {
  if (value.is_object())
    for (auto field = value.begin(); field != value.end();)
      field = is_time(field.key()) || field.key() == "teacher" ? value.erase(field) : ++field;
  if (value.is_structured())
    for (Json& child : value) child = without_times(child);
  return value;
}

bool is_temporary(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.find(".unfinished-") != name.npos || name == ".lock" || name == "sampled";
}

/// Whether a name that is only there while something is written stands directly in the folder.
bool is_writing(const fs::path& folder, const std::string& what) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (entry->path().filename().string().find(what + ".unfinished-") != std::string::npos) return true;
  return false;
}

int64_t sampled_groups(const fs::path& out) {
  int64_t count = 0;
  std::error_code error;
  for (fs::directory_iterator entry(out / "sampled", error), end; !error && entry != end; entry.increment(error))
    count += num_lines(entry->path());
  return count;
}

/// Weights, optimizer, metrics and completions agree to the bit, times aside, and nothing unfinished is left.
void expect_same_run(const fs::path& reference, const fs::path& out) {
  const std::map<std::string, std::string> expected = files_of(reference), found = files_of(out);
  const std::set<std::string> not_compared = {"config.json", "report.html", "events.out.tfevents.cohort",
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

/// One of the moments that hurt: in the writing of a checkpoint (0) or of the end (1), in a rollout (2), in an update
/// (3), any at all.
Moment some_moment(const fs::path& out, double seconds, int kind, std::mt19937& random) {
  const int64_t rows_before = num_lines(out / "metrics.jsonl"), groups_before = sampled_groups(out);
  const int64_t more = std::uniform_int_distribution<int64_t>(1, 3)(random);
  const auto end =
      std::chrono::steady_clock::now() + Seconds(std::uniform_real_distribution<double>(0, seconds)(random));
  if (kind == 2) return [=] { return sampled_groups(out) >= groups_before % 8 + more; };
  if (kind == 3) return [=] { return num_lines(out / "metrics.jsonl") >= rows_before + more; };
  if (kind == 0) return [=] { return is_writing(out / "checkpoints", ""); };
  if (kind == 1) return [=] { return is_writing(out, "final"); };
  return [=] { return std::chrono::steady_clock::now() >= end; };
}

/// Kills the job `num_kills` times, each time going on with --resume; whenever it gets through, its run is compared
/// and a fresh one begun. `threads` are taken in turn.
void kill_and_resume(const Job& job, int num_kills, const std::vector<int>& threads,
                     const std::function<fs::path(const fs::path&)>& watched = {}) {
  const auto start = std::chrono::steady_clock::now();
  const fs::path reference = job.reference(), out = job.out("killed");
  const double seconds = Seconds(std::chrono::steady_clock::now() - start).count() + 0.5;
  std::mt19937 random(static_cast<unsigned>(num_kills) + 7);
  for (int kills = 0, attempt = 0, finished = 0; kills < num_kills || finished == 0; ++attempt) {
    const std::string set = "threads=" + std::to_string(threads[size_t(attempt) % threads.size()]);
    Process process(job.arguments(out, {"--resume", "--set", set}));
    if (kills < num_kills &&
        process.wait_until(some_moment(watched ? watched(out) : out, seconds, attempt % 5, random)))
      process.signal(SIGKILL);
    const Outcome outcome = process.wait();
    if (outcome.exit_code == -SIGKILL) {
      ++kills;
      finished = 0;
      continue;
    }
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    ASSERT_NO_FATAL_FAILURE(expect_same_run(reference, out)) << "after " << kills << " kills";
    if (testing::Test::HasFailure()) return;
    fs::remove_all(out);
    finished = 1;
  }
}

TEST(ResumeFault, AKilledRunEndsAtTheSameBytes) {
  const Job job("train", train_config());
  for (int threads : {1, 2, 3}) kill_and_resume(job, times(4), {threads});
}

TEST(ResumeFault, AKilledRunMayGoOnWithOtherThreadCounts) {
  const Job job("train", train_config());
  kill_and_resume(job, times(6), {1, 3, 2});
}

TEST(ResumeFault, AReferenceModelThatMovesIsResumed) {
  const Json changes = {{"beta", 0.05},
                        {"sync_ref_model", true},
                        {"ref_model_sync_steps", 2},
                        {"ref_model_mixup_alpha", 0.5},
                        {"eval_steps", 4},
                        {"eval_tasks", "arithmetic:operations=2,split=held_out,limit=6"}};
  const Job job("train", train_config_with(changes));
  kill_and_resume(job, times(3), {2, 1});
}

TEST(ResumeFault, SupervisedTuningIsResumed) {
  const Job job("sft", tiny_sft("MODEL"));
  kill_and_resume(job, times(3), {2, 1, 3});
}

Json distill_config() {
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

TEST(ResumeFault, DistillationIsResumed) {
  const Job job("distill", distill_config());
  kill_and_resume(job, times(3), {2, 1});
}

TEST(ResumeFault, AChainIsResumedAtItsStageAndStep) {
  Json base = tiny_sft("MODEL"), grpo = train_config(), student = distill_config();
  base.erase("threads"), grpo.erase("threads");
  grpo["model"] = student["teacher"] = "stage:grpo";
  grpo["model"] = "stage:base";
  student["student"]["model"] = "stage:base";
  const Json eval = {{"tasks", "arithmetic:operations=2,split=held_out,limit=8"},
                     {"rewards", grpo["rewards"]},
                     {"lenient_rewards", {"last_number"}},
                     {"max_completion_length", 8}};
  const Json stages = {{{"name", "base"}, {"kind", "sft"}, {"config", base}, {"evaluate", true}},
                       {{"name", "grpo"}, {"kind", "train"}, {"config", grpo}, {"evaluate", true}},
                       {{"name", "student"}, {"kind", "distill"}, {"config", student}, {"seed_offset", 7}},
                       {{"name", "measured"},
                        {"kind", "eval"},
                        {"config",
                         {{"model", "stage:student"},
                          {"tasks", "arithmetic:operations=2,split=held_out,limit=6"},
                          {"max_completion_length", 8}}}}};
  const Job job("run", {{"eval", eval}, {"stages", stages}});
  kill_and_resume(job, times(4), {2, 1}, [&, turn = 0](const fs::path& out) mutable {
    return out / std::vector<std::string>{"base", "grpo", "student"}[size_t(turn++ % 3)];
  });
}

TEST(ResumeFault, SampledGroupsAreKept) {
  const Json config = train_config_with({{"prompts_per_step", 16}, {"max_slots", 4}, {"max_completion_length", 64}});
  const Job job("train", config);
  const fs::path out = job.out("killed"), sampled = out / "sampled" / "version-000000.jsonl";
  Process process(job.arguments(out));
  ASSERT_TRUE(process.wait_until([&] { return num_lines(sampled) >= 5; }));
  process.signal(SIGKILL);
  process.wait();

  std::string marked, text = read_file(sampled);
  std::set<int64_t> kept;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != text.npos; begin = end + 1) {
    Json row = Json::parse(text.substr(begin, end - begin));
    kept.insert(row["index"].get<int64_t>());
    row["group"]["rollouts"][0]["completion"] = "kept";  // a text that no new sample would have
    marked += row.dump() + "\n";
  }
  ASSERT_LT(kept.size(), 32u);
  write_file(sampled, marked + "{\"index\": 31, \"gro");  // and half a line, as a kill leaves it
  const Outcome outcome = job.run(out, {"--resume"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::vector<Json> groups = json_lines(out / "completions" / "step-000001.jsonl");
  ASSERT_EQ(groups.size(), 16u);
  for (int64_t i = 0; i < 16; ++i)
    EXPECT_EQ(groups[size_t(i)]["rollouts"][0]["completion"] == "kept", kept.contains(i)) << i;
  EXPECT_TRUE(read_file(out / "final" / "model.safetensors") ==
              read_file(job.reference() / "final" / "model.safetensors"));
}

TEST(ResumeFault, ATornCheckpointIsSkippedByName) {
  const Job job("train", train_config());
  const std::map<std::string, std::function<void(const fs::path&)>> tears = {
      {"model.safetensors",
       [](const fs::path& c) { fs::resize_file(c / "model.safetensors", fs::file_size(c / "model.safetensors") - 1); }},
      {"optimizer.safetensors",
       [](const fs::path& c) {
         std::string bytes = read_file(c / "optimizer.safetensors");
         bytes[bytes.size() / 2] ^= 1;
         write_file(c / "optimizer.safetensors", bytes);
       }},
      {"state.json", [](const fs::path& c) { fs::remove(c / "state.json"); }},
      {"COMPLETE is missing", [](const fs::path& c) { fs::remove(c / "COMPLETE"); }},
      {"COMPLETE is broken", [](const fs::path& c) { write_file(c / "COMPLETE", "[1]"); }},
  };
  for (const auto& [named, tear] : tears) {
    const fs::path out = job.out("torn");
    fs::remove_all(out);
    fs::copy(job.reference(), out, fs::copy_options::recursive);
    fs::remove_all(out / "final");  // as if killed after the last checkpoint
    tear(out / "checkpoints" / "step-000009");
    const Outcome outcome = job.run(out, {"--resume"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_NE(outcome.err.find("checkpoints/step-000009: " + named), std::string::npos) << outcome.err;
    expect_same_run(job.reference(), out);
  }
}

TEST(ResumeFault, ATornCheckpointDoesNotPushOutWholeOnes) {
  const Job job("train", train_config());
  const fs::path out = job.out("torn");
  fs::copy(job.reference(), out, fs::copy_options::recursive);
  fs::remove(out / "checkpoints" / "step-000009" / "COMPLETE");
  Process process(job.arguments(
      out, {"--resume", "--set", "save_steps=1", "--set", "save_total_limit=1", "--set", "max_steps=100000"}));
  ASSERT_TRUE(process.wait_until([&] {
    return fs::exists(out / "checkpoints" / "step-000008") && !fs::exists(out / "checkpoints" / "step-000006");
  }));
  process.signal(SIGKILL);
  process.wait();
  const Outcome outcome = job.run(out, {"--resume"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(num_lines(out / "metrics.jsonl") >= 8);
}

TEST(ResumeFault, AnInterruptFinishesTheStepAndSaves) {
  const Job job("train", train_config_with({{"max_steps", 60}, {"save_steps", 0}}));
  for (int number : {SIGINT, SIGTERM}) {
    const fs::path out = job.out("interrupted");
    fs::remove_all(out);
    Process process(job.arguments(out));
    ASSERT_TRUE(process.wait_until([&] { return num_lines(out / "metrics.jsonl") >= 1; }));
    process.signal(number);
    const Outcome outcome = process.wait();
    ASSERT_EQ(outcome.exit_code, 130) << outcome.err;
    EXPECT_NE(outcome.err.find("--resume"), std::string::npos) << outcome.err;
    char name[32];
    std::snprintf(name, sizeof name, "step-%06d", int(num_lines(out / "metrics.jsonl")));
    EXPECT_TRUE(fs::exists(out / "checkpoints" / name / "COMPLETE")) << name;
    EXPECT_FALSE(fs::exists(out / "final"));
    ASSERT_EQ(job.run(out, {"--resume"}).exit_code, 0);
    EXPECT_TRUE(read_file(out / "final" / "model.safetensors") ==
                read_file(job.reference() / "final" / "model.safetensors"));
  }
}

/// A job whose first rollout takes many seconds.
Json slow_config() {
  return train_config_with({{"prompts_per_step", 512}, {"num_generations", 16}, {"max_completion_length", 200}});
}

TEST(ResumeFault, ASecondInterruptEndsAtOnce) {
  const Job job("train", slow_config());
  const fs::path out = job.out("interrupted");
  Process process(job.arguments(out));
  ASSERT_TRUE(process.wait_until([&] { return sampled_groups(out) >= 1; }));
  process.signal(SIGINT);
  std::this_thread::sleep_for(Seconds(0.1));
  EXPECT_TRUE(process.is_running());
  process.signal(SIGINT);
  EXPECT_EQ(process.wait().exit_code, 130);
  EXPECT_FALSE(fs::exists(out / "metrics.jsonl") && num_lines(out / "metrics.jsonl") > 0);
}

TEST(ResumeFault, AnInterruptBeforeTheFirstStepExitsWith130) {
  for (const std::string verb : {"train", "sft", "distill"}) {
    const Job job(verb, verb == "train" ? train_config() : verb == "sft" ? tiny_sft("MODEL") : distill_config());
    const fs::path out = job.out("interrupted");
    Process process(job.arguments(out));
    ASSERT_TRUE(process.wait_until([&] { return fs::exists(out / ".lock"); }));
    process.signal(SIGINT);
    const Outcome outcome = process.wait();
    EXPECT_EQ(outcome.exit_code, 130) << verb << outcome.err;
    EXPECT_NE(outcome.err.find("interrupted"), std::string::npos) << outcome.err;
    const Outcome resumed = job.run(out, {"--resume"});
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    expect_same_run(job.reference(), out);
  }
}

TEST(ResumeFault, TwoRunsInOneFolderAreKeptApart) {
  for (const std::string verb : {"train", "distill"}) {
    Json distill = distill_config();
    distill["num_prompts"] = 1000000;
    distill["prompts_per_step"] = 1000000;
    const Job job(verb, verb == "train" ? train_config_with({{"max_steps", 1000000}}) : distill);
    const fs::path out = job.out("shared");
    Process first(job.arguments(out));
    ASSERT_TRUE(first.wait_until([&] { return fs::exists(out / ".lock"); }));
    for (const char* flag : {"--resume", "--overwrite"}) {
      const Outcome second = job.run(out, {flag});
      EXPECT_EQ(second.exit_code, 2) << verb << flag << second.err;
      EXPECT_NE(second.err.find(std::to_string(first.pid())), std::string::npos) << second.err;
    }
    EXPECT_TRUE(first.is_running());
  }
}

TEST(ResumeFault, AFinishedRunIsLeftAsItIs) {
  for (const std::string verb : {"train", "sft", "distill"}) {
    const Job job(verb, verb == "train" ? train_config() : verb == "sft" ? tiny_sft("MODEL") : distill_config());
    const auto before = files_of(job.reference());
    const Outcome outcome =
        job.run(job.reference(), {"--resume", "--set", verb == "distill" ? "threads=3" : "max_steps=5"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_TRUE(files_of(job.reference()) == before) << verb;
  }
}

TEST(ResumeFault, AFinishedRunGoesOnToMoreSteps) {
  const Job job("train", train_config());
  const fs::path out = job.out("longer");
  ASSERT_EQ(job.run(out, {"--set", "max_steps=5"}).exit_code, 0);
  const std::string at_five = read_file(out / "final" / "model.safetensors");
  Process process(
      job.arguments(out, {"--resume"}));  // killed after its last checkpoint: final/ must not stay the former
  if (process.wait_until([&] { return fs::exists(out / "checkpoints" / "step-000009"); })) process.signal(SIGKILL);
  process.wait();
  ASSERT_EQ(job.run(out, {"--resume"}).exit_code, 0);
  EXPECT_TRUE(read_file(out / "final" / "model.safetensors") != at_five);
  EXPECT_TRUE(read_file(out / "final" / "model.safetensors") ==
              read_file(job.reference() / "final" / "model.safetensors"));
}

TEST(ResumeFault, AChangedKeyIsRefusedByName) {
  const Job job("train", train_config());
  const fs::path reference = job.reference(), killed = job.out("killed");
  const auto before = files_of(reference);
  for (const auto& [key, value] : std::map<std::string, std::string>{{"temperature", "0.7"},
                                                                     {"num_generations", "8"},
                                                                     {"learning_rate", "0.5"},
                                                                     {"seed", "3"},
                                                                     {"overlong.penalty", "0.5"}}) {
    const Outcome outcome = job.run(reference, {"--resume", "--set", key + "=" + value});
    EXPECT_EQ(outcome.exit_code, 2) << key;
    EXPECT_NE(outcome.err.find("\"" + key + "\" is " + value), std::string::npos) << outcome.err;
  }
  EXPECT_TRUE(files_of(reference) == before);

  Process process(job.arguments(killed));  // without a checkpoint yet: its groups were sampled under the former config
  ASSERT_TRUE(process.wait_until([&] { return sampled_groups(killed) >= 1; }));
  process.signal(SIGKILL);
  process.wait();
  EXPECT_EQ(job.run(killed, {"--resume", "--set", "temperature=0.7"}).exit_code, 2);
}

TEST(ResumeFault, AChangedKeyOfADistillationOrAChainIsRefusedByName) {
  const Job distill("distill", distill_config());
  Outcome outcome = distill.run(distill.reference(), {"--resume", "--set", "temperature=0.5"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.err.find("\"temperature\" is 0.5"), std::string::npos) << outcome.err;
  const Job chain("run", {{"stages", {{{"name", "base"}, {"kind", "sft"}, {"config", tiny_sft("MODEL")}}}}});
  const auto before = files_of(chain.reference());
  outcome = chain.run(chain.reference(), {"--resume", "--set", "stages.0.config.learning_rate=0.5"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.err.find("\"stages.0.config.learning_rate\" is 0.5"), std::string::npos) << outcome.err;
  EXPECT_EQ(chain.run(chain.reference(), {"--resume"}).exit_code, 0);
  EXPECT_TRUE(files_of(chain.reference()) == before);
}

TEST(ResumeFault, AFolderThatHoldsARunIsRefused) {
  const Job job("train", train_config());
  const fs::path out = job.out("taken");
  fs::copy(job.reference(), out, fs::copy_options::recursive);
  const auto before = files_of(out);
  const Outcome refused = job.run(out);
  EXPECT_EQ(refused.exit_code, 2);
  for (const char* word : {"--resume", "--overwrite", "taken"})
    EXPECT_NE(refused.err.find(word), std::string::npos) << refused.err;
  EXPECT_TRUE(files_of(out) == before);
  const Outcome no_model = job.run(out, {"--overwrite", "--set", "model=nowhere"});
  EXPECT_EQ(no_model.exit_code, 2);
  EXPECT_TRUE(files_of(out) == before) << "a refused run replaced nothing";
  write_file(out / "completions" / "step-000777.jsonl", "");
  ASSERT_EQ(job.run(out, {"--overwrite"}).exit_code, 0);
  expect_same_run(job.reference(), out);
}

TEST(ResumeFault, ARefusedRunLeavesNoRunBehind) {
  const Job job("train", train_config());
  const fs::path out = job.out("fresh");
  EXPECT_EQ(job.run(out, {"--set", "model=nowhere"}).exit_code, 2);
  EXPECT_EQ(job.run(out, {"--set", "max_completion_length=9999"}).exit_code, 2);
  EXPECT_EQ(job.run(out).exit_code, 0);
  expect_same_run(job.reference(), out);
}

TEST(ResumeFault, AnyCheckpointCanBeResumedFrom) {
  const Job job("train", train_config_with({{"save_total_limit", 0}}));
  const fs::path early = job.reference() / "checkpoints" / "step-000003", out = job.out("branch");
  for (const std::string& from : {early.string(), early.string() + "/", job.reference().string()}) {
    fs::remove_all(out);
    const Outcome outcome = job.run(out, {"--resume=" + from});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_TRUE(read_file(out / "final" / "model.safetensors") ==
                read_file(job.reference() / "final" / "model.safetensors"));
  }
  fs::remove_all(out);
  fs::copy(job.reference(), out, fs::copy_options::recursive);
  const std::string back = "--resume=" + (out / "checkpoints" / "step-000003").string();
  ASSERT_EQ(job.run(out, {back, "--set", "max_steps=4", "--set", "save_steps=0"}).exit_code,
            0);  // back, and on from there
  EXPECT_FALSE(fs::exists(out / "checkpoints" / "step-000009"));
  ASSERT_EQ(job.run(out, {"--resume"}).exit_code, 0);
  EXPECT_EQ(num_lines(out / "metrics.jsonl"), 9);
  EXPECT_TRUE(read_file(out / "final" / "model.safetensors") ==
              read_file(job.reference() / "final" / "model.safetensors"));
  const Outcome nothing = job.run(job.out("other"), {"--resume=" + job.folder.path().string()});
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_NE(nothing.err.find("holds no whole checkpoint"), std::string::npos) << nothing.err;
}

TEST(ResumeFault, AnUnwritableFolderIsFoundBeforeTheModelIsLoaded) {
  for (const std::string verb : {"train", "sft", "distill"}) {
    const Job job(verb, verb == "train" ? train_config() : verb == "sft" ? tiny_sft("MODEL") : distill_config());
    fs::remove(job.folder / "model.json");  // and yet it is the folder that is named
    const Outcome outcome = job.run("/dev/null/run");
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_NE(outcome.err.find("/dev/null/run"), std::string::npos) << outcome.err;
  }
}

TEST(ResumeFault, AFullDiskLosesNothing) {
  const Job job("train", train_config());
  const fs::path out = job.out("full");
  std::string command = "trap '' XFSZ; ulimit -f 40; exec '" COHORT_BINARY_DIR "/cohort'";  // no file above 40 KiB
  for (const std::string& word : job.arguments(out)) command += " '" + word + "'";
  const int status = std::system(("bash -c \"" + command + "\" 2> " + job.out("said").string()).c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1) << read_file(job.out("said"));
  EXPECT_NE(read_file(job.out("said")).find(out.string()), std::string::npos) << read_file(job.out("said"));
  const Outcome outcome = job.run(out, {"--resume"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  expect_same_run(job.reference(), out);
}

}  // namespace
}  // namespace cohort
