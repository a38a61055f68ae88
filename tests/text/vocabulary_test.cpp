// Real vocabularies: ids and texts are those of the `tokenizers` package; written by generate_vocabulary_goldens.py.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <random>

#include "policy/text/stream_decoder.h"
#include "policy/text/unicode.h"
#include "tests/text/golden_files.h"
#include "tests/text/vocabularies.h"

namespace cohort {
namespace {

using Ids = std::vector<int32_t>;

/// FNV-1a over the ids.
std::string hash_of(const Ids& ids) {
  uint64_t value = 0xCBF29CE484222325u;
  for (const int32_t id : ids) value = (value ^ static_cast<uint32_t>(id)) * 0x100000001B3u;
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

class VocabularyGolden : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    tokenizer_ = load_vocabulary(GetParam());
    if (!tokenizer_) GTEST_SKIP() << how_to_get(GetParam());
  }
  std::optional<Tokenizer> tokenizer_;
};

TEST_P(VocabularyGolden, EncodesAsTheTokenizersPackage) {
  const auto texts = read_golden("corpus.json").get<std::vector<std::string>>();
  const auto expected = read_golden("vocabularies.json")[GetParam()];
  EXPECT_EQ(tokenizer_->size(), expected["size"].get<int32_t>());
  ASSERT_EQ(texts.size(), expected["ids"].size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const Ids ids = tokenizer_->encode(texts[i]);
    EXPECT_EQ(hash_of(ids), expected["ids"][i].get<std::string>()) << i << ": " << texts[i];
    if (i >= expected["first_ids"].size()) continue;
    EXPECT_EQ(Ids(ids.begin(), ids.begin() + std::min<ptrdiff_t>(4, std::ssize(ids))),
              expected["first_ids"][i].get<Ids>());
  }
}

TEST_P(VocabularyGolden, DecodesAnyIds) {
  const auto expected = read_golden("vocabularies.json")[GetParam()];
  for (size_t i = 0; i < expected["drawn"].size(); ++i)
    EXPECT_EQ(tokenizer_->decode(expected["drawn"][i].get<Ids>(), false), expected["decoded"][i].get<std::string>())
        << expected["drawn"][i];
}

/// What a stream gives after each id is whole characters, and all of it together is the text.
void expect_streamed(const Tokenizer& tokenizer, const Ids& ids) {
  StreamDecoder stream(tokenizer, false);
  std::string text;
  for (const int32_t id : ids) {
    const std::string part = stream.push(id);
    ASSERT_EQ(unicode::valid_prefix(part), part.size()) << id;
    text += part;
  }
  const std::string rest = stream.finish();
  ASSERT_EQ(unicode::valid_prefix(rest), rest.size());
  text += rest;
  const std::string whole = tokenizer.decode(ids, false);
  if (text == whole) return;
  // Ill-formed runs of <0x..> tokens give one U+FFFD a byte when decoded whole, one a maximal subpart when streamed.
  const auto without_replacements = [](std::string from) {
    for (size_t at = 0; (at = from.find("\uFFFD", at)) != std::string::npos;) from.erase(at, 3);
    return from;
  };
  ASSERT_NE(whole.find("\uFFFD"), std::string::npos);
  ASSERT_NE(text.find("\uFFFD"), std::string::npos);
  ASSERT_TRUE(tokenizer.id("<0x00>")) << text << "\n" << whole;
  // A run that is ill-formed anywhere is all replaced when decoded whole: what that keeps, the stream keeps in order.
  const std::string kept = without_replacements(whole), streamed = without_replacements(text);
  size_t at = 0;
  for (const char c : streamed) at += at < kept.size() && kept[at] == c;
  ASSERT_EQ(at, kept.size()) << text << "\n" << whole;
}

TEST_P(VocabularyGolden, StreamsWholeCharactersOfAnyIds) {
  std::mt19937 draw(17);
  const int32_t size = tokenizer_->size();
  Ids bytes;  // tokens that are no text by themselves
  for (int32_t id = 0; id < size; ++id) {
    const std::string text = tokenizer_->decode(Ids{id}, false);
    ASSERT_EQ(unicode::valid_prefix(text), text.size()) << id;
    if (text.find("\uFFFD") != std::string::npos) bytes.push_back(id);
  }
  ASSERT_GT(bytes.size(), 100u);
  for (int round = 0; round < 2000; ++round) {
    Ids ids(1 + draw() % 24);
    for (int32_t& id : ids)
      id = draw() % 3 ? bytes[draw() % bytes.size()] : static_cast<int32_t>(draw() % static_cast<uint32_t>(size));
    if (draw() % 8 == 0) ids.push_back(size + static_cast<int32_t>(draw() % 100)), ids.push_back(-1);
    ASSERT_NO_FATAL_FAILURE(expect_streamed(*tokenizer_, ids)) << testing::PrintToString(ids);
  }
  for (const auto& text : read_golden("corpus.json"))
    ASSERT_NO_FATAL_FAILURE(expect_streamed(*tokenizer_, tokenizer_->encode(text.get<std::string>())));
}

/// The folder that generate_vocabulary_goldens.py wrote a large corpus and its ids into.
class LargeVocabularyGolden : public VocabularyGolden {
 protected:
  void SetUp() override {
    if (!std::getenv("COHORT_VOCABULARY_CORPUS"))
      GTEST_SKIP() << "no COHORT_VOCABULARY_CORPUS: the folder that generate_vocabulary_goldens.py FOLDER writes";
    VocabularyGolden::SetUp();
    folder_ = std::getenv("COHORT_VOCABULARY_CORPUS");
  }
  std::vector<std::string> texts() const {
    std::ifstream in(folder_ / "texts.json");
    return Json::parse(in).get<std::vector<std::string>>();
  }
  std::filesystem::path folder_;
};

/// The next ids of the file: a count, then as many.
Ids next_ids(std::istream& in) {
  int32_t count = 0;
  in.read(reinterpret_cast<char*>(&count), sizeof count);
  Ids ids(static_cast<size_t>(count));
  in.read(reinterpret_cast<char*>(ids.data()), static_cast<std::streamsize>(sizeof(int32_t) * ids.size()));
  return ids;
}

std::string some_from(const Ids& ids, ptrdiff_t at) {
  const auto begin = std::min(at, std::ssize(ids)), end = std::min(at + 12, std::ssize(ids));
  return testing::PrintToString(Ids(ids.begin() + begin, ids.begin() + end));
}

TEST_P(LargeVocabularyGolden, EncodesAsTheTokenizersPackage) {
  std::ifstream in(folder_ / (std::string(GetParam()) + ".ids"), std::ios::binary);
  ASSERT_TRUE(in) << "no ids of " << GetParam() << " in " << folder_;
  size_t bytes = 0, ids = 0, mismatches = 0, round_trips = 0;
  const auto all = texts();
  for (const std::string& text : all) {
    const Ids expected = next_ids(in), found = tokenizer_->encode(text);
    ASSERT_TRUE(in);
    bytes += text.size();
    ids += expected.size();
    round_trips += tokenizer_->decode(found, false) == text;
    if (found == expected) continue;
    const auto at = std::ranges::mismatch(expected, found).in1 - expected.begin();
    if (++mismatches < 8)
      ADD_FAILURE() << "from id " << at << " of " << text.substr(0, 300) << "\n"
                    << some_from(expected, at) << "\n"
                    << some_from(found, at);
  }
  EXPECT_EQ(mismatches, 0u);
  std::cout << GetParam() << ": " << bytes << " bytes in " << all.size() << " texts, " << ids << " ids, " << mismatches
            << " texts differ, " << round_trips << " decode to themselves\n";
}

double processor_seconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec) + 1e-6 * static_cast<double>(usage.ru_utime.tv_usec);
}

TEST_P(LargeVocabularyGolden, EncodesTenMegabytesASecond) {
  std::string text;  // a corpus of natural text and code, not the mixtures before it
  const auto all = texts();
  const size_t natural = read_golden("corpus.json").size();
  for (size_t i = all.size(); i-- > natural && text.size() < 13'000'000;) text += all[i];
  double best = 0;
  for (int round = 0; round < 3; ++round) {
    const double start = processor_seconds();
    const size_t ids = tokenizer_->encode(text).size();
    EXPECT_GT(ids, 0u);
    best = std::max(best, 1e-6 * static_cast<double>(text.size()) / (processor_seconds() - start));
  }
  std::cout << GetParam() << ": " << best << " MB/s\n";
  EXPECT_GE(best, 10);
}

const auto by_name = [](const testing::TestParamInfo<const char*>& info) { return std::string(info.param); };
INSTANTIATE_TEST_SUITE_P(Real, VocabularyGolden, testing::ValuesIn(vocabulary_names), by_name);
INSTANTIATE_TEST_SUITE_P(Real, LargeVocabularyGolden, testing::ValuesIn(vocabulary_names), by_name);

}  // namespace
}  // namespace cohort
