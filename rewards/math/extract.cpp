#include "rewards/math/extract.h"

#include <algorithm>
#include <array>

#include "rewards/rules.h"
#include "rewards/text.h"

namespace cohort::math {
namespace {

constexpr size_t kMaxBare = 200;  // bytes of a completion that may be nothing but one expression
constexpr size_t kMaxCandidate = 10'000;
constexpr size_t kTail = 100'000;  // bytes at the end of a text in which an answer is looked for

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80) != 0;
}

struct Box {
  size_t start, end;  // of the whole \boxed{…}
  std::string_view inside;
};

// All outermost \boxed{…} and \fbox{…}, in one pass with a stack of open braces.
std::vector<Box> boxes_of(std::string_view text) {
  struct Open {
    size_t brace;
    size_t command;  // start of \boxed, npos for another brace
  };
  std::vector<Open> open;
  std::vector<Box> boxes;
  size_t pending = std::string_view::npos;  // a \boxed whose brace comes next
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\') {
      const std::string_view rest = text.substr(i);
      const size_t length = rest.starts_with("\\boxed")      ? 6
                            : rest.starts_with("\\fbox")     ? 5
                            : rest.starts_with("\\framebox") ? 9
                                                             : 0;
      if (length > 0) {
        pending = i;
        i += length - 1;
      } else {
        pending = std::string_view::npos;
        ++i;
      }
    } else if (c == '{') {
      open.push_back({i, pending});
      pending = std::string_view::npos;
    } else if (c == '}' && !open.empty()) {
      const Open closed = open.back();
      open.pop_back();
      if (closed.command == std::string_view::npos) continue;
      while (!boxes.empty() && boxes.back().start > closed.command) boxes.pop_back();  // boxes inside this one
      boxes.push_back({closed.command, i + 1, text.substr(closed.brace + 1, i - closed.brace - 1)});
    } else if (c != ' ') {
      pending = std::string_view::npos;
    }
  }
  return boxes;
}

// The gap without a name that is given the value behind it: " or $x = ".
std::string_view without_name(std::string_view gap) {
  std::string_view rest = trim(gap);
  if (!rest.ends_with("=")) return gap;
  rest = trim(rest.substr(0, rest.size() - 1));
  if (rest.size() > 2 && rest[rest.size() - 2] == '_') rest.remove_suffix(2);
  const bool name =
      !rest.empty() && ((rest.back() >= 'a' && rest.back() <= 'z') || (rest.back() >= 'A' && rest.back() <= 'Z'));
  const bool alone =
      rest.size() == 1 || std::string_view(" $,;{").find(rest[rest.size() - 2]) != std::string_view::npos;
  return name && alone ? rest.substr(0, rest.size() - 1) : gap;
}

// Whether nothing but punctuation, $ and a joining word stands between two boxes.
bool joins(std::string_view gap) {
  std::string letters;
  if (gap.size() > 40) return false;
  gap = without_name(gap);
  for (size_t i = 0; i < gap.size(); ++i) {
    const char c = gap[i];
    if (c == '\n' && i + 1 < gap.size() && gap[i + 1] == '\n') return false;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
      letters += c;
    else if (std::string_view(" $,;&\\{}\n").find(c) == std::string_view::npos)
      return false;
  }
  return letters.empty() || letters == "and" || letters == "or" || letters == "text" || letters == "textand" ||
         letters == "textor" || letters == "quad" || letters == "qquad";
}

std::optional<std::string> boxed_answer(std::string_view text, bool join) {
  const std::vector<Box> boxes = boxes_of(text);
  if (boxes.empty()) {
    const auto plain = last_boxed(text);
    return plain ? std::optional<std::string>(*plain) : std::nullopt;
  }
  size_t first = boxes.size() - 1;
  while (join && first > 0 && joins(text.substr(boxes[first - 1].end, boxes[first].start - boxes[first - 1].end)))
    --first;
  std::string joined;
  for (size_t i = first; i < boxes.size() && joined.size() <= kMaxCandidate; ++i) {
    if (boxes[i].inside.size() > kMaxCandidate) continue;
    const bool repeated = i > first && trim(boxes[i].inside) == trim(boxes[first].inside);
    if (!repeated) joined += (joined.empty() ? "" : ", ") + std::string(boxes[i].inside);
  }
  return joined;
}

// Where `close` stands as a fence; the $ of \$ is none.
size_t find_fence(std::string_view text, std::string_view close, size_t from) {
  size_t at = find_first(text, close, from);
  while (at != std::string_view::npos && close[0] == '$' && at > 0 && text[at - 1] == '\\')
    at = find_first(text, close, at + 1);
  return at;
}

// The last formula between $…$, $$…$$, \(…\) or \[…\].
std::optional<std::string_view> last_formula(std::string_view text) {
  struct Fence {
    std::string_view open, close;
  };
  static constexpr std::array<Fence, 4> kFences = {{{"$$", "$$"}, {"$", "$"}, {"\\(", "\\)"}, {"\\[", "\\]"}}};
  std::optional<std::string_view> last;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c != '$' && c != '\\') {
      ++at;
      continue;
    }
    const auto* fence = std::find_if(kFences.begin(), kFences.end(),
                                     [&](const Fence& f) { return text.substr(at).starts_with(f.open); });
    if (fence == kFences.end()) {
      at += 2;
      continue;
    }
    const size_t start = at + fence->open.size();
    const size_t end = find_fence(text, fence->close, start);
    if (end == std::string_view::npos) return last;  // unclosed: later ones would pair wrongly
    if (!trim(text.substr(start, end - start)).empty()) last = text.substr(start, end - start);
    at = end + fence->close.size();
  }
  return last;
}

std::string_view first_formula(std::string_view text) {
  for (const auto& [open, close] :
       {std::pair<std::string_view, std::string_view>{"$$", "$$"}, {"$", "$"}, {"\\(", "\\)"}, {"\\[", "\\]"}}) {
    if (!text.starts_with(open)) continue;
    const size_t end = find_fence(text, close, open.size());
    if (end != std::string_view::npos) return text.substr(open.size(), end - open.size());
  }
  return {};
}

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

std::optional<std::string_view> after_hashes(std::string_view text) {
  const size_t at = find_last(text, "####");
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = trim(text.substr(at + 4));
  return trim(rest.substr(0, rest.find("\n\n")));
}

std::optional<std::string_view> last_bold(std::string_view text) {
  const size_t end = find_last(text, "**");
  if (end == std::string_view::npos || end == 0) return std::nullopt;
  const size_t start = find_last(text, "**", end - 1);
  const bool power = start != std::string_view::npos && start > 0 && is_alnum(text[start - 1]);  // x**2
  if (power || start == std::string_view::npos || start + 2 > end || end - start > kMaxBare) return std::nullopt;
  const std::string_view inside = trim(text.substr(start + 2, end - start - 2));
  return inside.empty() || inside.ends_with(":") ? std::nullopt : std::optional<std::string_view>(inside);
}

// What stands under a last heading or title that is nothing but "Answer".
std::optional<std::string_view> under_heading(std::string_view text) {
  for (std::string_view title :
       {"# Answer", "# Final Answer", "# ANSWER", "# answer", "# Final answer", "# Solution"}) {
    const size_t at = find_last(text, title);
    if (at == std::string_view::npos) continue;
    const size_t end = text.find_first_not_of(": *\r", at + title.size());
    if (end == std::string_view::npos || text[end] != '\n') continue;
    const std::string_view rest = trim(text.substr(end));
    if (!rest.empty()) return rest.substr(0, rest.find("\n\n"));
  }
  return std::nullopt;
}

// A completion fenced as code: ```…``` or `…`.
std::string_view without_backticks(std::string_view text) {
  std::string_view inside = text;
  while (inside.size() > 2 && inside.front() == '`' && inside.back() == '`')
    inside = trim(inside.substr(1, inside.size() - 2));
  if (inside.size() == text.size()) return text;
  return inside.find('`') == std::string_view::npos ? inside : text;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Whether a number stands behind a formula of the text.
bool follows_number(std::string_view text, std::string_view formula) {
  const auto end = static_cast<size_t>(formula.data() - text.data()) + formula.size();
  return std::any_of(text.begin() + static_cast<ptrdiff_t>(end), text.end(), is_digit);
}

// The last number with what it is part of: 50%, 10^5, 2*10^{3}, 100 000, \frac{1}{2}.
std::optional<std::string_view> last_value(std::string_view text) {
  auto number = cohort::last_number(text);
  for (int tries = 0; number && tries < 8; ++tries) {  // the 2 of cm^2 is none
    const auto at = static_cast<size_t>(number->data() - text.data());
    if (at < 2 || text[at - 1] != '^' || is_digit(text[at - 2]) || !is_alnum(text[at - 2])) break;
    const auto before = cohort::last_number(text.substr(0, at - 1));
    if (!before) break;
    number = before;
  }
  if (!number) return std::nullopt;
  auto start = static_cast<size_t>(number->data() - text.data());
  size_t end = start + number->size();
  if (end < text.size() && text[end] == '}') {
    const size_t near = text.rfind("\\", start);
    const bool fraction = near != std::string_view::npos && start - near < 60 && text.substr(near).find("frac{") < 3;
    const bool power = start >= 2 && text.substr(start - 2, 2) == "^{";
    if (fraction)
      return text.substr(near > 0 && text[near - 1] == '-' ? near - 1 : near,
                         end + 1 - near + (near > 0 && text[near - 1] == '-' ? 1 : 0));
    if (power) ++end, start -= 1;
  }
  if (start >= 4 && text.substr(start - 3, 3) == " / " && is_digit(text[start - 4])) {
    const auto top = cohort::last_number(text.substr(0, start - 3));
    if (top) return text.substr(start - 3 - top->size(), end - start + 3 + top->size());
  }
  const size_t plain = start;
  while (start >= 4 && text[start - 1] == ' ' && is_digit(text[start - 2]) && end - start >= 3 &&
         is_digit(text[start]) && is_digit(text[start + 1]) && is_digit(text[start + 2]) &&
         (start + 3 == end || !is_digit(text[start + 3]))) {  // 100 000
    size_t first = start - 1;
    while (first > 0 && start - first <= 4 && is_digit(text[first - 1])) --first;
    if (start - 1 - first > 3) break;
    start = first;
  }
  if (start == plain) {
    while (start > 0 && end - start < 60 &&
           std::string_view("0123456789.^*").find(text[start - 1]) != std::string_view::npos)
      --start;
    if (start < plain && !is_digit(text[start])) start = plain;
    if (start > 0 && text[start - 1] == '-' && start < plain) --start;
  }
  if (text.substr(end).starts_with("%")) ++end;
  if (text.substr(end).starts_with("\\%")) end += 2;
  return text.substr(start, end - start);
}

// Whether prose leads up to the formula of a short completion: "We get $5$".
bool leads_with_word(std::string_view text) {
  size_t end = 0;
  while (end < text.size() && is_alnum(text[end]) && (text[end] & 0x80) == 0 && !(text[end] >= '0' && text[end] <= '9'))
    ++end;
  return end >= 2 && end < text.size() && text[end] == ' ';
}

// "5 is the answer": what stands before, from the start of its sentence or clause.
std::optional<std::string_view> before_answer_phrase(std::string_view text) {
  for (std::string_view phrase :
       {" is the answer", " is the final answer", " is the correct answer", " is our answer"}) {
    const size_t end = find_last(text, phrase);
    if (end == std::string_view::npos) continue;
    const std::string_view before = text.substr(0, end).substr(end - std::min<size_t>(end, kMaxBare));
    size_t start = 0;
    for (std::string_view stop : {"\n", ". ", ", ", ": "}) {
      const size_t at = before.rfind(stop);
      if (at != std::string_view::npos) start = std::max(start, at + stop.size());
    }
    return trim(before.substr(start));
  }
  return std::nullopt;
}

// Readings in a text that has no thought and no answer tag around it.
std::vector<std::string> marked_answer(std::string_view text, const ExtractOptions& options, bool whole_is_answer) {
  text = text.substr(text.size() - std::min(text.size(), kTail));
  if (auto boxed = boxed_answer(text, options.join_boxes)) return {*boxed};
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
  if (const auto heading = under_heading(text)) return after_phrase(*heading);
  const std::string_view line = last_line(text);
  if (line.size() <= kMaxBare && (line.starts_with("A:") || line.starts_with("A :")))
    return after_phrase(line.substr(line.find(':') + 1));
  std::vector<std::string> readings;
  if (const auto bold = last_bold(text)) readings.emplace_back(*bold);
  auto formula = last_formula(text);
  if (formula && trim(*formula).size() == 1 && is_alnum(trim(*formula)[0]) && follows_number(text, *formula))
    formula = std::nullopt;  // "$y$ is 5" names what it speaks of
  if (trimmed.size() <= kMaxBare && trimmed.find('\n') == std::string_view::npos && !trimmed.empty() &&
      !(formula && leads_with_word(trimmed)))
    readings.emplace_back(trimmed);
  if (formula) readings.emplace_back(*formula);
  if (options.last_number) {
    if (const auto number = last_value(text)) readings.emplace_back(*number);
  }
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
  if (const auto tagged = last_tag(text, "answer")) return marked_answer(*tagged, options, true);
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
