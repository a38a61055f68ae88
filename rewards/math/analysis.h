// Derivatives, integrals, limits and infinite sums of a function that can only be evaluated. Each is computed twice, to
// different depth; how far the two lie apart is taken for the error. That is an estimate and no bound, but one on the
// safe side: too small an error can only tell equal values apart, since values are called the same only when they agree
// to some sixty bits.
#pragma once
#include <cmath>
#include <optional>
#include <vector>

namespace cohort::math {

enum class Side { below = -1, both = 0, above = 1 };

template <class Arithmetic>
struct Analysis {
  using A = Arithmetic;
  using Ball = typename A::Ball;
  using Real = typename A::Real;
  using Maybe = std::optional<Ball>;

  static Ball exactly(Real value) { return {std::move(value), 0, 0}; }
  static Maybe scaled(const Maybe& z, const Real& factor) {
    return z ? A::multiply(*z, exactly(factor)) : std::nullopt;
  }
  static Maybe plus(const Maybe& a, const Maybe& b) { return a && b ? A::add(*a, *b) : std::nullopt; }

  // `fine` with how far `coarse` lies from it as error, that brought down by 2^-bits.
  static Maybe settled(const Maybe& fine, const Maybe& coarse, int bits) {
    if (!fine || !coarse) return std::nullopt;
    Ball out = *fine;
    out.radius += ldexp(A::upper(Ball{fine->re - coarse->re, fine->im - coarse->im, 0}), -bits);
    return out;
  }

  // Central differences of step h and h/2, extrapolated once.
  template <class F>
  static Maybe derivative(const Ball& x, F f) {
    const auto difference = [&](int exponent) {
      const Real h = ldexp(Real(1), exponent);
      const auto up = A::add(x, exactly(h)), down = A::add(x, exactly(-h));
      const Maybe high = up ? f(*up) : std::nullopt, low = down ? f(*down) : std::nullopt;
      return scaled(plus(high, scaled(low, -1)), ldexp(Real(1), -exponent - 1));
    };
    const Maybe coarse = difference(-32), fine = difference(-33);
    return settled(scaled(plus(scaled(fine, 4), scaled(coarse, -1)), Real(1) / 3), fine, 24);
  }

  // Values at steps h, h/2, h/4 from the point (at 1/h, … for infinity), extrapolated to zero.
  template <class F>
  static Maybe limit(const Maybe& point, Real direction, F f) {
    std::vector<Maybe> values;
    for (int exponent : {-36, -37, -38}) {
      const Real h = ldexp(direction, exponent);
      const Maybe x = point ? A::add(*point, exactly(h)) : Maybe(exactly(1 / h));
      values.push_back(x ? f(*x) : std::nullopt);
    }
    const Maybe coarse = plus(scaled(values[1], 2), scaled(values[0], -1));
    const Maybe fine = scaled(plus(plus(values[0], scaled(values[1], -6)), scaled(values[2], 8)), Real(1) / 3);
    return settled(fine, coarse, 0);
  }

  // Levin's u-transform of the partial sums. D. Levin, Int. J. Comput. Math. B 3 (1973).
  template <class F>
  static Maybe series(long first, F term) {
    constexpr int kTerms = 36;
    std::vector<Ball> terms;
    for (int n = 0; n < kTerms; ++n) {
      const Maybe next = term(first + n);
      if (!next || A::lower(*next) <= next->radius || !next->is_real()) return std::nullopt;
      terms.push_back(*next);
    }
    const auto transformed = [&](int k) {
      Real top = 0, bottom = 0, sum = 0, choose = 1;
      for (int j = 0; j <= k; ++j) {
        sum += terms[static_cast<size_t>(j)].re;
        const Real weight = choose * pow(Real(j + 1), k - 2) / terms[static_cast<size_t>(j)].re * (j % 2 == 0 ? 1 : -1);
        top += weight * sum;
        bottom += weight;
        choose = choose * (k - j) / (j + 1);
      }
      return bottom.is_zero() ? Maybe() : Maybe(exactly(top / bottom));
    };
    return settled(transformed(kTerms - 1), transformed(kTerms - 3), 0);
  }

  // Tanh-sinh quadrature for a finite range, at steps of 1/8 and 1/16; exp-sinh and sinh-sinh for half and all of the
  // line, at half of those steps. H. Takahasi and M. Mori, Publ. RIMS 9 (1974).
  template <class F>
  static Maybe integral(const Maybe& low, const Maybe& high, F f) {
    if ((low && !low->is_real()) || (high && !high->is_real())) return std::nullopt;
    const bool infinite = !low || !high;
    Maybe even = exactly(0), odd = exactly(0);
    const size_t stride = infinite ? 1 : 2;
    const auto& all = abscissas();
    for (size_t i = 0; i < all.size(); i += stride) {
      const Abscissa& abscissa = all[i];
      const auto [x, weight] = node(low, high, abscissa);
      Maybe value = x ? f(*x) : std::nullopt;
      if (!value && infinite && abscissa.u > 8) break;  // so far out that it has no value any more
      if (!value && infinite && abscissa.u < -8) value = exactly(0);
      Maybe& sum = i / stride % 2 == 0 ? even : odd;
      sum = plus(sum, scaled(value, weight));
      if (!sum) return std::nullopt;
    }
    const Real step = Real(stride) / 32;
    const Maybe coarse = scaled(even, 2 * step), fine = scaled(plus(even, odd), step);
    const int agreed = coarse && fine ? agreement(*coarse, *fine) : 0;
    Maybe value = settled(fine, coarse, agreed / 2);  // halving the step doubles the digits; half of that is trusted
    if (value) value->radius += ldexp(A::upper(*value), -90);  // what lies beyond the first and the last step
    return value;
  }

 private:
  // A step of the rule, t in [-4.5, 4.5]: u = π/2 sinh t, du/dt, e^u and e^-u.
  struct Abscissa {
    Real u, slope, up, down;
  };

  static const std::vector<Abscissa>& abscissas() {
    static const std::vector<Abscissa> all = [] {
      std::vector<Abscissa> made;
      for (int i = -144; i <= 144; ++i) {
        const Real t = Real(i) / 32, u = A::pi() / 2 * sinh(t);
        const Real up = boost::multiprecision::exp(u);
        made.push_back({u, A::pi() / 2 * cosh(t), up, 1 / up});
      }
      return made;
    }();
    return all;
  }

  static std::pair<Maybe, Real> node(const Maybe& low, const Maybe& high, const Abscissa& at) {
    if (low && high) {  // measured from the nearer end
      const Real width = high->re - low->re, near = at.u < 0 ? at.up : at.down, part = near / (near + 1 / near);
      const auto shift = exactly(width * part * (at.u < 0 ? 1 : -1));
      return {A::add(at.u < 0 ? *low : *high, shift), width * 2 * part * (1 - part) * at.slope};
    }
    if (!low && !high) return {exactly((at.up - at.down) / 2), (at.up + at.down) / 2 * at.slope};
    return {low ? A::add(*low, exactly(at.up)) : A::add(*high, exactly(-at.up)), at.up * at.slope};
  }

  // Bits to which two values agree.
  static int agreement(const Ball& a, const Ball& b) {
    const Real size = A::upper(b), difference = A::upper(Ball{a.re - b.re, a.im - b.im, 0});
    if (difference.is_zero()) return 200;
    if (size.is_zero()) return 0;
    return std::max(0, -static_cast<int>(ilogb(Real(difference / size))));
  }
};

}  // namespace cohort::math
