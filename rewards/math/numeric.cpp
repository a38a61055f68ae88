#include "rewards/math/numeric.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>

#include "rewards/math/analysis.h"
#include "rewards/math/ball.h"

namespace cohort::math {
namespace {

uint64_t mixed(uint64_t x) {  // splitmix64
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

struct Point {
  Domain domain = Domain::positive;
  uint64_t seed = 0;
  int index = 0;
  bool parameters = false;  // all symbols but x, y and z keep their values from point to point
  bool closed = false;      // nothing is free: what falls below the precision would decide the verdict
};

template <unsigned Bits>
struct NumericField {
  using A = BallArithmetic<Bits>;
  using Value = typename A::Ball;
  using Real = typename A::Real;
  using Maybe = std::optional<Value>;
  struct Nothing {};
  // Not again with more digits: what 192 bits leave open costs too much there.
  using Analytic = std::conditional_t<Bits <= 256, Analysis<A>, Nothing>;
  static constexpr int64_t kCost = Bits > 256 ? 16 : 4;
  static constexpr int64_t kCallCost = Bits > 256 ? 1500 : 60;

  Point point;
  Budget& budget;
  bool sampled = false;  // a body at one of many points, whose values are summed or extrapolated, not judged

  static Maybe rational(const Rational& value) { return A::from(value); }
  Maybe add(const Value& a, const Value& b) const {
    return point.closed && !sampled && (hides(a, b) || hides(b, a)) ? std::nullopt : A::add(a, b);
  }
  static Maybe multiply(const Value& a, const Value& b) { return A::multiply(a, b); }
  static Maybe divide(const Value& a, const Value& b) { return A::divide(a, b); }
  static Maybe negate(const Value& a) { return A::negate(a); }
  static Maybe degrees(const Value& a) { return A::multiply(a, Value{A::pi() / 180, 0, A::epsilon()}); }

  static Maybe constant(const std::string& name) {
    if (name == "pi") return Value{A::pi(), 0, 4 * A::epsilon()};
    if (name == "e") return A::exp(A::from(1));
    if (name == "i") return A::imaginary();
    return std::nullopt;  // infinity is no number
  }

  // A value for a free symbol: the same for the same name, point and seed, and never a simple number.
  Maybe symbol(const std::string& name) const {
    if (name == "...") return std::nullopt;
    const bool fixed = point.parameters && name != "x" && name != "y" && name != "z";
    const uint64_t index = fixed ? 0 : static_cast<uint64_t>(point.index);
    const uint64_t bits = mixed(std::hash<std::string>()(name) ^ mixed(point.seed + index));
    const auto fraction = [](uint64_t b) { return Real(static_cast<int64_t>(b % 1'000'000'007)) / 1'000'000'007; };
    if (point.domain == Domain::integer) return A::from(static_cast<int>(3 + bits % 17));
    Real re = Real(0.25) + 3 * fraction(bits);
    if (index % 4 == 3) re *= 50;
    if (index % 4 == 1) re *= Real(0.25);
    if (point.domain != Domain::positive && (bits >> 40) % 2 == 1) re = -re;
    const Real im = point.domain == Domain::complex ? Real(fraction(mixed(bits)) * 2 - 1) : Real(0);
    return Value{re, im, A::epsilon() * 4};
  }

  // Whether b is something, and yet too little for the digits of a: π + 2^-1000.
  static bool hides(const Value& a, const Value& b) {
    return A::lower(b) > 2 * b.radius && A::upper(b) < ldexp(A::lower(a), 24 - static_cast<int>(Bits));
  }

  // Whether a function of z keeps too little of it: cos 10^-300 is no 1, tanh 1000 neither.
  bool loses(const std::string& name, const Value& z) const {
    if (!point.closed || sampled || name == "abs" || name == "Re" || name == "Im" || name == "conj" || name == "sgn")
      return false;
    const bool tiny = A::lower(z) > 2 * z.radius && A::upper(z) < ldexp(Real(1), -static_cast<int>(Bits) / 3);
    return tiny || ((name == "tanh" || name == "coth") && A::lower(z) > Bits / 4);
  }

  static std::optional<long> integer(const Value& z) {
    const auto whole = whole_part(z);
    if (!whole || abs(z.re - *whole) > z.radius + A::epsilon() || abs(*whole) > 1e9) return std::nullopt;
    return static_cast<long>(*whole);
  }

  // The nearest integer when z is that close to one, or else the floor.
  static std::optional<Real> whole_part(const Value& z) {
    if (!z.is_real() && abs(z.im) > z.radius) return std::nullopt;
    const Real nearest = floor(Real(z.re + Real(0.5)));
    const Real slack = 4 * z.radius + ldexp(Real(1), -static_cast<int>(Bits) / 2);
    return abs(z.re - nearest) <= slack ? nearest : Real(floor(z.re));
  }

  // z to a whole power by squaring.
  static Maybe whole_power(Value z, long n) {
    if (n < 0) {
      const auto inverse = A::divide(A::from(1), z);
      if (!inverse) return std::nullopt;
      z = *inverse;
      n = -n;
    }
    Maybe result = A::from(1), square = z;
    for (; n > 0 && result; n >>= 1) {
      if (n & 1) result = square ? A::multiply(*result, *square) : std::nullopt;
      if (n > 1 && square) square = A::multiply(*square, *square);
    }
    return result;
  }

  Maybe power(const Value& base, const Value& exponent) const {
    if (loses("exp", exponent)) return std::nullopt;
    if (const auto n = integer(exponent); n && std::abs(*n) <= 1'000'000) {
      if (*n == 0 && A::lower(base) <= base.radius) return std::nullopt;
      if (!budget.take(kCost * std::bit_width(static_cast<uint64_t>(std::abs(*n))) / 2)) return std::nullopt;
      return whole_power(base, *n);
    }
    if (!budget.take(2 * kCallCost)) return std::nullopt;
    if (base.is_real() && base.re < 0 && exponent.is_real()) {  // an odd root of a negative number is taken as real
      for (int q : {3, 5, 7, 9}) {
        const auto scaled = A::multiply(exponent, A::from(q));
        const auto top = scaled ? integer(*scaled) : std::nullopt;
        if (!top) continue;
        const auto size = real_power(A::negate(base), exponent);
        return size && (*top % 2 != 0) ? Maybe(A::negate(*size)) : size;
      }
    }
    return real_power(base, exponent);
  }

  static Maybe real_power(const Value& base, const Value& exponent) {
    if (A::upper(base).is_zero() && exponent.re > exponent.radius) return A::from(0);
    const auto log = A::log(base);
    const auto scaled = log ? A::multiply(*log, exponent) : std::nullopt;
    return scaled ? A::exp(*scaled) : std::nullopt;
  }

  Maybe root(const Value& inside, const Value& degree) const {
    const auto n = integer(degree);
    if (!budget.take(kCallCost)) return std::nullopt;
    if (n == 2) return A::sqrt(inside);
    const auto exponent = A::divide(A::from(1), degree);
    return exponent ? power(inside, *exponent) : std::nullopt;
  }

  Maybe call(const std::string& name, const std::vector<Value>& v) const {
    if (v.size() == 2) return call_two(name, v[0], v[1]);
    if (v.size() != 1) return name == "max" || name == "min" ? extreme(name, v) : std::nullopt;
    const Value& z = v[0];
    if (loses(name, z)) return std::nullopt;
    if (name.starts_with("arc")) return inverse(name, z);
    if (name == "ln" || name == "log") return A::log(z);
    if (name == "lg") return ratio(A::log(z), A::log(A::from(10)));
    if (name == "exp") return A::exp(z);
    if (name == "cis") return A::exp({-z.im, z.re, z.radius});
    if (name == "abs") return absolute(z);
    if (name == "floor" || name == "ceil" || name == "round" || name == "!") return whole_call(name, z);
    if (name == "arg") {
      const auto log = A::log(z);
      return log ? Maybe(Value{log->im, 0, log->radius}) : std::nullopt;
    }
    if (name == "conj") return Value{z.re, -z.im, z.radius};
    if (name == "Re") return Value{z.re, 0, z.radius};
    if (name == "Im") return Value{z.im, 0, z.radius};
    if (name == "sgn" && z.is_real() && abs(z.re) > z.radius) return A::from(z.re > 0 ? 1 : -1);
    if (name.size() == 4 || name == "sech" || name == "csch") return hyperbolic(name, z);
    return circular(name, z);
  }

  Maybe call_two(const std::string& name, const Value& a, const Value& b) const {
    if (name == "log" || name == "ln") return ratio(A::log(a), A::log(b));
    if (name == "max" || name == "min") return extreme(name, {a, b});
    if (name == "binom") return binomial(a, b);
    if (name == "gcd" || name == "lcm") return common(name, a, b);
    if (name != "mod") return std::nullopt;
    const auto quotient = A::divide(a, b);
    const auto whole = quotient ? whole_part(*quotient) : std::nullopt;
    const auto part = whole ? A::multiply(b, Value{*whole, 0, 0}) : std::nullopt;
    return part ? A::add(a, A::negate(*part)) : std::nullopt;
  }

  static Maybe common(const std::string& name, const Value& a, const Value& b) {
    const auto m = integer(a), n = integer(b);
    if (!m || !n || *m == 0 || *n == 0) return std::nullopt;
    const long divisor = std::gcd(*m, *n);
    const long value = name == "gcd" ? divisor : std::abs(*m / divisor * *n);
    return std::abs(value) > 1'000'000'000 ? std::nullopt : Maybe(A::from(static_cast<int>(value)));
  }

  static Maybe ratio(const Maybe& a, const Maybe& b) { return a && b ? A::divide(*a, *b) : std::nullopt; }

  static Maybe extreme(const std::string& name, const std::vector<Value>& v) {
    if (v.empty() || !std::all_of(v.begin(), v.end(), [](const Value& z) { return z.is_real(); })) return std::nullopt;
    const auto less = [](const Value& a, const Value& b) { return a.re < b.re; };
    return name == "max" ? *std::max_element(v.begin(), v.end(), less) : *std::min_element(v.begin(), v.end(), less);
  }

  static Maybe absolute(const Value& z) {
    if (z.is_real()) return Value{abs(z.re), 0, z.radius};
    const auto square = A::multiply(z, Value{z.re, -z.im, z.radius});  // z times its conjugate
    return square ? A::sqrt(Value{square->re, 0, square->radius}) : std::nullopt;
  }

  Maybe binomial(const Value& a, const Value& b) const {
    const auto n = integer(a), k = integer(b);
    if (!n || !k || *n < 0 || *n > 3500 || !budget.take(*n * kCost)) return std::nullopt;
    Maybe value = A::from(*k < 0 || *k > *n ? 0 : 1);
    for (long i = 1; value && i <= std::min(*k, *n - *k); ++i) {
      const auto next = A::multiply(*value, A::from(static_cast<int>(*n - i + 1)));
      value = next ? A::divide(*next, A::from(static_cast<int>(i))) : std::nullopt;
    }
    return value;
  }

  Maybe whole_call(const std::string& name, const Value& z) const {
    if (name == "!") {
      const auto n = integer(z);
      if (!n || *n < 0 || *n > 3500 || !budget.take(*n * kCost)) return std::nullopt;
      Maybe value = A::from(1);
      for (int k = 2; value && k <= *n; ++k) value = A::multiply(*value, A::from(k));
      return value;
    }
    if (!z.is_real()) return std::nullopt;
    const Real shift = name == "round" ? Real(0.5) : Real(0);
    const auto whole = whole_part(name == "ceil" ? A::negate(z) : Value{z.re + shift, 0, z.radius});
    if (!whole) return std::nullopt;
    return Value{name == "ceil" ? Real(-*whole) : *whole, 0, 0};
  }

  static Maybe circular(const std::string& name, const Value& z) {
    const auto sine = A::sine(z, false), cosine = A::sine(z, true);
    if (name == "sin") return sine;
    if (name == "cos") return cosine;
    if (name == "tan") return ratio(sine, cosine);
    if (name == "cot") return ratio(cosine, sine);
    if (name == "sec") return ratio(A::from(1), cosine);
    if (name == "csc") return ratio(A::from(1), sine);
    return std::nullopt;
  }

  static Maybe hyperbolic(const std::string& name, const Value& z) {
    const auto up = A::exp(z), down = A::exp(A::negate(z));
    if (!up || !down) return std::nullopt;
    const auto twice_sinh = A::add(*up, A::negate(*down)), twice_cosh = A::add(*up, *down);
    if (name == "sinh") return ratio(twice_sinh, A::from(2));
    if (name == "cosh") return ratio(twice_cosh, A::from(2));
    if (name == "tanh") return ratio(twice_sinh, twice_cosh);
    if (name == "coth") return ratio(twice_cosh, twice_sinh);
    if (name == "sech") return ratio(A::from(2), twice_cosh);
    if (name == "csch") return ratio(A::from(2), twice_sinh);
    return std::nullopt;
  }

  static Maybe square_plus(const Value& z, int sign, int constant) {  // sign · z² + constant
    const auto square = A::multiply(z, z);
    return square ? A::add(sign > 0 ? *square : A::negate(*square), A::from(constant)) : std::nullopt;
  }

  static Maybe inverse(const std::string& name, const Value& z) {
    if (name == "arctan") return A::arctan(z);
    const auto reciprocal = [&] { return A::divide(A::from(1), z); };
    if (name == "arccot") return ratio_call("arctan", reciprocal());
    if (name == "arcsec") return ratio_call("arccos", reciprocal());
    if (name == "arccsc") return ratio_call("arcsin", reciprocal());
    if (name == "arcsin" || name == "arccos") return arcsine(z, name == "arccos");
    if (name == "arctanh") {
      const auto high = A::add(A::from(1), z), low = A::add(A::from(1), A::negate(z));
      const auto a = high ? A::log(*high) : std::nullopt, b = low ? A::log(*low) : std::nullopt;
      const auto difference = a && b ? A::add(*a, A::negate(*b)) : std::nullopt;
      return difference ? A::divide(*difference, A::from(2)) : std::nullopt;
    }
    if (name != "arcsinh" && name != "arccosh") return std::nullopt;
    const auto inside = square_plus(z, 1, name == "arcsinh" ? 1 : -1);
    const auto root = inside ? A::sqrt(*inside) : std::nullopt;
    const auto total = root ? A::add(z, *root) : std::nullopt;
    return total ? A::log(*total) : std::nullopt;
  }

  static Maybe ratio_call(const std::string& name, const Maybe& z) { return z ? inverse(name, *z) : std::nullopt; }

  // arcsin z = -i log(iz + sqrt(1 - z²)); arccos z = pi/2 - arcsin z. Real values stay real inside [-1, 1].
  static Maybe arcsine(const Value& z, bool cosine) {
    const auto inside = square_plus(z, -1, 1);
    const auto root = inside ? A::sqrt(*inside) : std::nullopt;
    const auto turned = root ? A::add({-z.im, z.re, z.radius}, *root) : std::nullopt;
    const auto log = turned ? A::log(*turned) : std::nullopt;
    if (!log) return std::nullopt;
    const bool real = z.is_real() && abs(z.re) <= 1;
    const Value sine{log->im, real ? Real(0) : Real(-log->re), log->radius};
    return cosine ? A::add({A::pi() / 2, 0, A::epsilon() * 4}, A::negate(sine)) : Maybe(sine);
  }
};

template <unsigned Bits>
using Ball = typename BallArithmetic<Bits>::Ball;

// Disjoint balls differ; balls far narrower than the values (or, at the last precision, than one) are the same.
template <unsigned Bits>
Relation compare_balls(const Ball<Bits>& a, const Ball<Bits>& b, bool last) {
  using A = BallArithmetic<Bits>;
  const auto difference = A::lower(Ball<Bits>{a.re - b.re, a.im - b.im, 0});
  const auto radius = a.radius + b.radius;
  if (difference > 2 * radius) return Relation::different;
  const auto size = std::max(A::upper(a), A::upper(b));
  const auto fine = ldexp(typename A::Real(1), -static_cast<int>(Bits) / 3);
  if (radius <= fine * size || radius.is_zero() || (last && radius <= fine)) return Relation::same;
  return Relation::unknown;
}

template <unsigned Bits>
std::optional<Ball<Bits>> evaluate(const Expr& expr, const Point& point, Budget& budget) {
  NumericField<Bits> field{point, budget};
  return Evaluator<NumericField<Bits>>(field, budget)(expr);
}

constexpr unsigned kBits = 192, kMoreBits = 768;

template <unsigned Bits>
Relation compare_at(const Expr& a, const Expr& b, const Point& point, Budget& budget) {
  const auto left = evaluate<Bits>(a, point, budget);
  const auto right = evaluate<Bits>(b, point, budget);
  if (!left || !right) {  // among whole numbers n!/(n-k)! may exist at some points where the binomial does, not at all
    const bool both = left.has_value() == right.has_value();
    return both || point.domain == Domain::integer ? Relation::undefined : Relation::different;
  }
  const Relation relation = compare_balls<Bits>(*left, *right, Bits == kMoreBits);
  const auto off_line = [](const auto& z) { return abs(z.im) > z.radius; };
  const bool beyond = !point.closed && point.domain != Domain::complex && off_line(*left) && off_line(*right);
  return relation == Relation::different && beyond ? Relation::undefined : relation;  // two branches of a logarithm
}

// Points tried, points that must agree.
constexpr int kMaxTries = 12, kAgree = 4;

}  // namespace

Relation compare_numeric(const Expr& a, const Expr& b, Domain domain, uint64_t seed, Budget& budget) {
  const bool closed = !has_symbols(a) && !has_symbols(b);
  int agreed = 0;
  const int tries = domain == Domain::integer ? 3 * kMaxTries : kMaxTries;  // n!/(n - k)! has no value at every point
  for (int index = 0; index < tries && agreed < (closed ? 1 : kAgree); ++index) {
    const Point point{domain, seed, index, false, closed};
    Relation relation = compare_at<kBits>(a, b, point, budget);
    if (relation == Relation::unknown) relation = compare_at<kMoreBits>(a, b, point, budget);
    if (budget.steps < 0) return Relation::unknown;
    if (relation == Relation::different) return relation;
    if (relation == Relation::same)
      ++agreed;
    else if (closed)
      break;
  }
  return agreed >= (closed ? 1 : 3) ? Relation::same : Relation::unknown;
}

Relation compare_proportional(const Expr& a, const Expr& b, bool positive, Domain domain, uint64_t seed, Budget& budget,
                              bool parameters) {
  using A = BallArithmetic<kBits>;
  std::vector<std::pair<Ball<kBits>, Ball<kBits>>> values;
  for (int index = 0; index < kMaxTries && values.size() < 4; ++index) {
    const Point point{domain, seed, index, parameters};
    const auto left = evaluate<kBits>(a, point, budget), right = evaluate<kBits>(b, point, budget);
    if (budget.steps < 0) return Relation::unknown;
    if (!left || !right) continue;
    const bool zero_left = A::lower(*left) <= left->radius, zero_right = A::lower(*right) <= right->radius;
    if (zero_left != zero_right) return Relation::different;
    if (!zero_left) values.emplace_back(*left, *right);
  }
  if (values.size() < 3) return Relation::unknown;
  for (size_t i = 1; i < values.size(); ++i) {
    const auto left = A::multiply(values[0].first, values[i].second),
               right = A::multiply(values[i].first, values[0].second);
    if (!left || !right) return Relation::unknown;
    const Relation relation = compare_balls<kBits>(*left, *right, true);
    if (relation != Relation::same) return relation;
  }
  const auto quotient = A::divide(values[0].first, values[0].second);
  if (positive && (!quotient || quotient->re <= 0)) return Relation::different;
  return Relation::same;
}

std::optional<Rational> approximate(const Expr& expr, Budget& budget) {
  if (has_symbols(expr)) return std::nullopt;
  const auto value = evaluate<kBits>(expr, {.closed = true}, budget);
  if (!value || abs(value->im) > value->radius * 2) return std::nullopt;
  if (abs(value->re) > 1e300 || (abs(value->re) < 1e-300 && !value->re.is_zero())) return std::nullopt;
  return Rational(value->re);
}

}  // namespace cohort::math
