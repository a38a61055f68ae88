// Complex balls: a midpoint and a bound on the distance to the true value.
// Each operation is given the exact midpoints' result, the propagated radius, and rounding of a few units in the last place.
#pragma once
#include <boost/multiprecision/cpp_bin_float.hpp>
#include <optional>

#include "rewards/math/number.h"

namespace cohort::math {

template <unsigned Bits>
struct BallArithmetic {
  using Real = boost::multiprecision::number<boost::multiprecision::cpp_bin_float<Bits, boost::multiprecision::digit_base_2>, boost::multiprecision::et_off>;
  struct Ball {
    Real re = 0, im = 0, radius = 0;
    bool is_real() const { return im.is_zero(); }
  };
  using Maybe = std::optional<Ball>;

  static const Real& epsilon() {
    static const Real value = ldexp(Real(1), -static_cast<int>(Bits) + 6);
    return value;
  }
  static const Real& pi() {
    static const Real value = 4 * atan(Real(1));
    return value;
  }

  static Real upper(const Ball& z) { return abs(z.re) + abs(z.im); }                // >= |z|
  static Real lower(const Ball& z) { return std::max<Real>(abs(z.re), abs(z.im)); }  // <= |z|

  static Maybe checked(Real re, Real im, Real radius) {
    if (!isfinite(re) || !isfinite(im) || !isfinite(radius)) return std::nullopt;
    return Ball{std::move(re), std::move(im), std::move(radius)};
  }
  // A result with its propagated radius; rounding is added.
  static Maybe rounded(Real re, Real im, const Real& radius) {
    const Real rounding = epsilon() * (abs(re) + abs(im));
    return checked(std::move(re), std::move(im), radius + rounding);
  }

  static Ball from(const Rational& value) {
    const Real real = Real(numerator(value)) / Real(denominator(value));
    return {real, 0, epsilon() * abs(real)};
  }
  static Ball from(int value) { return {Real(value), 0, 0}; }
  static Ball imaginary() { return {0, 1, 0}; }

  static Maybe add(const Ball& a, const Ball& b) { return rounded(a.re + b.re, a.im + b.im, a.radius + b.radius); }
  static Ball negate(const Ball& a) { return {-a.re, -a.im, a.radius}; }

  static Maybe multiply(const Ball& a, const Ball& b) {
    const Real radius = upper(a) * b.radius + upper(b) * a.radius + a.radius * b.radius;
    if (a.is_real() && b.is_real()) {
      const Real product = a.re * b.re;
      if (product.is_zero() && !a.re.is_zero() && !b.re.is_zero()) return std::nullopt;  // underflow is no zero
      return rounded(product, 0, radius);
    }
    return checked(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re, radius + epsilon() * upper(a) * upper(b));
  }

  static Maybe divide(const Ball& a, const Ball& b) {
    const Real room = lower(b) - b.radius;
    if (room <= 0) return std::nullopt;
    if (a.is_real() && b.is_real()) {
      const Real q = a.re / b.re;
      if (q.is_zero() && !a.re.is_zero()) return std::nullopt;
      return rounded(q, 0, (a.radius + abs(q) * b.radius) / room);
    }
    const Real norm = b.re * b.re + b.im * b.im;
    const Real re = (a.re * b.re + a.im * b.im) / norm, im = (a.im * b.re - a.re * b.im) / norm;
    const Real size = upper(a) / lower(b);
    return checked(re, im, (a.radius + 2 * size * b.radius) / room + 4 * epsilon() * size);
  }

  static Maybe exp(const Ball& z) {
    if (z.radius > Real(0.5) || abs(z.re) > 1e8) return std::nullopt;
    const Real size = boost::multiprecision::exp(z.re);
    const Real radius = size * (2 * z.radius + epsilon() * (2 + upper(z)));
    if (z.is_real()) return checked(size, 0, radius);
    return checked(size * boost::multiprecision::cos(z.im), size * boost::multiprecision::sin(z.im), 2 * radius);
  }

  // On the cut the value from above is taken; what is real but for its radius counts as real.
  static Ball on_cut(Ball z) {
    if (z.re < 0 && abs(z.im) <= z.radius) z.im = 0;
    return z;
  }

  static Maybe log(const Ball& input) {
    const Ball z = on_cut(input);
    const Real size = lower(z);
    if (size <= 2 * z.radius) return std::nullopt;
    const Real modulus = z.is_real() ? abs(z.re) : Real(boost::multiprecision::sqrt(z.re * z.re + z.im * z.im));
    const Real re = boost::multiprecision::log(modulus);
    const Real im = z.is_real() ? (z.re < 0 ? pi() : Real(0)) : Real(boost::multiprecision::atan2(z.im, z.re));
    return checked(re, im, 2 * z.radius / size + epsilon() * (1 + abs(re) + abs(im)));
  }

  static Maybe sqrt(const Ball& input) {
    const Ball z = on_cut(input);
    const Real size = lower(z);
    if (size <= z.radius) return checked(0, 0, 2 * boost::multiprecision::sqrt(Real(upper(z) + z.radius)));
    if (z.is_real()) {
      const Real root = boost::multiprecision::sqrt(Real(abs(z.re)));
      return z.re >= 0 ? rounded(root, 0, z.radius / root) : rounded(0, root, z.radius / root);
    }
    const Real modulus = boost::multiprecision::sqrt(Real(z.re * z.re + z.im * z.im));
    const Real part = boost::multiprecision::sqrt(Real((modulus + abs(z.re)) / 2));
    const Real other = abs(z.im) / (2 * part);
    const Real re = z.re >= 0 ? part : other, im = z.re >= 0 ? other : part;
    return rounded(re, z.im < 0 ? Real(-im) : im, 2 * z.radius / boost::multiprecision::sqrt(size));
  }

  // sin (or cos) of a real by Boost, of a complex by exponentials.
  static Maybe sine(const Ball& z, bool cosine) {
    if (z.is_real()) {
      const Real value = cosine ? Real(boost::multiprecision::cos(z.re)) : Real(boost::multiprecision::sin(z.re));
      return checked(value, 0, z.radius + epsilon() * (1 + abs(z.re)));
    }
    const auto up = exp({-z.im, z.re, z.radius}), down = exp({z.im, -z.re, z.radius});
    if (!up || !down) return std::nullopt;
    const auto both = cosine ? add(*up, *down) : add(*up, negate(*down));
    return both ? divide(*both, cosine ? Ball{2, 0, 0} : Ball{0, 2, 0}) : std::nullopt;
  }

  static Maybe arctan(const Ball& z) {
    if (z.is_real()) return checked(boost::multiprecision::atan(z.re), 0, z.radius + 2 * epsilon());
    const Ball iz{-z.im, z.re, z.radius};
    const auto low = add(from(1), negate(iz)), high = add(from(1), iz);
    const auto a = low ? log(*low) : std::nullopt, b = high ? log(*high) : std::nullopt;
    const auto difference = a && b ? add(*a, negate(*b)) : std::nullopt;
    return difference ? multiply(*difference, Ball{0, Real(0.5), 0}) : std::nullopt;
  }
};

}  // namespace cohort::math
