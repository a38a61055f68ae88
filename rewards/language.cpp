// Share of the target language's words in the thought, told apart by script. LaTeX, code, digits and symbols belong to
// no language and do not count, so that a thought cannot be diluted or padded with them.
#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "configs/error.h"
#include "rewards/language.h"
#include "rewards/rules.h"
#include "rewards/text.h"

namespace cohort {
namespace {

enum class Script { latin, han, kana, hangul, cyrillic, arabic, devanagari, thai, hebrew, greek, other };

struct Range {
  utf8proc_int32_t first, last;
  Script script;
};

constexpr std::array<Range, 16> kRanges = {{{'A', 'Z', Script::latin},
                                            {'a', 'z', Script::latin},
                                            {0xC0, 0x24F, Script::latin},
                                            {0x370, 0x3FF, Script::greek},
                                            {0x400, 0x52F, Script::cyrillic},
                                            {0x590, 0x5FF, Script::hebrew},
                                            {0x600, 0x6FF, Script::arabic},
                                            {0x900, 0x97F, Script::devanagari},
                                            {0xE00, 0xE7F, Script::thai},
                                            {0x1E00, 0x1EFF, Script::latin},
                                            {0x3040, 0x30FF, Script::kana},
                                            {0x3400, 0x9FFF, Script::han},
                                            {0xAC00, 0xD7AF, Script::hangul},
                                            {0x1100, 0x11FF, Script::hangul},
                                            {0xF900, 0xFAFF, Script::han},
                                            {0x20000, 0x3FFFF, Script::han}}};

struct Language {
  std::string_view name;
  Script script;
};
constexpr std::array<Language, 10> kLanguages = {{{"en", Script::latin},
                                                  {"zh", Script::han},
                                                  {"ja", Script::kana},
                                                  {"ko", Script::hangul},
                                                  {"ru", Script::cyrillic},
                                                  {"ar", Script::arabic},
                                                  {"hi", Script::devanagari},
                                                  {"th", Script::thai},
                                                  {"he", Script::hebrew},
                                                  {"el", Script::greek}}};

Script script_of(utf8proc_int32_t c) {
  for (const Range& range : kRanges) {
    if (c >= range.first && c <= range.last) return range.script;
  }
  return Script::other;
}

bool is_letter(utf8proc_int32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  const auto category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_MC;  // letters and the marks on them
}

// Blanks what lies between two marks, pair by pair; an unclosed mark is left as text.
void blank_between(std::string& text, std::string_view open, std::string_view close) {
  size_t at = 0;
  while ((at = find_first(text, open, at)) != std::string::npos) {
    const size_t end = find_first(text, close, at + open.size());
    if (end == std::string::npos) return;
    std::fill(text.begin() + static_cast<ptrdiff_t>(at), text.begin() + static_cast<ptrdiff_t>(end + close.size()),
              ' ');
    at = end + close.size();
  }
}

// Blanks \command names that stand outside $…$.
void blank_commands(std::string& text) {
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] != '\\') continue;
    text[i++] = ' ';
    while (i < text.size() && is_letter(static_cast<unsigned char>(text[i])) && (text[i] & 0x80) == 0) text[i++] = ' ';
  }
}

std::string prose_of(std::string_view thought) {
  std::string text(thought);
  blank_between(text, "```", "```");
  blank_between(text, "`", "`");
  blank_between(text, "$$", "$$");
  blank_between(text, "$", "$");
  blank_between(text, "\\(", "\\)");
  blank_between(text, "\\[", "\\]");
  blank_commands(text);
  return text;
}

constexpr size_t kMaxText = 256'000;  // bytes that are looked at

struct Counts {
  double target = 0, all = 0;
};

// Words of each script: a run of letters of an alphabet, or one ideograph or syllable of Han, kana and hangul. In
// Japanese, Han counts as Japanese.
Counts count_words(std::string_view text, Script target) {
  Counts counts;
  Script run = Script::other;
  bool open = false;
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t length = std::max<utf8proc_ssize_t>(1, utf8proc_iterate(at, left, &c));
    at += length;
    left -= length;
    if (c < 0 || !is_letter(c)) {
      open = false;
      continue;
    }
    const Script script = script_of(c);
    const bool whole = script == Script::han || script == Script::kana || script == Script::hangul;
    if (!open || whole || script != run) {
      counts.all += 1;
      if (script == target || (target == Script::kana && script == Script::han)) counts.target += 1;
    }
    open = !whole;
    run = script;
  }
  return counts;
}

// What lies before </think>, the opening tag left out; the whole text when there is no tag.
std::string_view thought_of(std::string_view text, const std::string& open, const std::string& close) {
  if (const size_t end = find_first(text, close); end != std::string_view::npos) text = text.substr(0, end);
  if (const size_t start = find_first(text, open); start != std::string_view::npos)
    text.remove_prefix(start + open.size());
  return text;
}

const Language* find_language(std::string_view name) {
  const auto* found = std::ranges::find(kLanguages, name, &Language::name);
  return found == kLanguages.end() ? nullptr : found;
}

}  // namespace

void expect_language(std::string_view language) {
  if (!find_language(language))
    throw UsageError("language " + excerpt(language) + " is not one of en, zh, ja, ko, ru, ar, hi, th, he, el");
}

std::optional<double> language_share(std::string_view text, std::string_view language) {
  expect_language(language);
  const Counts counts = count_words(prose_of(text.substr(0, kMaxText)), find_language(language)->script);
  if (counts.all == 0) return std::nullopt;
  return counts.target / counts.all;
}

RewardFn make_language_consistency(const Json& options) {
  const auto name = options.at("language").get<std::string>();
  const auto tag = options.at("think").get<std::string>();
  expect_language(name);
  return each([name, open = "<" + tag + ">", close = "</" + tag + ">"](const Judged& judged) {
    const auto share = language_share(thought_of(judged.completion, open, close), name);
    if (!share) return graded(1, 0, 1, "no words in the thought: neutral");
    return graded(*share, 0, 1);
  });
}

}  // namespace cohort
