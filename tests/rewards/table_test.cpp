// Every reward of the table survives what a completion can hold: empty, huge and non-UTF-8 text and the bait for
// parsers, within 50 ms each, without an exception.
#include <gtest/gtest.h>

#include <ctime>

#include <cmath>
#include <set>

#include "configs/error.h"
#include "rewards/rules.h"
#include "tests/rewards/judging.h"

namespace cohort {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double kMilliseconds = 2500;  // instrumented code is many times slower
#else
constexpr double kMilliseconds = 50;
#endif

constexpr size_t kMega = 1'000'000;

double cpu_milliseconds() {  // of this thread: other processes do not count
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

std::string repeated(std::string_view part, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += part;
  return text;
}

std::string random_bytes(size_t bytes) {
  std::string text(bytes, '\0');
  uint64_t state = 88172645463325252ULL;
  for (char& c : text) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    c = static_cast<char>(state);
  }
  return text;
}

struct Named {
  std::string name, text;
};

std::vector<Named> make_hostile_texts() {
  std::vector<Named> texts = {{"empty", ""},
                              {"NUL", std::string("\0", 1)},
                              {"BOM", "\xEF\xBB\xBF"},
                              {"bad UTF-8", "\xFF\xFE\xC3(\xE2\x82"},
                              {"random", random_bytes(kMega)}};
  for (const char* part : {"a",
                           " ",
                           "1",
                           "9",
                           "(",
                           ")",
                           "[",
                           "{",
                           "}",
                           "\\",
                           "$",
                           "\n",
                           "<",
                           "\\boxed{",
                           "\\boxed",
                           "\\frac",
                           "\\frac{1}{",
                           "\\sqrt{",
                           "x^",
                           "^{",
                           "-",
                           "!",
                           "%",
                           "|",
                           "1,",
                           "1.",
                           ".",
                           ",",
                           "<think>",
                           "</think>",
                           "<answer>",
                           "</answer>",
                           "**",
                           "####",
                           "answer is ",
                           "#### 1\n",
                           "1/",
                           "a b ",
                           "ab ",
                           "好",
                           "\xE2\x80\x8D",
                           "\xF0\x9F\x98\x80",
                           "\xC3",
                           "$1$ ",
                           "`",
                           "(B)",
                           "\\(",
                           "\\[",
                           "and ",
                           "\\text{",
                           "\\begin{pmatrix}",
                           "&",
                           "\\\\",
                           "\xCF\x80",
                           "= "}) {
    texts.push_back({part, repeated(part, kMega)});
    texts.push_back({std::string("boxed ") + part, "\\boxed{" + repeated(part, 9'000) + "}"});
    texts.push_back({std::string("open and close ") + part, "<answer>" + repeated(part, 60'000) + "</answer>"});
  }
  for (const char* bait : {"9^{9^{9^{9^{9^9}}}}",
                           "(10^9)!",
                           "10^{10^{10}}",
                           "2^{99999999999}",
                           "((((10^9)!)!)!)!",
                           "\\sum_{k=1}^{1000000000} k",
                           "\\binom{1000000000}{500000000}",
                           "1/(10^{-9999999999})",
                           "1e999999",
                           "0.00000000000001^{999999999}",
                           "(1+x)^{99999999}",
                           "\\sqrt[99999999999]{2}",
                           "\\prod_{k=1}^{2000} k!",
                           "x^{x^{x^{x^x}}}",
                           "\\sum_{a=1}^{2000}\\sum_{b=1}^{2000}\\sum_{c=1}^{2000} abc",
                           "\\sin(10^{100000})",
                           "e^{e^{e^{e^e}}}",
                           "\\floor(10^{5000}/7)",
                           "gcd(10^{20000}, 10^{20000}+1)",
                           "3500!/3499!",
                           "\\log_{0} 0",
                           "0^0",
                           "0/0",
                           "1/0",
                           "\\tan 90^\\circ",
                           "\\sqrt{-1}^{\\sqrt{-1}}",
                           "\\pm\\pm\\pm\\pm\\pm\\pm 1",
                           "\\infty-\\infty"}) {
    texts.push_back({bait, std::string("\\boxed{") + bait + "}"});
  }
  texts.push_back({"brackets", "\\boxed{" + std::string(100'000, '(') + "1" + std::string(100'000, ')') + "}"});
  texts.push_back({"deep fractions", "\\boxed{" + repeated("\\frac{1}{", 8'000) + "1" + std::string(900, '}') + "}"});
  texts.push_back({"long product", "\\boxed{" + repeated("x(", 4'000) + "1" + std::string(2'000, ')') + "}"});
  texts.push_back({"long list", "\\boxed{" + repeated("\\sqrt 2, ", 9'000) + "1}"});
  texts.push_back({"many digits", "\\boxed{" + std::string(9'000, '7') + "}"});
  texts.push_back({"long sum", "\\boxed{" + repeated("\\sin x+", 9'000) + "1}"});
  texts.push_back({"wide powers", "\\boxed{" + repeated("7^{999}*", 9'000) + "1}"});
  texts.push_back({"wide fractions", "\\boxed{" + repeated("\\frac{1}{7919^{99}+}+", 9'000) + "1}"});
  return texts;
}

const std::vector<Named>& hostile_texts() {
  static const std::vector<Named> texts = make_hostile_texts();
  return texts;
}

Task task_with(const std::string& answer) {
  Task task;
  task.answer = answer;
  task.extra = {{"numbers", {1, 2, 3}}, {"target", 6}};
  return task;
}

RewardFn function_of(const RewardRule& rule) {
  return make_reward({.name = std::string(rule.name),
                      .options = rule.name == "regex" ? Json{{"pattern", "(a+)+$|(x|xx)*y|a+b"}} : Json::object()});
}

class TableAttack : public ::testing::TestWithParam<size_t> {};

TEST_P(TableAttack, SurvivesEveryText) {
  const RewardRule& rule = reward_rules().at(GetParam());
  const RewardFn reward = function_of(rule);
  const std::vector<int32_t> ids(10, 1);
  for (const std::string& answer : {std::string("6"), std::string("\\sqrt{2}, \\sin x"), std::string("B")}) {
    const Task task = task_with(answer);
    for (const auto& [name, text] : hostile_texts()) {
      if (answer != "6" && text.size() > 50'000) continue;
      const double start = cpu_milliseconds();
      Score score;
      ASSERT_NO_THROW(score = score_with(reward, task, text, ids)) << rule.name << " on " << excerpt(name);
      EXPECT_LE(cpu_milliseconds() - start, kMilliseconds)
          << rule.name << " on " << excerpt(name) << " against " << answer;
      if (score.value) {
        EXPECT_TRUE(std::isfinite(*score.value)) << rule.name << " on " << excerpt(name);
      }
      EXPECT_NO_THROW(to_json(score).dump()) << rule.name << " on " << excerpt(name) << ": the reason is no UTF-8";
    }
  }
}

TEST_P(TableAttack, HostileReferencesDoNotHurtEither) {
  const RewardFn reward = function_of(reward_rules().at(GetParam()));
  for (const auto& [name, text] : hostile_texts()) {
    const Task task = task_with(text);
    const double start = cpu_milliseconds();
    ASSERT_NO_THROW(score_with(reward, task, "\\boxed{6}")) << excerpt(name);
    EXPECT_LE(cpu_milliseconds() - start, kMilliseconds) << excerpt(name);
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, TableAttack, ::testing::Range<size_t>(0, reward_rules().size()),
                         [](const auto& param) { return std::string(reward_rules().at(param.param).name); });

// Found by fuzzing: a message that could not be written.
TEST(Table, OptionsOfBytesThatAreNoTextAreRefused) {
  for (const RewardRule& rule : reward_rules()) {
    for (const RewardOption& option : rule.options) {
      const std::string text = std::string(rule.name) + ":" + std::string(option.name) + "=\xD2";
      if (option.initial.is_string()) continue;
      EXPECT_THROW(make_reward(parse_reward(text)), UsageError) << rule.name << " " << option.name;
    }
  }
}

TEST(Table, NamesAreDistinctAndDescribed) {
  std::set<std::string_view> names;
  for (const RewardRule& rule : reward_rules()) {
    EXPECT_TRUE(names.insert(rule.name).second) << rule.name;
    EXPECT_FALSE(rule.description.empty()) << rule.name;
    EXPECT_FALSE(rule.source.empty()) << rule.name;
  }
}

}  // namespace
}  // namespace cohort
