#include "rewards/math/extract.h"

#include <algorithm>
#include <array>

#include "rewards/math/spans.h"
#include "rewards/rules.h"
#include "rewards/text.h"

namespace cohort::math {
namespace {

constexpr size_t kTail = 100'000;  // bytes at the end of a text in which an answer is looked for

// Whether the point at text[at] belongs to a title or to letters such as p.m.
bool abbreviates(std::string_view text, size_t at) {
  const std::string_view before = text.substr(0, at);
  for (std::string_view title : {"Mr", "Mrs", "Ms", "Dr", "St", "approx", "a.m", "p.m", "A.M", "P.M"}) {
    if (before.ends_with(title)) return true;
  }
  return false;
}

// From `start` up to the end of the line or sentence; a point between digits ends nothing.
std::string_view sentence(std::string_view text, size_t start) {
  for (size_t i = start; i < text.size(); ++i) {
    if (text[i] == '\n') return text.substr(0, i);
    if (text.substr(i).starts_with("。")) return text.substr(0, i);
    const bool ends = text[i] == '.' && (i + 1 == text.size() || text[i + 1] == ' ' || text[i + 1] == '\n');
    if (ends && !(i + 1 < text.size() && abbreviates(text, i))) return text.substr(0, i);
  }
  return text;
}

size_t count_numbers(std::string_view text) {
  size_t count = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    const bool goes_on =
        i > 0 && ((text[i - 1] >= '0' && text[i - 1] <= '9') || text[i - 1] == '.' || text[i - 1] == ',');
    if (digit && !goes_on) ++count;
  }
  return count;
}

// "not 12" announces nothing.
bool denies(std::string_view text) {
  for (std::string_view word : {"not ", "n't ", "never ", "less than", "more than", "at least", "at most", "between",
                                "greater than", "negative", "minus"}) {
    if (text.find(word) != std::string_view::npos) return true;
  }
  return false;
}

// Where the formula that `text` starts with ends, its fence included; zero for none.
size_t formula_end(std::string_view text, std::string_view formula) {
  if (formula.empty()) return 0;
  const auto start = static_cast<size_t>(formula.data() - text.data());
  return start + formula.size() + start;  // a fence closes with as many characters as it opened with
}

// ", as required": words behind a formula that add nothing to it.
bool is_remark(std::string_view text) {
  return text.starts_with(", ") && text.find_first_of("0123456789$\\") == std::string_view::npos &&
         text.find(" and ") == std::string_view::npos && text.find(" or ") == std::string_view::npos;
}

// Without the stars of *emphasis* and **emphasis**, which touch what they mark on one side only; those of 2*x and x**2
// stay.
std::string without_emphasis(std::string_view text) {
  const auto opens = [&](size_t at) {
    return at == 0 || std::string_view(" \t(\"'").find(text[at - 1]) != std::string_view::npos;
  };
  const auto closes = [&](size_t at) {
    return at >= text.size() || std::string_view(" \t.,:;!?)\"'").find(text[at]) != std::string_view::npos;
  };
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find_first_not_of('*', at), text.size());
    if (end == at)
      out += text[at++];
    else {
      if (opens(at) == closes(end) && at > 0 && end < text.size()) out += text.substr(at, end - at);
      at = end;
    }
  }
  return out;
}

// Readings of what follows a phrase: the sentence, the formula it starts with, its only number.
std::vector<std::string> after_phrase(std::string_view rest) {
  while (!rest.empty() && std::string_view(" \t\r\n:*#=").find(rest[0]) != std::string_view::npos)
    rest.remove_prefix(1);
  rest = rest.substr(0, 2000);
  std::vector<std::string> readings;
  const std::string_view formula = first_formula(rest);
  std::string_view line = trim(sentence(rest, formula.size()));
  if (rest.starts_with("\\[") || rest.starts_with("$$")) {
    if (!formula.empty()) return {std::string(formula)};
  }
  if (line.empty()) return readings;
  if (is_remark(line.substr(std::min(line.size(), formula_end(rest, formula))))) return {std::string(formula)};
  std::string plain = without_emphasis(line);
  if (formula.empty() && plain.ends_with('!') && !plain.ends_with("!!")) plain.pop_back();  // an exclamation
  if (plain.empty()) return readings;
  readings.push_back(plain);
  for (std::string_view turn : {" because", " since ", ", which", ", so ", ", where ", " (", ", as ", ", when ",
                                ", because", ", since", " as "}) {
    const size_t cut = plain.find(turn);  // an explanation behind the answer
    if (cut != std::string::npos && cut > 0 && plain.find("\\(") == std::string::npos)
      readings.push_back(plain.substr(0, cut));
  }
  if (!formula.empty())
    readings.emplace_back(formula);
  else if (count_numbers(line) == 1 && !denies(line))
    readings.emplace_back(*last_number(line));
  return readings;
}

// A completion fenced as code: ```…``` or `…`.
std::string_view without_backticks(std::string_view text) {
  std::string_view inside = text;
  while (inside.size() > 2 && inside.front() == '`' && inside.back() == '`')
    inside = trim(inside.substr(1, inside.size() - 2));
  if (inside.size() == text.size()) return text;
  return inside.find('`') == std::string_view::npos ? inside : text;
}

// Whether a number stands behind a formula of the text.
bool follows_number(std::string_view text, std::string_view formula) {
  const auto end = static_cast<size_t>(formula.data() - text.data()) + formula.size();
  return std::any_of(text.begin() + static_cast<ptrdiff_t>(end), text.end(), is_digit);
}

// Whether prose leads up to the formula of a short completion: "We get $5$".
bool leads_with_word(std::string_view text) {
  size_t end = 0;
  while (end < text.size() && is_alnum(text[end]) && (text[end] & 0x80) == 0 && !(text[end] >= '0' && text[end] <= '9'))
    ++end;
  return end >= 2 && end < text.size() && text[end] == ' ';
}

// Readings in a text that has no thought and no answer tag around it.
std::vector<std::string> marked_answer(std::string_view text, const ExtractOptions& options, bool whole_is_answer) {
  text = text.substr(text.size() - std::min(text.size(), kTail));
  if (auto boxed = boxed_answer(text, options.join_boxes)) {
    if (const auto announced = announced_after_boxes(text)) return {std::string(*announced), *boxed};
    return {*boxed};
  }
  text = without_backticks(trim(text));
  if (const auto hashes = after_hashes(text)) {
    std::vector<std::string> readings = {std::string(*hashes)};
    if (count_numbers(*hashes) == 1) readings.emplace_back(*last_number(*hashes));
    return readings;
  }
  const std::string_view trimmed = trim(text);
  if (whole_is_answer && trimmed.size() <= kMaxCandidate && !trimmed.empty()) {
    std::vector<std::string> readings = {std::string(trimmed)};
    if (const auto end = after_answer_phrase(text)) {
      for (std::string& reading : after_phrase(text.substr(*end))) readings.push_back(std::move(reading));
    } else if (const auto formula = last_formula(text)) {
      readings.emplace_back(*formula);
    } else if (count_numbers(trimmed) == 1) {
      readings.emplace_back(*last_number(trimmed));
    }
    return readings;
  }
  if (const auto end = after_answer_phrase(text)) {
    auto readings = after_phrase(text.substr(*end));
    if (!readings.empty()) return readings;
  }
  if (const auto before = before_answer_phrase(text); before && !denies(*before)) return after_phrase(*before);
  if (const auto pair = last_solutions(text)) return {*pair};
  if (const auto heading = under_heading(text)) return after_phrase(*heading);
  const std::string_view line = last_line(text);
  for (std::string_view title : {"A:", "A :", "Ans:", "Ans.", "ANS:", "Answer.", "答：", "答:"}) {
    if (line.size() <= kMaxBare && line.starts_with(title)) return after_phrase(line.substr(title.size()));
  }
  std::vector<std::string> readings;
  if (const auto bold = last_bold(text)) readings.emplace_back(*bold);
  auto formula = last_formula(text);
  if (formula && trim(*formula).size() == 1 && is_alnum(trim(*formula)[0]) && follows_number(text, *formula))
    formula = std::nullopt;  // "$y$ is 5" names what it speaks of
  if (trimmed.size() <= kMaxBare && trimmed.find('\n') == std::string_view::npos && !trimmed.empty() &&
      !(formula && leads_with_word(trimmed)))
    readings.emplace_back(trimmed);
  const auto number = options.last_number ? last_value(text) : std::nullopt;
  if (number && formula && number->data() >= formula->data() + formula->size()) formula = std::nullopt;
  if (formula) readings.emplace_back(*formula);
  if (number) readings.emplace_back(*number);
  return readings;
}

}  // namespace

std::vector<std::string> extract_answer(std::string_view text, const ExtractOptions& options) {
  if (options.after_think) {
    if (const size_t think = find_last(text, "</think>"); think != std::string_view::npos)
      text.remove_prefix(think + 8);
    else if (find_first(text, "<think>") != std::string_view::npos)
      return {};
  }
  text = text.substr(text.size() - std::min(text.size(), kTail));
  for (std::string_view tag : {"answer", "Answer", "ANSWER"}) {
    if (const auto tagged = last_tag(text, tag)) return marked_answer(*tagged, options, true);
  }
  return marked_answer(text, options, false);
}

std::vector<std::string> extract_reference(std::string_view answer) {
  answer = answer.substr(answer.size() - std::min(answer.size(), kTail));
  if (auto boxed = boxed_answer(answer, true)) return {*boxed};
  if (const auto hashes = after_hashes(answer)) return {std::string(*hashes)};
  if (const auto tagged = last_tag(answer, "answer")) return {std::string(trim(*tagged))};
  answer = trim(answer);
  std::vector<std::string> readings = {std::string(answer)};
  if (answer.size() <= kMaxBare && !after_answer_phrase(answer)) return readings;
  for (std::string& reading : marked_answer(answer, {}, false)) readings.push_back(std::move(reading));
  return readings;
}

}  // namespace cohort::math
