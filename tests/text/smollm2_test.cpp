// The real vocabulary and chat template of SmolLM2-135M-Instruct, from the metadata of its GGUF file.
#include <gtest/gtest.h>

#include <cstdlib>

#include "policy/text/chat_template.h"
#include "policy/text/stream_decoder.h"
#include "policy/text/tokenizer.h"
#include "tests/text/golden_files.h"
#include "tests/text/vocabularies.h"

namespace cohort {
namespace {

using Ids = std::vector<int32_t>;

class SmolLM2Golden : public testing::Test {
 protected:
  void SetUp() override {
    tokenizer_ = load_vocabulary("smollm2");
    if (!tokenizer_) GTEST_SKIP() << how_to_get("smollm2") << " (COHORT_SMOLLM2_GGUF names another place)";
  }
  std::optional<Tokenizer> tokenizer_;
  const std::vector<std::string> texts_ = read_golden("texts.json").get<std::vector<std::string>>();
};

TEST_F(SmolLM2Golden, EncodesAsTheTokenizersPackage) {
  const auto golden = read_golden("smollm2.ids.json");
  EXPECT_EQ(tokenizer_->size(), 49152);
  for (size_t i = 0; i < texts_.size(); ++i) {
    EXPECT_EQ(tokenizer_->encode(texts_[i]), golden["ids"][i].get<Ids>()) << "text " << i << ": " << texts_[i];
    EXPECT_EQ(tokenizer_->decode(golden["ids"][i].get<Ids>(), false), golden["decoded"][i].get<std::string>());
  }
}

TEST_F(SmolLM2Golden, SavedFilesGiveTheSameTokenizer) {
  const auto folder = test_folder("smollm2");
  save_tokenizer(*tokenizer_, folder);
  const Tokenizer loaded = load_tokenizer(folder);
  for (const std::string& text : texts_) EXPECT_EQ(loaded.encode(text), tokenizer_->encode(text));
  EXPECT_EQ(loaded.chat_template(), tokenizer_->chat_template());
  EXPECT_EQ(loaded.special_tokens().text, tokenizer_->special_tokens().text);
  std::filesystem::remove_all(folder);
}

TEST_F(SmolLM2Golden, RendersItsChatTemplate) {
  const std::string prompt = render_chat(*tokenizer_, {{{"role", "user"}, {"content", "2+2?"}}}, true);
  EXPECT_EQ(prompt,
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n");
  const Ids ids = tokenizer_->encode(prompt);
  EXPECT_EQ(ids.front(), tokenizer_->id("<|im_start|>"));
  EXPECT_EQ(tokenizer_->special_tokens().eos, tokenizer_->id("<|im_end|>"));
}

}  // namespace
}  // namespace cohort
