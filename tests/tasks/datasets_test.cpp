// The published data sets, as they are: skipped by name where they are not there (COHORT_DATASETS names their folder).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "configs/error.h"
#include "tasks/formats.h"
#include "tasks/readers.h"
#include "tasks/task_json.h"

namespace cohort {
namespace {

std::string datasets_folder() {
  const char* named = std::getenv("COHORT_DATASETS");
  return named ? named : (std::filesystem::path(COHORT_SOURCE_DIR).parent_path() / "shared/datasets").string();
}

struct Dataset {
  const char* file;
  const char* format;
  size_t rows;
  size_t empty_answers;  // rows whose published answer is missing
};

void PrintTo(const Dataset& dataset, std::ostream* out) {
  *out << dataset.file;
}

class DatasetsIntegration : public testing::TestWithParam<Dataset> {
 protected:
  void SetUp() override {
    path_ = datasets_folder() + "/" + GetParam().file;
    if (!std::filesystem::exists(path_)) GTEST_SKIP() << path_ << " is not there";
  }
  std::string path_;
};

TEST_P(DatasetsIntegration, IsReadCompletely) {
  std::string format;
  const std::vector<Task> tasks = read_tasks(path_, "", &format);
  EXPECT_EQ(format, GetParam().format);
  ASSERT_EQ(tasks.size(), GetParam().rows);
  const bool is_code = std::string_view(GetParam().format).starts_with("humaneval") || format == "mbpp";
  std::set<std::string> ids;
  size_t empty_answers = 0;
  for (const Task& task : tasks) {
    EXPECT_FALSE(task.prompt.empty() || task.prompt[0].content.empty()) << task.id;
    empty_answers += task.answer.empty() && !is_code;
    ids.insert(task.id);
    ASSERT_EQ(to_json(task_from_json(to_json(task))), to_json(task)) << task.id;
  }
  EXPECT_EQ(ids.size(), tasks.size());
  EXPECT_EQ(empty_answers, GetParam().empty_answers);
}

TEST_P(DatasetsIntegration, ValidateFindsTheMissingAnswersAlone) {
  TaskSource source;
  source.reference = path_;
  const Validation validation = validate_tasks(source);
  EXPECT_EQ(validation.rows, static_cast<int64_t>(GetParam().rows));
  ASSERT_EQ(validation.problems.size(), GetParam().empty_answers);
  for (const RowProblem& problem : validation.problems) EXPECT_EQ(problem.what, "its answer is empty");
}

TEST_P(DatasetsIntegration, SplitIsAPartition) {
  const auto train = read_tasks(path_ + ":split=train,held_out=0.4"),
             held_out = read_tasks(path_ + ":split=held_out,held_out=0.4");
  EXPECT_EQ(train.size() + held_out.size(), GetParam().rows);
  std::set<std::string> prompts;
  for (const Task& task : train) prompts.insert(prompt_to_json(task.prompt).dump());
  for (const Task& task : held_out) EXPECT_FALSE(prompts.contains(prompt_to_json(task.prompt).dump())) << task.id;
  const double share = static_cast<double>(held_out.size()) / static_cast<double>(GetParam().rows);
  EXPECT_NEAR(share, 0.4, 4 * std::sqrt(0.24 / static_cast<double>(GetParam().rows)));
}

INSTANTIATE_TEST_SUITE_P(
    All, DatasetsIntegration,
    testing::Values(
        Dataset{"gsm8k/train.jsonl", "gsm8k", 7473, 0}, Dataset{"gsm8k/test.jsonl", "gsm8k", 1319, 0},
        Dataset{"math/math500_test.jsonl", "math", 500, 0}, Dataset{"math/math_test5000.jsonl", "math", 5000, 0},
        Dataset{"math/math_train4500_from_test.jsonl", "math", 4500, 0},
        Dataset{"math/math_train7500_answers.jsonl", "math", 7500, 2}, Dataset{"svamp/test.jsonl", "svamp", 1000, 0},
        Dataset{"humaneval/python.jsonl", "humaneval", 164, 0}, Dataset{"humaneval_x/cpp.jsonl", "humaneval_x", 164, 0},
        Dataset{"humaneval_x/java.jsonl", "humaneval_x", 164, 0},
        Dataset{"humaneval_x/python.jsonl", "humaneval_x", 164, 0}, Dataset{"mbpp/mbpp.jsonl", "mbpp", 974, 0},
        Dataset{"aime/aime24.jsonl", "task", 30, 0}, Dataset{"amc/amc23.jsonl", "task", 40, 0},
        Dataset{"asdiv/test.jsonl", "task", 2215, 0}, Dataset{"mawps/singleop.jsonl", "task", 562, 0},
        Dataset{"mawps/multiarith.jsonl", "task", 600, 0}, Dataset{"cmath/test.jsonl", "task", 600, 0}),
    [](const testing::TestParamInfo<Dataset>& info) {
      std::string name = info.param.file;
      std::replace_if(
          name.begin(), name.end(), [](char c) { return c == '/' || c == '.'; }, '_');
      return name;
    });

std::string without_outer_spaces(const std::string& text) {
  const size_t first = text.find_first_not_of(' ');
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

TEST(GoldIntegration, AgreesWithThePublishedAnswers) {
  const std::string folder = datasets_folder();
  if (!std::filesystem::exists(folder + "/gsm8k/train.jsonl")) GTEST_SKIP() << folder << " is not there";
  for (const Task& task : read_tasks(folder + "/gsm8k/train.jsonl")) {
    std::string published = task.extra["final"];  // with its commas
    std::erase(published, ',');
    EXPECT_EQ(task.answer, published) << task.id;
  }
  for (const char* file : {"math_test5000", "math500_test"}) {
    for (const Task& task : read_tasks(folder + "/math/" + file + ".jsonl"))
      EXPECT_EQ(last_boxed(task.extra["solution"].get<std::string>()), without_outer_spaces(task.answer)) << task.id;
  }
}

}  // namespace
}  // namespace cohort
