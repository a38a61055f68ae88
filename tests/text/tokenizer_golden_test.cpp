// Ids and texts are those of the `tokenizers` package; written by generate_tokenizer_goldens.py.
#include <gtest/gtest.h>

#include <cstdlib>

#include "configs/error.h"
#include "policy/text/stream_decoder.h"
#include "policy/text/tokenizer.h"
#include "tests/text/golden_files.h"

namespace cohort {
namespace {

using Ids = std::vector<int32_t>;

class TokenizerGolden : public testing::TestWithParam<const char*> {
 protected:
  Tokenizer tokenizer_ = tokenizer_from_json(Json(read_golden(std::string(GetParam()) + ".json")), Json::object());
  const nlohmann::ordered_json expected_ = read_golden(std::string(GetParam()) + ".ids.json");
  const std::vector<std::string> texts_ = read_golden("texts.json").get<std::vector<std::string>>();
};

TEST_P(TokenizerGolden, EncodesAsTheTokenizersPackage) {
  ASSERT_EQ(texts_.size(), expected_["ids"].size());
  for (size_t i = 0; i < texts_.size(); ++i)
    EXPECT_EQ(tokenizer_.encode(texts_[i]), expected_["ids"][i].get<Ids>()) << "text " << i << ": " << texts_[i];
}

TEST_P(TokenizerGolden, AddsSpecialTokensAroundAText) {
  EXPECT_EQ(tokenizer_.encode(texts_[7], true), expected_["with_special_tokens"].get<Ids>());
}

TEST_P(TokenizerGolden, DecodesAnyIds) {
  const auto drawn = expected_["decoded_ids"].get<std::vector<Ids>>();
  for (size_t i = 0; i < drawn.size(); ++i) {
    EXPECT_EQ(tokenizer_.decode(drawn[i], false), expected_["decoded"][i].get<std::string>()) << i;
    EXPECT_EQ(tokenizer_.decode(drawn[i], true), expected_["decoded_without_special"][i].get<std::string>()) << i;
  }
  for (size_t i = 0; i < expected_["round_trip"].size(); ++i)
    EXPECT_EQ(tokenizer_.decode(expected_["ids"][i].get<Ids>(), false), expected_["round_trip"][i].get<std::string>())
        << i;
}

TEST_P(TokenizerGolden, StreamsWhatItDecodes) {
  for (const auto& ids : expected_["ids"]) {
    StreamDecoder stream(tokenizer_, false);
    std::string text;
    for (const int32_t id : ids.get<Ids>()) text += stream.push(id);
    EXPECT_EQ(text + stream.finish(), tokenizer_.decode(ids.get<Ids>(), false));
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TokenizerGolden,
                         testing::Values("gpt2", "gpt2_prefix_space", "smollm", "llama3", "qwen2", "deepseek3",
                                         "deepseek_coder", "case_aware", "han", "behaviors", "llama2",
                                         "metaspace_first", "metaspace_always", "unigram", "character_map",
                                         "unigram_bytes"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace cohort
