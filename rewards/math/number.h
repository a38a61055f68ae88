// Exact numbers, bounded: every operation that could grow without end checks the bits first.
#pragma once
#include <boost/multiprecision/cpp_int.hpp>
#include <optional>
#include <string_view>

namespace cohort::math {

using Integer = boost::multiprecision::number<boost::multiprecision::cpp_int_backend<>, boost::multiprecision::et_off>;
using Rational =
    boost::multiprecision::number<boost::multiprecision::rational_adaptor<boost::multiprecision::cpp_int_backend<>>,
                                  boost::multiprecision::et_off>;

inline constexpr size_t kMaxBits = 1 << 16;  // of numerator and denominator together
inline constexpr size_t kMaxDigits = 4000;   // of one number as written

size_t num_bits(const Rational& value);
std::optional<Rational> checked(Rational value);                               // none beyond kMaxBits
std::optional<Rational> power(const Rational& base, const Integer& exponent);  // none beyond kMaxBits and for 0^-n
std::optional<Rational> factorial(const Rational& n);  // none unless n is an integer in [0, 3500]

/// Digits with at most one point, as a fraction of powers of ten: "3.14" is 314/100. Digits alone, no sign.
Rational from_decimal(std::string_view digits);

/// A number as people write it, alone: sign, 1,234 groups, decimals, exponent, a/b. None for anything else.
std::optional<Rational> read_number(std::string_view text);

}  // namespace cohort::math
