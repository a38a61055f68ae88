// Where graders disagree: each convention both ways.
#include <gtest/gtest.h>

#include "rewards/math/equal.h"
#include "rewards/math/extract.h"
#include "rewards/math/parser.h"

namespace cohort::math {
namespace {

struct Convention {
  const char* gold;
  const char* answer;
  EqualOptions options;
  bool usual;  // the verdict without options; with them it is the other
};

bool same(const char* gold, const char* answer, const EqualOptions& options) {
  const auto a = parse(gold), b = parse(answer);
  EXPECT_TRUE(a && b) << gold << "   " << answer;
  return a && b && equal(*a, *b, options);
}

TEST(AccuracyConventions, EachOptionTurnsTheVerdict) {
  const Convention kCases[] = {
      {"25\\%", "0.25", {.percent = Mark::dropped}, true},
      {"25", "25\\%", {.percent = Mark::scales}, true},
      {"90^\\circ", "\\frac{\\pi}{2}", {.degrees = Mark::dropped}, true},
      {"90^\\circ", "90", {.degrees = Mark::scales}, true},
      {"1,2", "2,1", {.ordered_lists = true}, true},
      {"\\{1,2\\}", "1,2", {.loose_brackets = false}, true},
      {"(1,2)", "[1,2]", {.any_brackets = true}, false},
      {"\\frac13", "0.3333", {.digits = 4}, false},
      {"100", "99.5", {.tolerance = 0.01}, false},
      {"5\\text{ cm}", "5\\text{ kg}", {.match_units = true}, true},
      {"x=5", "y=5", {.strict_names = false}, false},
      {"x=5", "5", {.relations = Relations::strict}, true},
      {"(2,\\infty)", "x>2", {.relations = Relations::strict}, true},
      {"x>2", "(2,\\infty)", {.relations = Relations::asked}, true},
      {"\\frac{3}{x-1}, x\\ne1", "\\frac{3}{x-1}", {.relations = Relations::strict}, true},
      {"n=12", "N=12", {.match_case = true}, true},
      {"\\frac12", "\\frac24", {.simplified = true}, true},
      {"7", "3+4", {.simplified = true}, true},
      {"8", "2^3", {.simplified = true}, true},
      {"2", "\\sqrt4", {.simplified = true}, true},
      {"4210_5", "4210", {.strict_bases = true}, true},
      {"\\text{East}", "\\text{east}", {.match_case = true}, true},
      {"R^2", "r^2", {.fold_symbols = true}, false},
      {"|x|", "x", {.domain = SymbolDomain::positive}, false},
      {"\\sqrt{x^2}", "x", {.domain = SymbolDomain::real}, true},
      {"\\ln 5", "\\log 5", {.log_base = LogBase::ten}, true},
      {"\\log_{10} 5", "\\log 5", {.log_base = LogBase::e}, true},
  };
  for (const Convention& one : kCases) {
    EXPECT_EQ(same(one.gold, one.answer, {}), one.usual) << one.gold << "   " << one.answer;
    EXPECT_NE(same(one.gold, one.answer, one.options), one.usual) << one.gold << "   " << one.answer << " (option)";
  }
}

TEST(AccuracyConventions, WhatAnOptionLeavesAlone) {
  EXPECT_TRUE(same("\\frac12", "\\frac{1}{2}", {.simplified = true}));
  EXPECT_TRUE(same("1+\\sqrt2", "\\sqrt2+1", {.simplified = true}));
  EXPECT_TRUE(same("x>2", "2<x", {.relations = Relations::strict}));
  EXPECT_TRUE(same("(2,\\infty)", "x>2", {.relations = Relations::asked}));
  EXPECT_TRUE(same("4210_5", "555", {.strict_bases = true}));
  EXPECT_FALSE(same("4210_5", "4210_6", {}));
  EXPECT_FALSE(same("25\\%", "2500", {}));
}

TEST(AccuracyConventions, MixedFractionsAsProducts) {
  const auto sum = parse("2\\frac12"), product = parse("2\\frac12", {.mixed_fractions = false});
  ASSERT_TRUE(sum && product);
  EXPECT_TRUE(equal(*parse("5/2"), *sum, {}));
  EXPECT_TRUE(equal(*parse("1"), *product, {}));
}

TEST(AccuracyConventions, SeveralBoxesOrTheLast) {
  const char* text = "$x=\\boxed{2}$ or $x=\\boxed{3}$";
  EXPECT_EQ(extract_answer(text, {}).at(0), "2, 3");
  EXPECT_EQ(extract_answer(text, {.join_boxes = false}).at(0), "3");
}

}  // namespace
}  // namespace cohort::math
