#include "policy/files/gguf.h"

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <random>

#include "configs/error.h"
#include "golden.h"

namespace cohort {
namespace {

class GgufAttack : public FilesTest {
 protected:
  std::string refusal(const std::string& bytes) {
    write_text(folder / "model.gguf", bytes);
    const std::clock_t start = std::clock();  // processor time: the machine may be busy
    std::string message = "accepted";
    try {
      open_gguf(folder / "model.gguf");
    } catch (const UsageError& error) {
      message = error.what();
    }
    EXPECT_LT(std::clock() - start, 2 * CLOCKS_PER_SEC);
    return message;
  }
};

void expect_contains(const std::string& message, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(message.find(part), message.npos) << part << " is not in: " << message;
}

std::string text(const std::string& bytes) {
  return raw<uint64_t>(bytes.size()) + bytes;
}

std::string head(uint64_t num_tensors, uint64_t num_pairs, uint32_t version = 3) {
  return "GGUF" + raw(version) + raw(num_tensors) + raw(num_pairs);
}

std::string tensor(const std::string& name, const std::vector<uint64_t>& sizes, uint32_t type, uint64_t offset) {
  std::string bytes = text(name) + raw<uint32_t>(sizes.size());
  for (const uint64_t size : sizes) bytes += raw(size);
  return bytes + raw(type) + raw(offset);
}

std::string padded(std::string bytes, size_t num_data) {
  bytes.resize((bytes.size() + 31) / 32 * 32 + num_data);
  return bytes;
}

TEST(GgufGolden, ReadsEveryMetadataType) {
  const GgufFile file = open_gguf(golden("all_types.gguf"));
  const nlohmann::json& metadata = file.metadata;
  EXPECT_EQ(metadata.at("general.architecture"), "llama");
  EXPECT_EQ(metadata.at("test.u8"), 255);
  EXPECT_EQ(metadata.at("test.i8"), -128);
  EXPECT_EQ(metadata.at("test.u16"), 65535);
  EXPECT_EQ(metadata.at("test.i16"), -32768);
  EXPECT_EQ(metadata.at("test.u32"), UINT32_MAX);
  EXPECT_EQ(metadata.at("test.i32"), INT32_MIN);
  EXPECT_EQ(metadata.at("test.u64"), UINT64_MAX);
  EXPECT_EQ(metadata.at("test.i64"), INT64_MIN);
  EXPECT_EQ(metadata.at("test.f32").get<float>(), 1e-5f);
  EXPECT_EQ(metadata.at("test.f64"), 0.1);
  EXPECT_EQ(metadata.at("test.yes"), true);
  EXPECT_EQ(metadata.at("test.no"), false);
  EXPECT_EQ(metadata.at("test.text"), "naïve “text”\n");
  EXPECT_EQ(metadata.at("test.texts"), nlohmann::json::array({"a", "", "ü"}));
  EXPECT_EQ(metadata.at("test.numbers"), nlohmann::json::array({1, -2, 3}));
  EXPECT_EQ(metadata.at("test.nested"), nlohmann::json::parse("[[1,2],[3]]"));
}

TEST(GgufGolden, VersionTwoReadsTheSame) {
  std::string bytes = read_text(golden("all_types.gguf"));
  bytes[4] = 2;
  const auto path = std::filesystem::temp_directory_path() / ("cohort-gguf2-" + std::to_string(::getpid()));
  write_text(path, bytes);
  const GgufFile second = open_gguf(path), third = open_gguf(golden("all_types.gguf"));
  std::filesystem::remove(path);
  EXPECT_EQ(second.metadata, third.metadata);
  ASSERT_EQ(second.tensors.size(), third.tensors.size());
  for (size_t i = 0; i < second.tensors.size(); ++i)
    EXPECT_TRUE(std::ranges::equal(second.tensors[i].bytes, third.tensors[i].bytes));
}

std::filesystem::path smollm2_path() {
  if (const char* given = std::getenv("COHORT_SMOLLM2_GGUF")) return given;
  return std::filesystem::path(COHORT_SOURCE_DIR) / ".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf";
}

TEST(GgufGolden, SmolLm2IsThatOfTheGgufPackage) {
  if (!std::filesystem::exists(smollm2_path())) GTEST_SKIP() << "no SmolLM2 GGUF at " << smollm2_path();
  using clock = std::chrono::steady_clock;
  const auto seconds_since = [](clock::time_point start) {
    return std::chrono::duration<double>(clock::now() - start).count();
  };
  auto start = clock::now();
  const GgufFile file = open_gguf(smollm2_path());
  const double open_seconds = seconds_since(start);
  EXPECT_EQ(file.metadata.at("tokenizer.ggml.tokens").size(), 49152u);
  EXPECT_EQ(file.metadata.at("tokenizer.ggml.merges").size(), 48900u);
  EXPECT_EQ(file.metadata.at("tokenizer.ggml.tokens").at(1), "<|im_start|>");
  const auto expected = nlohmann::json::parse(read_text(golden("smollm2_checksums.json")));
  ASSERT_EQ(file.tensors.size(), expected.size());
  double dequantize_seconds = 0;
  std::vector<float> room(49152 * 576);
  for (const TensorView& tensor : file.tensors) {
    std::vector<float> values(std::move(room));
    values.resize(static_cast<size_t>(tensor.num_elements()));
    start = clock::now();
    dequantize(tensor, values);
    dequantize_seconds += seconds_since(start);
    EXPECT_EQ(checksum(values), std::stoull(expected.at(tensor.name).get<std::string>(), nullptr, 16)) << tensor.name;
    room = std::move(values);
  }
  std::printf("open %.0f ms, dequantise %.0f ms\n", open_seconds * 1e3, dequantize_seconds * 1e3);
}

TEST_F(GgufAttack, TruncatedAtEveryByte) {
  const std::string whole = read_text(golden("all_types.gguf"));
  for (size_t length = 0; length < whole.size() - 32; ++length)  // the last tensor may end before its padding
    EXPECT_NE(refusal(whole.substr(0, length)), "accepted") << length;
}

TEST_F(GgufAttack, HeadsAndCounts) {
  expect_contains(refusal(""), {"model.gguf", "0 bytes"});
  expect_contains(refusal("GGML" + head(0, 0).substr(4)), {"does not start"});
  expect_contains(refusal(head(0, 0, 1)), {"version 1"});
  expect_contains(refusal(head(0, 0, 0x03000000)), {"version 50331648"});
  EXPECT_EQ(refusal(head(0, 0)), "accepted");
  expect_contains(refusal(head(UINT64_MAX, 0)), {"claims 18446744073709551615 tensors"});
  expect_contains(refusal(head(0, UINT64_MAX)), {"metadata keys"});
  expect_contains(refusal(head(300'000, 0) + std::string(300'000 * 24, '\0')), {"300000 tensors", "at most"});
  expect_contains(refusal(head(0, 100'000) + std::string(100'000 * 13, '\0')), {"100000 metadata keys", "at most"});
  expect_contains(refusal(head(0, 1) + raw<uint64_t>(UINT64_MAX) + std::string(64, 'x')), {"metadata key 0"});
}

TEST_F(GgufAttack, MetadataValues) {
  const auto pair = [&](uint32_t type, const std::string& value) {
    return refusal(head(0, 1) + text("k") + raw(type) + value);
  };
  EXPECT_EQ(pair(4, raw<uint32_t>(1)), "accepted");
  expect_contains(pair(13, raw<uint64_t>(1)), {"\"k\"", "unknown value type 13"});
  expect_contains(pair(8, raw<uint64_t>(1000) + "abc"), {"\"k\"", "1000"});
  expect_contains(pair(9, raw<uint32_t>(0) + raw<uint64_t>(UINT64_MAX)), {"\"k\"", "18446744073709551615 elements"});
  expect_contains(pair(9, raw<uint32_t>(8) + raw<uint64_t>(3) + std::string(16, '\0')), {"\"k\""});
  std::string nested;
  for (int level = 0; level < 100000; ++level) nested += raw<uint32_t>(9) + raw<uint64_t>(1);
  expect_contains(pair(9, nested), {"\"k\"", "too deep"});
  expect_contains(pair(9, raw<uint32_t>(0) + raw<uint64_t>(20'000'000) + std::string(20'000'000, '\0')),
                  {"\"k\"", "too large"});
  expect_contains(refusal(head(0, 2) + text("k") + raw<uint32_t>(0) + "a" + text("k") + raw<uint32_t>(0) + "b"),
                  {"\"k\"", "twice"});
}

TEST_F(GgufAttack, Tensors) {
  const auto one = [&](const std::string& tensor) { return refusal(padded(head(1, 0) + tensor, 64)); };
  EXPECT_EQ(one(tensor("w", {16}, 0, 0)), "accepted");
  expect_contains(one(tensor("w", {17}, 0, 0)), {"\"w\"", "68 bytes"});
  expect_contains(one(tensor("w", {16}, 0, 32)), {"\"w\"", "at byte 32"});
  expect_contains(one(tensor("w", {8}, 0, 16)), {"\"w\"", "alignment 32"});
  expect_contains(one(tensor("w", {8}, 0, UINT64_MAX - 31)), {"\"w\""});
  expect_contains(one(tensor("w", {UINT64_MAX, 2}, 0, 0)), {"\"w\"", "too large"});
  expect_contains(one(tensor("w", {1ull << 62, 4}, 0, 0)), {"\"w\"", "too large"});
  expect_contains(one(tensor("w", {31}, 8, 0)), {"\"w\"", "blocks of Q8_0"});
  expect_contains(one(tensor("w", {1, 1, 1, 1, 1}, 0, 0)), {"\"w\"", "5 dimensions"});
  expect_contains(one(tensor("w", {4}, 4000, 0)), {"\"w\"", "ggml type 4000", "unknown"});
  expect_contains(refusal(padded(head(2, 0) + tensor("a", {16}, 0, 0) + tensor("b", {8}, 0, 32), 64)),
                  {"\"b\"", "overlaps"});
  expect_contains(refusal(padded(head(2, 0) + tensor("a", {8}, 0, 0) + tensor("a", {8}, 0, 32), 64)),
                  {"\"a\"", "twice"});
  write_text(folder / "q5.gguf", padded(head(1, 0) + tensor("w", {32}, 6, 0), 64));
  EXPECT_THROW(open_gguf(folder / "q5.gguf"), MissingError);
}

TEST_F(GgufAttack, Alignments) {
  const auto aligned = [&](uint32_t type, const std::string& value) {
    return refusal(head(0, 1) + text("general.alignment") + raw(type) + value);
  };
  EXPECT_EQ(aligned(4, raw<uint32_t>(64)), "accepted");
  for (const uint32_t wrong : {0u, 3u, 1u << 31}) expect_contains(aligned(4, raw(wrong)), {"general.alignment"});
  expect_contains(aligned(5, raw<int32_t>(-32)), {"general.alignment"});
  expect_contains(aligned(8, text("\xff")), {"general.alignment"});
}

bool is_integer(DType dtype) {
  return dtype == DType::i8 || dtype == DType::i16 || dtype == DType::i32 || dtype == DType::i64;
}

// Whatever the bytes, a file is refused or every tensor in it can be read.
TEST_F(GgufAttack, MutatedFiles) {
  const std::string whole = read_text(golden("all_types.gguf"));
  std::mt19937 random(11);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = whole;
    for (uint32_t change = 0; change <= random() % 3; ++change) {
      const size_t at = random() % 1500;  // the metadata and tensor table
      if (random() % 8 == 0)
        bytes.erase(at, random() % 9);
      else
        bytes[at] = static_cast<char>(random() % 2 ? random() : random() % 16);
    }
    write_text(folder / "model.gguf", bytes);
    try {
      const GgufFile file = open_gguf(folder / "model.gguf");
      for (const TensorView& tensor : file.tensors) {
        if (is_integer(tensor.dtype)) continue;
        ASSERT_EQ(values_of(&tensor).size(), static_cast<size_t>(tensor.num_elements()));
      }
    } catch (const UsageError&) {
      ++refused;
    } catch (const MissingError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_LT(refused, 3000);
}

}  // namespace
}  // namespace cohort
