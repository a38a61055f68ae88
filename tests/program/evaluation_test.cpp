// The verb `eval` as a shell sees it: every benchmark by name, a killed evaluation, likelihoods, and the report of
// them.
#include <gtest/gtest.h>

#include "tests/program/job.h"

namespace cohort {
namespace {

/// A tiny model with room for long prompts.
struct LongJob {
  LongJob() {
    Json model = tiny_model();
    model["max_position_embeddings"] = 16384;
    write_file(folder / "model.json", model.dump());
  }
  std::string model() const { return "init:" + (folder / "model.json").string() + "?seed=1"; }
  Outcome eval(const std::string& tasks, const Arguments& more) const {
    Arguments all = {"eval", "-m", model(), "--tasks", tasks};
    all.insert(all.end(), more.begin(), more.end());
    return run_program(all);
  }
  TestFolder folder;
};

/// Points at the published data sets where nobody else does.
bool has_dataset(const std::string& file) {
  if (!std::getenv("COHORT_DATASETS"))
    setenv("COHORT_DATASETS", (fs::path(COHORT_SOURCE_DIR).parent_path() / "shared/datasets").c_str(), 1);
  return fs::exists(fs::path(std::getenv("COHORT_DATASETS")) / file);
}

class BenchmarkRunIntegration : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(BenchmarkRunIntegration, IsSampledJudgedAndCounted) {
  const auto [name, file] = GetParam();
  if (!has_dataset(file)) GTEST_SKIP() << file << " is not there";
  const LongJob job;
  const std::string out = (job.folder / "out.jsonl").string();
  const Outcome outcome = job.eval(std::string(name) + ":chat=false,limit=3",
                                   {"-n", "2", "-k", "1,2", "--temperature", "1", "--min-p", "0.01",
                                    "--max-completion-length", "4", "--out", out, "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json figures = Json::parse(outcome.out);
  EXPECT_EQ(figures["tasks"], 3);
  EXPECT_EQ(figures["rollouts"], 6);
  EXPECT_EQ(figures["errors"], 0);
  EXPECT_EQ(figures["pass@1"], 0.0) << "four random bytes";
  EXPECT_LE(figures["max_length"], 4);
  const bool is_code = std::string(name).starts_with("humaneval") || std::string(name) == "mbpp";
  EXPECT_EQ(figures.contains("maj@2"), !is_code);
  const std::vector<Json> groups = json_lines(out);
  ASSERT_EQ(groups.size(), 3u);
  for (const Json& group : groups)
    for (const Json& rollout : group["rollouts"]) EXPECT_FALSE(rollout["score"]["status"].empty()) << rollout.dump();
  const Json kept = Json::parse(read_file(job.folder / "out.figures.json"));
  for (const auto& [key, value] : figures.items()) EXPECT_EQ(kept[key], value) << key;
  EXPECT_EQ(kept["model"], job.model());
}

INSTANTIATE_TEST_SUITE_P(
    All, BenchmarkRunIntegration,
    testing::Values(std::pair{"gsm8k", "gsm8k/test.jsonl"}, std::pair{"math", "math/math_test5000.jsonl"},
                    std::pair{"math500", "math/math500_test.jsonl"}, std::pair{"aime24", "aime/aime24.jsonl"},
                    std::pair{"amc23", "amc/amc23.jsonl"}, std::pair{"svamp", "svamp/test.jsonl"},
                    std::pair{"asdiv", "asdiv/test.jsonl"}, std::pair{"mawps_singleop", "mawps/singleop.jsonl"},
                    std::pair{"mawps_multiarith", "mawps/multiarith.jsonl"}, std::pair{"cmath", "cmath/test.jsonl"},
                    std::pair{"humaneval", "humaneval/python.jsonl"},
                    std::pair{"humaneval_x_cpp", "humaneval_x/cpp.jsonl"},
                    std::pair{"humaneval_x_java", "humaneval_x/java.jsonl"}, std::pair{"mbpp", "mbpp/mbpp.jsonl"}),
    [](const auto& info) { return std::string(info.param.first); });

TEST(EvaluationIntegration, MathHasTablesByLevelAndSubjectAndTheReportShowsThem) {
  if (!has_dataset("math/math500_test.jsonl")) GTEST_SKIP() << "math/math500_test.jsonl is not there";
  const LongJob job;
  const fs::path out = job.folder / "evals" / "math500.jsonl";
  const Outcome outcome = job.eval("math500:chat=false,limit=12",
                                   {"--max-completion-length", "2", "--out", out.string(), "--reward", "length:max=1"});
  EXPECT_EQ(outcome.exit_code, 2) << "no such option, before any work: " << outcome.err;
  EXPECT_FALSE(fs::exists(out.string() + ".unfinished"));
  const Outcome text = job.eval("math500:chat=false,limit=12", {"--max-completion-length", "2", "--out", out.string()});
  ASSERT_EQ(text.exit_code, 0) << text.err;
  for (const char* part : {"pass@1", "\nlevel ", "\nsubject ", "Level 2", "Precalculus"})
    EXPECT_NE(text.out.find(part), std::string::npos) << part << text.out;
  const Json figures = Json::parse(read_file(job.folder / "evals/math500.figures.json"));
  int64_t tasks = 0;
  for (const Json& row : figures["by"]["level"]) tasks += row["tasks"].get<int64_t>();
  EXPECT_EQ(tasks, 12);
  const Outcome report = run_program({"report", (job.folder / "evals").string()});
  ASSERT_EQ(report.exit_code, 0) << report.err;
  const std::string page = read_file(job.folder / "evals/report.html");
  for (const char* part :
       {"math500 by level", "math500 by subject", "Level 2", "Precalculus", "Completions of math500"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
  EXPECT_EQ(job.eval("math500:chat=false,limit=3", {"--by", "colour"}).exit_code, 2);
}

TEST(EvaluationIntegration, LikelihoodsOfReferenceSolutions) {
  const LongJob job;
  write_file(job.folder / "tasks.jsonl",
             "{\"id\": \"a\", \"prompt\": \"1+1=\", \"answer\": \"2\"}\n"
             "{\"id\": \"b\", \"prompt\": \"2+2=\", \"solution\": \"two and two are 4\", \"answer\": \"4\"}\n");
  const std::string out = (job.folder / "nll.jsonl").string();
  const Outcome outcome = job.eval((job.folder / "tasks.jsonl").string(), {"--nll", "--json", "--out", out});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json figures = Json::parse(outcome.out);
  EXPECT_EQ(figures["tasks"], 2);
  EXPECT_EQ(figures["tokens"], 2 + 18) << "a newline each, then the solution's bytes";
  EXPECT_NEAR(figures["nll"], std::log(264), 0.5) << "a random model over 264 tokens";
  const std::vector<Json> lines = json_lines(out);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_NEAR(figures["nll"].get<double>() * 20, -lines[0]["logprob"].get<double>() - lines[1]["logprob"].get<double>(),
              1e-9);
  const Json ids = {{"ids", {{'1', '+', '1', '=', '\n', '2'}}}};
  write_file(job.folder / "ids.json", ids.dump());
  const Outcome probe = run_program({"inspect", job.model(), "--logprobs", (job.folder / "ids.json").string()});
  const Json logprobs = Json::parse(probe.out)["logprobs"][0];
  EXPECT_EQ(lines[0]["logprob"].get<double>(), double(logprobs[4].get<float>()) + double(logprobs[5].get<float>()));
  write_file(job.folder / "tasks.jsonl", "{\"id\": \"a\", \"prompt\": \"1+1=\"}\n");
  const Outcome refused = job.eval((job.folder / "tasks.jsonl").string(), {"--nll"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("task a has no reference solution"), std::string::npos) << refused.err;
}

TEST(EvaluationIntegration, PenaltiesAndKeptSetsAreWrittenAndTokensOutsideTheVocabularyRefused) {
  const LongJob job;
  const Arguments common = {"sample", "-m", job.model(), "--prompt", "abc", "-n", "2", "--max-completion-length", "9"};
  const auto sample = [&](const Arguments& more) {
    Arguments all = common;
    all.insert(all.end(), more.begin(), more.end());
    return run_program(all);
  };
  const Outcome outcome = sample({"--top-k", "5", "--keep-sampling-mask", "--logit-bias", "65=40", "--logit-bias",
                                  "66=40", "--frequency-penalty", "90", "--min-tokens", "9"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json group = Json::parse(outcome.out);
  for (const Json& rollout : group["rollouts"]) {
    ASSERT_EQ(rollout["kept"].size(), rollout["completion_ids"].size());
    for (const Json& set : rollout["kept"]) EXPECT_EQ(set.size(), 5u);
    const std::vector<int32_t> ids = rollout["completion_ids"];
    EXPECT_TRUE((std::set{ids[0], ids[1]} == std::set{65, 66})) << "each once, then the penalty outweighs the bias";
    EXPECT_EQ(std::set(ids.begin(), ids.end()).size(), 9u);
  }
  for (const char* bias : {"264=1", "-1=1", "x=1", "3", "3=x", "3=nan"})
    EXPECT_EQ(sample({"--logit-bias", bias}).exit_code, 2) << bias;
  const TinyJob train;
  for (const Json& setting : {Json{{"repetition_penalty", 1.1}}, Json{{"presence_penalty", 0.1}},
                              Json{{"frequency_penalty", 0.1}}, Json{{"logit_bias", {{"3", 1.0}}}}}) {
    const Outcome refused = run_program({"train", train.write(train.config(setting).dump()), "--out", train.out()});
    EXPECT_EQ(refused.exit_code, 2) << refused.err;
    EXPECT_NE(refused.err.find("cannot be trained with"), std::string::npos) << refused.err;
  }
}

struct KilledEvaluation {
  LongJob job;
  fs::path out(const std::string& name) const { return job.folder / name; }
  Arguments arguments(const fs::path& file, int slots, int threads) const {
    return {"eval",  "-m",          job.model(),           "--tasks",   "arithmetic:operations=2,limit=15",
            "-n",    "4",           "--temperature",       "1",         "--max-completion-length",
            "48",    "--max-slots", std::to_string(slots), "--threads", std::to_string(threads),
            "--out", file.string()};
  }
  static std::vector<Json> groups(const fs::path& file) {
    std::vector<Json> all = json_lines(file);
    for (Json& group : all) group = without_times(group);
    return all;
  }
};

TEST(EvaluationFault, AKilledEvaluationEndsAtTheSameBits) {
  const KilledEvaluation evaluation;
  const fs::path expected = evaluation.out("whole.jsonl"), out = evaluation.out("killed.jsonl"),
                 unfinished = out.string() + ".unfinished";
  ASSERT_EQ(run_program(evaluation.arguments(expected, 8, 2)).exit_code, 0);
  int kills = 0;
  bool finished = false;
  for (int attempt = 0; attempt < 60 && !finished; ++attempt) {
    Process process(evaluation.arguments(out, attempt % 2 ? 3 : 8, attempt % 3 + 1));
    const int64_t before = fs::exists(unfinished) ? num_lines(unfinished) : 0;
    if (process.wait_until(
            [&] { return fs::exists(unfinished) && num_lines(unfinished) > std::max<int64_t>(1, before) + 2; }))
      process.signal(SIGKILL);
    const Outcome outcome = process.wait();
    ASSERT_TRUE(outcome.exit_code == 0 || outcome.exit_code == -SIGKILL) << outcome.err;
    finished = outcome.exit_code == 0;
    if (!finished) {
      ++kills;
      EXPECT_TRUE(fs::exists(unfinished) || fs::exists(evaluation.out("killed.figures.json")));
    } else if (kills > 0) {
      EXPECT_NE(outcome.err.find("going on behind"), std::string::npos) << outcome.err;
    }
  }
  EXPECT_GT(kills, 0);
  EXPECT_EQ(evaluation.groups(out), evaluation.groups(expected));
  EXPECT_FALSE(fs::exists(unfinished));
  EXPECT_EQ(without_times(Json::parse(read_file(evaluation.out("killed.figures.json")))),
            without_times(Json::parse(read_file(evaluation.out("whole.figures.json")))));
}

TEST(EvaluationFault, AnInterruptedEvaluationSaysHowToGoOn) {
  const KilledEvaluation evaluation;
  const fs::path out = evaluation.out("stopped.jsonl"), unfinished = out.string() + ".unfinished";
  Process process(evaluation.arguments(out, 3, 1));
  ASSERT_TRUE(process.wait_until([&] { return fs::exists(unfinished) && num_lines(unfinished) > 2; }));
  process.signal(SIGINT);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.exit_code, 130) << outcome.err;
  EXPECT_NE(outcome.err.find("go on with the same command"), std::string::npos) << outcome.err;
  EXPECT_TRUE(fs::exists(unfinished));
  EXPECT_FALSE(fs::exists(out));
}

TEST(EvaluationIntegration, ARealModelIsAskedThroughItsChatTemplate) {
  const std::string model = COHORT_SOURCE_DIR "/.deps/models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!fs::exists(model)) GTEST_SKIP() << model << " is not there";
  if (!has_dataset("gsm8k/test.jsonl")) GTEST_SKIP() << "gsm8k/test.jsonl is not there";
  const TestFolder folder;
  const std::string out = (folder / "gsm8k.jsonl").string();
  const Outcome outcome = run_program({"eval", "-m", model, "--tasks", "gsm8k:limit=2", "--max-completion-length", "8",
                                       "--bf16", "--out", out, "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const Json& group : json_lines(out)) {
    EXPECT_EQ(group["task"]["prompt"][0]["role"], "user");
    EXPECT_GT(group["rollouts"][0]["completion"].get<std::string>().size(), 4u);
  }
  const Outcome nll = run_program({"eval", "-m", model, "--tasks", "gsm8k:limit=3", "--bf16", "--nll", "--json"});
  ASSERT_EQ(nll.exit_code, 0) << nll.err;
  const double per_token = Json::parse(nll.out)["nll"];
  EXPECT_GT(per_token, 0.5);
  EXPECT_LT(per_token, 2.5) << "an instructed model finds grade-school solutions likely";
}

}  // namespace
}  // namespace cohort
