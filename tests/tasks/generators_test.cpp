#include "tasks/generators.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <numeric>
#include <set>

#include "configs/error.h"
#include "tasks/readers.h"
#include "tasks/sft_rows.h"
#include "tasks/task_json.h"
#include "temp_file.h"

namespace cohort {
namespace {

// ---- An evaluation of its own, written against the prompt's text.

int64_t read_digits(std::string_view& text) {
  int64_t number = 0;
  EXPECT_TRUE(!text.empty() && std::isdigit(static_cast<unsigned char>(text[0]))) << text;
  while (!text.empty() && std::isdigit(static_cast<unsigned char>(text[0]))) {
    number = number * 10 + (text[0] - '0');
    text.remove_prefix(1);
  }
  return number;
}

/// All intermediate results of "3+4*2=", left to right, with floored modulo.
std::vector<int64_t> results_of(std::string_view chain, int64_t modulo) {
  std::vector<int64_t> results;
  int64_t value = read_digits(chain);
  while (chain != "=") {
    const char op = chain.at(0);
    chain.remove_prefix(1);
    const int64_t right = read_digits(chain);
    if (op == '+')
      value += right;
    else if (op == '-')
      value -= right;
    else if (op == '*')
      value *= right;
    else
      ADD_FAILURE() << op;
    while (value < 0) value += modulo;
    value %= modulo;
    results.push_back(value);
  }
  return results;
}

/// Value of + - * / and brackets, by recursive descent; fails the test where a division leaves a rest.
struct Calculator {
  std::string_view text;
  std::vector<int64_t> numbers{};

  int64_t sum() {
    int64_t value = product();
    while (!text.empty() && (text[0] == '+' || text[0] == '-')) {
      const char op = take();
      const int64_t right = product();
      value = op == '+' ? value + right : value - right;
    }
    return value;
  }
  int64_t product() {
    int64_t value = factor();
    while (!text.empty() && (text[0] == '*' || text[0] == '/')) {
      const char op = take();
      const int64_t right = factor();
      if (op == '*') {
        value *= right;
        continue;
      }
      EXPECT_TRUE(right != 0 && value % right == 0) << text;
      value /= right == 0 ? 1 : right;
    }
    return value;
  }
  int64_t factor() {
    if (text.empty() || text[0] != '(') {
      numbers.push_back(read_digits(text));
      return numbers.back();
    }
    take();
    const int64_t value = sum();
    EXPECT_EQ(take(), ')');
    return value;
  }
  char take() {
    const char c = text.at(0);
    text.remove_prefix(1);
    return c;
  }
};

std::vector<std::string> prompts(const std::string& reference) {
  std::vector<std::string> texts;
  for (const Task& task : read_tasks(reference)) texts.push_back(task.prompt.at(0).content);
  return texts;
}

std::set<std::string> prompt_set(const std::string& reference) {
  const auto texts = prompts(reference);
  return {texts.begin(), texts.end()};
}

void expect_disjoint(const std::set<std::string>& a, const std::set<std::string>& b) {
  EXPECT_GT(std::min(a.size(), b.size()), 0U);
  for (const std::string& text : a) EXPECT_FALSE(b.contains(text)) << text;
}

// ---- The table

TEST(Generators, EveryOneIsAStreamByIndex) {
  for (const Generator& generator : generators()) {
    ASSERT_NE(generator.open_tasks == nullptr, generator.open_rows == nullptr) << generator.name;
    const auto record = [&](int64_t index, uint64_t seed) {
      const GeneratorStream stream{seed, Split::train};
      return generator.open_tasks ? to_json(generator.open_tasks(Json::object(), stream).at(index)).dump()
                                  : to_json(generator.open_rows(Json::object(), stream).at(index)).dump();
    };
    std::set<std::string> records;
    for (int64_t index : {5, 0, 3, 499, 5}) {
      EXPECT_EQ(record(index, 1), record(index, 1));
      records.insert(record(index, 1));
    }
    EXPECT_EQ(records.size(), 4U) << generator.name;
    EXPECT_NE(record(0, 1), record(0, 2)) << generator.name;
  }
}

TEST(Generators, EveryOptionIsCheckedAndDescribed) {
  for (const Generator& generator : generators()) {
    const Json schema = generator.schema();
    for (const auto& [name, option] : schema["properties"].items())
      EXPECT_FALSE(option["description"].get<std::string>().empty()) << generator.name << " " << name;
    const GeneratorStream stream;
    const Json wrong = {{"no_such_option", 1}};
    if (generator.open_tasks)
      EXPECT_THROW(generator.open_tasks(wrong, stream), UsageError);
    else
      EXPECT_THROW(generator.open_rows(wrong, stream), UsageError);
  }
}

// Expected: draws and hashes of random.h and split.h, worked outside of this program.
TEST(GeneratorsGolden, FirstChainsOfTheStream) {
  EXPECT_EQ(prompts("arithmetic:limit=3"),
            (std::vector<std::string>{"9*5+2*4+3+3+7=", "2-9+2-2-9+3*5=", "2+7-7+9*6+2-7="}));
  EXPECT_EQ(prompts("arithmetic:limit=3,split=held_out"),
            (std::vector<std::string>{"1+5-1*2*5+1+5=", "4*8*2*9-7+1*4=", "5*8*4-5*7*1+6="}));
}

TEST(Arithmetic, AnswersAreRight) {
  for (const char* options : {"", ",operations=3,min_operations=1", ",modulo=97,max_number=250,operations=12",
                              ",modulo=2", ",operators=*-"}) {
    for (const Task& task : read_tasks("arithmetic:limit=500" + std::string(options))) {
      const int64_t modulo = task.extra["modulo"];
      const auto results = results_of(task.prompt.at(0).content, modulo);
      EXPECT_EQ(task.answer, std::to_string(results.back())) << task.prompt[0].content;
      EXPECT_EQ(task.extra["operations"], results.size());
    }
  }
}

TEST(Arithmetic, LengthsAndNumbersFollowTheOptions) {
  std::map<size_t, int> lengths;
  for (const Task& task : read_tasks("arithmetic:limit=900,operations=4,min_operations=2,max_number=3,operators=+-")) {
    ++lengths[task.extra["operations"].get<size_t>()];
    EXPECT_EQ(task.prompt[0].content.find_first_not_of("123+-="), std::string::npos);
  }
  EXPECT_EQ(lengths.size(), 3U);
  for (const auto& [length, count] : lengths) EXPECT_NEAR(count, 300, 75) << length;
}

TEST(Arithmetic, HeldOutIsATenthForEverySeedAndDisjoint) {
  int held_out = 0;
  const auto all = prompts("arithmetic:limit=3000,split=all");
  for (const std::string& prompt : all) held_out += in_split(prompt_hash({{"", prompt}}), Split::held_out, kHeldOut);
  EXPECT_NEAR(held_out, 300, 5 * 17);
  std::set<std::string> train, evaluation;
  for (const char* seed : {"0", "1", "2"}) {  // few possible chains, so that the sides would meet if they could
    train.merge(prompt_set("arithmetic:operations=2,limit=4000,seed=" + std::string(seed)));
    evaluation.merge(prompt_set("arithmetic:operations=2,split=held_out,limit=1000,seed=" + std::string(seed)));
  }
  EXPECT_GT(train.size(), 4000U);
  expect_disjoint(train, evaluation);
}

TEST(Arithmetic, TextAndColdStartAreOfTrainingProblemsOnly) {
  const auto evaluation = prompt_set("arithmetic:operations=2,min_operations=1,split=held_out,limit=3000");
  for (const char* text : {"arithmetic_text:operations=2,min_operations=1,limit=5000",
                           "arithmetic_cold_start:operations=2,min_operations=1"}) {
    std::set<std::string> seen;
    for (const SftRow& row : read_sft_rows(text)) seen.insert(row.prompt);
    expect_disjoint(seen, evaluation);
  }
  EXPECT_THROW(read_sft_rows("arithmetic_text:split=held_out,limit=1"), UsageError);
}

TEST(Arithmetic, AFileOfGeneratedTasksSplitsTheSameWay) {
  std::string lines;
  for (const Task& task : read_tasks("arithmetic:limit=300,split=all")) lines += to_json(task).dump() + "\n";
  const TempFile file("chains.jsonl", lines);
  for (const Task& task : read_tasks(file.path() + ":split=held_out"))
    EXPECT_TRUE(in_split(prompt_hash(task.prompt), Split::held_out, kHeldOut));
}

TEST(Arithmetic, OptionsThatFitNothingAreRefused) {
  EXPECT_THROW(read_tasks("arithmetic:limit=1,min_operations=7"), UsageError);
  EXPECT_THROW(read_tasks("arithmetic:limit=1,operators=+^"), UsageError);
  EXPECT_THROW(read_tasks("arithmetic:limit=1,operations=0"), UsageError);
  EXPECT_THROW(read_tasks("arithmetic:limit=1,modulo=1"), UsageError);
  EXPECT_NE(
      MESSAGE_OF(UsageError, read_tasks("arithmetic:limit=1,split=held_out,operations=1,max_number=1,operators=+"))
          .find("held_out"),
      std::string::npos);  // the only chain, 1+1=, is a training problem
  EXPECT_THROW(read_sft_rows("arithmetic_text:limit=1,bare=0.9"), UsageError);
}

/// The steps of a chain as "left op right=result", from its text and its results.
std::vector<std::string> expected_steps(const std::string& chain) {
  const auto results = results_of(chain, 10);
  std::vector<std::string> steps;
  std::string_view rest = chain;
  std::string left = std::to_string(read_digits(rest));
  for (int64_t result : results) {
    const char op = rest.at(0);
    rest.remove_prefix(1);
    const std::string right = std::to_string(read_digits(rest));
    steps.push_back(left + op + right + "=" + std::to_string(result));
    left = std::to_string(result);
  }
  return steps;
}

std::string joined(const std::vector<std::string>& parts, size_t count, const std::string& separator) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += (i == 0 ? "" : separator) + parts[i];
  return text;
}

TEST(ArithmeticText, SharesAndStepsAreAsAsked) {
  std::map<std::string, int> kinds;
  for (const SftRow& row : read_sft_rows("arithmetic_text:limit=5000")) {
    const auto steps = expected_steps(row.prompt);
    std::set<std::string> beginnings;
    for (size_t count = 1; count < steps.size(); ++count) beginnings.insert(joined(steps, count, ";"));
    if (row.completion == std::to_string(results_of(row.prompt, 10).back()))
      ++kinds["bare"];
    else if (row.completion == joined(steps, steps.size(), ";"))
      ++kinds["worked"];
    else if (beginnings.contains(row.completion))
      ++kinds["unfinished"];
    else
      ADD_FAILURE() << row.prompt << row.completion;
  }
  EXPECT_NEAR(kinds["bare"], 3500, 5 * 33);
  EXPECT_NEAR(kinds["worked"], 1000, 5 * 29);
  EXPECT_NEAR(kinds["unfinished"], 500, 5 * 22);
}

TEST(ArithmeticText, StylesSayTheSameSteps) {
  for (const SftRow& row : read_sft_rows("arithmetic_text:limit=50,bare=0,worked=1,unfinished=0,style=lines")) {
    std::string compact = row.completion;
    std::erase(compact, ' ');
    std::replace(compact.begin(), compact.end(), '\n', ';');
    EXPECT_EQ(compact, joined(expected_steps(row.prompt), 6, ";"));
  }
  for (const SftRow& row : read_sft_rows("arithmetic_text:limit=50,bare=0,worked=1,unfinished=0,style=running")) {
    EXPECT_EQ(std::count(row.completion.begin(), row.completion.end(), '='), 6);
    const auto last = row.completion.rfind('=');
    EXPECT_EQ(row.completion.substr(last + 1), std::to_string(results_of(row.prompt, 10).back()));
  }
  std::set<bool> has_newline, has_semicolon;
  for (const SftRow& row : read_sft_rows("arithmetic_text:limit=60,bare=0,worked=1,unfinished=0,style=mixed")) {
    has_newline.insert(row.completion.find('\n') != std::string::npos);
    has_semicolon.insert(row.completion.find(';') != std::string::npos);
  }
  EXPECT_EQ(has_newline.size() + has_semicolon.size(), 4U);
}

TEST(ArithmeticText, SingleOperationsBreakOffBeforeTheirResult) {
  for (const SftRow& row : read_sft_rows("arithmetic_text:limit=20,operations=1,bare=0,worked=0,unfinished=1"))
    EXPECT_EQ(row.completion, row.prompt);
}

TEST(ArithmeticColdStart, RowsAreInTheFormAndRight) {
  const auto rows = read_sft_rows("arithmetic_cold_start");
  EXPECT_EQ(rows.size(), 500U);
  for (const SftRow& row : rows) {
    const std::string answer = std::to_string(results_of(row.prompt, 10).back());
    EXPECT_EQ(row.completion,
              "<think>" + joined(expected_steps(row.prompt), 6, ";") + "</think><answer>" + answer + "</answer>");
    EXPECT_TRUE(row.completion.size() >= 40 && row.completion.size() <= 100) << row.completion;
  }
  EXPECT_EQ(read_sft_rows("arithmetic_cold_start:rows=20").size(), 20U);
  EXPECT_EQ(read_sft_rows("arithmetic_cold_start:limit=30").size(), 30U);
  EXPECT_THROW(read_sft_rows("arithmetic_cold_start:rows=501"), UsageError);
}

TEST(ArithmeticColdStart, ThoughtsCanBeShorter) {
  for (const SftRow& row : read_sft_rows("arithmetic_cold_start:rows=40,bare=1,worked=0"))
    EXPECT_EQ(row.completion,
              "<think></think><answer>" + std::to_string(results_of(row.prompt, 10).back()) + "</answer>");
  for (const SftRow& row : read_sft_rows("arithmetic_cold_start:rows=40,unfinished=1,worked=0")) {
    const std::string answer = std::to_string(results_of(row.prompt, 10).back());
    EXPECT_TRUE(row.completion.ends_with("</think><answer>" + answer + "</answer>")) << row.completion;
    EXPECT_LT(std::count(row.completion.begin(), row.completion.end(), '='), 6);
  }
}

TEST(Countdown, ReferenceSolutionsUseEachNumberOnceAndReachTheTarget) {
  for (const char* options :
       {"", ",numbers=6,min_numbers=2,max_number=100,max_target=1000", ",numbers=3,max_number=9,style=compact"}) {
    for (const Task& task : read_tasks("countdown:limit=1000" + std::string(options))) {
      Calculator calculator{task.answer};
      EXPECT_EQ(calculator.sum(), task.extra["target"].get<int64_t>()) << task.answer;
      EXPECT_TRUE(calculator.text.empty()) << task.answer;
      std::sort(calculator.numbers.begin(), calculator.numbers.end());
      EXPECT_EQ(calculator.numbers, task.extra["numbers"].get<std::vector<int64_t>>()) << task.answer;
    }
  }
}

TEST(Countdown, PromptsNameNumbersAndTarget) {
  for (const Task& task : read_tasks("countdown:limit=50,style=compact")) {
    std::string expected;
    for (const Json& number : task.extra["numbers"]) expected += (expected.empty() ? "" : ",") + number.dump();
    EXPECT_EQ(task.prompt.at(0).content, expected + "->" + task.extra["target"].dump());
  }
  const std::string words = prompts("countdown:limit=1")[0];
  EXPECT_TRUE(words.starts_with("Using the numbers ") && words.ends_with(".")) << words;
}

TEST(Countdown, SidesAreDisjointInEveryStyle) {
  const std::string small = "countdown:numbers=3,max_number=9,limit=3000,style=";
  const auto problems = [](const std::string& reference) {
    std::set<std::string> keys;
    for (const Task& task : read_tasks(reference))
      keys.insert(task.extra["numbers"].dump() + task.extra["target"].dump());
    return keys;
  };
  expect_disjoint(problems(small + "compact"), problems(small + "sentence,split=held_out,seed=1"));
  EXPECT_THROW(read_tasks("countdown:limit=1,min_numbers=1"), UsageError);
}

}  // namespace
}  // namespace cohort
