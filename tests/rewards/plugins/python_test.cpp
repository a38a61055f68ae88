// Python functions of TRL, verl, OpenRLHF and verifiers: each is called as its own package calls it.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/rewards/plugins/batches.h"

namespace cohort {
namespace {

TEST(Python, TrlGetsListsColumnsStateAndLogs) {
  Rows rows = Rows::of({"a", "b"});
  rows.tasks[0].prompt = {{"system", "s"}, {"user", "u"}};
  rows.tasks[0].extra = {{"level", 5}, {"data_source", "d"}};
  rows.tasks[1].extra = {{"ground_truth", {1, 2}}};
  const auto scores = judged_by(plugin(python("trl_seen")), rows);
  expect_value(scores[0], 3.5F);  // the step and a constant from a file beside
  const Json chat = {{{"role", "system"}, {"content", "s"}}, {{"role", "user"}, {"content", "u"}}};
  EXPECT_EQ(scores[0].extra_logs["prompt"], chat);
  EXPECT_EQ(scores[0].extra_logs["completion"], (Json{{{"role", "assistant"}, {"content", "a"}}}));
  EXPECT_EQ(scores[0].extra_logs["ids"], (Json{7, 8, 9}));
  EXPECT_EQ(scores[0].extra_logs["level"], 5);
  EXPECT_EQ(scores[0].extra_logs["answer"], "g");
  EXPECT_EQ(scores[0].extra_logs["data_source"], "d");
  EXPECT_EQ(scores[0].extra_logs["metric/columns"], 6);  // id, three names of the reference, level, data_source
  EXPECT_EQ(scores[1].extra_logs["prompt"], "p");
  EXPECT_EQ(scores[1].extra_logs["completion"], "b");
  EXPECT_TRUE(scores[1].extra_logs["level"].is_null());
  EXPECT_EQ(scores[1].extra_logs["ground_truth"], (Json{1, 2}));
}

TEST(Python, TrlNoneIsNoScoreAndNoFailure) {
  Rows rows = Rows::of({"a", "b", "c"});
  for (int i = 0; i < 3; ++i) rows.tasks[size_t(i)].extra["level"] = i == 1 ? Json() : Json(10 * i);
  const auto scores = judged_by(plugin(python("trl_columns")), rows);
  expect_value(scores[0], 0);
  EXPECT_FALSE(scores[1].value);
  EXPECT_NE(scores[1].status, Status::error);
  expect_value(scores[2], 2);
  EXPECT_EQ(scores[0].status, Status::wrong);
  EXPECT_EQ(scores[2].status, Status::correct);
}

TEST(Python, AsyncFunctionsObjectsAndPartials) {
  expect_value(judged_by(python("trl_async"), {"a"})[0], 1);
  expect_value(judged_by(python("stateful"), {"a"})[0], 0.25F);
  expect_value(judged_by(python("partial"), {"a", "b"})[1], 0.75F);
}

TEST(Python, FunctionsThatTakeAllByKeyword) {
  const auto scores = judged_by(python("all_by_keyword"), {"g", "h"});  // a generator, too
  expect_value(scores[0], 1);
  expect_value(scores[1], 0);
  expect_value(judged_by(python("compute_score"), {"g"})[0], 1);  // verl's by its name
}

TEST(Python, ProgressIsStepOfMaxSteps) {
  Rows rows = Rows::of({"a"});
  std::vector<Judged> batch = rows.batch();  // of step 3
  batch[0].max_steps = 12;
  expect_value(plugin(python("trl_progress"))(batch, {})[0], 0.25F);
  batch[0].step = batch[0].max_steps = 0;  // outside of training
  expect_value(plugin(python("trl_progress"))(batch, {})[0], 0);
}

TEST(Python, WhatCannotBeLoggedCostsNoScore) {
  const Score score = judged_by(python("trl_logs_what_it_cannot"), {"a"})[0];
  expect_value(score, 1);
  EXPECT_TRUE(score.extra_logs.contains("not_logged"));
}

TEST(Python, WhatHasAFloatIsANumber) {
  const auto scores = judged_by(python("verl_floats"), {"half", "fraction", "huge", "complex"});
  expect_value(scores[0], 0.5F);
  expect_value(scores[1], 0.25F);
  expect_failed(scores[2], "the score is no number: int too large");
  expect_failed(scores[3], "the score is 1j, expected a number");
}

TEST(Python, VerlGetsSourceReferenceAndExtraInfo) {
  Rows rows = Rows::of({"text"});
  rows.tasks[0].extra = {
      {"data_source", "openai/gsm8k"}, {"reward_model", {{"ground_truth", "7"}}}, {"extra_info", {{"index", 4}}}};
  const Score score = judged_by(plugin(python("verl_seen")), rows)[0];
  expect_value(score, 1);
  EXPECT_EQ(score.components, (std::map<std::string, double>{{"acc", 0.5}}));
  EXPECT_EQ(score.extra_logs["source"], "openai/gsm8k");
  EXPECT_EQ(score.extra_logs["truth"], "7");
  EXPECT_EQ(score.extra_logs["info"], (Json{{"index", 4}}));
  EXPECT_EQ(score.extra_logs["text"], "text");
  expect_value(judged_by(python("verl_positional"), {"g"})[0], 1);
  expect_value(judged_by(python("verl_batch"), {"g", "h"})[1], 0);
}

TEST(Python, AnAsyncVerlFunctionWaitsForAllAtOnce) {
  const auto scores = judged_by(python("verl_async"), {"a", "slow", "b", "slow", "slow"}, 1);
  expect_value(scores[0], 1);
  expect_value(scores[2], 1);
  expect_failed(scores[1], "deadline of 1 s");
  EXPECT_LT(scores[0].seconds * 5, 2.9);  // not three deadlines in a row
}

TEST(Python, OpenRlhfGetsQueriesThatBeginWithThePrompt) {
  const auto scores = judged_by(python("openrlhf_tensor"), {"ok", "no"});
  expect_value(scores[0], 1);
  expect_value(scores[1], 0);
}

TEST(Python, OpenRlhfLogsOfTheWholeBatch) {
  const auto scores = judged_by(python("openrlhf_means"), {"a", "b"});
  expect_value(scores[1], 1);
  EXPECT_EQ(scores[1].extra_logs, (Json{{"accuracy", 0.5}, {"each", 2}, {"of", "all"}}));
}

TEST(Python, VerifiersFunctionOfAGroup) {
  const auto scores = judged_by(python("rubric_of_group"), {"g", "h"});
  expect_value(scores[0], 1);
  expect_value(scores[1], 0);
}

TEST(Python, VerifiersArgumentsByName) {
  Rows rows = Rows::of({"g", "g", "h"});
  rows.tasks[0].extra = {{"info", {{"bonus", 0.25}}}, {"task", "sums"}};
  rows.tasks[1].prompt = {{"user", "u"}};
  const auto scores = judged_by(plugin(python("rubric")), rows);
  expect_value(scores[0], 2.25F);
  expect_value(scores[1], 1);
  expect_value(scores[2], 0);
  rows.tasks[0].extra["level"] = rows.tasks[1].extra["level"] = rows.tasks[2].extra["level"] = 5;
  expect_value(judged_by(plugin(python("rubric_column")), rows)[2], 0.5F);
}

TEST(Python, WhatACheckerPrintsBreaksNothing) {
  const auto scores = judged_by(python("noisy"), {"a", "b"});
  expect_value(scores[0], 1);
  expect_value(scores[1], 1);
}

TEST(Python, TextOfAnyKindGoesThrough) {
  Rows rows =
      Rows::of({"", std::string("\0\n\"\\", 4), "\xFF\xFE", "\xE2\x80\xA8\xF0\x9F\x98\x80", std::string(1 << 20, 'x')});
  for (const Score& score : judged_by(plugin(python("trl_async")), rows)) expect_value(score, 1);
}

TEST(Python, OneTasksCompletionsHaveTheirOwnIds) {
  Rows rows = Rows::of({"g", "h", "g"});
  for (Task& task : rows.tasks) task.id = "same";
  const auto scores = judged_by(plugin(python("verl_positional")), rows);
  expect_value(scores[0], 1);
  expect_value(scores[1], 0);
  expect_value(scores[2], 1);
}

/// A folder of files that goes with this object; the tests run in it while it lives.
struct Folder {
  explicit Folder(const std::vector<std::pair<std::string, std::string>>& files) {
    for (const auto& [name, text] : files) {
      std::filesystem::create_directories((path / name).parent_path());
      std::ofstream(path / name) << text;
    }
    std::filesystem::current_path(path);
  }
  ~Folder() {
    std::filesystem::current_path(before);
    std::filesystem::remove_all(path);
  }
  std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::path path = testing::TempDir() + "a b:c " + std::to_string(getpid());
};

TEST(Python, AFileOfAPackageHasItsRelativeImports) {
  const Folder folder({{"pack/__init__.py", ""},
                       {"pack/rewards.py", "from .parts import one\nimport beside\ndef f(completion): return one\n"},
                       {"pack/parts.py", "one = 1\r\n"},
                       {"pack/beside.py", ""}});
  expect_value(judged_by("python:pack/rewards.py:f", {"a"})[0], 1);
  expect_value(judged_by("python:" + (folder.path / "pack/rewards.py").string() + ":f", {"a"})[0], 1);
}

TEST(Python, FilesNamedLikeModulesBreakNoWorker) {
  const Folder folder({{"json.py", "raise ValueError\n"},
                       {"types.py", "raise ValueError\n"},
                       {"math.py", "def compute_score(solution_str, ground_truth): return 1\n"}});
  expect_value(judged_by("python:math.py:compute_score", {"a"})[0], 1);
}

TEST(Python, ALongReasonIsCut) {
  const Folder folder({{"long.py", "raise ValueError('\\x1b[31m' + 'x' * 100000)\n"}, {"syntax.py", "def f(\n"}});
  const std::string why = refusal("python:long.py:f");
  EXPECT_LT(why.size(), 700U);
  EXPECT_EQ(why.find('\x1b'), std::string::npos);
  EXPECT_NE(refusal("python:syntax.py:f").find("SyntaxError: '(' was never closed (syntax.py line 1)"),
            std::string::npos);
}

TEST(Python, AWorkerDiesOfMemoryBeforeUs) {
  expect_value(judged_by(python("oom_score"), {"a"})[0], 1000);
}

TEST(Python, RefusedAtStartWithOneSentence) {
  EXPECT_NE(refusal(python("f", "none.py")).find("there is no file"), std::string::npos);
  EXPECT_NE(refusal("python:only.py").find("expected python:PATH:FUNCTION"), std::string::npos);
  EXPECT_NE(refusal("python:" + kCheckers + ":f").find("there is no file"), std::string::npos);
  EXPECT_NE(refusal(python("trl_sen"))
                .find("no function 'trl_sen'; the nearest is 'trl_seen'; the functions it has: trl_seen, "),
            std::string::npos);
  EXPECT_NE(refusal(python("trl_seen,workers=2")).find("has options in its name: give {\"name\""), std::string::npos);
  EXPECT_NE(refusal(python("Stateful")).find("class, expected a function"), std::string::npos);
  EXPECT_NE(refusal(python("number", "broken.py")).find("is a int, expected a function"), std::string::npos);
  EXPECT_NE(refusal(python("unknown", "broken.py")).find("(a, b) is not recognised"), std::string::npos);
  EXPECT_NE(refusal(python("verl_wants_more", "broken.py")).find("'judge_url' is none that verl gives"),
            std::string::npos);
  EXPECT_NE(refusal(python("f", "unimportable.py"))
                .find("ModuleNotFoundError: No module named 'nothing_of_this_name' "
                      "(unimportable.py line 1)"),
            std::string::npos);
  EXPECT_NE(refusal(python("f", "syntax.py")).find("SyntaxError"), std::string::npos);
}

TEST(Python, OptionsAreChecked) {
  EXPECT_NE(refusal(python("trl_async"), {{"batch_sise", 2}}).find("\"batch_size\""), std::string::npos);
  EXPECT_NE(refusal(python("trl_async"), {{"batch_size", 0}}).find("batch_size is 0"), std::string::npos);
  EXPECT_NE(refusal(python("trl_async"), {{"workers", -1}}).find("workers is -1"), std::string::npos);
  EXPECT_NE(refusal(python("trl_async"), {{"timeout", -1}}).find("timeout is -1"), std::string::npos);
  EXPECT_NE(refusal(python("trl_async"), {{"start_timeout", 0}}).find("start_timeout is 0"), std::string::npos);
  EXPECT_EQ(plugin(python("trl_async"), {{"batch_size", 2}}).batch_size, 2U);
  EXPECT_THROW(plugin(python("trl_async"), {{"python", "/no/such/python3"}}), MissingError);
}

TEST(Python, TheInterpreterIsTheConfiguredOne) {
  setenv("COHORT_PYTHON", "/no/such/python3", 1);
  EXPECT_THROW(plugin(python("trl_async")), MissingError);
  EXPECT_NO_THROW(plugin(python("trl_async"), {{"python", "/usr/bin/python3"}}));
  unsetenv("COHORT_PYTHON");
}

}  // namespace
}  // namespace cohort
