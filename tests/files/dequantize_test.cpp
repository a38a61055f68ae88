#include "policy/files/dequantize.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "configs/error.h"
#include "golden.h"
#include "policy/files/gguf.h"
#include "policy/files/safetensors.h"

namespace cohort {
namespace {

// NaNs count as equal whatever their payload.
void expect_same(const std::vector<float>& found, const std::vector<float>& expected, const std::string& name) {
  ASSERT_EQ(found.size(), expected.size()) << name;
  for (size_t i = 0; i < found.size(); ++i) {
    if (std::isnan(found[i]) && std::isnan(expected[i])) continue;
    ASSERT_EQ(std::bit_cast<uint32_t>(found[i]), std::bit_cast<uint32_t>(expected[i])) << name << " element " << i;
  }
}

TEST(DequantizeGolden, BlocksAreThoseOfTheGgufPackage) {
  const GgufFile file = open_gguf(golden("all_types.gguf"));
  const SafetensorsFolder expected = open_safetensors(golden("all_types_f32.safetensors"));
  ASSERT_EQ(file.tensors.size(), 8u);
  ASSERT_EQ(expected.tensors.size(), 8u);
  for (const TensorView& tensor : file.tensors) {
    EXPECT_EQ(tensor.name, to_string(tensor.dtype));
    ASSERT_NE(expected.find(tensor.name), nullptr);
    EXPECT_EQ(tensor.shape, expected.find(tensor.name)->shape);
    expect_same(values_of(&tensor), values_of(expected.find(tensor.name)), tensor.name);
  }
}

// Byte i is the top byte of splitmix64's i-th number, as the generator script has it.
std::vector<std::byte> random_bytes(uint64_t seed, size_t count) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) {
    uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    bytes[i] = std::byte((z ^ (z >> 31)) >> 56);
  }
  return bytes;
}

TEST(DequantizeGolden, ThousandsOfRandomBlocksAreThoseOfTheGgufPackage) {
  const auto expected = nlohmann::json::parse(read_text(golden("random_blocks.json")));
  const std::pair<DType, std::vector<size_t>> types[] = {// and where their scales stand
                                                         {DType::q4_0, {0}},
                                                         {DType::q4_1, {0, 2}},
                                                         {DType::q8_0, {0}},
                                                         {DType::q4_k, {0, 2}},
                                                         {DType::q6_k, {208}}};
  for (uint64_t seed = 0; seed < std::size(types); ++seed) {
    const auto& [dtype, scales] = types[seed];
    const size_t width = size_t(traits(dtype).block_bytes), blocks = 5000;
    std::vector<std::byte> bytes = random_bytes(seed, blocks * width);
    for (size_t block = 0; block < blocks; ++block)
      for (size_t at : scales) bytes[block * width + at + 1] &= std::byte(0xBF);
    const TensorView tensor{"w", dtype, {int64_t(blocks) * traits(dtype).block_elements}, bytes};
    EXPECT_EQ(checksum(values_of(&tensor)),
              std::stoull(expected.at(std::string(to_string(dtype))).get<std::string>(), nullptr, 16))
        << to_string(dtype);
  }
}

TEST(DequantizeGolden, SmallFloatsAreTorchs) {
  const SafetensorsFolder cases = open_safetensors(golden("conversions.safetensors"));
  for (const std::string name : {"e4m3", "e5m2"})
    expect_same(values_of(cases.find(name)), values_of(cases.find(name + "_f32")), name);
  expect_same(values_of(cases.find("f16_f32")), values_of(cases.find("f16_f32_expected")), "f16");
}

TEST(DequantizeGolden, BlockScalesReachTheEdges) {
  const SafetensorsFolder cases = open_safetensors(golden("conversions.safetensors"));
  for (const std::string name : {"tall", "wide", "exact"}) {
    const TensorView* weight = cases.find(name + ".weight");
    ASSERT_NE(weight, nullptr);
    std::vector<float> values(static_cast<size_t>(weight->num_elements()));
    dequantize_fp8_blocks(*weight, *cases.find(name + ".weight_scale_inv"), values);
    expect_same(values, values_of(cases.find(name + ".expected")), name);
  }
}

TEST(Dequantize, RefusesWhatIsNoWeight) {
  const std::vector<std::byte> bytes(512);
  std::vector<float> two(2), three(3);
  EXPECT_THROW(dequantize({"ids", DType::i32, {2}, std::span(bytes).first(8)}, two), UsageError);
  EXPECT_THROW(dequantize({"w", DType::f32, {2}, std::span(bytes).first(8)}, three), std::logic_error);
  EXPECT_THROW(dequantize({"w", DType::f32, {3}, std::span(bytes).first(8)}, three), std::logic_error);
}

TEST(Dequantize, RefusesScalesOfAnotherShape) {
  const std::vector<std::byte> bytes(512);
  std::vector<float> out(256);
  const TensorView weight{"w", DType::f8_e4m3, {2, 128}, std::span(bytes).first(256)};
  EXPECT_THROW(dequantize_fp8_blocks(weight, {"s", DType::f32, {2, 1}, std::span(bytes).first(8)}, out), UsageError);
  EXPECT_THROW(dequantize_fp8_blocks(weight, {"s", DType::i32, {1, 1}, std::span(bytes).first(4)}, out), UsageError);
  const TensorView halves{"w", DType::f16, {2, 64}, std::span(bytes).first(256)};
  EXPECT_THROW(dequantize_fp8_blocks(halves, {"s", DType::f32, {1, 1}, std::span(bytes).first(4)}, out), UsageError);
}

}  // namespace
}  // namespace cohort
