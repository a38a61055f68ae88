// Words and n-grams by hash.
#include "rewards/words.h"

#include <gtest/gtest.h>

#include "configs/error.h"
#include "rewards/language.h"

namespace cohort {
namespace {

TEST(Words, BareWordsAreRunsOfLettersAndDigits) {
  EXPECT_EQ(word_hashes("Don't, stop: 3+4=7!", Words::bare), word_hashes("don t stop 3 4 7"));
  EXPECT_NE(word_hashes("3+4"), word_hashes("3 4"));
  EXPECT_EQ(word_hashes("a\u200Db\nc", Words::bare), word_hashes("ab c"));
  EXPECT_EQ(word_hashes("数学题", Words::bare).size(), 3U);
  EXPECT_EQ(word_hashes("\xFF\xFE x", Words::bare).size(), 2U);
  EXPECT_TRUE(word_hashes(" ,.- ", Words::bare).empty());
}

TEST(Words, NgramsKnowTheOrderOfTheirWords) {
  const auto ngrams = ngram_hashes(word_hashes("a b a b a"), 2);
  ASSERT_EQ(ngrams.size(), 4U);
  EXPECT_EQ(ngrams[0], ngrams[2]);
  EXPECT_NE(ngrams[0], ngrams[1]);
  EXPECT_TRUE(ngram_hashes(word_hashes("a b"), 3).empty());
  EXPECT_DOUBLE_EQ(repeated_share(word_hashes("a b a b a"), 2), 0.5);
  EXPECT_EQ(repeated_share(word_hashes("a"), 2), 0);
}

TEST(Language, TheShareIsOfAllWordsAndNoneWithoutWords) {
  EXPECT_DOUBLE_EQ(*language_share("so the answer is 因为", "en"), 4.0 / 6);
  EXPECT_DOUBLE_EQ(*language_share("<think>因为</think> so", "zh"), 2.0 / 5);  // the tags' words are Latin
  EXPECT_FALSE(language_share("$x + 1$ = 3", "en"));
  EXPECT_THROW(language_share("", "xx"), UsageError);
}

}  // namespace
}  // namespace cohort
