// Numbers of GGUF's metadata value types (enum gguf_metadata_value_type of the specification).
#pragma once
#include <cstdint>

namespace cohort {

enum class GgufValueType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };
constexpr uint32_t kGgufValueTypes = 13;

}  // namespace cohort
