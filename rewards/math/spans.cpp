#include "rewards/math/spans.h"

#include <algorithm>
#include <array>
#include <vector>

#include "rewards/rules.h"
#include "rewards/text.h"

namespace cohort::math {
namespace {

struct Box {
  size_t start, end;  // of the whole \boxed{…}
  std::string_view inside;
};

// Length of the command that opens a box at the start of `text`; zero for none. A backspace is the \b of an escape read
// once too often.
size_t box_command(std::string_view text) {
  for (std::string_view command : {"\\boxed", "\\fbox", "\\framebox", "\boxed", "\\Boxed"}) {
    if (text.starts_with(command)) return command.size();
  }
  return 0;
}

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
    if (c == '\\' || c == '\b') {
      const std::string_view rest = text.substr(i);
      const size_t length = box_command(rest);
      if (length > 0) {
        pending = i;
        i += length - 1;
      } else {
        pending = std::string_view::npos;
        if (box_command(rest.substr(1)) == 0) ++i;  // \\\\boxed, escaped twice, is a box as well
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
  if (!name) return gap;
  const bool alone =
      rest.size() == 1 || std::string_view(" $,;{").find(rest[rest.size() - 2]) != std::string_view::npos;
  return alone ? rest.substr(0, rest.size() - 1) : gap;
}

// Words between two boxes that lead from one to what follows from it, not to the next answer.
bool leads_on(std::string_view word) {
  static constexpr std::array<std::string_view, 30> kLeading = {
      "thus",  "so",   "hence", "then",    "therefore", "which",  "gives", "is",      "are",      "equals",
      "get",   "we",   "have",  "that",    "becomes",   "but",    "not",   "because", "since",    "means",
      "check", "also", "it",    "implies", "simplify",  "yields", "if",    "where",   "consider", "now"};
  return std::find(kLeading.begin(), kLeading.end(), word) != kLeading.end();
}

// Whether two boxes are parts of one answer: between them stand punctuation and signs of formulas alone, or "and" or
// "or", with a few words such as units beside it.
bool joins(std::string_view gap) {
  if (gap.size() > 40 || gap.find("\n\n") != std::string_view::npos || gap.find(". ") != std::string_view::npos)
    return false;
  gap = without_name(gap);
  bool joined = false, worded = false;
  for (size_t i = 0; i < gap.size();) {
    size_t end = i;
    while (end < gap.size() && is_alnum(gap[end]) && !is_digit(gap[end])) ++end;
    if (end == i) {
      if (std::string_view(" $,;&\\{}\n()[]").find(gap[i]) == std::string_view::npos) return false;
      ++i;
      continue;
    }
    const std::string_view word = gap.substr(i, end - i);
    if (leads_on(word)) return false;
    if (word == "and" || word == "or")
      joined = true;
    else if (word != "quad" && word != "qquad" && !word.starts_with("text") && word != "mbox")
      worded = true;
    i = end;
  }
  return joined || !worded;
}

// Where `close` stands as a fence; the $ of \$ is none.
size_t find_fence(std::string_view text, std::string_view close, size_t from) {
  size_t at = find_first(text, close, from);
  while (at != std::string_view::npos && close[0] == '$' && at > 0 && text[at - 1] == '\\')
    at = find_first(text, close, at + 1);
  return at;
}

}  // namespace

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

std::optional<std::string> last_solutions(std::string_view text) {
  const auto last = last_formula(text);
  if (!last) return std::nullopt;
  const auto name_of = [](std::string_view formula) {  // of x = 3
    formula = trim(formula);
    const std::string_view name = trim(formula.substr(0, std::min(formula.find('='), formula.size())));
    return name.size() == 1 && is_letter(name[0]) && formula.size() > 2 && formula.find('=') < 3 ? name
                                                                                                 : std::string_view();
  };
  const std::string_view name = name_of(*last);
  const size_t open = static_cast<size_t>(last->data() - text.data());
  if (name.empty() || open == 0 || text[open - 1] != '$') return std::nullopt;
  const std::string_view before = text.substr(0, open - 1);
  for (std::string_view joint : {"$ and ", "$ or ", "$, and ", "$, or "}) {
    if (!before.ends_with(joint)) continue;
    const std::string_view first = before.substr(0, before.size() - joint.size());
    const size_t start = first.rfind('$');
    if (start == std::string_view::npos || name_of(first.substr(start + 1)) != name) return std::nullopt;
    return std::string(first.substr(start + 1)) + ", " + std::string(*last);
  }
  return std::nullopt;
}

std::optional<std::string_view> announced_after_boxes(std::string_view text) {
  constexpr std::string_view kPhrase = "inal answer is";
  const size_t at = find_last(text, kPhrase);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = text.substr(at + kPhrase.size());
  if (!boxes_of(rest).empty()) return std::nullopt;
  while (!rest.empty() && std::string_view(" :*\n").find(rest[0]) != std::string_view::npos) rest.remove_prefix(1);
  const std::string_view formula = first_formula(rest);
  return formula.empty() ? std::nullopt : std::optional<std::string_view>(formula);
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

std::optional<std::string_view> before_answer_phrase(std::string_view text) {
  for (std::string_view phrase :
       {" is the answer", " is the final answer", " is the correct answer", " is our answer", " is correct"}) {
    const size_t end = find_last(text, phrase);
    if (end == std::string_view::npos) continue;
    const std::string_view before = text.substr(0, end).substr(end - std::min<size_t>(end, kMaxBare));
    size_t start = 0;
    for (std::string_view stop : {"\n", ". ", ", ", ": "}) {
      const size_t at = before.rfind(stop);
      if (at != std::string_view::npos) start = std::max(start, at + stop.size());
    }
    const std::string_view answer = trim(before.substr(start));
    const bool choice = answer.starts_with("Choice ") || answer.starts_with("Option ") || answer.starts_with("(");
    if (phrase != " is correct" || (choice && answer.size() < 12)) return answer;
  }
  return std::nullopt;
}

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
  if (start > 0 && end < text.size() && is_letter(text[start - 1]) && is_letter(text[end])) return std::nullopt;  // K2A
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

}  // namespace cohort::math
