// The tensors of a GGUF file and the parameters they hold, for reading and for writing alike. Names and arrangements:
// llama.cpp's gguf-py (constants.py, tensor_mapping.py) and what its models expect of their files.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "policy/model_spec.h"

namespace cohort {

/// How a tensor's rows follow from its parameter's.
enum class GgufArrangement {
  plain,       // the same; or the matrices of all experts, one after another
  rope_pairs,  // rows of queries and keys: row half·dim/2 + j of a head stands at 2j + half
  key_up,      // of kv_b, each head's rows that make keys, transposed
  value_up     // of kv_b, each head's rows that make values
};

struct GgufPlan {
  std::string name;
  std::vector<int64_t> shape;  // row-major
  GgufArrangement arrangement = GgufArrangement::plain;
  std::vector<size_t> parameters;  // indices into ModelSpec::parameters: one, or the experts in their order
  size_t layer = 0;
};

struct GgufLayout {
  bool rope_pairs = false;  // llama.cpp turns neighbouring pairs where HF turns halves
  bool whole_kv_b = false;  // as files of before 2025 have it: one tensor
  const char* ffn_norm = "ffn_norm";
};

/// One plan a tensor; every parameter is in one plan, those of kv_b in two unless whole_kv_b, those of the
/// multi-token-prediction layer in none. Throws UsageError for a
/// parameter that GGUF has no name for.
std::vector<GgufPlan> gguf_plans(const ModelSpec& spec, const GgufLayout& layout);

/// Where row `row` of a parameter stands in the tensor, for rope_pairs.
int64_t row_in_gguf(int64_t row, int64_t head_dim);

}  // namespace cohort
