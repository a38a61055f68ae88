// The reward `accuracy`: the completion's answer against the reference, as mathematics.
#include <algorithm>
#include <array>

#include "configs/error.h"
#include "rewards/math/equal.h"
#include "rewards/math/extract.h"
#include "rewards/math/normalize.h"
#include "rewards/math/parser.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

struct Accuracy {
  math::EqualOptions equal;
  math::ExtractOptions extract;
  math::ParseOptions parse;
};

struct Reading {
  std::string text;
  std::optional<math::Expr> expr;
};

// The first reading that parses; the widest one, as words, when none does.
std::optional<Reading> read(const std::vector<std::string>& texts, const math::ParseOptions& options) {
  for (const std::string& text : texts) {
    if (auto expr = math::parse(text, options)) return Reading{text, std::move(expr)};
  }
  if (texts.empty() || trim(texts[0]).empty()) return std::nullopt;
  return Reading{texts[0], std::nullopt};
}

// Whether an unparsed reference can still be compared as words: prose, without formulas in it.
bool is_prose(std::string_view text) {
  return text.size() <= math::kMaxLength && text.find_first_of("^_=") == std::string_view::npos &&
         text.find("\\frac") == std::string_view::npos && text.find("\\sqrt") == std::string_view::npos &&
         std::any_of(text.begin(), text.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80) != 0; });
}

bool take_any(std::string_view& text, std::initializer_list<std::string_view> prefixes) {
  for (std::string_view prefix : prefixes) {
    if (text.starts_with(prefix)) return text.remove_prefix(prefix.size()), true;
  }
  return false;
}

// Whether another choice than the first is named in what follows it: "(B) or (C)".
bool names_choice(std::string_view text) {
  for (size_t i = 0; i + 1 <= text.size(); ++i) {
    const bool letter = text[i] >= 'A' && text[i] <= 'J';
    if (!letter || i == 0 || (i + 1 < text.size() && text[i + 1] >= 'a' && text[i + 1] <= 'z')) continue;
    const bool bracketed = text[i - 1] == '(' && i + 1 < text.size() && text[i + 1] == ')';
    const std::string_view before = text.substr(0, i);
    if (bracketed || before.ends_with("or ") || before.ends_with("and ") || before.ends_with(", ")) return true;
  }
  return false;
}

struct Choice {
  char letter = '\0';
  std::string value;  // of "(B) 12" what stands behind the letter
};

// "(B) 12", "\textbf{(B)}", "Option B"; no letter for what names no choice or two.
Choice choice_of(std::string_view answer) {
  if (answer.size() > math::kMaxLength) return {};
  const std::string normal = math::normalize(answer);
  std::string_view rest = normal;
  while (take_any(rest, {" ", "{", "(", "[", "*", "\\textbf", "\\textrm", "\\text", "\\mathbf", "\\mathrm", "\\mathsf",
                         "\\mbox", "\\bf", "Option ", "option ", "Choice ", "choice ", "选项", "选"})) {
  }
  if (rest.empty() || rest[0] < 'A' || rest[0] > 'J') return {};
  const char letter = rest[0];
  rest.remove_prefix(1);
  bool marked = false;
  while (!rest.empty() && std::string_view(").:]}*").find(rest[0]) != std::string_view::npos) {
    marked = marked || rest[0] == ')' || rest[0] == '.' || rest[0] == ':';
    rest.remove_prefix(1);
  }
  rest = trim(rest);
  const bool goes_on =
      !rest.empty() && (!marked || std::string_view("+-*/^_=!").find(rest[0]) != std::string_view::npos);
  if (goes_on || names_choice(rest)) return {};
  return {letter, std::string(rest)};
}

// The same choice; a small letter alone may stand for it.
bool same_choice(std::string_view gold, std::string_view answer, bool match_case) {
  const char letter = choice_of(gold).letter;
  if (letter == '\0') return false;
  if (letter == choice_of(answer).letter) return true;
  const char small = static_cast<char>(letter + ('a' - 'A'));
  const std::string_view alone = trim(answer);
  return !match_case && (alone == std::string(1, small) || alone == std::string("(") + small + ")");
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// What is said in many ways, by the letters of its words; empty for anything else.
std::string_view saying_of(std::string_view text) {
  struct Saying {
    std::string_view words, meaning;
  };
  static constexpr std::array<Saying, 30> kSayings = {{{"nosolution", "none"},
                                                       {"nosolutions", "none"},
                                                       {"norealsolution", "none"},
                                                       {"norealsolutions", "none"},
                                                       {"nosolutionexists", "none"},
                                                       {"nosolutionsexist", "none"},
                                                       {"thereisnosolution", "none"},
                                                       {"therearenosolutions", "none"},
                                                       {"therearenorealsolutions", "none"},
                                                       {"hasnosolution", "none"},
                                                       {"emptyset", "none"},
                                                       {"无解", "none"},
                                                       {"doesnotexist", "no value"},
                                                       {"doesn'texist", "no value"},
                                                       {"dne", "no value"},
                                                       {"limitdoesnotexist", "no value"},
                                                       {"不存在", "no value"},
                                                       {"undefined", "undefined"},
                                                       {"notdefined", "undefined"},
                                                       {"isundefined", "undefined"},
                                                       {"allreals", "reals"},
                                                       {"allrealnumbers", "reals"},
                                                       {"allrealvaluesofx", "reals"},
                                                       {"allrealx", "reals"},
                                                       {"xcanbeanyrealnumber", "reals"},
                                                       {"anyrealnumber", "reals"},
                                                       {"everyrealnumber", "reals"},
                                                       {"infinitelymany", "infinitely many"},
                                                       {"infinitelymanysolutions", "infinitely many"},
                                                       {"infinitesolutions", "infinitely many"}}};
  const std::string folded = math::folded_words(text);
  const auto* found =
      std::find_if(kSayings.begin(), kSayings.end(), [&](const Saying& saying) { return saying.words == folded; });
  return found == kSayings.end() ? std::string_view() : found->meaning;
}

// The empty set and the real numbers in words against their signs.
bool same_saying(const Reading& gold, const Reading& answer) {
  const auto meaning = [](const Reading& reading) -> std::string_view {
    if (reading.expr && reading.expr->kind == math::Kind::named_set)
      return reading.expr->name == "empty" ? "none" : reading.expr->name == "R" ? "reals" : "";
    return reading.text.size() <= 60 && std::none_of(reading.text.begin(), reading.text.end(), is_digit)
               ? saying_of(reading.text)
               : std::string_view();
  };
  const std::string_view said = meaning(gold);
  return !said.empty() && said == meaning(answer);
}

// The same once spelling is set aside: the very text, or for words the same words.
bool same_text(const Reading& gold, const std::string& answer, bool match_case) {
  if (answer.size() > math::kMaxLength) return false;
  const std::string normal = math::normalize(answer);
  if (normal.empty()) return false;
  if (normal == math::normalize(gold.text)) return true;
  const bool words =
      !gold.expr || gold.expr->kind == math::Kind::text || gold.expr->kind == math::Kind::named_set;  // "no solution"
  return words && math::folded_words(gold.text, match_case) == math::folded_words(answer, match_case);
}

// The 12 of a reference "(B) 12".
bool names_value_of_choice(const Reading& gold, const Reading& answer, const Accuracy& options) {
  const Choice choice = choice_of(gold.text);
  if (choice.letter == '\0' || choice.value.empty() || !answer.expr || choice_of(answer.text).letter != '\0')
    return false;
  const auto value = math::parse(choice.value, options.parse);
  return value && math::equal(*value, *answer.expr, options.equal);
}

std::string fault_of(const std::optional<Reading>& gold) {
  if (!gold) return "the reference answer is empty";
  if (gold->expr || is_prose(gold->text)) return {};
  return "the reference answer " + excerpt(gold->text) + " is not readable as mathematics";
}

Score judge(const Accuracy& options, const Judged& judged) {
  const auto gold = read(math::extract_reference(judged.task->answer), options.parse);
  if (const std::string fault = fault_of(gold); !fault.empty()) return no_score(fault);
  const auto texts = math::extract_answer(judged.completion, options.extract);
  const auto answer = read(texts, options.parse);
  if (!answer) return unparsable("no answer is marked in the completion");
  const std::string reason = "found " + excerpt(answer->text);
  const bool match_case = options.equal.match_case;
  if (same_text(*gold, texts[0], match_case) || same_text(*gold, answer->text, match_case))
    return verdict(true, reason);
  if (same_choice(gold->text, texts[0], match_case) || same_saying(*gold, *answer)) return verdict(true, reason);
  if (names_value_of_choice(*gold, *answer, options)) return verdict(true, reason);
  if (!answer->expr)
    return gold->expr && gold->expr->kind != math::Kind::text
               ? unparsable(reason + ", which is not readable as mathematics")
               : verdict(false, reason);
  if (!gold->expr) return verdict(false, reason);
  return verdict(math::equal(*gold->expr, *answer->expr, options.equal), reason);
}

// The first of `allowed` is the default.
std::string choice(const Json& options, const char* name, std::initializer_list<std::string_view> allowed) {
  const auto value = options.at(name).get<std::string>();
  std::string list;
  for (std::string_view one : allowed) {
    if (value == one) return value;
    list += (list.empty() ? "" : ", ") + std::string(one);
  }
  throw UsageError("reward accuracy: " + std::string(name) + " must be one of " + list + ", found " + excerpt(value));
}

}  // namespace

std::string unreadable_answer(const Task& task) {
  if (task.answer.empty() || !task.reward.is_null()) return {};
  return fault_of(read(math::extract_reference(task.answer), {}));
}

RewardFn make_accuracy(const Json& options) {
  Accuracy a;
  const std::string percent = choice(options, "percent", {"either", "sign", "hundredth"});
  a.equal.percent = percent == "sign"        ? math::Mark::dropped
                    : percent == "hundredth" ? math::Mark::scales
                                             : math::Mark::either;
  const std::string degrees = choice(options, "degrees", {"either", "sign", "radian"});
  a.equal.degrees = degrees == "sign"     ? math::Mark::dropped
                    : degrees == "radian" ? math::Mark::scales
                                          : math::Mark::either;
  const std::string log_base = choice(options, "log_base", {"either", "e", "10"});
  a.equal.log_base = log_base == "e" ? math::LogBase::e : log_base == "10" ? math::LogBase::ten : math::LogBase::either;
  const std::string relations = choice(options, "relations", {"loose", "asked", "strict"});
  a.equal.relations = relations == "asked"    ? math::Relations::asked
                      : relations == "strict" ? math::Relations::strict
                                              : math::Relations::loose;
  a.equal.simplified = choice(options, "form", {"any", "simplified"}) == "simplified";
  const std::string letters = choice(options, "case", {"words", "match", "all"});
  a.equal.match_case = letters == "match";
  a.equal.fold_symbols = letters == "all";
  a.equal.strict_bases = choice(options, "bases", {"either", "value"}) == "value";
  a.parse.mixed_fractions = choice(options, "mixed_fractions", {"sum", "product"}) == "sum";
  a.extract.join_boxes = choice(options, "boxes", {"joined", "last"}) == "joined";
  a.equal.ordered_lists = choice(options, "list_order", {"any", "same"}) == "same";
  const std::string brackets = choice(options, "brackets", {"loose", "any", "strict"});
  a.equal.loose_brackets = brackets != "strict";
  a.equal.any_brackets = brackets == "any";
  a.equal.match_units = choice(options, "units", {"strip", "match"}) == "match";
  const std::string domain = choice(options, "domain", {"auto", "positive", "real"});
  a.equal.domain = domain == "positive" ? math::SymbolDomain::positive
                   : domain == "real"   ? math::SymbolDomain::real
                                        : math::SymbolDomain::automatic;
  a.equal.strict_names = options.at("strict_names").get<bool>();
  a.equal.digits = options.at("digits").get<int>();
  a.equal.tolerance = options.at("tolerance").get<double>();
  if (a.equal.digits < 1 || !(a.equal.tolerance >= 0 && a.equal.tolerance < 1))
    throw UsageError("reward accuracy: digits must be at least 1 and tolerance in [0, 1)");
  a.parse.decimal_comma = options.at("decimal_comma").get<bool>();
  a.extract.after_think = options.at("after_think").get<bool>();
  a.extract.last_number = options.at("last_number").get<bool>();
  return each([a](const Judged& judged) { return judge(a, judged); });
}

}  // namespace cohort
