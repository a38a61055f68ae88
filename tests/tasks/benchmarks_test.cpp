// Benchmarks by name: the prompts they are asked with, and which rows of a file belong to them. The published files are
// skipped by name where they are not there (COHORT_DATASETS names their folder).
#include "tasks/benchmarks.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>

#include "configs/error.h"
#include "tasks/readers.h"
#include "temp_file.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

/// COHORT_DATASETS for as long as it lives.
class DatasetsFolder {
 public:
  explicit DatasetsFolder(const std::string& folder) {
    if (const char* before = std::getenv("COHORT_DATASETS")) before_ = before;
    setenv("COHORT_DATASETS", folder.c_str(), 1);
  }
  ~DatasetsFolder() { before_.empty() ? unsetenv("COHORT_DATASETS") : setenv("COHORT_DATASETS", before_.c_str(), 1); }

 private:
  std::string before_;
};

void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

TEST(Benchmarks, AreAskedAsTheFieldAsksThem) {
  const TempFile folder("unused", "");
  const DatasetsFolder datasets(folder.folder());
  write(fs::path(folder.folder()) / "gsm8k/test.jsonl", R"({"question": "How many?", "answer": "So 3.\n#### 3"})");
  write(fs::path(folder.folder()) / "humaneval_x/cpp.jsonl",
        R"({"task_id": "CPP/0", "prompt": "int f(){\n", "test": "t", "declaration": "int f(){\n"})");
  const Task chat = read_tasks("gsm8k").at(0), plain = read_tasks("gsm8k:chat=false").at(0),
             own = read_tasks("gsm8k:prompt_template=Hey {prompt}").at(0), code = read_tasks("humaneval_x_cpp").at(0),
             bare = read_tasks("humaneval_x_cpp:chat=false").at(0);
  ASSERT_TRUE(is_chat(chat.prompt));
  EXPECT_EQ(chat.prompt[0].role, "user");
  EXPECT_EQ(chat.prompt[0].content,
            "How many?\nPlease reason step by step, and put your final answer within \\boxed{}.");
  EXPECT_EQ(chat.answer, "3");
  EXPECT_FALSE(is_chat(plain.prompt));
  EXPECT_EQ(plain.prompt[0].content, "Question: How many?\nAnswer:");
  EXPECT_EQ(own.prompt[0].content, "Hey How many?");
  EXPECT_EQ(code.prompt[0].content,
            "Please continue to complete the function. You are not allowed to modify the given code and do the "
            "completion only. Please return all completed function in a codeblock. Here is the given code to do "
            "completion:\n```cpp\nint f(){\n```");
  EXPECT_EQ(code.extra["raw_prompt"], "int f(){\n");
  EXPECT_EQ(bare.prompt[0].content, "int f(){\n");
}

TEST(Benchmarks, MbppIsItsTestSplit) {
  const TempFile folder("unused", "");
  const DatasetsFolder datasets(folder.folder());
  std::string rows;
  for (int id : {10, 11, 510, 511})
    rows += R"({"text": "Add.", "test_list": ["assert f() == 1"], "task_id": )" + std::to_string(id) + "}\n";
  write(fs::path(folder.folder()) / "mbpp/mbpp.jsonl", rows);
  const std::vector<Task> tasks = read_tasks("mbpp");
  ASSERT_EQ(tasks.size(), 2U);
  EXPECT_EQ(tasks[0].id, "mbpp/11");
  EXPECT_EQ(tasks[1].id, "mbpp/510");
  EXPECT_EQ(tasks[0].prompt[0].content,
            "You are an expert Python programmer, and here is your task: Add.\nYour code should pass these "
            "tests:\n\nassert f() == 1\n");
  EXPECT_EQ(read_tasks("mbpp:limit=1").size(), 1U);
  TaskSource source;
  source.reference = "mbpp";
  EXPECT_EQ(validate_tasks(source).rows, 2);
}

TEST(Benchmarks, AnAbsentFileIsNamedWithTheWayToGetIt) {
  const TempFile folder("unused", "");
  const DatasetsFolder datasets(folder.folder());
  const std::string message = MESSAGE_OF(MissingError, read_tasks("aime24"));
  EXPECT_NE(message.find("aime/aime24.jsonl"), message.npos) << message;
  EXPECT_NE(message.find("COHORT_DATASETS"), message.npos) << message;
  EXPECT_NE(MESSAGE_OF(UsageError, read_tasks("gsm9k")).find("gsm8k"), std::string::npos);
  EXPECT_NE(MESSAGE_OF(UsageError, read_tasks("gsm8k:colour=red")).find("colour"), std::string::npos);
}

TEST(Benchmarks, EachHasWhatItNeeds) {
  std::set<std::string_view> names;
  for (const Benchmark& b : benchmarks()) {
    names.insert(b.name);
    for (std::string_view prompt : {b.chat_prompt, b.plain_prompt})
      EXPECT_NE(prompt.find("{prompt}"), prompt.npos) << b.name;
    EXPECT_FALSE(b.description.empty() || b.reward.empty() || b.prompt_source.empty()) << b.name;
    EXPECT_EQ(find_benchmark(b.name), &b);
  }
  EXPECT_EQ(names.size(), benchmarks().size());
  EXPECT_EQ(find_benchmark("gsm"), nullptr);
}

class BenchmarksIntegration : public testing::TestWithParam<std::pair<const char*, size_t>> {};

TEST_P(BenchmarksIntegration, HasItsPublishedTasks) {
  const auto [name, size] = GetParam();
  const char* named = std::getenv("COHORT_DATASETS");
  const DatasetsFolder datasets(named ? named
                                      : (fs::path(COHORT_SOURCE_DIR).parent_path() / "shared/datasets").string());
  const Benchmark& benchmark = *find_benchmark(name);
  if (!fs::exists(datasets_folder() / benchmark.file)) GTEST_SKIP() << benchmark.file << " is not there";
  const std::vector<Task> tasks = read_tasks(name), plain = read_tasks(std::string(name) + ":chat=false");
  ASSERT_EQ(tasks.size(), size);
  const std::string_view begin = benchmark.chat_prompt.substr(0, benchmark.chat_prompt.find('{'));
  for (size_t i = 0; i < tasks.size(); ++i) {
    const std::string& prompt = tasks[i].prompt.at(0).content;
    EXPECT_TRUE(prompt.starts_with(begin)) << tasks[i].id;
    EXPECT_NE(prompt.find(tasks[i].extra["raw_prompt"].get<std::string>()), prompt.npos) << tasks[i].id;
    EXPECT_EQ(prompt.find("{prompt}"), prompt.npos) << tasks[i].id;
    if (begin.ends_with("```python\n") || begin.ends_with("```cpp\n")) {
      EXPECT_TRUE(prompt.ends_with("\n```")) << tasks[i].id;
    }
    EXPECT_FALSE(is_chat(plain[i].prompt));
    EXPECT_EQ(benchmark.reward == "accuracy", !tasks[i].answer.empty()) << tasks[i].id;
  }
}

INSTANTIATE_TEST_SUITE_P(All, BenchmarksIntegration,
                         testing::Values(std::pair{"gsm8k", 1319}, std::pair{"math", 5000}, std::pair{"math500", 500},
                                         std::pair{"aime24", 30}, std::pair{"amc23", 40}, std::pair{"svamp", 1000},
                                         std::pair{"asdiv", 2215}, std::pair{"mawps_singleop", 562},
                                         std::pair{"mawps_multiarith", 600}, std::pair{"cmath", 600},
                                         std::pair{"humaneval", 164}, std::pair{"humaneval_x_cpp", 164},
                                         std::pair{"humaneval_x_java", 164}, std::pair{"mbpp", 500}),
                         [](const auto& info) { return std::string(info.param.first); });

}  // namespace
}  // namespace cohort
