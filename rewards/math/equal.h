// Whether two readings are the same answer: exact structure, exact rational arithmetic, certified numeric evaluation,
// else not equal. There is no absolute tolerance: a decimal reference sets the precision by its digits, and against an
// exact reference a rounded completion needs `digits` significant digits.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "rewards/math/evaluate.h"

namespace cohort::math {

enum class Mark { either, dropped, scales };  // 25% as 25 or 0.25, 90° as 90 or π/2: both, the first, the second
enum class SymbolDomain { automatic, positive, real };
// Whether x = 5 may stand for 5, x > 2 for (2, ∞) and 1/x for 1/x, x ≠ 0: both ways; both but for a reference that is
// an inequality; neither.
enum class Relations { loose, asked, strict };
enum class LogBase { either, e, ten };  // of log without a base

struct EqualOptions {
  Mark percent = Mark::either;
  Mark degrees = Mark::either;
  bool ordered_lists = false;
  bool loose_brackets = true;
  bool any_brackets = false;  // (1, 2) is [1, 2]
  int digits = 6;
  double tolerance = 0;  // relative; 0: the rule of digits
  bool match_units = false;
  bool strict_names = true;
  Relations relations = Relations::loose;
  bool simplified = false;    // 2/4 or 1 + 1 are no answers
  bool strict_bases = false;  // 4210_5 is 555 and not 4210
  bool match_case = false;    // of words
  bool fold_symbols = false;  // x is X
  SymbolDomain domain = SymbolDomain::automatic;
  LogBase log_base = LogBase::either;
};

/// `gold` is the reference. Deterministic; never throws for what the trees hold. What the comparison costs is taken
/// from the budget; where that runs out, the two are not equal.
bool equal(const Expr& gold, const Expr& answer, const EqualOptions& options, Budget& budget);
bool equal(const Expr& gold, const Expr& answer, const EqualOptions& options);

}  // namespace cohort::math
