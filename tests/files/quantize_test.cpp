#include "policy/files/quantize.h"

#include <limits>

#include "golden.h"
#include "policy/files/gguf.h"

namespace cohort {
namespace {

std::vector<std::byte> quantized(std::span<const float> values, DType dtype) {
  const DTypeTraits& type = traits(dtype);
  std::vector<std::byte> out(values.size() / size_t(type.block_elements) * size_t(type.block_bytes));
  quantize(values, dtype, out);
  return out;
}

TEST(QuantizeGolden, BytesAreThoseOfTheGgufPackage) {
  const GgufFile file = open_gguf(golden("quantised.gguf"));
  ASSERT_EQ(file.tensors.size(), 4u);
  const std::vector<float> values = values_of(file.find("F32"));
  for (const TensorView& tensor : file.tensors)
    EXPECT_TRUE(std::ranges::equal(quantized(values, tensor.dtype), tensor.bytes)) << tensor.name;
}

TEST(Quantize, WhatIsNoNumberIsWrittenAllTheSame) {
  std::vector<float> values(32, 1.0f);
  values[3] = std::numeric_limits<float>::infinity(), values[4] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(quantized(values, DType::q8_0).size(), 34u);
  const std::vector<float> tiny(32, 1e-44f);  // its inverse scale overflows
  EXPECT_EQ(quantized(tiny, DType::q8_0).size(), 34u);
}

TEST(Quantize, RefusesOtherTypesAndSizes) {
  const std::vector<float> values(40);
  std::vector<std::byte> out(34);
  EXPECT_THROW(quantize(std::span(values).first(32), DType::q4_0, out), std::logic_error);
  EXPECT_THROW(quantize(values, DType::q8_0, out), std::logic_error);
  EXPECT_THROW(quantize(std::span(values).first(16), DType::f16, out), std::logic_error);
  EXPECT_FALSE(is_writable(DType::q4_k));
}

}  // namespace
}  // namespace cohort
