// What no run could use is refused before it, in one sentence that names the key and the file.
#include <gtest/gtest.h>

#include <tuple>

#include "tests/program/job.h"

namespace cohort {
namespace {

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

TEST(RefusalIntegration, AConfigIsReadStrictly) {
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

TEST(RefusalIntegration, AGrpoConfigIsNoOtherVerbs) {
  const TinyJob job;
  for (const char* verb : {"sft", "distill", "run"})
    expect_refused(job, {verb, job.write(job.config().dump()), "--out", job.out()}, {"config.json", "key"});
}

TEST(RefusalIntegration, AChainIsCheckedBeforeItsFirstStage) {
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
  const Json eval = {{"name", "held out"},
                     {"kind", "eval"},
                     {"config",
                      {{"model", "stage:first"},
                       {"max_completion_length", 32},
                       {"tasks", "arithmetic:operations=2,split=held_out,limit=4"}}}};
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
  Json dumb = tiny_model();
  dumb.erase("tokenizer");
  write_file(job.folder / "dumb.json", dumb.dump());
  const std::string without_tokenizer = "init:" + (job.folder / "dumb.json").string();
  const Json distill = {{"teacher", "stage:first"},
                        {"tasks", "arithmetic"},
                        {"max_completion_length", 32},
                        {"rewards", {"accuracy"}},
                        {"student", tiny_sft(without_tokenizer)}};
  refuse({first, {{"name", "third"}, {"kind", "distill"}, {"config", distill}}}, {"dumb.json", "tokenizer"});
  Json long_eval = eval;
  long_eval["config"]["max_completion_length"] = 1000;
  refuse({first, long_eval}, {"1000", "context"});
  refuse({first, with(second, "config", job.config({{"temperature", 0}, {"model", "stage:first"}}))}, {"temperature"});
  refuse({first, with(second, "config", job.config({{"tasks", "/nowhere/t.jsonl"}, {"model", "stage:first"}}))},
         {"/nowhere/t.jsonl"});
}

TEST(RefusalIntegration, ValuesThatNoRunCouldUseAreRefusedBeforeIt) {
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
                                                 {{{"loss_type", "cispo"}}, "cispo_clip"},
                                                 {{{"kl_in_reward", true}}, "beta"},
                                                 {{{"rewards", {"accuracy:foo=1"}}}, "foo"},
                                                 {{{"rewards", {{{"name", "regex"}}}}}, "pattern"}}) {
    const std::string config = job.write(job.config(changes).dump());
    expect_refused(job, {"train", config, "--out", job.out()}, {word});
    expect_refused(job, {"train", config, "--out", job.out(), "--dry-run"}, {word});
  }
  const Json distill = {{"teacher", job.model()},
                        {"tasks", "arithmetic"},
                        {"max_completion_length", 32},
                        {"student", tiny_sft(job.model())}};
  for (const auto& [key, value, word] : std::vector<std::tuple<const char*, Json, const char*>>{
           {"rewards", {"nope"}, "nope"}, {"max_completion_length", 1000, "context"}}) {
    Json changed = distill;
    changed[key] = value;
    const std::string config = job.write(changed.dump());
    expect_refused(job, {"distill", config, "--out", job.out()}, {word});
    expect_refused(job, {"distill", config, "--out", job.out(), "--dry-run"}, {word});
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
  const Outcome none = run_program({"sample", "-m", job.model(), "--prompt", "1+1=", "-n", "0"});
  EXPECT_LT(none.err.size(), 120U) << none.err;
  EXPECT_EQ(run_program({"report", (job.folder / "no/such/run").string()}).exit_code, 2);
  EXPECT_FALSE(fs::exists(job.folder / "no"));
  EXPECT_EQ(run_program({"eval", "-m", "/nowhere", "--tasks", "arithmetic:limit=2", "--out",
                         (job.folder / "new/groups.jsonl").string()})
                .exit_code,
            2);
  EXPECT_FALSE(fs::exists(job.folder / "new"));
  write_file(job.folder / "tasks.jsonl", R"({"prompt":"y","answer":"\\frac{"})"
                                         "\n");
  const Outcome unreadable = run_program({"tasks", "validate", (job.folder / "tasks.jsonl").string()});
  EXPECT_EQ(unreadable.exit_code, 1) << "an answer that no verifier can read";
  for (const char* seed : {"-1", "5abc", "1?seed=3", ""})
    EXPECT_EQ(run_program({"inspect", "init:" + (job.folder / "model.json").string() + "?seed=" + seed}).exit_code, 2)
        << seed;
}

TEST(RefusalIntegration, ATasksOwnRewardIsNotPassedOver) {
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

TEST(RefusalIntegration, FrozenGroupsThatDoNotFitAreRefused) {
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
  const auto refuse_set = [&](const std::function<Json(int)>& set_for, const std::vector<std::string>& words) {
    refuse(
        [&](Json& row) {
          Json& rollout = row["rollouts"][0];
          std::vector<Json> kept(rollout["completion_ids"].size(), Json::array());
          kept.back() = set_for(rollout["completion_ids"].back());
          rollout["kept"] = kept;
        },
        words);
  };
  refuse([](Json& row) { row["rollouts"][0]["kept"] = {{1}, {2}}; }, {"kept", "2 entries"});
  refuse_set([](int token) { return Json{token, token}; }, {"kept[", "ascending"});
  refuse_set([](int token) { return Json{token + 1, token + 2}; }, {"kept[", "lacks the token"});
  refuse_set([](int token) { return Json{token, 264}; }, {"264"});
  refuse_set([](int token) { return Json{-1, token}; }, {"-1"});
  refuse([](Json& row) { row.erase("prompt_ids"); }, {"groups.jsonl:1"});
  write_file(groups, read_file(groups) + "{\"half\n");
  expect_refused(job, train, {"groups.jsonl:1"});
}

}  // namespace
}  // namespace cohort
