// The state of one comparison: options, the budget that all its steps share, and the seed of its points.
// equal.cpp holds the ladder, values.cpp plain values; relations.cpp equations and assignments, sets.cpp sets of reals,
// collections.cpp lists and tuples, matrices.cpp and words.cpp what they say.
#pragma once
#include <optional>
#include <vector>

#include "rewards/math/equal.h"
#include "rewards/math/numeric.h"

namespace cohort::math {

bool identical(const Expr& a, const Expr& b);  // same tree; written digits and units do not count
bool is_bracketed(const Expr& expr);           // list, tuple or set
bool holds_matrix(const Expr& expr);
Expr without_memberships(Expr expr);
Expr without_domain(Expr expr);
bool is_simplified(const Expr& expr);
Expr without_bars(const Expr& relation);            // |x| < 3 as -3 < x < 3
Expr solved(const Expr& relation, Budget& budget);  // 2x + 1 < 5 as x < 2
Expr without_shared_terms(const Expr& sum, const Expr& other);
Expr with_symbol(const Expr& expr, const std::string& name, const Expr& value);  // the symbol replaced throughout
Expr with_builders_opened(const Expr& expr);                                     // {x | x = 2k, k in Z} as 2k, k in Z
Expr with_names_of(const Expr& gold, Expr answer);  // parameters and constants called as in the reference
std::optional<Expr> enumerated(const Expr& builder, Budget& budget);  // {x in Z | 1 <= x <= 4} as {1, 2, 3, 4}
std::optional<Expr> components(const Expr& expr, size_t size);        // 4i - k as (4, 0, -1)
Expr with_imaginary_as_axis(const Expr& expr, int value);
Expr numerator_of(const Expr& expr);  // over one denominator
bool divides_by_symbol(const Expr& expr);
Expr as_choices(const Expr& expr, bool names_c);
bool any_of(const Expr& expr, bool (*holds)(const Expr&));  // of the expression and everything below it

class Comparer {
 public:
  Comparer(const EqualOptions& options, uint64_t seed, Budget& budget)
      : options_(options), seed_(seed), budget_(budget) {}
  bool same(const Expr& gold, const Expr& answer);

 private:
  // equal.cpp
  bool same_units(const Expr& gold, const Expr& answer) const;
  bool same_names(const Expr& gold, const Expr& answer) const;

  // values.cpp
  bool values(const Expr& written_gold, const Expr& written_answer);
  bool ratios(const Expr& gold, const Expr& answer);
  bool is_rounded_to(const Expr& gold, const Rational& gold_value, const Expr* answer,
                     const Rational& answer_value) const;
  bool plain_values(const Expr& gold, const Expr& answer);
  bool free_values(const Expr& gold, const Expr& answer);
  bool differ_alike(const Expr& gold, const Expr& answer, Domain domain);
  bool close_enough(const Expr& gold, const Rational& gold_value, const Expr& answer,
                    const Rational& answer_value) const;
  Domain domain_of(const Expr& a, const Expr& b) const;

  // collections.cpp, matrices.cpp, words.cpp
  bool collections(const Expr& gold, const Expr& answer);
  bool ordered(const std::vector<Expr>& gold, const std::vector<Expr>& answer);
  bool unordered(const std::vector<Expr>& gold, const std::vector<Expr>& answer, bool distinct);
  bool is_distinct(const std::vector<Expr>& some);
  bool covers(const std::vector<Expr>& some, const std::vector<Expr>& all, bool swapped);
  std::optional<bool> vectors(const Expr& gold, const Expr& answer);  // none where neither is in unit vectors
  bool is_mixed_number(const Expr& gold, const Expr& answer);
  bool matrices(const Expr& gold, const Expr& answer);
  bool words(const Expr& gold, const Expr& answer);
  bool are_vectors(const Expr& gold, const Expr& answer);
  bool choices(const Expr& list, const Expr& run) const;

  // relations.cpp
  bool relations(const Expr& written_gold, const Expr& written_answer);
  bool equations(const Expr& gold, const Expr& answer);
  bool inequalities(const Expr& gold, const Expr& answer);
  bool relation_with_value(const Expr& relation, const Expr& value, bool relation_is_gold);

  // sets.cpp
  std::optional<bool> real_sets(const Expr& gold, const Expr& answer);  // none where one is no set of reals

  const EqualOptions& options_;
  uint64_t seed_;
  Budget& budget_;
  int depth_ = 0;
};

}  // namespace cohort::math
