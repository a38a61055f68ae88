// Countdown: write an expression of all the given numbers, each exactly once, that equals the target. A problem is made
// backwards, by combining its numbers at random, so it always has a solution; results on the way are positive integers.
// The answer is one solution of many: a rule has to judge, from extra.numbers and extra.target.
#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "configs/error.h"
#include "tasks/generators.h"
#include "tasks/random.h"

namespace cohort {

struct CountdownOptions {
  int64_t numbers = 4;
  int64_t min_numbers = 0;
  int64_t max_number = 25;
  int64_t max_target = 100;
  std::string style = "sentence";
};

template <class V>
void visit_fields(V& v, CountdownOptions& c) {
  v.field("numbers", c.numbers, "numbers in the largest problem", between(2, 8));
  v.field("min_numbers", c.min_numbers, "numbers in the smallest; 0: all problems are of the largest size",
          between(0, 8));
  v.field("max_number", c.max_number, "numbers are drawn from 1 to this one", between(1, 10000));
  v.field("max_target", c.max_target, "targets lie between 1 and this one", between(1, 1000000));
  v.field("style", c.style, "a prompt in words, or as 3,5,7->40", one_of({"sentence", "compact"}));
}

inline void check_options(const CountdownOptions& options) {
  if (options.min_numbers == 1 || options.min_numbers > options.numbers)
    throw UsageError("min_numbers is " + std::to_string(options.min_numbers) + ", expected 0 or 2 to numbers, " +
                     std::to_string(options.numbers));
}

struct CountdownProblem {
  std::vector<int64_t> numbers;  // ascending
  int64_t target = 0;
  std::string solution;
};

struct CountdownTerm {
  int64_t value = 0;
  std::string text;
  int binding = 2;  // 0 a sum or difference, 1 a product or quotient, 2 a number
};

inline std::string bracketed(const CountdownTerm& term, bool needed) {
  return needed ? "(" + term.text + ")" : term.text;
}

/// `left op right` with the brackets it needs; nothing when the result is no positive integer or grows out of reach.
inline std::optional<CountdownTerm> combine(const CountdownTerm& left, char op, const CountdownTerm& right) {
  constexpr int64_t kMaxValue = 1000000000;
  const bool is_sum = op == '+' || op == '-';
  if (op == '-' && left.value <= right.value) return std::nullopt;
  if (op == '/' && left.value % right.value != 0) return std::nullopt;
  if (op == '*' && left.value > kMaxValue / right.value) return std::nullopt;
  const int64_t value = op == '+'   ? left.value + right.value
                        : op == '-' ? left.value - right.value
                        : op == '*' ? left.value * right.value
                                    : left.value / right.value;
  const int binding = is_sum ? 0 : 1;
  const bool right_brackets = right.binding < binding || (right.binding == binding && (op == '-' || op == '/'));
  return CountdownTerm{value, bracketed(left, left.binding < binding) + op + bracketed(right, right_brackets), binding};
}

/// Two terms at random become one, until one is left; nothing when a step has no positive integer result.
inline std::optional<CountdownTerm> combine_all(std::vector<CountdownTerm> terms, RandomStream& random) {
  while (terms.size() > 1) {
    std::swap(terms[random.below(terms.size())], terms.back());
    const CountdownTerm right = terms.back();
    terms.pop_back();
    CountdownTerm& left = terms[random.below(terms.size())];
    const auto result = combine(left, "+-*/"[random.below(4)], right);
    if (!result) return std::nullopt;
    left = *result;
  }
  return terms[0];
}

inline std::optional<CountdownProblem> draw_countdown(const CountdownOptions& options, RandomStream& random) {
  const int64_t fewest = options.min_numbers == 0 ? options.numbers : options.min_numbers;
  CountdownProblem problem;
  problem.numbers.resize(random.between(fewest, options.numbers));
  std::vector<CountdownTerm> terms;
  for (int64_t& number : problem.numbers) {
    number = random.between(1, options.max_number);
    terms.push_back({number, std::to_string(number)});
  }
  std::sort(problem.numbers.begin(), problem.numbers.end());
  const auto solution = combine_all(std::move(terms), random);
  if (!solution || solution->value > options.max_target) return std::nullopt;
  problem.target = solution->value;
  problem.solution = solution->text;
  return problem;
}

/// "3,5,7->40": what the split is made of.
inline std::string countdown_key(const CountdownProblem& problem) {
  std::string key;
  for (int64_t number : problem.numbers) key += (key.empty() ? "" : ",") + std::to_string(number);
  return key + "->" + std::to_string(problem.target);
}

inline std::string countdown_prompt(const CountdownProblem& problem, std::string_view style) {
  if (style == "compact") return countdown_key(problem);
  std::string numbers;
  for (size_t i = 0; i < problem.numbers.size(); ++i)
    numbers += (i == 0 ? "" : i + 1 == problem.numbers.size() ? " and " : ", ") + std::to_string(problem.numbers[i]);
  return "Using the numbers " + numbers +
         ", each exactly once, with + - * / and brackets, write an expression that equals " +
         std::to_string(problem.target) + ".";
}

inline Task countdown_task(const CountdownOptions& options, const GeneratorStream& stream, int64_t index) {
  constexpr int64_t kMaxDraws = 10000;
  RandomStream random(stream.seed ^ stable_hash("countdown"), static_cast<uint64_t>(index));
  for (int64_t draw = 0; draw < kMaxDraws; ++draw) {
    const auto problem = draw_countdown(options, random);
    if (!problem || !in_split(stable_hash(countdown_key(*problem)), stream.split, kHeldOut)) continue;
    Task task;
    task.prompt = {{"", countdown_prompt(*problem, options.style)}};
    task.answer = problem->solution;
    task.extra = {{"numbers", problem->numbers}, {"target", problem->target}};
    return task;
  }
  throw UsageError("countdown: no problem of these options lies in split " + std::string(to_string(stream.split)) +
                   "; allow larger numbers or targets");
}

}  // namespace cohort
