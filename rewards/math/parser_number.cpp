// Numbers as they are written: mixed fractions, periods, bases.
#include <algorithm>
#include <array>
#include <charconv>

#include "rewards/math/parser_state.h"

namespace cohort::math {
namespace {

int to_int(std::string_view digits) {
  int value = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc() && end == digits.data() + digits.size() ? value : -1;
}

// Digits, with at most one point, in a base from 2 to 36.
Rational in_base(std::string_view digits, int base) {
  Integer value = 0, scale = 1;
  bool fraction = false;
  for (char c : digits) {
    if (c == '.') {
      if (fraction) throw ParseFailure{};
      fraction = true;
      continue;
    }
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'Z' ? c - 'A' + 10
                      : c >= 'a' && c <= 'z' ? c - 'a' + 10
                                             : 99;
    if (digit >= base) throw ParseFailure{};
    value = value * base + digit;
    if (fraction) scale *= base;
  }
  return Rational(value, scale);
}

// Digits up to the point and a few behind it, then a period that repeats for ever.
Expr with_period(std::string digits, const std::string& period) {
  const size_t decimals = digits.size() - digits.find('.') - 1;
  if (digits.back() == '.') digits.pop_back();
  if (digits.find_first_not_of("0123456789.") != std::string::npos ||
      period.find_first_not_of("0123456789") != std::string::npos || period.size() > 100 ||
      digits.size() > kMaxDigits || decimals > 1000)
    throw ParseFailure{};
  const Rational nines = *power(Rational(10), Integer(period.size())) - 1;
  return make_number(from_decimal(digits.empty() ? "0" : digits) +
                     from_decimal(period) / nines / *power(Rational(10), Integer(decimals)));
}

// The base behind a number: 1011_2, 1011_{2}, 1011_{\text{two}}. Zero when none stands there.
int base_at(const Token& under, const Token& a, const Token& b) {
  static constexpr std::array<std::string_view, 17> kNames = {"",       "",      "two",   "three", "four",   "five",
                                                              "six",    "seven", "eight", "nine",  "ten",    "eleven",
                                                              "twelve", "",      "",      "",      "sixteen"};
  if (under.text != "_") return 0;
  const Token& written = a.text == "{" ? b : a;
  const auto* name = std::find(kNames.begin(), kNames.end(), written.text);
  if (written.kind == TokenKind::word && name != kNames.end()) return static_cast<int>(name - kNames.begin());
  const int base = to_int(written.text);
  return base >= 2 && base <= 36 ? base : 0;
}

}  // namespace

bool is_fraction(std::string_view name) {
  return name == "frac" || name == "dfrac" || name == "tfrac" || name == "cfrac" || name == "sfrac" ||
         name == "nicefrac" || name == "flatfrac" || name == "xfrac";
}

bool is_whole(const Expr& expr) {
  return expr.kind == Kind::number && expr.decimals < 0 && denominator(expr.value) == 1;
}

// A number token as written: mantissa and exponent.
Expr read_token(const std::string& text) {
  const size_t e = text.find_first_of("eE");
  const std::string mantissa = text.substr(0, e);
  if (mantissa.size() > kMaxDigits) throw ParseFailure{};
  Expr expr = make_number(from_decimal(mantissa));
  expr.name = text;
  const size_t point = mantissa.find('.');
  if (point != std::string::npos) expr.decimals = static_cast<int>(mantissa.size() - point - 1);
  const size_t first = mantissa.find_first_not_of("0.");
  if (first != std::string::npos)
    expr.significant =
        static_cast<int>(mantissa.size() - first - (point != std::string::npos && point > first ? 1 : 0));
  if (e != std::string::npos) {
    const int exponent = std::stoi(text.substr(e + 1));
    const auto scale = power(Rational(10), exponent);
    if (!scale) throw ParseFailure{};
    expr.value *= *scale;
    if (expr.decimals >= 0 || exponent < 0) expr.decimals = std::max(expr.decimals, 0) - exponent;
    if (expr.decimals <= 0) expr.decimals = -1;
  }
  return expr;
}

// Only for a mantissa with a point: its digits say how far it was rounded.
std::optional<Expr> scientific(const Expr& mantissa, const Expr& scale) {
  if (mantissa.kind != Kind::number || mantissa.decimals < 0 || scale.kind != Kind::power || !is_whole(scale.args[0]) ||
      scale.args[0].value != 10)
    return std::nullopt;
  const bool negative = scale.args[1].kind == Kind::negate;
  const Expr& size = negative ? scale.args[1].args[0] : scale.args[1];
  if (!is_whole(size) || size.value > 1000) return std::nullopt;
  const int exponent = static_cast<int>(numerator(size.value)) * (negative ? -1 : 1);
  Expr number = make_number(mantissa.value * *power(Rational(10), exponent));
  number.significant = mantissa.significant;
  number.decimals = mantissa.decimals > exponent ? mantissa.decimals - exponent : -1;
  return number;
}

// 0.\overline{3}, 0.1\dot{2}\dot{3}: the digits under the bar repeat for ever. The token holds those before it.
Expr Parser::repeating(const Token& token) {
  const std::string digits = token.text;
  std::string period;
  while (is_command("overline") || is_command("bar") || is_command("dot") || is_command("overset")) {
    ++at_;
    const bool braced = take_op("{");
    if (peek().kind != TokenKind::number) throw ParseFailure{};
    period += peek().text;
    ++at_;
    if (braced) expect("}");
    if (peek().kind == TokenKind::number && !peek().spaced && is_command("dot", 1)) period += peek().text, ++at_;
  }
  return with_period(digits, period);
}

// 0.(3), 0.1(6)
Expr Parser::bracketed_period(const Token& token) {
  const std::string period = peek(1).text;
  at_ += 3;
  return with_period(token.text, period);
}

std::optional<Expr> Parser::mixed_fraction(const Expr& whole) {
  const auto proper = [](const Expr& top, const Expr& bottom) {
    return is_whole(top) && is_whole(bottom) && top.value > 0 && top.value < bottom.value;
  };
  if (!is_whole(whole)) return std::nullopt;
  const bool unit = is_op("{", 1) && peek(2).kind == TokenKind::word && !number_word(peek(2).text);
  if (peek().kind == TokenKind::command && is_fraction(peek().text) && !unit) {
    Expr part = fraction();
    if (options_.mixed_fractions && part.kind == Kind::divide && proper(part.args[0], part.args[1]))
      return make_number(whole.value + part.args[0].value / part.args[1].value);
    return make_two(Kind::product, whole, std::move(part));
  }
  if (peek().kind == TokenKind::number && peek().spaced && is_op("/", 1) && peek(2).kind == TokenKind::number) {
    const Expr top = read_token(peek().text), bottom = read_token(peek(2).text);
    if (!proper(top, bottom)) return std::nullopt;
    at_ += 3;
    return make_number(whole.value + top.value / bottom.value);
  }
  return std::nullopt;
}

// C_5^2, _5C_2, {}^5C_2: the number of choices; the larger is what is chosen from.
std::optional<Expr> Parser::combination() {
  size_t ahead = is_op("{") && is_op("}", 1) ? 2 : 0;
  std::vector<Integer> counts;
  const auto script = [&](std::string_view mark) {
    const size_t braced = is_op("{", ahead + 1) ? 1 : 0;
    const int count = is_op(mark, ahead) ? to_int(peek(ahead + 1 + braced).text) : -1;
    if (count < 0 || (braced == 1 && !is_op("}", ahead + 3))) return false;
    counts.emplace_back(count);
    ahead += 2 + 2 * braced;
    return true;
  };
  const auto letter = [&] { return peek(ahead).kind == TokenKind::letter && peek(ahead).text == "C" && ++ahead > 0; };
  const bool leads = !letter();
  if (leads && !((script("_") || script("^")) && letter())) return std::nullopt;
  if (leads ? !script("_") : !(script("_") ? script("^") : script("^") && script("_"))) return std::nullopt;
  at_ += ahead;
  return make_two(Kind::call, make_number(Rational(std::max(counts[0], counts[1]))),
                  make_number(Rational(std::min(counts[0], counts[1]))), "binom");
}

// (1011)_2: the base behind a bracket.
std::optional<Expr> Parser::bracketed_in_base() {
  if (!is_op("(") || peek(1).kind != TokenKind::number || !is_op(")", 2) || at_ + 5 >= tokens_.size())
    return std::nullopt;
  const int base = base_at(peek(3), peek(4), peek(5));
  if (base == 0) return std::nullopt;
  const std::string digits = peek(1).text;
  at_ += peek(4).text == "{" ? 7 : 5;
  Expr expr = make_number(in_base(digits, base));
  expr.name = digits + "_" + std::to_string(base);
  return expr;
}

// 4032 base 5, 4032 (base 5): the base in words behind the digits at the cursor.
std::optional<Expr> Parser::in_named_base(const std::string& digits) {
  const size_t bracket = is_op("(") ? 1 : 0;
  const std::string& words = peek(bracket).text;
  if (peek(bracket).kind != TokenKind::word || (words != "base" && words != "in base" && words != "in")) return {};
  const size_t number = bracket + (words == "in" && peek(bracket + 1).text == "base" ? 2 : 1);
  const int base = words == "in" && number == bracket + 1 ? 0 : to_int(peek(number).text);
  if (base < 2 || base > 36 || (bracket == 1 && !is_op(")", number + 1))) return std::nullopt;
  at_ += number + 1 + bracket;
  Expr expr = make_number(in_base(digits, base));
  expr.name = digits + "_" + std::to_string(base);
  return expr;
}

// A1_{16}: digits that start with a letter, in a base above ten.
std::optional<Expr> Parser::based_letters() {
  std::string digits;
  size_t end = at_;
  for (; end == at_ || !tokens_[end].spaced; ++end) {
    if (tokens_[end].kind != TokenKind::letter && tokens_[end].kind != TokenKind::number &&
        tokens_[end].kind != TokenKind::word)
      break;
    digits += tokens_[end].text;
    if (end > at_ + 40) return std::nullopt;
  }
  const bool hexadecimal = digits.size() > 1 && digits.find_first_not_of("ABCDEF") == std::string::npos;
  const bool shaped = (hexadecimal || digits.find_first_of("0123456789") != std::string::npos) &&
                      digits.find_first_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos;
  if (!shaped || tokens_.size() - end < 3 || base_at(tokens_[end], tokens_[end + 1], tokens_[end + 2]) <= 10)
    return std::nullopt;
  const int base = base_at(tokens_[end], tokens_[end + 1], tokens_[end + 2]);
  at_ = end + (tokens_[end + 1].text == "{" ? 4 : 2);
  return make_number(in_base(digits, base));
}

Expr Parser::number() {
  const Token token = peek();
  ++at_;
  const bool pointed = token.text.find('.') != std::string::npos;
  if (pointed && peek().kind == TokenKind::command &&
      (is_command("overline") || is_command("bar") || is_command("dot")))
    return repeating(token);
  if (pointed && is_op("(") && peek(1).kind == TokenKind::number && is_op(")", 2) && !peek().spaced &&
      (token.text.back() == '.' || peek(3).kind == TokenKind::end)) {
    return bracketed_period(token);
  }
  std::string digits = token.text;
  size_t end = at_;
  const auto is_digit_token = [](const Token& t) {
    return t.kind == TokenKind::letter || t.kind == TokenKind::number ||
           (t.kind == TokenKind::word && t.text.size() == 1);
  };
  while (!tokens_[end].spaced && is_digit_token(tokens_[end]) && end < at_ + 40) digits += tokens_[end++].text;
  const size_t left = tokens_.size() - end;
  const int base = left >= 3 ? base_at(tokens_[end], tokens_[end + 1], tokens_[end + 2]) : 0;
  if (base > 0 && (end == at_ || base > 10)) {
    at_ = end + (tokens_[end + 1].text == "{" ? 4 : 2);
    if (tokens_[end + 1].text == "{" && tokens_[at_ - 1].text != "}") throw ParseFailure{};
    Expr expr = make_number(in_base(digits, base));
    expr.name = digits + "_" + std::to_string(base);
    return expr;
  }
  if (auto based = in_named_base(token.text)) return *based;
  Expr expr = read_token(token.text);
  if (pointed && (is_op("...") || is_command("ldots") || is_command("dots") ||
                  is_command("cdots"))) {  // 0.333... repeats its last digit when that stands three times
    ++at_;
    const size_t size = token.text.size();
    if (expr.decimals >= 3 && token.text[size - 1] == token.text[size - 2] &&
        token.text[size - 2] == token.text[size - 3]) {
      return make_number(expr.value + Rational(token.text[size - 1] - '0') / 9 / *power(Rational(10), expr.decimals));
    }
  }
  if (auto mixed = mixed_fraction(expr)) return *mixed;
  return expr;
}

}  // namespace cohort::math
