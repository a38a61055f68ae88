// Pieces of text against the decoding of all tokens at once.
#include "rollout/text_stream.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "policy/load.h"
#include "policy/text/unicode.h"
#include "tests/rollout/byte_models.h"

namespace cohort {
namespace {

std::string decoded(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  TextStream stream(&tokenizer, {}, 0);
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_FALSE(stream.push(ids[i]));
    const std::string piece = stream.take(i + 1 == ids.size());
    EXPECT_EQ(unicode::valid_prefix(piece), piece.size());
    text += piece;
  }
  return text;
}

void expect_exact(const Tokenizer& tokenizer, std::mt19937& random) {
  const std::string texts[] = {"Hello, wörld! 你好 🙂 e\xCC\x81 a  b\n\n c",
                               "日本語 😀👩‍👩‍👧 \t.", " leading", ""};
  for (const std::string& text : texts) {
    const std::vector<int32_t> ids = tokenizer.encode(text, true);
    EXPECT_EQ(decoded(tokenizer, ids), tokenizer.decode(ids)) << text;
  }
  for (int i = 0; i < 200; ++i) {
    std::vector<int32_t> ids;
    for (int j = 0; j < 40; ++j) ids.push_back(int32_t(random() % uint32_t(tokenizer.size())));
    ASSERT_EQ(decoded(tokenizer, ids), tokenizer.decode(ids)) << i;
  }
}

TEST(TextStream, ThePiecesAreTheText) {
  std::mt19937 random(3);
  expect_exact(bytes_tokenizer(), random);
  const std::string smollm2 = COHORT_SOURCE_DIR "/.deps/models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (std::filesystem::exists(smollm2)) expect_exact(expect_tokenizer(smollm2), random);
}

TEST(TextStream, CharactersComeWhole) {
  const Tokenizer tokenizer = bytes_tokenizer();
  TextStream stream(&tokenizer, {}, 0);
  std::vector<std::string> pieces;
  for (const char c : std::string("a\xF0\x9F\x99\x82z")) {
    stream.push(static_cast<unsigned char>(c));
    pieces.push_back(stream.take(false));
  }
  EXPECT_EQ(pieces, (std::vector<std::string>{"a", "", "", "", "\xF0\x9F\x99\x82", "z"}));
}

TEST(TextStream, WhatMayBecomeAStopStringIsHeldBack) {
  const Tokenizer tokenizer = bytes_tokenizer();
  const auto run = [&](const std::string& text, std::vector<std::string> stops, int32_t min_tokens) {
    TextStream stream(&tokenizer, stops, min_tokens);
    std::vector<std::string> pieces;
    for (size_t i = 0; i < text.size(); ++i) {
      const bool stopped = stream.push(static_cast<unsigned char>(text[i]));
      pieces.push_back(stream.take(stopped || i + 1 == text.size()));
      if (stopped) return std::pair(true, pieces);
    }
    return std::pair(false, pieces);
  };
  using Pieces = std::vector<std::string>;
  EXPECT_EQ(run("xabay", {"abc", "aba!"}, 0), std::pair(false, Pieces({"x", "", "", "", "abay"})));
  EXPECT_EQ(run("xaabc.", {"abc"}, 0), std::pair(true, Pieces({"x", "", "a", "", ""})));
  EXPECT_EQ(run("xabc", {"bc", "abc"}, 0), std::pair(true, Pieces({"x", "", "", ""})));  // the earlier begins
  EXPECT_EQ(run("ab", {"abc"}, 0), std::pair(false, Pieces({"", "ab"})));                // the end comes first
  EXPECT_TRUE(run("abcabc", {"abc"}, 3).first);
  EXPECT_FALSE(run("abcab", {"abc"}, 3).first);  // the first three do not count
}

}  // namespace
}  // namespace cohort
