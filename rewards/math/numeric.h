// Certified numeric evaluation: every value carries a bound on its error, and two values are told apart only when their
// balls are disjoint, or called the same only when the balls are far narrower than the values. What 192 bits cannot
// decide is evaluated again with 768.
#pragma once
#include <optional>

#include "rewards/math/evaluate.h"

namespace cohort::math {

enum class Domain { positive, real, complex, integer };  // where free symbols take their values

// undefined: neither side has a value; unknown: out of bounds or out of budget
enum class Relation { same, different, undefined, unknown };

/// Compares two expressions at points drawn for their free symbols from `seed`; same means at every point.
Relation compare_numeric(const Expr& a, const Expr& b, Domain domain, uint64_t seed, Budget& budget);

/// Whether a = c · b for one constant c != 0 (c > 0 when `positive`), at points as above. With `parameters` only x, y
/// and z vary, so that c may depend on the other symbols.
Relation compare_proportional(const Expr& a, const Expr& b, bool positive, Domain domain, uint64_t seed, Budget& budget,
                              bool parameters = false);

/// A real closed expression to 150 bits; none when it has free symbols or is not real.
std::optional<Rational> approximate(const Expr& expr, Budget& budget);

}  // namespace cohort::math
