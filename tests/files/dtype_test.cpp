#include "policy/files/dtype.h"

#include <cmath>

#include "golden.h"
#include "policy/files/safetensors.h"

namespace cohort {
namespace {

TEST(DTypes, NamesAndNumbersReadBack) {
  for (int i = 0; i <= static_cast<int>(DType::q6_k); ++i) {
    const auto dtype = static_cast<DType>(i);
    const DTypeTraits& type = traits(dtype);
    EXPECT_EQ(dtype_from_safetensors(type.name), type.plain ? std::optional(dtype) : std::nullopt) << type.name;
    EXPECT_EQ(type.ggml ? dtype_from_ggml(*type.ggml) : dtype, dtype) << type.name;
  }
  EXPECT_EQ(dtype_from_safetensors("Q4_1"), std::nullopt);
  EXPECT_EQ(dtype_from_ggml(5), std::nullopt);
}

TEST(DTypes, HalvesSurviveTheRoundTrip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const bool nan16 = (bits & 0x7fff) > 0x7c00, nan_brain = (bits & 0x7fff) > 0x7f80;
    EXPECT_TRUE(nan16 ? std::isnan(f32_from_f16(half)) : f16_from_f32(f32_from_f16(half)) == half) << bits;
    EXPECT_TRUE(nan_brain ? std::isnan(f32_from_bf16(half)) : bf16_from_f32(f32_from_bf16(half)) == half) << bits;
  }
}

TEST(DTypes, NotANumberStaysOne) {
  for (const uint32_t bits : {0x7f800001u, 0x7fc00000u, 0xff800001u, 0xffffffffu}) {
    EXPECT_TRUE(std::isnan(f32_from_f16(f16_from_f32(std::bit_cast<float>(bits))))) << std::hex << bits;
    EXPECT_TRUE(std::isnan(f32_from_bf16(bf16_from_f32(std::bit_cast<float>(bits))))) << std::hex << bits;
  }
}

TEST(DTypes, SizesOfTensors) {
  EXPECT_EQ(num_bytes(DType::bf16, std::vector<int64_t>{3, 5}), 30);
  EXPECT_EQ(num_bytes(DType::q4_1, std::vector<int64_t>{2, 64}), 80);
  EXPECT_EQ(num_bytes(DType::q4_1, std::vector<int64_t>{64, 2}), std::nullopt);
  EXPECT_EQ(num_bytes(DType::q8_0, std::vector<int64_t>{}), std::nullopt);
  EXPECT_EQ(num_bytes(DType::f32, std::vector<int64_t>{}), 4);
  EXPECT_EQ(num_bytes(DType::f32, std::vector<int64_t>{-1}), std::nullopt);
  EXPECT_EQ(num_bytes(DType::u8, std::vector<int64_t>{INT64_MAX, 2}), std::nullopt);
  EXPECT_EQ(num_bytes(DType::f64, std::vector<int64_t>{INT64_MAX}), std::nullopt);
}

TEST(DTypes, NamesInMessagesAreHarmless) {
  EXPECT_EQ(quote_name("a\x1b[2J\n\xff"), "\"a\\u001b[2J\\n\\ufffd\"");
  EXPECT_LT(quote_name(std::string(100000, 'a')).size(), 300u);
  EXPECT_LT(quote_name(std::string(100000, '\0')).size(), 300u);
}

TEST(DTypesGolden, RoundingIsTorchs) {
  const SafetensorsFolder cases = open_safetensors(golden("conversions.safetensors"));
  const std::vector<float> values = values_of(cases.find("f32"));
  const auto f16 = stored<uint16_t>(cases.find("f16")), bf16 = stored<uint16_t>(cases.find("bf16"));
  ASSERT_GT(values.size(), 2000u);
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(f16_from_f32(values[i]), f16[i]) << values[i];
    ASSERT_EQ(bf16_from_f32(values[i]), bf16[i]) << values[i];
  }
}

}  // namespace
}  // namespace cohort
