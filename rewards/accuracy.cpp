// The reward `accuracy`: the completion's answer against the reference, as mathematics.
#include <algorithm>

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

// "B) 12" for the reference B.
bool leads_with_choice(std::string_view gold, std::string_view answer) {
  if (gold.size() != 1 || gold[0] < 'A' || gold[0] > 'J') return false;
  answer = trim(answer);
  if (answer.starts_with("(")) answer.remove_prefix(1);
  return answer.size() >= 2 && answer[0] == gold[0] &&
         std::string_view(").:").find(answer[1]) != std::string_view::npos;
}

// The same once spelling is set aside: the very text, or for words the same words.
bool same_text(const Reading& gold, const std::string& answer) {
  if (answer.size() > math::kMaxLength) return false;
  const std::string normal = math::normalize(answer);
  if (normal.empty()) return false;
  if (normal == math::normalize(gold.text)) return true;
  const bool words = !gold.expr || gold.expr->kind == math::Kind::text;
  return words && math::folded_words(gold.text) == math::folded_words(answer);
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
  if (same_text(*gold, texts[0]) || same_text(*gold, answer->text)) return verdict(true, reason);
  if (leads_with_choice(math::folded_words(gold->text).size() == 1 ? trim(math::normalize(gold->text)) : "", texts[0]))
    return verdict(true, reason);
  if (!answer->expr)
    return gold->expr && gold->expr->kind != math::Kind::text
               ? unparsable(reason + ", which is not readable as mathematics")
               : verdict(false, reason);
  if (!gold->expr) return verdict(false, reason);
  return verdict(math::equal(*gold->expr, *answer->expr, options.equal), reason);
}

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
  a.equal.percent = percent == "sign"        ? math::Percent::sign
                    : percent == "hundredth" ? math::Percent::hundredth
                                             : math::Percent::either;
  a.equal.ordered_lists = choice(options, "list_order", {"any", "same"}) == "same";
  a.equal.loose_brackets = choice(options, "brackets", {"loose", "strict"}) == "loose";
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
