// Rewards that compare what was extracted with the reference as text or as a plain number.
#include <algorithm>
#include <cctype>

#include "configs/error.h"
#include "rewards/math/number.h"
#include "rewards/rules.h"
#include "rewards/text.h"

namespace cohort {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

// The reference answer of a numeric task: the number itself, or the last one of a text such as a GSM8K solution.
std::optional<math::Rational> reference_number(std::string_view answer) {
  const auto number = last_number(answer);
  return number ? math::read_number(*number) : std::nullopt;
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_word(char c) {
  return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '\'' || (c & 0x80) != 0;
}

// The letter that `text` consists of, up to brackets, \text{}, markdown and a full stop; or that starts it as "B) …",
// "B. …".
std::optional<char> leading_letter(std::string_view text, std::string_view letters) {
  const auto skip = [&](std::string_view what) {
    while (!text.empty() && what.find(text[0]) != std::string_view::npos) text.remove_prefix(1);
  };
  skip(" \t\r\n*$([{\"");
  for (std::string_view command : {"\\text{", "\\textbf{", "\\mathrm{", "\\mathbf{", "\\boxed{"}) {
    if (text.starts_with(command)) text.remove_prefix(command.size());
  }
  skip(" ([{*");
  if (text.empty() || letters.find(text[0]) == std::string_view::npos) return std::nullopt;
  const char letter = text[0];
  text.remove_prefix(1);
  if (text.empty() || trim(text).find_first_not_of(")]}.*$\"") == std::string_view::npos) return letter;
  if (text[0] == ')' || text[0] == '.' || text[0] == ':' || text[0] == ',' || text[0] == '}' || text[0] == '*')
    return letter;
  return std::nullopt;
}

// What follows the last "answer is", "answer:" and its like; none when there is none.
std::optional<std::string_view> after_choice_phrase(std::string_view text) {
  size_t best = after_answer_phrase(text).value_or(0);
  for (std::string_view phrase : {"option is", "choice is", "choose", "choice:"}) {
    const size_t at = find_last(text, phrase);
    if (at != std::string_view::npos) best = std::max(best, at + phrase.size());
  }
  if (best == 0) return std::nullopt;
  std::string_view rest = trim(text.substr(best));
  for (std::string_view filler : {":", "option ", "choice ", "Option ", "Choice ", "("}) {
    if (rest.starts_with(filler)) rest = trim(rest.substr(filler.size()));
  }
  return rest;
}

// The last "(B)" of a text, with exactly one letter in the brackets.
std::optional<char> last_bracketed(std::string_view text, std::string_view letters) {
  for (size_t at = text.rfind(')'); at != std::string_view::npos && at >= 2;
       at = at == 0 ? at : text.rfind(')', at - 1)) {
    if (text[at - 2] == '(' && letters.find(text[at - 1]) != std::string_view::npos &&
        (at == 2 || !is_word(text[at - 3])))
      return text[at - 1];
  }
  return std::nullopt;
}

std::optional<char> chosen_letter(std::string_view text, std::string_view letters) {
  if (const size_t think = find_last(text, "</think>"); think != std::string_view::npos)
    text.remove_prefix(think + 8);
  else if (find_first(text, "<think>") != std::string_view::npos)
    return std::nullopt;
  for (const auto& part : {last_tag(text, "answer"), last_boxed(text)}) {
    if (part) return leading_letter(last_boxed(*part).value_or(*part), letters);
  }
  if (const auto rest = after_choice_phrase(text)) {
    if (const auto letter = leading_letter(*rest, letters)) return letter;
    const std::string_view word = rest->substr(0, rest->find_first_of(" \n\t.,"));
    if (word.size() == 1 && letters.find(word[0]) != std::string_view::npos && word[0] != 'A' && word[0] != 'I')
      return word[0];
  }
  if (const auto letter = leading_letter(last_line(text), letters)) return letter;
  return last_bracketed(text, letters);
}

}  // namespace

RewardFn make_exact(const Json& options) {
  const auto how = options.at("extract").get<std::string>();
  check_extract(how, "exact");
  return each([how, ignore_case = options.at("ignore_case").get<bool>()](const Judged& judged) {
    const std::string_view gold = trim(judged.task->answer);
    if (gold.empty()) return no_score("the reference answer is empty");
    const auto found = extract_by(how, judged.completion);
    if (!found) return unparsable("no " + how + " in the completion");
    const std::string_view answer = trim(*found);
    return verdict(ignore_case ? lower(answer) == lower(gold) : answer == gold, "found " + excerpt(answer));
  });
}

RewardFn make_last_number(const Json&) {
  return each([](const Judged& judged) {
    const auto gold = reference_number(judged.task->answer);
    if (!gold) return no_score("the reference answer " + excerpt(judged.task->answer) + " holds no number");
    const auto found = last_number(judged.completion);
    if (!found) return unparsable("no number in the completion");
    const auto value = math::read_number(*found);
    if (!value) return unparsable("the last number " + excerpt(*found) + " is not readable");
    return verdict(*value == *gold, "found " + excerpt(*found));
  });
}

RewardFn make_choice(const Json& options) {
  const auto letters = options.at("letters").get<std::string>();
  if (letters.empty()) throw UsageError("reward choice: letters must not be empty");
  return each([letters](const Judged& judged) {
    const auto gold = leading_letter(judged.task->answer, letters);
    if (!gold)
      return no_score("the reference answer " + excerpt(judged.task->answer) + " is none of the letters " + letters);
    const auto found = chosen_letter(judged.completion, letters);
    if (!found) return unparsable("no choice in the completion");
    return verdict(*found == *gold, std::string("chose ") + *found);
  });
}

}  // namespace cohort
