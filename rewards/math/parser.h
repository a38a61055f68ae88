// Mathematical text (LaTeX, plain, or a mixture) into a tree.
#pragma once
#include <optional>
#include <string_view>

#include "rewards/math/expression.h"

namespace cohort::math {

struct ParseOptions {
  bool decimal_comma = false;
  bool mixed_fractions = true;  // 1\frac12 is 3/2, else 1/2
};

inline constexpr size_t kMaxLength = 10'000;  // bytes of one expression
inline constexpr int kMaxDepth = 100;         // of nested brackets, fractions, powers
inline constexpr size_t kMaxNodes = 4'000;

/// None for what is no expression, list, set, relation, matrix or single word, and beyond the bounds above.
std::optional<Expr> parse(std::string_view text, ParseOptions options = {});

}  // namespace cohort::math
