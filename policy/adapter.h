// Low-rank adapters (LoRA, arXiv 2106.09685). Beside a frozen matrix W [n, k] stand A [r, k] and B [n, r], and a
// product with it is x·Wᵀ + scale · (x·Aᵀ)·Bᵀ, in sampling and in training alike. Only A and B are learned; of the rest
// the packed store alone is in memory.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "policy/kernels/buffer.h"
#include "policy/kernels/kernels.h"
#include "policy/model_spec.h"

namespace cohort {

struct CausalLM;
struct LoraConfig;

/// The adapters of one packed matrix: those of the modules (q_proj, k_proj, …) whose rows it holds.
struct LowRank {
  struct Module {
    int64_t first_row = 0, rows = 0;  // of the matrix
    int32_t first_rank = 0, rank = 0;
    int64_t b = 0;  // B [rows, rank] in Adapter::values
  };
  int64_t n = 0, k = 0, rank = 0;  // rank: of all modules together; 0: none has an adapter
  int64_t a = 0;                   // A [rank, k] of all modules, one below the other, in Adapter::values
  std::vector<Module> modules;
  int64_t packed_a = 0, packed_b = 0;  // [rank, k], and scale · B [n, rank] with zeros between modules
};

struct AdapterLayer {
  LowRank in, q_b, o, gate_up, down;
  std::vector<LowRank> expert_gate_up, expert_down;
};

/// One of a layer's adapters (layer null: there are none), null where that matrix has none.
inline const LowRank* low_rank(const AdapterLayer* layer, LowRank AdapterLayer::*matrix) {
  return layer && (layer->*matrix).rank ? &(layer->*matrix) : nullptr;
}
inline const LowRank* low_rank(const AdapterLayer* layer, std::vector<LowRank> AdapterLayer::*matrices, size_t expert) {
  return layer && (layer->*matrices)[expert].rank ? &(layer->*matrices)[expert] : nullptr;
}

struct Adapter {
  std::string base;                       // model reference of the frozen weights
  std::vector<ParameterSpec> parameters;  // "model.layers.0.self_attn.q_proj.lora_A.weight": the order of `values`
  Buffer values;                          // fp32 masters
  Buffer packed;                          // what forwards read
  std::vector<AdapterLayer> layers;
  double alpha = 0;
  int32_t rank = 0;
  bool is_rslora = false;
  float scale = 1;
};

/// New adapters: A uniform in ±1/√k as PEFT draws it (a function of the seed alone), B zero. Throws
/// UsageError naming a target that no module matches.
Adapter make_adapter(const ModelSpec& spec, const LoraConfig& config, const std::string& base, uint64_t seed);

/// Throws what make_adapter would, where the config asks for adapters.
void expect_targets(const ModelSpec& spec, const LoraConfig& config);

/// Layout alone, for adapters of these modules ("model.layers.0.self_attn.q_proj") with these ranks; values unset.
struct TargetModule {
  std::string name;
  int32_t rank = 0;
};
Adapter adapter_of(const ModelSpec& spec, const std::vector<TargetModule>& targets);

/// alpha / rank, or alpha / √rank.
float lora_scale(const Adapter& adapter);

/// Rewrites what forwards read from the masters.
void repack(Adapter& adapter, const Compute& compute);

/// Products with A and with scale · B: b, n and k are set, the rest is the caller's.
Gemm product_a(const Adapter& adapter, const LowRank& matrix);
Gemm product_b(const Adapter& adapter, const LowRank& matrix);

/// A copy that shares nothing.
Adapter copy_adapter(const Adapter& adapter);

/// W += scale · B·A in the model's parameters, sums in double; the packed store is left as it is.
void merge(CausalLM& model, const Adapter& adapter, const Compute& compute);

/// What learning changes: all parameters, or the adapter's alone; their values, flat.
const std::vector<ParameterSpec>& trained_parameters(const CausalLM& model);
Buffer& trained_values(CausalLM& model);
const Buffer& trained_values(const CausalLM& model);

/// The frozen weights of `model` (which must outlive it) with an adapter of their own.
CausalLM with_adapter(const CausalLM& model, Adapter adapter);

}  // namespace cohort
