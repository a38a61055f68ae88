#include "rewards/math/number.h"

#include <algorithm>
#include <string>

namespace cohort::math {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

Integer power_of_ten(size_t n) {
  return boost::multiprecision::pow(Integer(10), static_cast<unsigned>(n));
}

size_t bits_of(const Integer& value) {
  return value.is_zero() ? 1 : boost::multiprecision::msb(boost::multiprecision::abs(value)) + 1;
}

// Takes digits (with thousands commas) off the front; empty when there are none or a comma stands in the wrong place.
std::string take_digits(std::string_view& text) {
  std::string digits;
  size_t since_comma = 0;
  bool commas = false;
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if (is_digit(text[at])) {
      digits += text[at];
      ++since_comma;
    } else if (text[at] == ',' && !digits.empty() && at + 1 < text.size() && is_digit(text[at + 1])) {
      if (commas ? since_comma != 3 : since_comma > 3) return {};
      commas = true;
      since_comma = 0;
    } else {
      break;
    }
  }
  if (commas && since_comma != 3) return {};
  text.remove_prefix(at);
  return digits;
}

std::optional<Rational> read_unsigned(std::string_view& text) {
  std::string digits = take_digits(text);
  if (text.size() >= 2 && text[0] == '.' && is_digit(text[1])) {
    size_t end = 1;
    while (end < text.size() && is_digit(text[end])) ++end;
    digits.append(text.substr(0, end));
    text.remove_prefix(end);
  }
  if (digits.empty() || digits.size() > kMaxDigits) return std::nullopt;
  Rational value = from_decimal(digits);
  if (!text.empty() && (text[0] == 'e' || text[0] == 'E')) {
    const size_t sign = text.size() > 1 && (text[1] == '-' || text[1] == '+') ? 1 : 0;
    size_t end = 1 + sign;
    while (end < text.size() && is_digit(text[end])) ++end;
    if (end == 1 + sign || end > 6 + sign) return std::nullopt;
    const auto exponent = power(Rational(10), Integer(std::stoi(std::string(text.substr(1, end - 1)))));
    if (!exponent) return std::nullopt;
    value *= *exponent;
    text.remove_prefix(end);
  }
  return value;
}

}  // namespace

size_t num_bits(const Rational& value) {
  return bits_of(numerator(value)) + bits_of(denominator(value));
}

std::optional<Rational> checked(Rational value) {
  if (num_bits(value) > kMaxBits) return std::nullopt;
  return value;
}

std::optional<Rational> power(const Rational& base, const Integer& exponent) {
  if (exponent.is_zero()) return Rational(1);
  if (base.is_zero()) return exponent > 0 ? std::optional<Rational>(Rational(0)) : std::nullopt;
  if (base == 1) return base;
  if (base == -1) return bit_test(boost::multiprecision::abs(exponent), 0) ? base : Rational(1);
  const Integer size = boost::multiprecision::abs(exponent);
  if (size > Integer(kMaxBits) || size * Integer(num_bits(base)) > Integer(2 * kMaxBits)) return std::nullopt;
  const auto n = static_cast<unsigned>(size);
  const Integer top = boost::multiprecision::pow(Integer(numerator(base)), n),
                bottom = boost::multiprecision::pow(Integer(denominator(base)), n);
  return exponent > 0 ? Rational(top, bottom) : Rational(bottom, top);
}

std::optional<Rational> factorial(const Rational& n) {
  if (denominator(n) != 1 || n < 0 || n > 3500) return std::nullopt;
  Integer product = 1;
  for (unsigned k = 2, end = static_cast<unsigned>(numerator(n)); k <= end; ++k) product *= k;
  return Rational(product);
}

Rational from_decimal(std::string_view digits) {
  const size_t point = digits.find('.');
  std::string whole(digits.substr(0, point));
  size_t decimals = 0;
  if (point != std::string_view::npos) {
    decimals = digits.size() - point - 1;
    whole += digits.substr(point + 1);
  }
  const size_t first = whole.find_first_not_of('0');  // a leading 0 would be read as octal
  const Integer value(first == std::string::npos ? "0" : whole.substr(first));
  return decimals == 0 ? Rational(value) : Rational(value, power_of_ten(decimals));
}

std::optional<Rational> read_number(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  auto value = read_unsigned(text);
  if (value && !text.empty() && text[0] == '/') {
    text.remove_prefix(1);
    const auto bottom = read_unsigned(text);
    if (!bottom || bottom->is_zero()) return std::nullopt;
    value = *value / *bottom;
  }
  if (!value || !text.empty()) return std::nullopt;
  return negative ? -*value : *value;
}

}  // namespace cohort::math
