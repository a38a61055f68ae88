#include "rewards/text.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "configs/error.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

constexpr std::array<std::string_view, 6> kExtracts = {"none",      "answer_tag",  "boxed",
                                                       "last_line", "last_number", "fence"};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alnum(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80) != 0;
}

// Contents of the braces that open at text[open]; none when they do not close.
std::optional<std::string_view> braced(std::string_view text, size_t open) {
  size_t depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\\')
      ++i;
    else if (text[i] == '{')
      ++depth;
    else if (text[i] == '}' && --depth == 0)
      return text.substr(open + 1, i - open - 1);
  }
  return std::nullopt;
}

constexpr size_t kMaxNumber = 5000;  // bytes of a number as written; a longer run of digits is none

// Start of the digits that end just before `end`, walking over 1,000 and 3.14 forms.
size_t number_start(std::string_view text, size_t end) {
  size_t at = end;
  while (at > 0 && end - at <= kMaxNumber) {
    const bool joint = (text[at - 1] == ',' || text[at - 1] == '.') && at >= 2 && is_digit(text[at - 2]) && at < end &&
                       is_digit(text[at]);
    if (!is_digit(text[at - 1]) && !joint) break;
    --at;
  }
  if (at > 0 && at < end && text[at - 1] == '.' && (at == 1 || !is_alnum(text[at - 2]))) --at;  // .5
  return at;
}

}  // namespace

// Horspool's search: a byte that cannot stand in the pattern lets the whole pattern be passed over.
size_t find_first(std::string_view text, std::string_view part, size_t from) {
  const size_t m = part.size();
  if (m <= 2 || m > 255) return text.find(part, from);
  std::array<uint8_t, 256> skip;
  skip.fill(static_cast<uint8_t>(m));
  for (size_t i = 0; i + 1 < m; ++i) skip[static_cast<unsigned char>(part[i])] = static_cast<uint8_t>(m - 1 - i);
  for (size_t at = from; at + m <= text.size();) {
    const char c = text[at + m - 1];
    if (c == part[m - 1] && text.compare(at, m, part) == 0) return at;
    at += skip[static_cast<unsigned char>(c)];
  }
  return std::string_view::npos;
}

size_t find_last(std::string_view text, std::string_view part, size_t from) {
  const size_t m = part.size();
  if (m <= 2 || m > 255 || text.size() < m) return text.rfind(part, from);
  std::array<uint8_t, 256> skip;
  skip.fill(static_cast<uint8_t>(m));
  for (size_t i = m - 1; i > 0; --i) skip[static_cast<unsigned char>(part[i])] = static_cast<uint8_t>(i);
  for (size_t at = std::min(from, text.size() - m);;) {
    const char c = text[at];
    if (c == part[0] && text.compare(at, m, part) == 0) return at;
    const size_t step = skip[static_cast<unsigned char>(c)];
    if (step > at) return std::string_view::npos;
    at -= step;
  }
}

std::optional<std::string_view> last_tag(std::string_view text, std::string_view tag) {
  const std::string open = "<" + std::string(tag) + ">";
  const std::string close = "</" + std::string(tag) + ">";
  const size_t start = find_last(text, open);
  if (start == std::string_view::npos) return std::nullopt;
  const size_t end = find_first(text, close, start);
  if (end == std::string_view::npos) return std::nullopt;
  return text.substr(start + open.size(), end - start - open.size());
}

std::optional<std::string_view> last_boxed(std::string_view text) {
  size_t from = std::string_view::npos;
  for (int tries = 0; tries < 16; ++tries) {  // unclosed boxes at the end are passed over, a bounded number of them
    const size_t boxed = find_last(text, "\\boxed", from);
    const size_t fbox = find_last(text, "\\fbox", from);
    if (boxed == std::string_view::npos && fbox == std::string_view::npos) return std::nullopt;
    const bool is_box = fbox == std::string_view::npos || (boxed != std::string_view::npos && boxed > fbox);
    const size_t at = is_box ? boxed : fbox;
    size_t open = at + (is_box ? 6 : 5);
    while (open < text.size() && text[open] == ' ') ++open;
    if (open < text.size() && text[open] == '{') {
      if (auto inside = braced(text, open)) return inside;
    } else if (open > at + 5 && open < text.size() && text[open - 1] == ' ') {  // \boxed 5 ends at the white space or $
      return text.substr(open, text.find_first_of(" \n\t$", open) - open);
    }
    if (at == 0) return std::nullopt;
    from = at - 1;
  }
  return std::nullopt;
}

std::string_view last_line(std::string_view text) {
  text = trim(text);
  const size_t newline = text.find_last_of("\r\n");
  return newline == std::string_view::npos ? text : trim(text.substr(newline + 1));
}

std::optional<std::string_view> last_number(std::string_view text) {
  const size_t last = text.find_last_of("0123456789");
  if (last == std::string_view::npos) return std::nullopt;
  const size_t end = last + 1;
  size_t start = number_start(text, end);
  if (end - start > kMaxNumber) return std::nullopt;
  if (start >= 2 && text[start - 1] == '/' && is_digit(text[start - 2])) start = number_start(text, start - 1);  // a/b
  constexpr std::string_view kMinus = "−";
  if (text.substr(0, start).ends_with(kMinus)) return text.substr(start - kMinus.size(), end - start + kMinus.size());
  const bool minus = start > 0 && text[start - 1] == '-';
  if (minus && (start == 1 || !(is_alnum(text[start - 2]) || text[start - 2] == ')'))) --start;
  return text.substr(start, end - start);
}

namespace {

// The end of the phrase that goes on behind "answer" at `at`, or npos where it announces nothing.
size_t phrase_end(std::string_view text, size_t at) {
  std::string_view rest = text.substr(at);
  const bool final = at >= 12 && (text.substr(at - 12, 6) == "final " || text.substr(at - 12, 6) == "Final " ||
                                  text.substr(at - 12, 6) == "FINAL ");
  for (std::string_view more : {" to the question is",
                                " to this question is",
                                " to this problem is",
                                " to the problem is",
                                " would be",
                                " should be",
                                " will be",
                                " must be",
                                " equals",
                                " is",
                                "s are",
                                "**:",
                                ":**",
                                "*:",
                                ":*",
                                "_:",
                                ":_",
                                ":</b>",
                                "</b>:",
                                " :",
                                ":",
                                " =",
                                "**"}) {
    if (rest.starts_with(more)) return at + more.size();
  }
  return final ? at : std::string_view::npos;
}

bool equals_folded(std::string_view text, std::string_view lower) {
  for (size_t i = 0; i < lower.size(); ++i) {
    if ((text[i] | 0x20) != lower[i]) return false;
  }
  return true;
}

}  // namespace

std::optional<size_t> after_answer_phrase(std::string_view text) {
  constexpr std::string_view kWord = "answer";
  constexpr std::array<std::string_view, 5> kChinese = {"答案", "故选", "应选", "此选", "以选"};
  const auto in_chinese = [&](size_t at) {
    return (text[at] & 0x80) != 0 && std::any_of(kChinese.begin(), kChinese.end(), [&](std::string_view phrase) {
             return text.substr(at, phrase.size()) == phrase;
           });
  };
  for (size_t left = text.size(); left >= kWord.size(); --left) {  // backwards over the places where a phrase may end
    const size_t at = left - kWord.size();
    if ((text[at] | 0x20) == 'a' && equals_folded(text.substr(at, kWord.size()), kWord)) {
      const size_t end = phrase_end(text, left);
      if (end != std::string_view::npos) return end;
    } else if (in_chinese(at)) {
      size_t end = left;
      for (std::string_view more : {"】", "应", "选", "项", "是", "为", "：", ":"}) {
        if (text.substr(end).starts_with(more)) end += more.size();
      }
      return end;
    }
  }
  return std::nullopt;
}

std::vector<Fence> fences_of(std::string_view text) {
  std::vector<Fence> fences;
  std::string_view open;  // the fence that has to close
  std::string_view label;
  size_t begin = 0, indent = 0;
  for (size_t at = 0; at <= text.size();) {
    const size_t line_end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, line_end - at), bare = trim(line);
    const size_t marks = std::min(bare.find_first_not_of(bare.empty() ? ' ' : bare[0]), bare.size());
    const bool is_mark = marks >= 3 && (bare[0] == '`' || bare[0] == '~');
    if (is_mark && open.empty()) {
      open = bare.substr(0, marks);
      label = trim(bare.substr(marks));
      indent = static_cast<size_t>(bare.data() - line.data());
      begin = std::min(line_end + 1, text.size());
    } else if (is_mark && bare.size() == marks && bare[0] == open[0] && marks >= open.size()) {
      fences.push_back({label, text.substr(begin, at > begin ? at - begin : 0), indent});
      open = {};
    }
    at = line_end + 1;
  }
  if (!open.empty()) fences.push_back({label, text.substr(begin), indent});
  return fences;
}

std::optional<std::string_view> extract_by(std::string_view how, std::string_view text) {
  if (how == "none") return trim(text);
  if (how == "answer_tag") return last_tag(text, "answer");
  if (how == "boxed") return last_boxed(text);
  if (how == "last_line") return last_line(text);
  if (how == "last_number") return last_number(text);
  if (how == "fence") {
    const std::vector<Fence> fences = fences_of(text);
    return trim(fences.empty() ? text : fences.back().text);
  }
  throw UsageError("unknown extract " + excerpt(how));
}

void check_extract(std::string_view how, std::string_view rule) {
  if (std::find(kExtracts.begin(), kExtracts.end(), how) != kExtracts.end()) return;
  throw UsageError("reward " + std::string(rule) + ": extract " + excerpt(how) +
                   " is not one of none, answer_tag, boxed, last_line, last_number, fence");
}

}  // namespace cohort
