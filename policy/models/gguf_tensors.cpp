#include "policy/models/gguf_tensors.h"

#include <map>
#include <string_view>
#include <utility>

#include "configs/error.h"

namespace cohort {
namespace {

struct Stem {
  std::string_view hf, gguf;
};

// Behind "model.layers.N." and before the last dot; an expert's number is left out.
constexpr Stem kStems[] = {
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"self_attn.query_layernorm", "attn_q_norm"},
    {"self_attn.key_layernorm", "attn_k_norm"},
    {"self_attn.q_a_proj", "attn_q_a"},
    {"self_attn.q_a_layernorm", "attn_q_a_norm"},
    {"self_attn.q_b_proj", "attn_q_b"},
    {"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"},
    {"self_attn.kv_a_layernorm", "attn_kv_a_norm"},
    {"self_attn.kv_b_proj", "attn_kv_b"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"mlp.gate", "ffn_gate_inp"},
    {"mlp.gate.wg", "ffn_gate_inp"},
    {"block_sparse_moe.gate", "ffn_gate_inp"},
    {"mlp.experts.gate_proj", "ffn_gate_exps"},
    {"mlp.experts.up_proj", "ffn_up_exps"},
    {"mlp.experts.down_proj", "ffn_down_exps"},
    {"block_sparse_moe.experts.w1", "ffn_gate_exps"},
    {"block_sparse_moe.experts.w3", "ffn_up_exps"},
    {"block_sparse_moe.experts.w2", "ffn_down_exps"},
    {"mlp.shared_experts.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_experts.up_proj", "ffn_up_shexp"},
    {"mlp.shared_experts.down_proj", "ffn_down_shexp"},
    {"mlp.shared_mlp.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_mlp.up_proj", "ffn_up_shexp"},
    {"mlp.shared_mlp.down_proj", "ffn_down_shexp"},
};

constexpr std::string_view kLayers = "model.layers.", kExperts = "experts.", kCorrection = ".e_score_correction_bias";

/// "mlp.experts.7.up_proj.weight" without its number; other names as they are.
std::string without_expert(std::string name) {
  const size_t at = name.find(kExperts);
  if (at == std::string::npos || (at > 0 && name[at - 1] != '.')) return name;  // shared_experts
  const size_t number = at + kExperts.size();
  return name.erase(number, name.find('.', number) + 1 - number);
}

std::string stem_in_gguf(std::string_view stem, const GgufLayout& layout, const std::string& name) {
  if (stem == "post_attention_layernorm") return layout.ffn_norm;
  for (const Stem& known : kStems)
    if (known.hf == stem) return std::string(known.gguf);
  throw UsageError("the tensor " + name + " has no name in GGUF files");
}

/// The tensor that holds the parameter.
std::string name_in_gguf(const std::string& name, const GgufLayout& layout) {
  if (name == "model.embed_tokens.weight") return "token_embd.weight";
  if (name == "model.norm.weight") return "output_norm.weight";
  if (name == "lm_head.weight") return "output.weight";
  if (!name.starts_with(kLayers)) throw UsageError("the tensor " + name + " has no name in GGUF files");
  const size_t dot = name.find('.', kLayers.size());
  const std::string block = "blk." + name.substr(kLayers.size(), dot - kLayers.size()) + ".";
  const std::string rest = without_expert(name.substr(dot + 1));
  if (rest.ends_with(kCorrection)) return block + "exp_probs_b.bias";
  const size_t last = rest.rfind('.');
  return block + stem_in_gguf(std::string_view(rest).substr(0, last), layout, name) + rest.substr(last);
}

size_t layer_of(const std::string& name) {
  return name.starts_with(kLayers) ? std::stoul(name.substr(kLayers.size())) : 0;
}

void add_kv_b(std::vector<GgufPlan>& plans, const GgufPlan& whole, const AttentionSpec& a) {
  GgufPlan keys = whole, values = whole;
  keys.name.replace(keys.name.rfind("kv_b"), 4, "k_b"), values.name.replace(values.name.rfind("kv_b"), 4, "v_b");
  keys.arrangement = GgufArrangement::key_up, values.arrangement = GgufArrangement::value_up;
  keys.shape = {a.heads, a.kv_lora_rank, a.nope_dim}, values.shape = {a.heads, a.value_head_dim, a.kv_lora_rank};
  plans.push_back(std::move(keys)), plans.push_back(std::move(values));
}

bool is_turned(const std::string& name) {
  const std::string_view stem = std::string_view(name).substr(0, name.rfind('.'));
  return stem.ends_with("self_attn.q_proj") || stem.ends_with("self_attn.k_proj");
}

}  // namespace

int64_t row_in_gguf(int64_t row, int64_t head_dim) {
  const int64_t in_head = row % head_dim;
  return row - in_head + in_head % (head_dim / 2) * 2 + in_head / (head_dim / 2);
}

std::vector<GgufPlan> gguf_plans(const ModelSpec& spec, const GgufLayout& layout) {
  std::vector<GgufPlan> plans;
  std::map<std::string, size_t> of_experts;  // tensor → its plan
  for (size_t i = 0; i < spec.parameters.size(); ++i) {
    const ParameterSpec& p = spec.parameters[i];
    if (p.offset >= spec.main_parameters()) break;  // llama.cpp's models have no multi-token-prediction layer
    GgufPlan plan{.name = name_in_gguf(p.name, layout), .shape = p.shape, .parameters = {i}, .layer = layer_of(p.name)};
    if (plan.layer >= spec.layers.size()) throw UsageError("the tensor " + p.name + " has no name in GGUF files");
    if (plan.name.ends_with("_exps.weight")) {
      const auto [at, is_first] = of_experts.emplace(plan.name, plans.size());
      if (is_first) plan.shape.insert(plan.shape.begin(), spec.layers[plan.layer].moe.experts), plans.push_back(plan);
      if (!is_first) plans[at->second].parameters.push_back(i);
      continue;
    }
    if (layout.rope_pairs && is_turned(p.name)) plan.arrangement = GgufArrangement::rope_pairs;
    if (plan.name.ends_with("attn_kv_b.weight") && !layout.whole_kv_b)
      add_kv_b(plans, plan, spec.layers[plan.layer].attention);
    else
      plans.push_back(std::move(plan));
  }
  return plans;
}

}  // namespace cohort
