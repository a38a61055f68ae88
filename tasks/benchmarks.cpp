#include "tasks/benchmarks.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "configs/error.h"

namespace cohort {
namespace {

constexpr std::string_view kBoxed = "{prompt}\nPlease reason step by step, and put your final answer within \\boxed{}.";
constexpr std::string_view kBoxedChinese = "{prompt}\n请通过逐步推理来解答问题，并把最终答案放置于\\boxed{}中。";
constexpr std::string_view kQuestion = "Question: {prompt}\nAnswer:";
constexpr std::string_view kQuestionChinese = "问题：{prompt}\n答案：";
constexpr std::string_view kProblem = "Problem:\n{prompt}\n\nSolution:";
constexpr std::string_view kExpert = "You are an expert Python programmer, and here is your task: {prompt}";

// DeepSeek-Coder's instruction; the language stands at the fence.
#define COHORT_COMPLETE_FUNCTION(LANGUAGE)                                                                            \
  "Please continue to complete the function. You are not allowed to modify the given code and do the completion "     \
  "only. Please return all completed function in a codeblock. Here is the given code to do completion:\n```" LANGUAGE \
  "\n{prompt}```"

constexpr std::string_view kDeepSeekMath = "DeepSeekMath (2402.03300) and DeepSeek-R1; plain: lm-evaluation-harness";
constexpr std::string_view kMinerva = "DeepSeekMath (2402.03300) and DeepSeek-R1; plain: Minerva (2206.14858)";
constexpr std::string_view kDeepSeekCoder = "DeepSeek-Coder (2401.14196); plain: the code to continue (2107.03374)";

/// Tasks 11 to 510 are the test split (Austin et al. 2021, section 2.1).
bool is_mbpp_test(const Task& task) {
  const auto id = task.extra.find("task_id");
  return id != task.extra.end() && id->is_number_integer() && *id >= 11 && *id <= 510;
}

constexpr std::array<Benchmark, 14> kBenchmarks = {{
    {"gsm8k", "1,319 word problems of grade school", "gsm8k/test.jsonl", kBoxed, kQuestion, "accuracy", kDeepSeekMath,
     nullptr},
    {"math", "5,000 competition problems", "math/math_test5000.jsonl", kBoxed, kProblem, "accuracy", kMinerva, nullptr},
    {"math500", "500 of them (Let's Verify Step by Step)", "math/math500_test.jsonl", kBoxed, kProblem, "accuracy",
     kMinerva, nullptr},
    {"aime24", "30 problems of AIME 2024", "aime/aime24.jsonl", kBoxed, kProblem, "accuracy", kMinerva, nullptr},
    {"amc23", "40 problems of AMC 2023", "amc/amc23.jsonl", kBoxed, kProblem, "accuracy", kMinerva, nullptr},
    {"svamp", "1,000 word problems of one operation", "svamp/test.jsonl", kBoxed, kQuestion, "accuracy", kDeepSeekMath,
     nullptr},
    {"asdiv", "2,215 word problems of many kinds", "asdiv/test.jsonl", kBoxed, kQuestion, "accuracy", kDeepSeekMath,
     nullptr},
    {"mawps_singleop", "562 word problems of one operation", "mawps/singleop.jsonl", kBoxed, kQuestion, "accuracy",
     kDeepSeekMath, nullptr},
    {"mawps_multiarith", "600 word problems of several", "mawps/multiarith.jsonl", kBoxed, kQuestion, "accuracy",
     kDeepSeekMath, nullptr},
    {"cmath", "600 Chinese problems of primary school", "cmath/test.jsonl", kBoxedChinese, kQuestionChinese, "accuracy",
     "DeepSeekMath (2402.03300)", nullptr},
    {"humaneval", "164 functions in Python", "humaneval/python.jsonl", COHORT_COMPLETE_FUNCTION("python"), "{prompt}",
     "binary_code", kDeepSeekCoder, nullptr},
    {"humaneval_x_cpp", "the same in C++", "humaneval_x/cpp.jsonl", COHORT_COMPLETE_FUNCTION("cpp"), "{prompt}",
     "binary_code", kDeepSeekCoder, nullptr},
    {"humaneval_x_java", "the same in Java", "humaneval_x/java.jsonl", COHORT_COMPLETE_FUNCTION("java"), "{prompt}",
     "binary_code", kDeepSeekCoder, nullptr},
    {"mbpp", "500 short tasks in Python", "mbpp/mbpp.jsonl", kExpert, kExpert, "binary_code",
     "Austin et al. (2108.07732), without examples", is_mbpp_test},
}};
#undef COHORT_COMPLETE_FUNCTION

}  // namespace

std::span<const Benchmark> benchmarks() {
  return kBenchmarks;
}

const Benchmark* find_benchmark(std::string_view name) {
  const auto found = std::ranges::find(kBenchmarks, name, &Benchmark::name);
  return found == kBenchmarks.end() ? nullptr : &*found;
}

std::filesystem::path datasets_folder() {
  const char* named = std::getenv("COHORT_DATASETS");
  return named && *named ? named : "datasets";
}

std::filesystem::path expect_file(const Benchmark& benchmark) {
  const std::filesystem::path file = datasets_folder() / benchmark.file;
  std::error_code none;
  if (!std::filesystem::is_regular_file(file, none))
    throw MissingError(std::string(benchmark.name) + " is a benchmark whose file " + file.string() +
                       " is not there: name the folder of the data sets with COHORT_DATASETS=DIR");
  return file;
}

}  // namespace cohort
