// The program as a shell sees it: every verb of the contract is there, what is unknown is refused, completion works.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "tests/program/program.h"

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

/// Exit code 2, one sentence on one line of stderr that has all of `words`, and no run folder.
void expect_refused(const TinyJob& job, const std::vector<std::string>& arguments,
                    const std::vector<std::string>& words) {
  const Outcome outcome = run_program(arguments);
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_TRUE(outcome.err.starts_with("cohort: ")) << outcome.err;
  EXPECT_EQ(outcome.err.find("json.exception"), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  for (const std::string& word : words)
    EXPECT_NE(outcome.err.find(word), std::string::npos) << "\"" << word << "\" is not in: " << outcome.err;
  EXPECT_FALSE(fs::exists(fs::path(job.out()) / "config.json")) << outcome.err;
}

TEST(FrontDoorIntegration, AConfigIsReadStrictly) {
  const TinyJob job;
  const auto refuse = [&](const std::string& text, const std::vector<std::string>& words) {
    expect_refused(job, {"train", job.write(text), "--out", job.out()}, words);
  };
  const auto refuse_values = [&](const Json& changes, const std::vector<std::string>& words) {
    refuse(job.config(changes).dump(), words);
  };
  refuse_values({{"lerning_rate", 1}}, {"config.json", "lerning_rate", "learning_rate"});
  refuse_values({{"overlong", {{"penlty", 1}}}}, {"overlong.penlty", "penalty"});
  refuse_values({{"temperature", 0}}, {"temperature", "0"});
  refuse_values({{"epsilon", 0}}, {"epsilon", "(0, 1]"});
  refuse_values({{"epsilon_high", 0}}, {"epsilon_high", "0"});
  refuse_values({{"top_p", 0}}, {"top_p", "0"});
  refuse_values({{"max_steps", "ten"}}, {"max_steps", "\"ten\"", "an integer"});
  refuse_values({{"num_generations", 1}}, {"num_generations", "1"});
  refuse_values({{"eval_steps", 5}}, {"eval_steps", "eval_tasks"});
  refuse_values({{"rewards", {"acuracy"}}}, {"acuracy", "accuracy"});
  refuse_values({{"rewards", Json::array()}}, {"rewards"});
  refuse_values({{"tasks", "arithmetik"}}, {"arithmetik", "arithmetic"});
  refuse_values({{"tasks", "arithmetic:operatons=2"}}, {"operatons", "operations"});
  refuse_values({{"tasks", "/nowhere/tasks.jsonl"}}, {"/nowhere/tasks.jsonl"});
  refuse_values({{"model", "/nowhere/model"}}, {"/nowhere/model"});
  refuse_values({{"model", "/nowhere/model.gguf"}}, {"/nowhere/model.gguf"});
  refuse_values({{"model", "init:/nowhere/model.json"}}, {"/nowhere/model.json"});
  refuse_values({{"max_completion_length", 1000}}, {"max_completion_length", "1000", "256"});
  refuse_values({{"max_prompt_length", 2}}, {"max_prompt_length", "2"});
  const std::string whole = job.config().dump();
  refuse("{\"seed\": 1,\n\"seed\": 2," + whole.substr(1), {"\"seed\"", "twice"});
  refuse(std::string(1000, '[') + std::string(1000, ']'), {"nested", "line 1"});
  refuse("{\"model\": \n]", {"line 2"});
  refuse("[1]", {"config.json"});
  refuse("", {"config.json"});
  expect_refused(job, {"train", "/nowhere/config.json"}, {"/nowhere/config.json"});
  expect_refused(job, {"train", job.write(whole), "--out", job.out(), "--set", "sed=1"}, {"sed", "seed"});
  expect_refused(job, {"train", job.write(whole), "--out", job.out(), "--groups", "/nowhere/groups.jsonl"},
                 {"/nowhere/groups.jsonl"});
  EXPECT_EQ(run_program({"train", job.write("\xEF\xBB\xBF" + whole), "--dry-run"}).exit_code, 0)
      << "a byte-order mark is skipped";
}

TEST(FrontDoorIntegration, AGrpoConfigIsNoOtherVerbs) {
  const TinyJob job;
  for (const char* verb : {"sft", "distill", "run"})
    expect_refused(job, {verb, job.write(job.config().dump()), "--out", job.out()}, {"config.json", "key"});
}

TEST(FrontDoorIntegration, AChainIsCheckedBeforeItsFirstStage) {
  const TinyJob job;
  const Json sft = tiny_sft(job.model());
  const auto refuse = [&](const Json& stages, const std::vector<std::string>& words) {
    const std::string config = job.write(Json{{"stages", stages}}.dump());
    expect_refused(job, {"run", config, "--out", job.out()}, words);
    expect_refused(job, {"run", config, "--out", job.out(), "--dry-run"}, words);
  };
  const auto with = [&](Json config, const std::string& key, const Json& value) {
    config[key] = value;
    return config;
  };
  const Json first = {{"name", "first"}, {"kind", "sft"}, {"config", sft}};
  const Json second = {{"name", "second"}, {"kind", "train"}, {"config", job.config({{"model", "stage:first"}})}};
  refuse(Json::array(), {"stages"});
  refuse({first, with(second, "kind", "sft")}, {"second", "unknown"});
  refuse({first, with(second, "config", job.config({{"model", "stage:third"}}))}, {"second", "stage:third"});
  refuse({first, with(second, "config", job.config({{"max_step", 3}, {"model", "stage:first"}}))},
         {"second", "max_step"});
  refuse({first, with(second, "name", "first")}, {"first"});
  refuse({first, with(second, "name", "../first")}, {"../first"});
  refuse({first, with(second, "name", "final")}, {"final"});
  refuse({first, with(second, "seconds_of", "third")}, {"seconds_of", "third"});
  refuse({first, with(second, "evaluate", true)}, {"eval.tasks"});
  const Json eval = {
      {"name", "held out"},
      {"kind", "eval"},
      {"config", {{"model", "stage:first"}, {"tasks", "arithmetic:operations=2,split=held_out,limit=4"}}}};
  refuse({first, with(eval, "config", {{"model", "stage:first"}})}, {"held out", "tasks"});
  refuse({first, with(eval, "config", {{"tasks", "arithmetic:limit=4"}})}, {"held out", "model"});
  refuse({first, eval, with(second, "config", job.config({{"model", "stage:held out"}}))},
         {"second", "stage:held out"});
  refuse({first, with(second, "config", 3)}, {"second", "object"});
  refuse({first, with(second, "seconds_of", "held out"), eval}, {"seconds_of"});
  for (const auto& [key, value, word] :
       std::vector<std::tuple<const char*, Json, const char*>>{{"rewards", {"exact:extract=anwer_tag"}, "anwer_tag"},
                                                               {"rewards", {"exact:extrat=boxed"}, "extrat"},
                                                               {"eval_rewards", {"nosuch"}, "nosuch"},
                                                               {"max_completion_length", 1000, "context"}})
    refuse({first, with(second, "config", job.config({{"model", "stage:first"}, {key, value}}))}, {word});
  refuse({first, with(second, "config", job.config({{"model", "/nowhere/model"}}))}, {"/nowhere/model"});
  refuse({first, with(second, "config", job.config({{"temperature", 0}, {"model", "stage:first"}}))}, {"temperature"});
  refuse({first, with(second, "config", job.config({{"tasks", "/nowhere/t.jsonl"}, {"model", "stage:first"}}))},
         {"/nowhere/t.jsonl"});
}

TEST(FrontDoorIntegration, ValuesThatNoRunCouldUseAreRefusedBeforeIt) {
  const TinyJob job;
  for (const auto& [changes, word] :
       std::vector<std::pair<Json, const char*>>{{{{"threads", 2000000000}}, "threads"},
                                                 {{{"learning_rate", 1e20}}, "learning_rate"},
                                                 {{{"adam_epsilon", 1e-60}}, "adam_epsilon"},
                                                 {{{"temperature", 1e-50}}, "temperature"},
                                                 {{{"min_tokens", 100}}, "min_tokens"},
                                                 {{{"max_completion_length", 100000}}, "context"},
                                                 {{{"num_generations", 2147483647}}, "num_generations"},
                                                 {{{"groups", "/nowhere.jsonl"}}, "/nowhere.jsonl"},
                                                 {{{"rewards", {"accuracy:foo=1"}}}, "foo"},
                                                 {{{"rewards", {{{"name", "regex"}}}}}, "pattern"}}) {
    const std::string config = job.write(job.config(changes).dump());
    expect_refused(job, {"train", config, "--out", job.out()}, {word});
    expect_refused(job, {"train", config, "--out", job.out(), "--dry-run"}, {word});
  }
  for (const Arguments& flags : std::vector<Arguments>{{"--temperature", "nan"},
                                                       {"--top-p", "nan"},
                                                       {"--min-p", "nan"},
                                                       {"--seed", "-1"},
                                                       {"--threads", "100000"}}) {
    Arguments all = {"sample", "-m", job.model(), "--prompt", "1+1=", "-n", "1", "--max-completion-length", "2"};
    all.insert(all.end(), flags.begin(), flags.end());
    EXPECT_EQ(run_program(all).exit_code, 2) << flags[0] << flags[1];
  }
  for (const char* seed : {"-1", "5abc", "1?seed=3", ""})
    EXPECT_EQ(run_program({"inspect", "init:" + (job.folder / "model.json").string() + "?seed=" + seed}).exit_code, 2)
        << seed;
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

TEST(FrontDoorIntegration, ATasksOwnRewardIsNotPassedOver) {
  const TinyJob job;
  const std::string tasks = (job.folder / "tasks.jsonl").string();
  write_file(tasks, R"({"prompt":"1+1=","answer":"2","reward":{"name":"countdown"}})"
                    "\n");
  for (const Outcome& outcome :
       {run_program({"eval", "-m", job.model(), "--tasks", tasks, "--max-completion-length", "4"}),
        run_program({"train", job.write(job.config({{"tasks", tasks}}).dump()), "--out", job.out()})}) {
    EXPECT_EQ(outcome.exit_code, 3) << outcome.err;
    EXPECT_NE(outcome.err.find("countdown"), std::string::npos) << outcome.err;
  }
}

TEST(FrontDoorIntegration, WhatIsNotThereYetExitsWithThree) {
  const TinyJob job;
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"serve", "-m", job.model()},
                                             {"export", "-m", job.model(), "--out", job.out()},
                                             {"config", "import", job.write("{}")},
                                             {"eval", "-m", job.model(), "--tasks", "arithmetic:limit=2", "--nll"}}) {
    const Outcome outcome = run_program(arguments);
    EXPECT_EQ(outcome.exit_code, 3) << arguments[0] << ": " << outcome.err;
    EXPECT_NE(outcome.err.find("not available"), std::string::npos) << outcome.err;
    EXPECT_FALSE(fs::exists(job.out()));
  }
}

/// Every property, however deep, says what it is; every one that is not required says its default.
void expect_described(const Json& schema, const std::string& where) {
  const Json required = schema.value("required", Json::array());
  for (const auto& [name, property] : schema.at("properties").items()) {
    if (name == "$schema") continue;
    EXPECT_TRUE(property.contains("description")) << where << "." << name;
    const bool is_required = std::find(required.begin(), required.end(), name) != required.end();
    EXPECT_TRUE(is_required || property.contains("default") || property.contains("properties")) << where << "." << name;
    if (property.contains("properties")) expect_described(property, where + "." + name);
  }
}

TEST(FrontDoorIntegration, SchemasDescribeEveryKey) {
  for (const std::string verb : {"train", "sft", "distill", "run"}) {
    const Outcome outcome = run_program({verb, "--print-schema"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const Json schema = Json::parse(outcome.out, nullptr, false);
    ASSERT_TRUE(schema.is_object()) << verb;
    EXPECT_EQ(schema.value("$schema", ""), "https://json-schema.org/draft/2020-12/schema");
    expect_described(schema, verb);
  }
}

TEST(FrontDoorIntegration, ADryRunPrintsItsPlanAndWritesNothing) {
  const TinyJob job;
  const Json distill = {{"teacher", job.model()}, {"tasks", "arithmetic"}, {"student", tiny_sft(job.model())}};
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
       {"prompts per rollout      8\n", "completions per rollout  32\n",
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

TEST(FrontDoorIntegration, FrozenGroupsThatDoNotFitAreRefused) {
  const TinyJob job;
  const std::string groups = (job.folder / "groups.jsonl").string();
  const std::vector<std::string> sample = {"sample",
                                           "-m",
                                           job.model(),
                                           "--tasks",
                                           "arithmetic:operations=2,limit=2",
                                           "-n",
                                           "4",
                                           "--max-completion-length",
                                           "8",
                                           "--out",
                                           groups};
  ASSERT_EQ(run_program(sample).exit_code, 0);
  const std::vector<std::string> train = {"train", job.write(job.config().dump()), "--out", job.out(), "--groups",
                                          groups};
  expect_refused(job, train, {"groups.jsonl", "score"});
  const std::vector<Json> rows = json_lines(groups);
  const auto refuse = [&](const std::function<void(Json&)>& change, const std::vector<std::string>& words) {
    std::string text;
    for (Json row : rows) {
      for (Json& rollout : row["rollouts"]) rollout["score"] = {{"value", 1.0}, {"status", "correct"}};
      change(row);
      text += row.dump() + "\n";
    }
    write_file(groups, text);
    expect_refused(job, train, words);
  };
  refuse([](Json& row) { row["rollouts"][0]["completion_ids"][0] = 264; }, {"264"});
  refuse([](Json& row) { row["prompt_ids"][0] = -1; }, {"-1"});
  refuse([](Json& row) { row["prompt_ids"] = Json::array(); }, {"prompt"});
  refuse([](Json& row) { row["prompt_ids"] = std::vector<int>(300, 5); }, {"300", "256"});
  refuse([](Json& row) { row["rollouts"][0]["logprobs"].push_back(0.5); }, {"logprobs", "9"});
  refuse([](Json& row) { row.erase("prompt_ids"); }, {"groups.jsonl:1"});
  write_file(groups, read_file(groups) + "{\"half\n");
  expect_refused(job, train, {"groups.jsonl:1"});
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

/// Two steps of every stage on a few tasks.
Json shortened(Json chain) {
  chain["eval"]["tasks"] = "arithmetic:split=held_out,limit=8";
  for (Json& stage : chain["stages"]) {
    Json& config = stage["config"];
    if (stage["kind"] == "distill") {  // a teacher of two steps solves nothing: all it writes is taken
      config["rewards"] = Json::array({"regex:pattern=."});
      config["num_prompts"] = 16, config["prompts_per_step"] = 8, config["student"]["max_steps"] = 2;
    } else
      config["max_steps"] = 2;
    if (config.contains("eval_tasks")) config["eval_tasks"] = "arithmetic:split=held_out,limit=8";
  }
  return chain;
}

/// An editor completes a config from the file that its $schema names.
TEST(FrontDoorIntegration, EveryShippedConfigNamesItsSchema) {
  const fs::path configs = COHORT_SOURCE_DIR "/configs";
  for (const fs::directory_entry& entry : fs::directory_iterator(configs))
    if (entry.path().extension() == ".json") {
      const Json config = Json::parse(read_file(entry.path()));
      ASSERT_TRUE(config.contains("$schema")) << entry.path();
      EXPECT_TRUE(fs::exists(configs / config["$schema"])) << entry.path();
    }
  for (const char* verb : {"train", "sft", "distill", "run"})
    EXPECT_TRUE(read_file(configs / "schema" / (std::string(verb) + ".json")) ==
                run_program({verb, "--print-schema"}).out)
        << "write it anew: cohort " << verb << " --print-schema > configs/schema/" << verb << ".json";
}

TEST(FrontDoorIntegration, EveryShippedConfigStarts) {
  int chains = 0, plans = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(COHORT_SOURCE_DIR "/configs")) {
    if (entry.path().extension() != ".json") continue;
    const TestFolder folder;
    const Json config = Json::parse(read_file(entry.path()));
    if (config.contains("stages")) {
      write_file(folder / "config.json", shortened(config).dump());
      const Outcome outcome =
          run_program({"run", (folder / "config.json").string(), "--out", (folder / "out").string()});
      EXPECT_EQ(outcome.exit_code, 0) << entry.path() << ": " << outcome.err;
      EXPECT_TRUE(fs::exists(folder / "out/report.html")) << entry.path();
      ++chains;
      continue;
    }
    const bool is_distill = config.contains("teacher"), is_train = config.contains("num_generations") && !is_distill;
    if (!is_distill && !is_train) {
      const Outcome outcome =
          run_program({"sft", entry.path().string(), "--set", "max_steps=2", "--out", (folder / "out").string()});
      EXPECT_EQ(outcome.exit_code, 0) << entry.path() << ": " << outcome.err;
      continue;
    }
    // Of a model or data that are not on this machine, the refusal names the file.
    const std::string model = config[is_distill ? "teacher" : "model"];
    const bool is_here = fs::exists(model) && (is_distill || fs::exists("datasets"));
    const Outcome outcome = run_program({is_distill ? "distill" : "train", entry.path().string(), "--dry-run"});
    EXPECT_EQ(outcome.exit_code, is_here ? 0 : 2) << entry.path() << ": " << outcome.err;
    const bool names_it =
        outcome.err.find("datasets/") != outcome.err.npos || outcome.err.find(model) != outcome.err.npos;
    EXPECT_EQ(names_it, !is_here) << outcome.err;
    ++plans;
  }
  EXPECT_GE(chains, 1);
  EXPECT_GE(plans, 2);
}

}  // namespace
}  // namespace cohort
