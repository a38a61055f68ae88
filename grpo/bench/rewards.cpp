// Verdicts a second of the rewards: accuracy on answers in the forms that data sets and models write them, and code.
#include "grpo/bench/bench.h"
#include "rewards/compose.h"

namespace cohort {
namespace {

constexpr int32_t kRows = 360;

struct AnswerForm {
  const char* gold;    // N, M: two numbers that follow from the row
  const char* answer;  // the same written otherwise
};
constexpr AnswerForm kForms[] = {
    {"N", "N"},
    {"N000", "N{,}000"},
    {"\\frac{N}{M}", "N/M"},
    {"N.5", "\\dfrac{N5}{10}"},
    {"N\\%", "N"},
    {"M\\sqrt{3}", "M \\cdot \\sqrt{3}"},
    {"(N, M)", "\\left(N,\\,M\\right)"},
    {"[N, \\infty)", "x \\ge N"},
    {"\\{M, N\\}", "N, M"},
    {"x^2 + Nx + M", "M + Nx + x^2"},
    {"N\\pi", "\\pi \\times N"},
    {"N", "x = N \\text{ apples}"},
};

std::string with_numbers(const char* form, int64_t n, int64_t m) {
  std::string text;
  for (; *form; ++form) {
    if (*form == 'N')
      text += std::to_string(n);
    else if (*form == 'M')
      text += std::to_string(m);
    else
      text += *form;
  }
  return text;
}

std::string worked(int64_t n, int64_t m, const std::string& answer) {
  return "Start with " + std::to_string(n) + " and take what " + std::to_string(m) + " adds to it. First, " +
         std::to_string(n) + " + " + std::to_string(m) + " = " + std::to_string(n + m) +
         "; undoing that step gives back the number we want. So the final answer is $\\boxed{" + answer + "}$.";
}

}  // namespace

std::vector<AnsweredTask> answered_tasks(int32_t count) {
  std::vector<AnsweredTask> rows;
  for (int32_t i = 0; i < count; ++i) {
    const AnswerForm& form = kForms[size_t(i) % std::size(kForms)];
    int64_t n = 11 + 7 * (i % 89), m = 2 + i % 7, error = i % 5 == 4 ? 1 : 0;
    AnsweredTask row{.task = {.id = "row/" + std::to_string(i), .answer = with_numbers(form.gold, n, m)}};
    row.completion = worked(n, m, with_numbers(form.answer, n + error, m + error));
    rows.push_back(std::move(row));
  }
  return rows;
}

void bench_rewards(const Compute& compute, const BenchConfig& config, const BenchReport& report) {
  std::vector<AnsweredTask> rows = answered_tasks(kRows);
  std::vector<Judged> batch;
  for (const AnsweredTask& row : rows) batch.push_back({.task = &row.task, .completion = row.completion});
  Scorer scorer({parse_reward("accuracy")}, compute.pool.num_threads());
  double taken = median_seconds(config.seconds, [&] { scorer.judge(batch); });
  report({.bench = "rewards",
          .name = "accuracy, " + std::to_string(kRows) + " answers",
          .value = double(kRows) / taken,
          .unit = "rows/s"});
  bench_code(compute, config, report);
}

}  // namespace cohort
