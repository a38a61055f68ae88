// Countdown: reach the target with + - * / and brackets, each given number exactly once. The expression is parsed here,
// never evaluated as code, and its arithmetic is exact.
#include <algorithm>

#include "configs/error.h"
#include "rewards/math/number.h"
#include "rewards/rules.h"
#include "rewards/text.h"

namespace cohort {
namespace {

using math::Integer;
using math::Rational;

constexpr size_t kMaxLength = 2000;  // bytes of an expression
constexpr int kMaxDepth = 60;        // brackets inside brackets

// One pass over the text; `ok` turns false at the first thing that is no expression.
struct Expression {
  std::string_view text;
  std::vector<Integer> used;
  bool ok = true;
  int depth = 0;

  std::optional<Rational> fail() {
    ok = false;
    return std::nullopt;
  }

  char peek() {
    while (!text.empty() && (text[0] == ' ' || text[0] == '\n' || text[0] == '\t' || text[0] == '\r'))
      text.remove_prefix(1);
    return text.empty() ? '\0' : text[0];
  }

  // One of the spellings of an operator, or '\0'.
  char take_operator(std::string_view ascii, std::initializer_list<std::pair<std::string_view, char>> spelled) {
    const char c = peek();
    if (c != '\0' && ascii.find(c) != std::string_view::npos) {
      text.remove_prefix(1);
      return c;
    }
    for (const auto& [spelling, meaning] : spelled) {
      if (!text.starts_with(spelling)) continue;
      text.remove_prefix(spelling.size());
      return meaning;
    }
    return '\0';
  }

  std::optional<Rational> sum() {
    auto value = product();
    while (ok) {
      const char op = take_operator("+-", {{"−", '-'}, {"–", '-'}});
      if (op == '\0') break;
      const auto right = product();
      if (!right) return fail();
      value = op == '+' ? *value + *right : *value - *right;
    }
    return ok ? value : std::nullopt;
  }

  std::optional<Rational> product() {
    auto value = factor();
    while (ok) {
      const char op = take_operator("*/", {{"×", '*'}, {"\\times", '*'}, {"\\cdot", '*'}, {"÷", '/'}, {"\\div", '/'}});
      if (op == '\0') break;
      const auto right = factor();
      if (!right || (op == '/' && right->is_zero())) return fail();
      value = op == '*' ? math::checked(*value * *right) : math::checked(*value / *right);
      if (!value) return fail();
    }
    return ok ? value : std::nullopt;
  }

  std::optional<Rational> factor() {
    const char c = peek();
    if (c == '(') return bracket();
    if (c == '-' && depth < kMaxDepth) {
      text.remove_prefix(1);
      ++depth;
      const auto value = factor();
      --depth;
      return value ? std::optional<Rational>(-*value) : fail();
    }
    size_t end = 0;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
    if (end == 0 || end > 50) return fail();
    const Rational value = math::from_decimal(text.substr(0, end));
    text.remove_prefix(end);
    used.push_back(numerator(value));
    return value;
  }

  std::optional<Rational> bracket() {
    if (++depth > kMaxDepth) return fail();
    text.remove_prefix(1);
    const auto value = sum();
    if (!value || peek() != ')') return fail();
    text.remove_prefix(1);
    --depth;
    return value;
  }
};

std::optional<Rational> number_of(const Json& json) {
  if (json.is_number_integer()) return math::read_number(json.dump());
  if (json.is_string()) return math::read_number(trim(json.get_ref<const std::string&>()));
  if (json.is_number_float()) return math::read_number(json.dump());
  return std::nullopt;
}

struct Puzzle {
  std::vector<Integer> numbers;  // sorted
  Rational target;
};

// From the row's columns: numbers (or nums), and target or else the reference answer.
std::optional<Puzzle> puzzle_of(const Task& task) {
  Puzzle puzzle;
  const char* key = task.extra.contains("numbers") ? "numbers" : "nums";
  if (!task.extra.is_object() || !task.extra.contains(key) || !task.extra[key].is_array()) return std::nullopt;
  for (const Json& json : task.extra[key]) {
    const auto number = number_of(json);
    if (!number || denominator(*number) != 1) return std::nullopt;
    puzzle.numbers.push_back(numerator(*number));
  }
  const auto target =
      task.extra.contains("target") ? number_of(task.extra["target"]) : math::read_number(trim(task.answer));
  if (!target || puzzle.numbers.empty()) return std::nullopt;
  puzzle.target = *target;
  std::sort(puzzle.numbers.begin(), puzzle.numbers.end());
  return puzzle;
}

Score judge(const Puzzle& puzzle, std::string_view text, double format_score) {
  if (text.size() > kMaxLength)
    return unparsable("the expression is longer than " + std::to_string(kMaxLength) + " bytes");
  const auto miss = [&](std::string reason) {
    return Score{.value = static_cast<float>(format_score), .status = Status::wrong, .reason = std::move(reason)};
  };
  Expression expression{text};
  const auto value = expression.sum();
  if (!value) return unparsable("no expression of + - * / in " + excerpt(text));
  if (expression.peek() == '=') {  // "… = target" is the same claim
    expression.text.remove_prefix(1);
    const auto claimed = math::read_number(trim(expression.text));
    if (!claimed) return unparsable("nothing readable after = in " + excerpt(text));
    if (*claimed != *value) return miss("the equation does not hold");
  } else if (expression.peek() != '\0') {
    return unparsable("text after the expression in " + excerpt(text));
  }
  std::sort(expression.used.begin(), expression.used.end());
  if (expression.used != puzzle.numbers) return miss("not exactly the given numbers");
  if (*value != puzzle.target) return miss("the value is " + value->str().substr(0, 40));
  return verdict(true);
}

}  // namespace

RewardFn make_countdown(const Json& options) {
  const auto how = options.at("extract").get<std::string>();
  check_extract(how, "countdown");
  return each([how, format_score = options.at("format_score").get<double>()](const Judged& judged) {
    const auto puzzle = puzzle_of(*judged.task);
    if (!puzzle) return no_score("the row has no numbers (list of integers) and target");
    const auto text = extract_by(how, judged.completion);
    if (!text) return unparsable("no " + how + " in the completion");
    return judge(*puzzle, trim(*text), format_score);
  });
}

}  // namespace cohort
