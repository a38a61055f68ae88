// Answers in words: names, days, choices, and lists of them.
#include <algorithm>

#include "rewards/math/comparer.h"
#include "rewards/math/normalize.h"

namespace cohort::math {
namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// "Bob and Alice", "red, blue": the parts; one where nothing separates.
std::vector<Expr> parts_of(const Expr& text) {
  std::vector<Expr> parts;
  std::string_view rest = text.name;
  for (size_t from = 0; parts.size() < 20;) {
    size_t cut = std::string_view::npos, width = 0;
    for (std::string_view joint : {", and ", " and ", ", ", ",", " & ", ";"}) {
      const size_t at = rest.find(joint, from);
      if (at < cut) cut = at, width = joint.size();
    }
    parts.push_back({.kind = Kind::text, .name = std::string(rest.substr(from, cut - from))});
    if (cut == std::string_view::npos) break;
    from = cut + width;
  }
  return parts;
}

// "ABC" as the symbols A, B, C.
std::vector<Expr> letters_of(const std::string& word) {
  std::vector<Expr> letters;
  for (char c : word) letters.push_back({.kind = Kind::symbol, .name = std::string(1, c)});
  return letters;
}

bool is_run_of_letters(const std::string& word) {
  return word.size() <= 12 && std::all_of(word.begin(), word.end(), is_letter);
}

// "(A), (C)" as AC; empty where one part is no letter.
std::string letters_in(const Expr& text) {
  std::string letters;
  for (const Expr& part : parts_of(text)) {
    std::string name = part.name;
    std::erase_if(name, [](char c) { return !is_letter(c); });
    if (name.size() != 1) return {};
    letters += name;
  }
  return letters;
}

}  // namespace

// Prose: the same words. A run of letters on one side may be a product of symbols on the other.
bool Comparer::words(const Expr& gold, const Expr& answer) {
  if (gold.kind == Kind::text && answer.kind == Kind::text) {
    const bool keep = options_.match_case;
    if (folded_words(gold.name, keep) == folded_words(answer.name, keep)) return true;
    const auto parts = parts_of(gold), others = parts_of(answer);
    return parts.size() > 1 && !options_.ordered_lists && unordered(parts, others, false);
  }
  const Expr& text = gold.kind == Kind::text ? gold : answer;
  const Expr& other = gold.kind == Kind::text ? answer : gold;
  if (other.kind == Kind::relation) return relation_with_value(other, text, gold.kind != Kind::text);
  if (other.kind == Kind::symbol) {  // \text{(A)} for A
    std::string name = text.name;
    std::erase_if(name, [](char c) { return c == '(' || c == ')' || c == '.' || c == ' '; });
    return name == other.name;
  }
  if (other.kind == Kind::list || other.kind == Kind::set) {
    const auto parts = parts_of(text);
    const auto& [a, b] = gold.kind == Kind::text ? std::tie(parts, other.args) : std::tie(other.args, parts);
    return parts.size() > 1 && unordered(a, b, false);
  }
  if (other.kind == Kind::product && text.name.find_first_of(",&") != std::string::npos) {
    const auto letters = letters_of(letters_in(text));
    return letters.size() > 1 &&
           std::is_permutation(letters.begin(), letters.end(), other.args.begin(), other.args.end(),
                               [](const Expr& a, const Expr& b) { return a.name == b.name; });
  }
  if (other.kind != Kind::product || !is_run_of_letters(text.name)) return false;
  const auto letters = letters_of(text.name);  // in order: ABC, not an anagram
  return std::equal(letters.begin(), letters.end(), other.args.begin(), other.args.end(),
                    [](const Expr& a, const Expr& b) { return a.name == b.name; });
}

// The choices A, C written as AC.
bool Comparer::choices(const Expr& list, const Expr& run) const {
  const auto is_choice = [](const Expr& e) {
    return (e.kind == Kind::symbol || e.kind == Kind::text) && e.name.size() == 1 && e.name[0] >= 'A' &&
           e.name[0] <= 'J';
  };
  const auto all = [&](const std::vector<Expr>& args) { return std::all_of(args.begin(), args.end(), is_choice); };
  if (list.kind != Kind::list || !all(list.args)) return false;
  std::vector<Expr> letters = run.kind == Kind::product                               ? run.args
                              : run.kind == Kind::text && is_run_of_letters(run.name) ? letters_of(run.name)
                                                                                      : std::vector<Expr>();
  if (letters.size() != list.args.size() || !all(letters)) return false;
  return std::is_permutation(letters.begin(), letters.end(), list.args.begin(),
                             [](const Expr& a, const Expr& b) { return a.name == b.name; });
}

}  // namespace cohort::math
