// What a benchmark's own reference solution says is judged correct by the benchmark's own reward, in the form that its
// prompt asks for. Files that are not there are skipped by name (COHORT_DATASETS names their folder).
#include <gtest/gtest.h>

#include <cstdlib>

#include "configs/error.h"
#include "rewards/compose.h"
#include "tasks/benchmarks.h"
#include "tasks/readers.h"
#include "tasks/reference_solution.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

std::string completion_of(const Benchmark& benchmark, const Task& task) {
  return benchmark.reward == "accuracy" ? "So it is \\boxed{" + task.answer + "}." : reference_solution(task);
}

class BenchmarkAnswersIntegration : public testing::TestWithParam<const char*> {};

TEST_P(BenchmarkAnswersIntegration, TheReferenceIsCorrectAndAnotherIsNot) {
  if (!std::getenv("COHORT_DATASETS"))
    setenv("COHORT_DATASETS", (fs::path(COHORT_SOURCE_DIR).parent_path() / "shared/datasets").c_str(), 1);
  const Benchmark& benchmark = *find_benchmark(GetParam());
  if (!fs::exists(datasets_folder() / benchmark.file)) GTEST_SKIP() << benchmark.file << " is not there";
  for (const char* chat : {"true", "false"}) {
    const std::vector<Task> tasks = read_tasks(std::string(benchmark.name) + ":limit=4,chat=" + chat);
    std::unique_ptr<Scorer> scorer;
    try {
      scorer = std::make_unique<Scorer>(std::vector<RewardSpec>{{.name = std::string(benchmark.reward)}}, 2);
    } catch (const MissingError& error) {
      GTEST_SKIP() << error.what();
    }
    std::vector<std::string> completions;
    std::vector<Judged> batch;
    for (size_t i = 0; i < tasks.size(); ++i) completions.push_back(completion_of(benchmark, tasks[i]));
    for (size_t i = 0; i < tasks.size(); ++i) batch.push_back({&tasks[i], completions[i]});
    for (size_t i = 0; i < tasks.size(); ++i) batch.push_back({&tasks[i], "\\boxed{-12345}"});
    const std::vector<Score> scores = scorer->judge(batch);
    for (size_t i = 0; i < tasks.size(); ++i) {
      EXPECT_EQ(scores[i].status, Status::correct) << tasks[i].id << ": " << scores[i].reason << "\n" << completions[i];
      EXPECT_NE(scores[tasks.size() + i].status, Status::correct) << tasks[i].id;
      EXPECT_NE(scores[tasks.size() + i].status, Status::error) << tasks[i].id;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, BenchmarkAnswersIntegration,
                         testing::Values("gsm8k", "math", "math500", "aime24", "amc23", "svamp", "asdiv",
                                         "mawps_singleop", "mawps_multiarith", "cmath", "humaneval", "humaneval_x_cpp",
                                         "humaneval_x_java", "mbpp"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace cohort
