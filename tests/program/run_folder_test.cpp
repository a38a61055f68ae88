// The folder of a run: who may go on in it, from where, and what is refused before anything in it changes.
#include <gtest/gtest.h>

#include "configs/durable_file.h"
#include "tests/program/job.h"

namespace cohort {
namespace {

TEST(RunFolderFault, TwoRunsInOneFolderAreKeptApart) {
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

TEST(RunFolderFault, AFinishedRunIsLeftAsItIs) {
  for (const std::string verb : {"train", "sft", "distill"}) {
    const Job job(verb, verb == "train" ? train_config() : verb == "sft" ? tiny_sft("MODEL") : distill_config());
    const auto before = files_of(job.reference());
    const Outcome outcome =
        job.run(job.reference(), {"--resume", "--set", verb == "distill" ? "threads=3" : "max_steps=5"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_TRUE(files_of(job.reference()) == before) << verb;
  }
}

TEST(RunFolderFault, AFinishedRunGoesOnToMoreSteps) {
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

TEST(RunFolderFault, AChangedKeyIsRefusedByName) {
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

TEST(RunFolderFault, AChangedKeyOfADistillationOrAChainIsRefusedByName) {
  const Job distill("distill", distill_config());
  Outcome outcome = distill.run(distill.reference(), {"--resume", "--set", "temperature=0.5"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.err.find("\"temperature\" is 0.5"), std::string::npos) << outcome.err;
  const Job chain("run", {{"stages", {{{"name", "base"}, {"kind", "sft"}, {"config", tiny_sft("MODEL")}}}}});
  const auto before = files_of(chain.reference());
  outcome = chain.run(chain.reference(), {"--resume", "--set", "stages.0.config.learning_rate=0.5"});
  EXPECT_EQ(outcome.exit_code, 2);
  for (const char* word : {"\"learning_rate\" is 0.5", "base"})
    EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
  EXPECT_EQ(chain.run(chain.reference(), {"--resume"}).exit_code, 0);
  EXPECT_TRUE(files_of(chain.reference()) == before);
}

TEST(RunFolderFault, AStageThatHasNotBegunMayStillBeMended) {
  Json second = train_config_with({{"model", "stage:base"}, {"max_steps", 2}});
  second["tasks"] = "arithmetic:operations=2";
  const Json base = {{"name", "base"}, {"kind", "sft"}, {"config", tiny_sft("MODEL")}};
  const Job chain("run", {{"stages", {base, {{"name", "rl"}, {"kind", "train"}, {"config", second}}}}});
  const fs::path out = chain.out("mended");
  Process process(chain.arguments(out));
  ASSERT_TRUE(process.wait_until([&] { return fs::exists(out / "base" / "config.json"); }));
  process.signal(SIGKILL);
  process.wait();
  const Outcome outcome = chain.run(out, {"--resume", "--set", "stages.1.config.temperature=0.7"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(Json::parse(read_file(out / "rl" / "config.json")).at("temperature"), 0.7);
}

TEST(RunFolderFault, AFinishedStageWhoseFolderIsGoneRunsAgain) {
  const Job chain("run", {{"stages", {{{"name", "base"}, {"kind", "sft"}, {"config", tiny_sft("MODEL")}}}}});
  const fs::path out = chain.out("gone");
  ASSERT_EQ(chain.run(out).exit_code, 0);
  fs::remove_all(out / "base");
  ASSERT_EQ(chain.run(out, {"--resume"}).exit_code, 0);
  expect_same_run(chain.reference(), out);
}

TEST(RunFolderFault, ACheckpointCarriesTheConfigItWasMadeWith) {
  const Job job("train", train_config());
  const fs::path copy = job.out("copy");
  fs::copy(job.reference() / "checkpoints" / "step-000006", copy, fs::copy_options::recursive);
  const Outcome refused = job.run(job.out("other"), {"--resume=" + copy.string(), "--set", "learning_rate=0.5"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("\"learning_rate\" is 0.5"), std::string::npos) << refused.err;
  const Outcome same = job.run(job.out("same"), {"--resume=" + copy.string()});
  EXPECT_EQ(same.exit_code, 0) << same.err;
  EXPECT_TRUE(read_file(job.out("same") / "final" / "model.safetensors") ==
              read_file(job.reference() / "final" / "model.safetensors"));
}

/// `key` of a JSON file gone, or another value.
void rewrite(const fs::path& file, const std::string& key, const Json& value = Json()) {
  Json config = Json::parse(read_file(file));
  if (value.is_null())
    config.erase(key);
  else
    config[key] = value;
  write_file(file, config.dump());
}

/// As a checkpoint's own checksums have it.
void rewrite_state(const fs::path& checkpoint, const std::function<void(Json& state)>& change) {
  Json state = Json::parse(read_file(checkpoint / "state.json")),
       files = Json::parse(read_file(checkpoint / "COMPLETE"));
  change(state);
  const std::string text = state.dump();
  write_file(checkpoint / "state.json", text);
  files["state.json"] = {{"bytes", text.size()}, {"crc32c", crc32c(text)}};
  write_file(checkpoint / "COMPLETE", files.dump());
}

/// Options that came later stand at their defaults, which behave as the version did that knew none of them.
TEST(RunFolderFault, ARunOfAnOlderVersionGoesOn) {
  const std::map<std::string, Arguments> newer = {{"train", {"max_staleness", "alarms", "keep_best_checkpoint"}},
                                                  {"sft",
                                                   {"mtp_loss_weight", "num_train_epochs", "eval_tasks", "eval_steps",
                                                    "keep_best_checkpoint", "load_best_model_at_end"}},
                                                  {"distill", {"min_tokens", "min_p"}}};
  for (const auto& [verb, keys] : newer) {
    const Job job(verb, verb == "train" ? train_config() : verb == "sft" ? tiny_sft("MODEL") : distill_config());
    const fs::path out = job.out("older");
    fs::copy(job.reference(), out, fs::copy_options::recursive);
    fs::remove_all(out / "final");
    for (const std::string& key : keys) rewrite(out / "config.json", key);
    if (verb == "sft") {  // the step after which it stopped
      fs::remove_all(out / "checkpoints" / "step-000009");
      rewrite_state(out / "checkpoints" / "step-000006",
                    [](Json& state) { state["counters"].erase("best_step"), state["counters"].erase("best_loss"); });
    }
    if (verb != "distill") rewrite(out / "config.json", "gradient_checkpointing", false);  // its default, once
    const Outcome outcome = job.run(out, {"--resume"});
    ASSERT_EQ(outcome.exit_code, 0) << verb << outcome.err;
    expect_same_run(job.reference(), out);
    rewrite(out / "config.json", keys[0]);
    const Outcome finished = job.run(out, {"--resume"});
    EXPECT_EQ(finished.exit_code, 0) << verb << finished.err;
  }
  const Job chain("run", {{"stages", {{{"name", "base"}, {"kind", "sft"}, {"config", tiny_sft("MODEL")}}}}});
  rewrite(chain.reference() / "base" / "config.json", "mtp_loss_weight");
  EXPECT_EQ(chain.run(chain.reference(), {"--resume"}).exit_code, 0);
}

TEST(RunFolderFault, ARunThatAnotherVersionBeganInAnotherWayIsRefused) {
  const Job job("train", train_config());
  const auto refused = [&](const std::string& file, const std::string& key, const Json& value, const Arguments& more) {
    const fs::path out = job.out("refused-" + key);
    fs::copy(job.reference(), out, fs::copy_options::recursive);
    rewrite(out / file, key, value);
    Arguments all = {"--resume"};
    all.insert(all.end(), more.begin(), more.end());
    const Outcome outcome = job.run(out, all);
    EXPECT_EQ(outcome.exit_code, 2) << key;
    EXPECT_NE(outcome.err.find(key), std::string::npos) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    return outcome.err;
  };
  refused("config.json", "temperature", Json(), {"--set", "temperature=0.7"});  // a default that this run leaves
  const std::string gone = refused("config.json", "a_key_that_is_gone", 3, {});
  EXPECT_NE(gone.find("another version"), std::string::npos) << gone;
}

TEST(RunFolderFault, AStateThatThisVersionCannotReadIsRefused) {
  for (const std::string verb : {"train", "sft"}) {
    const Job job(verb, verb == "train" ? train_config() : tiny_sft("MODEL"));
    const fs::path checkpoint = job.reference() / "checkpoints" / "step-000009";
    fs::remove_all(job.reference() / "final");
    const auto expect_refused = [&](const std::string& word) {
      const Outcome outcome = job.run(job.reference(), {"--resume"});
      EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
      for (const std::string& named : {word, checkpoint.string(), std::string("--out")})
        EXPECT_NE(outcome.err.find(named), std::string::npos) << outcome.err;
    };
    rewrite_state(checkpoint, [](Json& state) { state["counters"].erase("num_tokens"); });
    expect_refused("num_tokens");
    rewrite_state(checkpoint, [](Json& state) { state["format"] = 7; });
    expect_refused("format 7");
  }
}

/// The weights are too large for any log-probability to be finite, and JSON has no word for NaN.
TEST(RunFolderFault, SampledLogProbabilitiesThatAreNotFiniteAreNamed) {
  Json model = tiny_model();
  model["initializer_range"] = 1e38;
  const Job job("train", train_config(), model);
  const fs::path out = job.out("wild");
  ASSERT_EQ(job.run(out).exit_code, 1);
  ASSERT_TRUE(fs::exists(out / "checkpoints" / "step-000002" / "COMPLETE"));
  const Outcome outcome = job.run(out, {"--resume"});
  EXPECT_EQ(outcome.exit_code, 2);
  for (const char* word : {"step-000002/unused_groups.jsonl:1", "logprobs[0] is null", "--resume=FOLDER"})
    EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
}

TEST(RunFolderFault, AFolderThatHoldsARunIsRefused) {
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

TEST(RunFolderFault, ARefusedRunLeavesNoRunBehind) {
  const Job job("train", train_config());
  const fs::path out = job.out("fresh");
  EXPECT_EQ(job.run(out, {"--set", "model=nowhere"}).exit_code, 2);
  EXPECT_EQ(job.run(out, {"--set", "max_completion_length=9999"}).exit_code, 2);
  EXPECT_EQ(job.run(out).exit_code, 0);
  expect_same_run(job.reference(), out);
}

TEST(RunFolderFault, AnyCheckpointCanBeResumedFrom) {
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

TEST(RunFolderFault, ResumingByFolderGoesOnInIt) {
  const Job job("train", train_config());
  const fs::path out = job.out("begun");
  ASSERT_EQ(job.run(out, {"--set", "max_steps=6"}).exit_code, 0);
  const Outcome outcome = run_program({"train", (job.folder / "config.json").string(), "--resume=" + out.string()});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  expect_same_run(job.reference(), out);

  const fs::path other = job.out("other");  // and in a folder of its own it has all rows too
  EXPECT_EQ(job.run(other, {"--resume=" + (job.reference() / "checkpoints/step-000006").string()}).exit_code, 0);
  EXPECT_EQ(json_lines(other / "metrics.jsonl").size(), 9U);
  EXPECT_TRUE(read_file(other / "final/model.safetensors") == read_file(job.reference() / "final/model.safetensors"));
}

TEST(RunFolderFault, ALogThatEndsBeforeItsCheckpointIsRefused) {
  const Job job("train", train_config());
  const fs::path out = job.out("begun");
  ASSERT_EQ(job.run(out, {"--set", "max_steps=6"}).exit_code, 0);
  write_file(out / "metrics.jsonl", "");
  const Outcome outcome = job.run(out, {"--resume"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.err.find("ends at step 0, the checkpoint is of step 6"), std::string::npos) << outcome.err;
}

TEST(RunFolderFault, AnUnwritableFolderIsFoundBeforeTheModelIsLoaded) {
  for (const std::string verb : {"train", "sft", "distill"}) {
    const Job job(verb, verb == "train" ? train_config() : verb == "sft" ? tiny_sft("MODEL") : distill_config());
    fs::remove(job.folder / "model.json");  // and yet it is the folder that is named
    const Outcome outcome = job.run("/dev/null/run");
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_NE(outcome.err.find("/dev/null/run"), std::string::npos) << outcome.err;
  }
}

TEST(RunFolderFault, AFullDiskLosesNothing) {
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
