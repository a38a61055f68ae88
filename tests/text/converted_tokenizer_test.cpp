// Tokenizers whose files are not tokenizer.json: tiktoken vocabularies and sentencepiece models.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "configs/error.h"
#include "policy/text/base64.h"
#include "policy/text/decoder.h"
#include "policy/text/sentencepiece.h"
#include "policy/text/tiktoken.h"
#include "policy/text/tokenizer.h"
#include "policy/text/unicode.h"
#include "tests/text/golden_files.h"

namespace cohort {
namespace {

using Ids = std::vector<int32_t>;

/// The tokens of a golden byte-level vocabulary after its three special ones, which stand in the order they merge.
std::vector<std::string> golden_tokens(const std::string& name) {
  const auto file = read_golden(name + ".json");
  std::vector<std::string> tokens(file["model"]["vocab"].size() - 3);
  for (const auto& [token, id] : file["model"]["vocab"].items())
    if (id.get<size_t>() >= 3) from_byte_characters(token, tokens[id.get<size_t>() - 3]);
  return tokens;
}

std::string ranks_file(const std::vector<std::string>& tokens) {
  std::string file;
  for (size_t rank = 0; rank < tokens.size(); ++rank)
    file += to_base64(tokens[rank]) + " " + std::to_string(rank) + "\n";
  return file;
}

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "not refused";
}

TEST(TiktokenGolden, RanksGiveTheIdsOfTheMergesTheyCameFrom) {
  for (const char* name : {"llama3", "deepseek_coder"}) {
    const auto file = read_golden(std::string(name) + ".json");
    TiktokenVocabulary vocabulary;
    vocabulary.tokens = read_tiktoken_ranks(ranks_file(golden_tokens(name)));
    vocabulary.first_id = 3;
    vocabulary.special_tokens = {{0, "<|endoftext|>"}, {1, "<|im_start|>"}, {2, "<|im_end|>"}};
    Json description = tiktoken_tokenizer_json(vocabulary);
    EXPECT_GE(description["model"]["merges"].size(), file["model"]["merges"].size());  // tokens have other cuts too
    description["pre_tokenizer"] = Json(file["pre_tokenizer"]);
    const Tokenizer tokenizer = tokenizer_from_json(description, Json::object());
    const auto texts = read_golden("texts.json").get<std::vector<std::string>>();
    const auto expected = read_golden(std::string(name) + ".ids.json")["ids"];
    for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(tokenizer.encode(texts[i]), expected[i].get<Ids>()) << texts[i];
  }
}

TEST(Tiktoken, FoldersAreKnownByTheNamesOfTheirFiles) {
  const auto folder = test_folder("tiktoken");
  const auto tokens = golden_tokens("llama3");
  const auto end = static_cast<int32_t>(tokens.size());
  std::ofstream(folder / "tokenizer.model") << ranks_file(tokens);
  EXPECT_EQ(load_tokenizer(folder).id("<|eot_id|>"), end + 9);
  std::ofstream(folder / "qwen.tiktoken") << ranks_file(tokens);
  EXPECT_EQ(load_tokenizer(folder).id("<|im_end|>"), end + 2);
  EXPECT_EQ(load_tokenizer(folder).encode("e\u0301"), load_tokenizer(folder).encode("\u00E9"));
  std::filesystem::remove(folder / "qwen.tiktoken");
  std::ofstream(folder / "tiktoken.model") << ranks_file(tokens);
  std::ofstream(folder / "tokenizer_config.json")
      << R"({"eos_token": "[EOS]", "added_tokens_decoder": {")" << end + 1 << R"(": {"content": "[EOS]"}}})";
  EXPECT_EQ(load_tokenizer(folder).special_tokens().eos, end + 1);
  std::filesystem::remove_all(folder);
}

TEST(Tiktoken, TekkenNumbersItsTokensAfterTheSpecialOnes) {
  Json tekken = {
      {"config", {{"pattern", R"(\p{L}+|\P{L})"}, {"default_num_special_tokens", 3}, {"default_vocab_size", 261}}},
      {"vocab", Json::array()}};
  for (int byte = 0; byte < 256; ++byte)
    tekken["vocab"].push_back({{"rank", byte}, {"token_bytes", to_base64(std::string(1, static_cast<char>(byte)))}});
  for (const char* token : {"ab", "abc", "beyond the size"})
    tekken["vocab"].push_back({{"rank", tekken["vocab"].size()}, {"token_bytes", to_base64(token)}});
  const Tokenizer tokenizer = tokenizer_from_json(tiktoken_tokenizer_json(read_tekken(tekken)), Json::object());
  EXPECT_EQ(tokenizer.size(), 261);
  EXPECT_EQ(tokenizer.encode("abc ab<s>"), (Ids{260, ' ' + 3, 259, 1}));
}

TEST(Tiktoken, NamesTheBrokenLine) {
  EXPECT_NE(refusal([] { read_tiktoken_ranks("IQ== 0\nIg== 7\n"); }).find("line 2"), std::string::npos);
  EXPECT_NE(refusal([] { read_tiktoken_ranks("no rank\n"); }).find("line 1"), std::string::npos);
  EXPECT_NE(refusal([] { read_tiktoken_ranks("!! 0\n"); }).find("base64"), std::string::npos);
  EXPECT_NE(refusal([] { read_tekken(Json::object()); }).find("tekken.json"), std::string::npos);
  EXPECT_NE(refusal([] { read_tiktoken_ranks(to_base64(std::string(3000, 'x')) + " 0\n"); }).find("3000 bytes"),
            std::string::npos);
  const auto tekken_of = [](int64_t special, int64_t size) {
    return Json{{"config", {{"pattern", "."}, {"default_num_special_tokens", special}, {"default_vocab_size", size}}},
                {"vocab", Json::array()}};
  };
  for (const auto& [special, size] : {std::pair(-1, 10), std::pair(20, 10), std::pair(2'000'000'000, 2'000'000'001)})
    EXPECT_NE(refusal([&] { read_tekken(tekken_of(special, size)); }).find("special tokens"), std::string::npos);
}

TEST(Tiktoken, OtherFamiliesAreNotTakenForLlama3) {
  std::vector<std::string> tokens;
  for (int i = 0; i < 128'001; ++i) tokens.push_back(std::to_string(i));
  EXPECT_NE(
      refusal([&] { known_tiktoken("tokenizer.model", ranks_file(tokens), Json::object()); }).find("128001 ranks"),
      std::string::npos);
  const Json config = {{"added_tokens_decoder", {{"x", {{"content", "[EOS]"}}}}}};
  EXPECT_NE(refusal([&] { known_tiktoken("tiktoken.model", "IQ== 0\n", config); }).find("\"x\""), std::string::npos);
}

// A sentencepiece model, field by field.
std::string field(int number, const std::string& bytes) {
  std::string length;
  size_t left = bytes.size();
  for (; left > 127; left >>= 7) length += static_cast<char>((left & 127) | 128);
  return std::string(1, static_cast<char>(number << 3 | 2)) + length + static_cast<char>(left) + bytes;
}
std::string varint_field(int number, int value) {
  return {static_cast<char>(number << 3), static_cast<char>(value)};
}

std::string piece(const std::string& text, float score, SentencePieceType type = SentencePieceType::normal) {
  std::string bytes(4, '\0');
  std::memcpy(bytes.data(), &score, 4);
  return field(1, field(1, text) + std::string(1, static_cast<char>(2 << 3 | 5)) + bytes +
                      varint_field(3, static_cast<int>(type)));
}

std::string small_model() {
  return piece("<unk>", 0, SentencePieceType::unknown) + piece("<s>", 0, SentencePieceType::control) +
         piece("</s>", 0, SentencePieceType::control) + piece("<0xC3>", 0, SentencePieceType::byte) +
         piece("<0xA9>", 0, SentencePieceType::byte) + piece("ab", -1) + piece("\u2581a", -2) + piece("bc", 0) +
         piece("\u2581abc", -4) + piece("a", -5) + piece("b", -6) + piece("c", -7) + piece("\u2581", -8) +
         field(2, varint_field(3, 2));
}

TEST(SentencePiece, MergesByTheScoreOfTheResult) {
  const auto folder = test_folder("sentencepiece");
  std::ofstream(folder / "tokenizer.model") << small_model();
  const Tokenizer tokenizer = load_tokenizer(folder);
  EXPECT_EQ(tokenizer.encode("abc"), (Ids{8}));     // bc (0), then ▁a (−2), then ▁abc (−4)
  EXPECT_EQ(tokenizer.encode("ab"), (Ids{12, 5}));  // ab (−1) before ▁a (−2)
  EXPECT_EQ(tokenizer.encode("b a"), (Ids{12, 10, 6}));
  EXPECT_EQ(tokenizer.encode("\u00E9"), (Ids{12, 3, 4}));  // bytes
  EXPECT_EQ(tokenizer.encode("xa"), (Ids{12, 0, 9}));      // no byte token for x
  EXPECT_EQ(tokenizer.encode("a</s>", true), (Ids{1, 6, 2}));
  EXPECT_EQ(tokenizer.decode(Ids{1, 8, 6, 3, 4}), "abc a\u00E9");
  std::filesystem::remove_all(folder);
}

TEST(SentencePiece, OfGgufFilesToo) {
  const SentencePieceModel model = read_sentencepiece(small_model());
  Json metadata = {
      {"tokenizer.ggml.model", "llama"}, {"tokenizer.ggml.bos_token_id", 1}, {"tokenizer.ggml.eos_token_id", 2}};
  for (const SentencePiece& each : model.pieces) {
    metadata["tokenizer.ggml.tokens"].push_back(each.text);
    metadata["tokenizer.ggml.scores"].push_back(each.score);
    metadata["tokenizer.ggml.token_type"].push_back(static_cast<int>(each.type));
  }
  const Tokenizer tokenizer = tokenizer_from_gguf(metadata);
  EXPECT_EQ(tokenizer.encode("abc ab", true), (Ids{1, 8, 12, 5}));
  EXPECT_EQ(tokenizer.special_tokens().eos, 2);
}

TEST(SentencePieceGolden, UnigramModelsGiveTheIdsOfTheirDescription) {
  const auto texts = read_golden("texts.json").get<std::vector<std::string>>();
  for (const std::string name : {"character_map", "unigram_bytes"}) {
    const auto folder = test_folder(name);
    std::filesystem::copy_file(golden_path(name + ".model"), folder / "spiece.model");
    const Tokenizer tokenizer = load_tokenizer(folder);
    const auto expected = read_golden(name + ".ids.json");
    for (size_t i = 0; i < texts.size(); ++i)
      EXPECT_EQ(tokenizer.encode(texts[i]), expected["ids"][i].get<Ids>()) << name << " " << i << ": " << texts[i];
    for (size_t i = 0; i < expected["decoded"].size(); ++i)
      EXPECT_EQ(tokenizer.decode(expected["decoded_ids"][i].get<Ids>(), false), expected["decoded"][i]) << name;
    std::filesystem::remove_all(folder);
  }
}

TEST(Unigram, TakesThePathOfHighestTotalScore) {
  Json model = Json::parse(R"({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0], ["b", -1.0],
      ["ab", -2.0], ["abc", -2.5], ["c", -0.25], ["bc", -4.0], ["é", -3.0]]})");
  const auto encode = [&](const char* text) {
    return tokenizer_from_json({{"model", model}}, Json::object()).encode(text);
  };
  EXPECT_EQ(encode("abc"), (Ids{3, 5}));  // −2.25: better than abc as one
  EXPECT_EQ(encode("ab"), (Ids{3}));      // −2 as one and as two: what was found first stays
  EXPECT_EQ(encode("xyaz\u00E9"), (Ids{0, 1, 0, 7}));
  model["vocab"].insert(model["vocab"].end(), {{"<0x78>", -9.0}, {"<0x79>", -9.0}});
  model["byte_fallback"] = true;
  EXPECT_EQ(encode("xyaz"), (Ids{8, 9, 1, 0}));
  model.erase("unk_id");
  EXPECT_EQ(encode("abc"), (Ids{3, 5}));
  EXPECT_NE(refusal([&] { encode("x"); }).find("no unk_id"), std::string::npos);
  model["unk_id"] = 10;
  EXPECT_NE(refusal([&] { encode("a"); }).find("unk_id 10"), std::string::npos);
}

TEST(SentencePieceAttack, BrokenCharacterMapsAreRefused) {
  for (const char* map : {"", "!", "AAAA", "/////w==", "BAAAAA==", "CAAAAAAAAAA="}) {
    const Json description = {{"normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", map}}},
                              {"model", {{"type", "Unigram"}, {"unk_id", 0}, {"vocab", {{"<unk>", 0.0}}}}}};
    EXPECT_NE(refusal([&] { tokenizer_from_json(description, Json::object()); }).find("char"), std::string::npos)
        << map << refusal([&] { tokenizer_from_json(description, Json::object()); });
  }
}

TEST(SentencePieceAttack, BrokenModelsAreRefused) {
  const std::string model = small_model();
  for (size_t length = 0; length < model.size(); ++length) {
    try {
      const SentencePieceModel read = read_sentencepiece(std::string_view(model).substr(0, length));
      EXPECT_LE(read.pieces.size(), 13u);
    } catch (const UsageError& error) {
      EXPECT_NE(std::string(error.what()).find("sentencepiece"), std::string::npos);
    }
  }
  EXPECT_NE(refusal([] { read_sentencepiece(std::string(40, '\xFF')); }).find("protocol buffer"), std::string::npos);
  EXPECT_NE(refusal([&] { read_sentencepiece(model + field(2, varint_field(3, 4))); }).find("of kind 4"),
            std::string::npos);
  const std::string long_piece = model + piece(std::string(2000, 'x'), -1);
  EXPECT_NE(refusal([&] { sentencepiece_tokenizer_json(read_sentencepiece(long_piece)); }).find("2000 bytes"),
            std::string::npos);
}

}  // namespace
}  // namespace cohort
