// The program as a shell sees it: every verb of the contract is there, what is unknown is refused, completion works.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "tests/program/job.h"

namespace cohort {
namespace {

/// Runs a command of the shell, where `cohort` is the program just built.
Outcome shell(const std::string& command) {
  const std::string line = "PATH='" COHORT_BINARY_DIR "':\"$PATH\"; " + command;
  Outcome outcome;
  FILE* pipe = popen(line.c_str(), "r");
  char chunk[4096];
  while (const size_t got = fread(chunk, 1, sizeof chunk, pipe)) outcome.out.append(chunk, got);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
  return outcome;
}

const std::vector<std::string> kVerbs = {
    "train",          "run",     "sft",           "distill",    "sample",     "score",
    "eval",           "serve",   "config import", "tasks list", "tasks show", "tasks validate",
    "tasks generate", "inspect", "export",        "report",     "bench",      "doctor"};

TEST(FrontDoorIntegration, EveryVerbHasHelpWithAnExample) {
  for (const std::string& verb : kVerbs) {
    const Outcome help = shell("cohort " + verb + " --help 2>&1");
    EXPECT_EQ(help.exit_code, 0) << verb << ": " << help.out;
    EXPECT_NE(help.out.find("Usage: cohort " + verb + " "), std::string::npos) << verb;
    const size_t example = help.out.find("Example");
    EXPECT_NE(help.out.find("cohort " + verb, std::min(example, help.out.size())), std::string::npos) << verb;
    std::istringstream words(help.out.substr(std::min(example, help.out.size())));
    for (std::string word; words >> word;) {
      const bool is_there = !word.starts_with("configs/") || fs::exists(COHORT_SOURCE_DIR "/" + word);
      EXPECT_TRUE(is_there) << verb << " names " << word;
    }
  }
}

TEST(FrontDoorIntegration, WhatIsNoFileIsWrittenIntoAndStays) {
  const TestFolder folder;
  write_file(folder / "rows.jsonl", R"({"completion": "\\boxed{4}", "answer": "4"})"
                                    "\n");
  const std::string pipe = (folder / "pipe").string();
  const Outcome read =
      shell("mkfifo " + pipe + " && cat " + pipe + " & sleep 0.1; cohort score --in " +
            (folder / "rows.jsonl").string() + " --reward accuracy --out " + pipe + " 2>/dev/null; wait");
  EXPECT_NE(read.out.find("correct"), std::string::npos) << read.out;
  EXPECT_TRUE(fs::is_fifo(pipe));
  const Outcome refused = run_program({"score", "--in", (folder / "rows.jsonl").string(), "--reward", "accuracy",
                                       "--out", (folder / "rows.jsonl").string() + "/below.jsonl"});
  EXPECT_EQ(refused.exit_code, 2) << refused.err;
}

TEST(FrontDoorIntegration, VersionNamesWhatItWasBuiltWith) {
  const Outcome version = shell("cohort --version");
  EXPECT_EQ(version.exit_code, 0);
  for (const char* part : {"cohort ", "LibTorch ", "CPU features:", "GPU back end: "})
    EXPECT_NE(version.out.find(part), std::string::npos) << part;
}

TEST(FrontDoorIntegration, WrongUsageExitsWithTwo) {
  const Outcome verb = shell("cohort trian c.json 2>&1");
  EXPECT_EQ(verb.exit_code, 2);
  EXPECT_NE(verb.out.find("the nearest is train"), std::string::npos) << verb.out;
  EXPECT_EQ(shell("cohort 2>&1").exit_code, 2);
  EXPECT_EQ(shell("cohort trian --help 2>&1").exit_code, 2);
  EXPECT_EQ(shell("cohort doctor --jsn 2>&1").out,
            "cohort: unknown flag --jsn; the nearest is --json (cohort doctor --help lists all)\n");
  EXPECT_EQ(shell("cohort train /nowhere/config.json 2>/dev/null").exit_code, 2);
}

/// What bash offers after the line, one word each, in a space-separated list.
std::string completions(const std::string& line) {
  return shell("bash -c 'source " COHORT_SOURCE_DIR "/configs/completion.bash; COMP_WORDS=(" + line +
               "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _cohort; echo \"${COMPREPLY[*]}\"'")
      .out;
}

TEST(FrontDoorIntegration, BashCompletesVerbsAndFlags) {
  EXPECT_EQ(completions("cohort tr"), "train\n");
  EXPECT_EQ(completions("cohort tasks sh"), "show\n");
  EXPECT_EQ(completions("cohort doctor --js"), "--json\n");
  EXPECT_EQ(completions("cohort train conf"), "\n");  // then bash offers files
}

/// The first 256 prompts are measured when the run begins; a later, longer one makes room for itself.
TEST(FrontDoorIntegration, ALongerPromptThanTheFirstOnesIsTaken) {
  const TinyJob job;
  const Outcome outcome = run_program({"train",
                                       job.write(job.config({{"tasks", "arithmetic:operations=10,max_number=20"},
                                                             {"prompts_per_step", 300},
                                                             {"steps_per_generation", 1},
                                                             {"num_iterations", 1},
                                                             {"num_generations", 2},
                                                             {"max_steps", 5},
                                                             {"max_completion_length", 1}})
                                                     .dump()),
                                       "--out", job.out()});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

/// Away from its build folder the program has no libcohort_parquet.so beside it.
TEST(FrontDoorIntegration, WhatTheMachineLacksExitsWithThree) {
  const TestFolder folder;
  fs::create_directory(folder / "bin");
  fs::copy(COHORT_BINARY_DIR "/cohort", folder / "bin" / "cohort");
  write_file(folder / "rows.parquet", "PAR1");
  const std::string rows = (folder / "rows.parquet").string();
  const Outcome outcome = shell("'" + (folder / "bin/cohort").string() + "' tasks validate '" + rows + "' 2>&1");
  EXPECT_EQ(outcome.exit_code, 3) << outcome.out;
  for (const std::string part : {rows.c_str(), "Apache Arrow", "make arrow", "pyarrow"})
    EXPECT_NE(outcome.out.find(part), std::string::npos) << outcome.out;
  EXPECT_NE(shell("'" + (folder / "bin/cohort").string() + "' doctor").out.find("parquet             degraded"),
            std::string::npos);
}

TEST(FrontDoorIntegration, ADryRunPrintsItsPlanAndWritesNothing) {
  const TinyJob job;
  const Json distill = {{"teacher", job.model()},
                        {"tasks", "arithmetic"},
                        {"max_completion_length", 32},
                        {"student", tiny_sft(job.model())}};
  const Json chain = {{"stages", {{{"name", "base"}, {"kind", "sft"}, {"config", tiny_sft(job.model())}}}}};
  const std::vector<std::pair<std::string, Json>> jobs = {
      {"train", job.config()}, {"sft", tiny_sft(job.model())}, {"distill", distill}, {"run", chain}};
  for (const auto& [verb, config] : jobs) {
    const Outcome outcome = run_program({verb, job.write(config.dump()), "--out", job.out(), "--dry-run"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_GT(outcome.out.size(), 100u) << verb;
    EXPECT_FALSE(fs::exists(job.out())) << verb;
  }
  const Outcome plan = run_program({"train", job.write(job.config().dump()), "--dry-run"});
  for (const char* part :
       {"prompts per rollout      8 of at most 6 tokens\n", "completions per rollout  32\n",
        "tokens per rollout       at most 256 sampled\n", "micro-batches", "memory", "seconds per step"})
    EXPECT_NE(plan.out.find(part), std::string::npos) << part << plan.out;
}

TEST(FrontDoorIntegration, TheSelfTestFindsRatioOne) {
  const TinyJob job;
  const Outcome outcome =
      run_program({"train", job.write(job.config({{"max_steps", 8}}).dump()), "--out", job.out(), "--self-test"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::vector<Json> rows = json_lines(fs::path(job.out()) / "metrics.jsonl");
  ASSERT_EQ(rows.size(), 8u);
  for (const Json& row : rows) {
    EXPECT_EQ(row["ratio/min"], 1.0);
    EXPECT_EQ(row["ratio/max"], 1.0);
    EXPECT_EQ(row["logprob_bit_mismatches"], 0);
  }
  EXPECT_GT(rows[0]["logprob_tokens_checked"], 0);
}

TEST(FrontDoorIntegration, LearnsFromFrozenGroups) {
  const TinyJob job;
  const std::string groups = (job.folder / "groups.jsonl").string();
  const Outcome sampled = run_program({"eval", "-m", job.model(), "--tasks", "arithmetic:operations=2,limit=8", "-n",
                                       "4", "--temperature", "1", "--max-completion-length", "8", "--reward",
                                       "regex:pattern=[0-9a-m]", "--out", groups, "--json"});
  ASSERT_EQ(sampled.exit_code, 0) << sampled.err;
  EXPECT_EQ(Json::parse(sampled.out)["tasks"], 8);
  const std::string config = job.write(job.config({{"max_steps", 4}}).dump());
  const Outcome learned = run_program({"train", config, "--out", job.out(), "--groups", groups});
  ASSERT_EQ(learned.exit_code, 0) << learned.err;
  const std::vector<Json> rows = json_lines(fs::path(job.out()) / "metrics.jsonl");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_GT(rows[0]["grad_norm"], 0.0);
  EXPECT_EQ(rows[0]["ratio/min"], 1.0);
  EXPECT_EQ(rows[0]["ratio/max"], 1.0);

  const Outcome unsaid = run_program({"train", config, "--out", job.out(), "--resume", "--set", "max_steps=5"});
  EXPECT_EQ(unsaid.exit_code, 2) << "the groups belong to the run";
  EXPECT_NE(unsaid.err.find("groups"), std::string::npos) << unsaid.err;

  const std::string completions = (fs::path(job.out()) / "completions" / "step-000001.jsonl").string();
  EXPECT_EQ(run_program(
                {"train", config, "--out", job.out() + "2", "--set", "steps_per_generation=1", "--groups", completions})
                .exit_code,
            0)
      << "what train writes, train reads";
}

TEST(FrontDoorIntegration, NothingThatStandsIsReplacedUnasked) {
  const TinyJob job;
  const std::string config = job.write(job.config({{"max_steps", 2}}).dump());
  const fs::path out = job.folder / "chain" / "stage", weights = out / "final" / "model.safetensors";
  const std::vector<std::string> train = {"train", config, "--out", out.string()};
  const auto with = [&](std::vector<std::string> arguments, const std::vector<std::string>& more) {
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  };
  ASSERT_EQ(run_program(train).exit_code, 0);
  const std::string bytes = read_file(weights);
  const auto before = fs::last_write_time(weights);

  fs::remove_all(out / "checkpoints");  // a finished run is finished without them too
  EXPECT_EQ(with(train, {"--resume"}).exit_code, 0);
  EXPECT_EQ(fs::last_write_time(weights), before);
  const Outcome longer = with(train, {"--resume", "--set", "max_steps=3"});
  EXPECT_EQ(longer.exit_code, 2);
  EXPECT_NE(longer.err.find("no checkpoint"), std::string::npos) << longer.err;
  EXPECT_EQ(fs::last_write_time(weights), before);

  const Json stage = {{"name", "stage"}, {"kind", "train"}, {"config", job.config({{"max_steps", 2}})}};
  const std::string chain = job.write(Json{{"stages", {stage}}}.dump());
  const Outcome refused =
      run_program({"run", chain, "--out", (job.folder / "chain").string()});  // its stage's folder holds another's run
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("chain/stage already holds a run"), std::string::npos) << refused.err;

  for (const char* gone :
       {"config.json", "metrics.jsonl", "completions", "sampled", "report.html", "events.out.tfevents.cohort"})
    fs::remove_all(out / gone);
  job.write(job.config({{"max_steps", 2}}).dump());
  EXPECT_EQ(run_program(train).exit_code, 2) << "final alone is a run too";
  EXPECT_EQ(read_file(weights), bytes);
}

TEST(FrontDoorIntegration, ResumeTakesAFolderByEqualsAlone) {
  const TinyJob job;
  const std::string config = job.write(job.config({{"max_steps", 1}}).dump());
  const Outcome outcome = run_program({"train", "--resume", config, "--out", job.out()});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const Outcome refused = run_program({"train", config, "--out", job.out() + "2", "--resume=/nowhere"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("/nowhere"), std::string::npos) << refused.err;
}

TEST(FrontDoorIntegration, TasksBothTrainedOnAndHeldOutAreSaid) {
  const TinyJob job;
  std::string rows;
  for (int i = 0; i < 6; ++i)
    rows +=
        Json{{"id", "row " + std::to_string(i)}, {"prompt", std::to_string(i) + "+1="}, {"answer", "0"}}.dump() + "\n";
  write_file(job.folder / "tasks.jsonl", rows);
  const std::string tasks = (job.folder / "tasks.jsonl").string();
  const auto run = [&](double trained, double held_out) {
    const Json changes = {{"max_steps", 1},
                          {"eval_steps", 1},
                          {"tasks", {{"reference", tasks}, {"split", "train"}, {"held_out", trained}}},
                          {"eval_tasks", {{"reference", tasks}, {"split", "held_out"}, {"held_out", held_out}}}};
    return run_program({"train", job.write(job.config(changes).dump()), "--out", job.out(), "--overwrite"}).err;
  };
  EXPECT_NE(run(0.2, 0.9).find("eval_tasks are also among tasks"), std::string::npos);
  EXPECT_EQ(run(0.5, 0.5).find("also among tasks"), std::string::npos);
}

TEST(FrontDoorIntegration, SamplesAreTheSameBytesEveryTime) {
  const TinyJob job;
  std::vector<std::string> arguments = {"sample",
                                        "-m",
                                        job.model(),
                                        "--tasks",
                                        "arithmetic:operations=2,limit=6",
                                        "-n",
                                        "3",
                                        "--max-completion-length",
                                        "24",
                                        "--seed",
                                        "5"};
  const std::string once = run_program(arguments).out;
  EXPECT_EQ(std::count(once.begin(), once.end(), '\n'), 6);
  EXPECT_TRUE(run_program(arguments).out == once);
  for (const std::vector<std::string>& more :
       std::vector<std::vector<std::string>>{{"--threads", "1"}, {"--threads", "3"}, {"--max-slots", "5"}}) {
    std::vector<std::string> changed = arguments;
    changed.insert(changed.end(), more.begin(), more.end());
    EXPECT_TRUE(run_program(changed).out == once) << more[0] << more[1];
  }
  arguments.back() = "6";
  EXPECT_FALSE(run_program(arguments).out == once);
}

}  // namespace
}  // namespace cohort
