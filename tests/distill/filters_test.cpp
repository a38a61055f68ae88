// Each filter drops what it is for and nothing beside it; the choice among traces by hand-counted cases and by brute
// force.
#include "distill/traces/filters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace cohort {
namespace {

Task asks(const std::string& text) {
  return {.id = text, .prompt = {{"user", text}}};
}

/// By filters alone, without evaluation sets; "" where all pass.
std::string dropped(const TraceFilters& filters, const std::string& completion, int64_t num_tokens = 10) {
  const char* reason = dropped_by(filters, {}, "prompt", completion, num_tokens);
  return reason ? reason : "";
}

TEST(Filters, WithoutSettingsEverythingPasses) {
  for (const char* text : {"", "x", "a a a a a a a a a a a a a a a a a a a a", "so 因为 потому"})
    EXPECT_EQ(dropped({}, text, 0), "") << text;
  EXPECT_EQ(dropped({}, "x", 1'000'000), "");
}

TEST(Filters, LengthIsInTokensAndItsEndsAreInside) {
  const TraceFilters filters{.min_tokens = 5, .max_tokens = 8};
  EXPECT_EQ(dropped(filters, "x", 4), "too_short");
  EXPECT_EQ(dropped(filters, "x", 5), "");
  EXPECT_EQ(dropped(filters, "x", 8), "");
  EXPECT_EQ(dropped(filters, "x", 9), "too_long");
}

TEST(Filters, MixedLanguagesAreDroppedAndMathBelongsToNone) {
  const TraceFilters filters{.language = "en", .min_language_share = 0.8};
  EXPECT_EQ(dropped(filters, "so we add three and four to get 7"), "");
  EXPECT_EQ(dropped(filters, "so we add 三 和 四"), "mixed_language");
  EXPECT_EQ(dropped(filters, "so we add one and two and three and 四"), "");  // eight of nine
  EXPECT_EQ(dropped(filters, "3 + 4 = 7, $\\alpha$"), "");
  EXPECT_EQ(dropped({.language = "zh"}, "so we add"), "mixed_language");
}

TEST(Filters, RepetitionIsTheShareOfNgramsThatCameBefore) {
  const TraceFilters filters{.repetition_ngram = 2, .max_repetition = 0.5};
  EXPECT_EQ(dropped(filters, "a b a b a"), "");              // 2 of 4 n-grams came before: not more than half
  EXPECT_EQ(dropped(filters, "a b a b a b"), "repetitive");  // 3 of 5
  EXPECT_EQ(dropped(filters, "wait, wait, wait, wait,"), "repetitive");
  EXPECT_EQ(dropped({.repetition_ngram = 8, .max_repetition = 0.1}, "a b a b a b"), "");  // too short for one
}

const std::string kThirteen = "one two three four five six seven eight nine ten eleven twelve thirteen";

TEST(Filters, ThirteenWordsOfAnEvaluationSetContaminate) {
  const std::vector<Task> evaluation = {asks("Well: " + kThirteen + " and more."), asks("3 + 4 = ?")};
  const EvaluatedText evaluated = evaluated_text(evaluation, 13);
  EXPECT_TRUE(is_contaminated(evaluated, "p",
                              "Recall ONE, two; three-four five six seven eight nine ten eleven (twelve) "
                              "thirteen!"));
  EXPECT_TRUE(is_contaminated(evaluated, "Say " + kThirteen, "c"));
  EXPECT_FALSE(is_contaminated(evaluated, "p", kThirteen.substr(4)));  // twelve of them
  EXPECT_FALSE(is_contaminated(evaluated, "p", "two one " + kThirteen.substr(8)));
}

TEST(Filters, AShortPromptOfAnEvaluationSetCountsAsAWhole) {
  const std::vector<Task> evaluation = {asks("3 + 4 = ?")};
  const EvaluatedText evaluated = evaluated_text(evaluation, 13);
  EXPECT_TRUE(is_contaminated(evaluated, " 3  + 4 = ?", "7"));
  EXPECT_FALSE(is_contaminated(evaluated, "3 - 4 = ?", "7")) << "operators count";
  EXPECT_FALSE(is_contaminated(evaluated, "p", "3 + 4 = ?")) << "in a completion it is chance";
  EXPECT_FALSE(is_contaminated(evaluated_text({}, 13), "3 + 4 = ?", "7"));
}

TEST(Filters, WhatATemplatePutsAroundAPromptIsNotWhatIsAsked) {
  const TaskSource source{.reference = "x",
                          .chat = true,
                          .system_prompt = "Be kind.",
                          .prompt_template = kThirteen + " {prompt} " + kThirteen};
  Task task{.id = "t", .prompt = {{"", "3 + 4"}}};
  apply_prompt_template(source, task);
  EXPECT_EQ(asked_text(task), "3 + 4");
  const EvaluatedText evaluated = evaluated_text({&task, 1}, 13);
  EXPECT_FALSE(is_contaminated(evaluated, "5 + 5", kThirteen));
  EXPECT_TRUE(is_contaminated(evaluated, "3 + 4", "7"));
}

TEST(Similarity, JaccardOfSetsOfNgrams) {
  const auto a = ngram_set("a b c d e", 2), b = ngram_set("a b c d x", 2);  // ab bc cd de | ab bc cd dx
  EXPECT_DOUBLE_EQ(jaccard(a, b), 3.0 / 5);
  EXPECT_EQ(jaccard(a, a), 1);
  EXPECT_EQ(jaccard({}, {}), 0);
  EXPECT_EQ(ngram_set("A b", 5), ngram_set("a  B", 5)) << "short texts are compared as wholes";
  EXPECT_EQ(ngram_set("a b", 5).size(), 1U);
}

TEST(Similarity, ADroppedTextDropsNoOther) {
  const auto set = [](uint64_t first) {  // ten elements from `first` on
    std::vector<uint64_t> s(10);
    std::iota(s.begin(), s.end(), first);
    return s;
  };
  const std::vector<std::vector<uint64_t>> sets = {set(0), set(1), set(2), {}, {}, set(100)};
  EXPECT_EQ(near_duplicates(sets, 0.7), (std::vector<bool>{false, true, false, false, false, false}));
  EXPECT_EQ(near_duplicates(sets, 0.6), (std::vector<bool>{false, true, true, false, false, false}));
  EXPECT_EQ(near_duplicates(sets, 9.0 / 11), std::vector<bool>(6, false)) << "no more than the threshold";
}

TEST(Similarity, AgreesWithComparingAllPairs) {
  std::mt19937 random(3);
  std::vector<std::vector<uint64_t>> sets;
  for (int i = 0; i < 300; ++i) {  // families of texts that differ a little
    std::vector<uint64_t> s;
    const uint64_t family = random() % 25;
    for (uint64_t k = 0; k < 20 + random() % 10; ++k) s.push_back(random() % 8 ? family * 20 + k : random() % 600);
    std::ranges::sort(s);
    s.erase(std::unique(s.begin(), s.end()), s.end());
    sets.push_back(std::move(s));
  }
  for (double threshold : {0.0, 0.3, 0.5, 0.6, 0.75, 0.9}) {
    std::vector<bool> expected(sets.size(), false);
    for (size_t i = 0; i < sets.size(); ++i)
      for (size_t j = 0; j < i && !expected[i]; ++j)
        if (!expected[j] && jaccard(sets[i], sets[j]) > threshold) expected[i] = true;
    EXPECT_EQ(near_duplicates(sets, threshold), expected) << threshold;
    EXPECT_TRUE(threshold == 0.9 || std::ranges::count(expected, true) > 0);
  }
}

std::vector<int64_t> quotas_of(std::vector<int64_t> supply, std::vector<double> weights, int64_t total) {
  return quotas(supply, weights, total);
}

TEST(Balance, ABinThatHasTooLittleLeavesItsShareToTheOthers) {
  EXPECT_EQ(quotas_of({100, 100, 100}, {1, 1, 1}, 30), (std::vector<int64_t>{10, 10, 10}));
  EXPECT_EQ(quotas_of({100, 100, 100}, {1, 2, 3}, 30), (std::vector<int64_t>{5, 10, 15}));
  EXPECT_EQ(quotas_of({100, 100, 4}, {1, 1, 1}, 30), (std::vector<int64_t>{13, 13, 4}));
  EXPECT_EQ(quotas_of({100, 9, 4}, {1, 1, 1}, 30), (std::vector<int64_t>{17, 9, 4}));
  EXPECT_EQ(quotas_of({3, 0, 4}, {1, 1, 1}, 30), (std::vector<int64_t>{3, 0, 4}));
  EXPECT_EQ(quotas_of({100, 100, 100}, {0, 1, 1}, 30), (std::vector<int64_t>{0, 15, 15}));
  EXPECT_EQ(quotas_of({100, 100, 100}, {1, 1, 1}, 32), (std::vector<int64_t>{10, 11, 11})) << "the harder bins first";
  EXPECT_EQ(quotas_of({5, 5}, {1, 1}, 0), (std::vector<int64_t>{0, 0}));
}

TEST(Balance, QuotasNeverExceedSupplyNorFallShortOfTheTotal) {
  std::mt19937 random(5);
  for (int i = 0; i < 2000; ++i) {
    std::vector<int64_t> supply(1 + random() % 6);
    std::vector<double> weights(supply.size());
    int64_t usable = 0;
    for (size_t b = 0; b < supply.size(); ++b) {
      supply[b] = random() % 20, weights[b] = double(random() % 4) / 3;
      usable += weights[b] > 0 ? supply[b] : 0;
    }
    const int64_t total = random() % 60;
    const std::vector<int64_t> taken = quotas(supply, weights, total);
    for (size_t b = 0; b < supply.size(); ++b) EXPECT_LE(taken[b], weights[b] > 0 ? supply[b] : 0);
    EXPECT_EQ(std::accumulate(taken.begin(), taken.end(), int64_t(0)), std::min(total, usable));
  }
}

TEST(Balance, EveryPromptsFirstTraceGoesBeforeAnySecond) {
  const std::vector<BalancedTrace> traces = {{0, 0.1}, {0, 0.1}, {1, 0.9}, {2, 0.0}, {2, 0.0}, {3, 0.75}};
  EXPECT_EQ(balanced(traces, {}, 0), std::vector<bool>(6, true));
  EXPECT_EQ(balanced(traces, {}, 4), (std::vector<bool>{true, false, true, true, false, true}));
  EXPECT_EQ(balanced(traces, {}, 5), (std::vector<bool>{true, true, true, true, false, true}));
  const std::vector<double> even = {1, 1}, hard = {0, 1};
  EXPECT_EQ(balanced(traces, even, 4), (std::vector<bool>{true, false, true, true, false, true}));
  EXPECT_EQ(balanced(traces, even, 2), (std::vector<bool>{true, false, true, false, false, false}));
  EXPECT_EQ(balanced(traces, hard, 6), (std::vector<bool>{false, false, true, false, false, true}));
}

}  // namespace
}  // namespace cohort
