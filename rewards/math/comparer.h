// The state of one comparison: options, the budget that all its steps share, and the seed of its points.
// equal.cpp holds the ladder and plain values, relations.cpp equations and assignments, sets.cpp sets of reals.
#pragma once
#include <optional>
#include <vector>

#include "rewards/math/equal.h"
#include "rewards/math/numeric.h"

namespace cohort::math {

bool identical(const Expr& a, const Expr& b);  // same tree; written digits and units do not count
bool has_symbols(const Expr& expr);
bool any_of(const Expr& expr, bool (*holds)(const Expr&));  // of the expression and everything below it

class Comparer {
 public:
  Comparer(const EqualOptions& options, uint64_t seed) : options_(options), seed_(seed) {}
  bool same(const Expr& gold, const Expr& answer);

 private:
  // equal.cpp
  bool same_units(const Expr& gold, const Expr& answer) const;
  bool values(const Expr& gold, const Expr& answer);
  bool ratios(const Expr& gold, const Expr& answer);
  bool plain_values(const Expr& gold, const Expr& answer);
  bool free_values(const Expr& gold, const Expr& answer);
  bool close_enough(const Expr& gold, const Rational& gold_value, const Expr& answer, const Rational& answer_value) const;
  bool words(const Expr& gold, const Expr& answer);
  bool collections(const Expr& gold, const Expr& answer);
  bool ordered(const std::vector<Expr>& gold, const std::vector<Expr>& answer);
  bool unordered(const std::vector<Expr>& gold, const std::vector<Expr>& answer, bool distinct);
  bool covers(const std::vector<Expr>& some, const std::vector<Expr>& all, bool swapped);
  bool matrices(const Expr& gold, const Expr& answer);
  Domain domain_of(const Expr& a, const Expr& b) const;

  // relations.cpp
  bool relations(const Expr& gold, const Expr& answer);
  bool equations(const Expr& gold, const Expr& answer);
  bool inequalities(const Expr& gold, const Expr& answer);
  bool relation_with_value(const Expr& relation, const Expr& value, bool relation_is_gold);

  // sets.cpp
  std::optional<bool> real_sets(const Expr& gold, const Expr& answer);  // none where one is no set of reals

  const EqualOptions& options_;
  uint64_t seed_;
  Budget budget_;
  int depth_ = 0;
};

}  // namespace cohort::math
