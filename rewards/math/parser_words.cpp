// Words around and instead of mathematics: what leads up to a value, units behind it, numbers spelled out.
#include <algorithm>
#include <array>

#include "rewards/math/parser_state.h"

namespace cohort::math {
namespace {

template <size_t N>
bool among(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Words before an answer that change nothing.
constexpr std::array<std::string_view, 42> kLeadingWords = {
    "if",   "If",        "about", "approximately", "roughly", "exactly",   "only", "answer", "Answer", "the",
    "The",  "is",        "are",   "equals",        "equal",   "to",        "be",   "total",  "Total",  "around",
    "just", "Therefore", "Thus",  "approx",        "thus",    "therefore", "then", "simply", "now",    "clearly",
    "so",   "So",        "hence", "Hence",         "USD",     "EUR",       "GBP",  "RMB",    "CNY",    "INR",
    "Rs",   "either"};

// Prose that leads up to a value: "The answer is", "Answer:".
bool leads_up(std::string_view words) {
  return words.ends_with(" is") || words.ends_with(" are") || words.ends_with(":") || words.ends_with(" equals") ||
         words.ends_with(" be");
}

struct Magnitude {
  std::string_view word;
  int zeros;
};
constexpr std::array<Magnitude, 10> kMagnitudes = {{{"hundred", 2},
                                                    {"thousand", 3},
                                                    {"million", 6},
                                                    {"billion", 9},
                                                    {"trillion", 12},
                                                    {"millions", 6},
                                                    {"billions", 9},
                                                    {"thousands", 3},
                                                    {"万", 4},
                                                    {"亿", 8}}};

constexpr std::array<std::string_view, 20> kSmall = {
    "zero", "one",    "two",    "three",    "four",     "five",    "six",     "seven",     "eight",    "nine",
    "ten",  "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
constexpr std::array<std::string_view, 10> kTens = {"",      "",      "twenty",  "thirty", "forty",
                                                    "fifty", "sixty", "seventy", "eighty", "ninety"};
constexpr std::array<std::string_view, 11> kParts = {"",      "",        "half",   "third", "quarter", "fifth",
                                                     "sixth", "seventh", "eighth", "ninth", "tenth"};

template <size_t N>
int index_of(const std::array<std::string_view, N>& names, std::string_view name) {
  const auto* found = name.empty() ? names.end() : std::find(names.begin(), names.end(), name);
  return found == names.end() ? -1 : static_cast<int>(found - names.begin());
}

// Lower-case words of a token, parted at spaces and hyphens.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words(1);
  for (char c : text) {
    if (c == ' ' || c == '-')
      words.emplace_back();
    else
      words.back() += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  std::erase(words, "");
  return words;
}

// A number being read word by word: "two hundred five", "twenty-one", "two thirds".
struct SpelledNumber {
  Rational total = 0, group = 0;
  int last = 100;  // the word before was a unit (1), a ten (10), or neither
  bool started = false, finished = false;

  // False where the word does not go on with the number.
  bool take(std::string word) {
    if (finished) return false;
    if (const int small = index_of(kSmall, word); small >= 0) {
      if (started && (last == 1 || (last == 10 && (small == 0 || small > 9)))) return false;
      return add(small, 1);
    }
    if (const int tens = index_of(kTens, word); tens >= 0) return !(started && last <= 10) && add(10 * tens, 10);
    if (started && word == "hundred") return group *= 100, last = 100, true;
    for (const Magnitude& magnitude : kMagnitudes) {
      if (!started || magnitude.zeros < 3 || word != magnitude.word) continue;
      total += group * *power(Rational(10), magnitude.zeros);
      group = 0;
      last = 100;
      return true;
    }
    if (word.ends_with("s")) word.pop_back();
    if (word == "halve") word = "half";
    if (word == "fourth") word = "quarter";
    const int part = index_of(kParts, word);
    if (part < 0 || (!started && part != 2)) return false;
    total = (started ? Rational(total + group) : Rational(1)) / part;
    group = 0;
    return started = finished = true;
  }

  bool add(int value, int kind) {
    group += value;
    last = kind;
    return started = true;
  }
};

bool starts_condition(std::string_view word) {
  return word == "for" || word == "where" || word == "with" || word == "when" || word == "if" || word == "such that" ||
         word == "for all" || word == "for any" || word == "for every" || word == "for some";
}

// The sign of "all real numbers greater than"; empty for other words.
std::string_view ordering_of(std::string_view words) {
  if (words == " greater than" || words == " larger than" || words == " more than") return ">";
  if (words == " less than" || words == " smaller than") return "<";
  if (words == " greater than or equal to" || words == " at least") return ">=";
  return words == " less than or equal to" || words == " at most" ? "<=" : "";
}

}  // namespace

// Words that end in "is" or "are" before something else: "The total cost is 5".
size_t Parser::leading_phrase() const {
  size_t count = 0;
  while (count < 15 && peek(count).kind == TokenKind::word) ++count;
  if (count < 2 || peek(count).kind == TokenKind::end) return 0;
  const std::string& last = peek(count - 1).text;
  return last == "is" || last == "are" || last == "equals" || last == "be" ? count : 0;
}

void Parser::skip_leading_words() {
  at_ += leading_phrase();
  while (true) {
    if (is_command("approx") || is_command("therefore") || is_command("implies") || is_command("to") ||
        is_command("sim") || is_command("because") || is_command("Rightarrow") || is_command("Longrightarrow"))
      ++at_;
    else if (peek().kind == TokenKind::word && (among(kLeadingWords, peek().text) || leads_up(peek().text)) &&
             peek(1).kind != TokenKind::end)
      ++at_;
    else if (peek().kind == TokenKind::word && is_op(":", 1) && peek(2).kind != TokenKind::end)
      at_ += 2;  // "Answer: 5"
    else if (!in_set_ && peek().kind == TokenKind::letter && is_op(":", 1) &&
             (peek(2).kind == TokenKind::number || is_op("-", 2) || is_command("mapsto", 3) || is_command("to", 3)))
      at_ += 2;  // "x: 5", "f: x \mapsto 2x"
    else if (peek().kind == TokenKind::letter && peek().text == "m" && is_command("angle", 1))
      ++at_;  // the measure of an angle
    else if (is_op(":") || (is_op("=") && peek(1).kind != TokenKind::end))
      ++at_;
    else
      return;
  }
}

// "and", "or" in their spellings, which end a unit.
bool Parser::is_joining_word(size_t ahead) const {
  static constexpr std::array<std::string_view, 8> kJoining = {"and", "And", "or", "Or", "和", "及", "或", "或者"};
  return peek(ahead).kind == TokenKind::word && among(kJoining, peek(ahead).text);
}

// "where k ∈ …", "if x > 0": a condition behind a value.
bool Parser::is_condition_word() const {
  return peek().kind == TokenKind::word && starts_condition(peek().text) &&
         (peek(1).kind == TokenKind::letter || peek(1).kind == TokenKind::number || is_op("-", 1)) &&
         peek(2).kind != TokenKind::end && peek(2).kind != TokenKind::word;
}

// (k ∈ Z) behind a value.
bool Parser::is_bracketed_condition() const {
  return is_op("(") && peek(1).kind == TokenKind::letter && (is_command("in", 2) || is_op("=", 2) || is_op(">", 2));
}

// "x is 5", "y equals 3"
bool Parser::is_linking_verb() const {
  return peek().kind == TokenKind::word && (peek().text == "is" || peek().text == "equals") &&
         peek(1).kind != TokenKind::end;
}

// One step of a unit's spelling at the cursor; false where the unit ends.
bool Parser::take_unit_part(std::string& unit) {
  const Token& token = peek();
  const auto is_wordlike = [&](size_t ahead) {
    return peek(ahead).kind == TokenKind::word || peek(ahead).kind == TokenKind::letter;
  };
  if (is_joining_word()) {
    if (unit.empty() || peek(1).kind != TokenKind::word || number_word(peek(1).text) || is_op("=", 2)) return false;
    unit += " and " + peek(1).text;  // "3 apples and oranges"
    at_ += 2;
  } else if (is_condition_word() || (unit.empty() && is_linking_verb() && peek(1).kind != TokenKind::word)) {
    return false;
  } else if (token.kind == TokenKind::word) {
    unit += (unit.empty() ? "" : " ") + token.text;
    ++at_;
  } else if (unit.empty() && token.kind == TokenKind::op && token.text == "(" && peek(1).kind == TokenKind::word) {
    ++at_;
  } else if (token.kind == TokenKind::command && is_fraction(token.text) && is_op("{", 1) &&
             peek(2).kind == TokenKind::word) {  // \frac{\text{km}}{\text{h}}
    size_t end = 3;
    while (end < 12 && !is_op("}", end)) ++end;
    if (!is_op("{", end + 1) || !is_wordlike(end + 2)) return false;
    unit += peek(2).text + "/" + peek(end + 2).text;
    for (end += 3; end < 20 && !is_op("}", end);) ++end;
    at_ += end + 1;
  } else if (unit.empty()) {
    return false;
  } else if (is_op("^") && peek(1).kind == TokenKind::number) {
    unit += "^" + peek(1).text;
    at_ += 2;
  } else if (is_op("^") && is_op("{", 1) && is_op("}", 3)) {
    unit += "^" + peek(2).text;
    at_ += 4;
  } else if (is_op("^") && is_op("{", 1) && is_op("-", 2) && is_op("}", 4)) {
    unit += "^-" + peek(3).text;
    at_ += 5;
  } else if ((is_op("/") || is_command("cdot") || is_op("*")) && is_wordlike(1)) {
    unit += "/" + peek(1).text;
    at_ += 2;
  } else if (is_op("/") && is_op("(", 1) && is_wordlike(2)) {
    unit += "/";
    at_ += 2;
  } else if ((is_op(".") || is_op("-") || is_op("(") || is_op(")") || is_op("'") || is_op("?")) && unit.size() < 200) {
    ++at_;  // punctuation inside prose
  } else if (token.kind == TokenKind::letter &&
             (token.spaced || unit.ends_with("integer") || unit.ends_with("integers"))) {
    unit += " " + token.text;
    ++at_;
  } else {
    return false;
  }
  return true;
}

// Words behind an expression, with powers and slashes between them: "square feet", "cm^2", "m/s".
void Parser::take_unit(Expr& expr) {
  std::string unit;
  if (is_op("(") && is_rounding_word(peek(1)) && peek(2).kind == TokenKind::number && is_op(")", 3)) at_ += 4;
  while (!is_bracketed_condition() && take_unit_part(unit)) {
  }
  if (!unit.empty()) expr.unit += (expr.unit.empty() ? "" : " ") + unit;
}

bool Parser::number_word(std::string_view text) {
  SpelledNumber number;
  const auto words = words_of(text);
  return !words.empty() && std::all_of(words.begin(), words.end(), [&](const auto& word) { return number.take(word); });
}

// "twenty-one", "two thirds", "five".
std::optional<Expr> Parser::spelled_number() {
  SpelledNumber number;
  size_t end = at_;
  while (tokens_[end].kind == TokenKind::word || (end > at_ && tokens_[end].text == "-")) {
    if (tokens_[end].kind == TokenKind::op) {
      if (tokens_[end + 1].kind != TokenKind::word) break;
      ++end;
    }
    SpelledNumber next = number;
    const auto words = words_of(tokens_[end].text);
    if (words.empty() || !std::all_of(words.begin(), words.end(), [&](const auto& word) { return next.take(word); }))
      break;
    number = next;
    ++end;
  }
  if (end == at_) return std::nullopt;
  if (tokens_[end - 1].text == "-") --end;
  at_ = end;
  return make_number(number.total + number.group);
}

// "2 million" and its like: the word multiplies.
bool Parser::take_magnitude(Expr& left) {
  if (peek().kind != TokenKind::word) return false;
  for (const Magnitude& magnitude : kMagnitudes) {
    if (peek().text.starts_with(std::string(magnitude.word) + " ")) {  // \text{million dollars}
      tokens_[at_].text.erase(0, magnitude.word.size() + 1);
      --at_;
    } else if (peek().text != magnitude.word &&
               !(peek().text.starts_with(magnitude.word) && (magnitude.word[0] & 0x80) != 0))
      continue;
    ++at_;
    if (left.kind == Kind::symbol && left.name == "a") left = make_number(1);  // a hundred
    left = make_two(Kind::product, std::move(left), make_number(*power(Rational(10), magnitude.zeros)));
    return true;
  }
  return false;
}

// Whether an operator or a factor follows, as it would behind a value.
bool Parser::is_reckoned_with() const {
  const bool sign = is_op("+") || is_op("-") || is_op("*") || is_op("/") || is_op("^");
  return (sign && peek(1).kind != TokenKind::word) || is_command("times") || is_command("cdot") || starts_factor();
}

Expr Parser::word() {
  if (auto number = spelled_number()) return *number;
  std::string text = peek().text;
  bool bare = peek().bare;
  ++at_;
  if (is_op("_")) return {.kind = Kind::symbol, .name = text + subscript()};
  if (is_op("(") && !tokens_[at_ - 1].bare && !peek().spaced) return {.kind = Kind::symbol, .name = text};
  while (peek().kind == TokenKind::word && peek().text != "and" && peek().text != "or") {
    text += " " + peek().text;
    bare = bare || peek().bare;
    ++at_;
  }
  prose_ = prose_ || (bare && text.find(' ') != std::string::npos);
  const bool leaves_out = text.ends_with(" except") || text.ends_with(" than") || text.ends_with(" except for");
  if (bare && !leaves_out && is_reckoned_with()) throw ParseFailure{};  // "We get -4" is no difference
  struct Named {
    std::string_view words, set;
  };
  static constexpr std::array<Named, 18> kNamed = {{{"all real numbers", "R"},
                                                    {"all reals", "R"},
                                                    {"real numbers", "R"},
                                                    {"all real values", "R"},
                                                    {"All real numbers", "R"},
                                                    {"all integers", "Z"},
                                                    {"integers", "Z"},
                                                    {"all natural numbers", "N"},
                                                    {"all complex numbers", "C"},
                                                    {"all rational numbers", "Q"},
                                                    {"no solution", "empty"},
                                                    {"no solutions", "empty"},
                                                    {"No solution", "empty"},
                                                    {"No solutions", "empty"},
                                                    {"no real solution", "empty"},
                                                    {"no real solutions", "empty"},
                                                    {"empty set", "empty"},
                                                    {"the empty set", "empty"}}};
  for (const Named& named : kNamed) {
    if (text == named.words) return {.kind = Kind::named_set, .name = std::string(named.set)};
    if (named.set == "empty" || !text.starts_with(named.words)) continue;
    const std::string_view rest = std::string_view(text).substr(named.words.size());
    if (rest == " except" || rest == " except for" || rest == " other than" || rest == " excluding") {
      prose_ = false;
      Expr left = list(true);  // what is left out
      left = left.kind == Kind::list ? make(Kind::set, std::move(left.args)) : make_one(Kind::set, std::move(left));
      return make_two(Kind::set_op, {.kind = Kind::named_set, .name = std::string(named.set)}, std::move(left),
                      "difference");
    }
    if (const auto order = ordering_of(rest); !order.empty()) {
      prose_ = false;
      Expr relation = make_two(Kind::relation, {.kind = Kind::symbol, .name = "x"}, sum());
      relation.operators = {std::string(order)};
      return relation;
    }
  }
  return {.kind = Kind::text, .name = text};
}

}  // namespace cohort::math
