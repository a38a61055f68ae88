#include "policy/models/gguf_config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <utility>

#include "configs/error.h"
#include "policy/files/dequantize.h"
#include "policy/models/families.h"
#include "policy/models/gguf_rope.h"

namespace cohort {
namespace {

using Metadata = nlohmann::ordered_json;

constexpr int kSoftmax = 1, kSigmoid = 2;  // expert_gating_func

/// A file of which keys and tensors are asked.
struct Source {
  const GgufFile& gguf;
  std::string file, architecture;

  [[noreturn]] void refuse(const std::string& what) const { throw UsageError(file + ": " + what); }

  /// Numbers as people wrote them: 1e-06 where the file has the fp32 beside it.
  static Json decimal(const Json& value) {
    const float single = value.is_number_float() ? value.get<float>() : 0;
    if (!value.is_number_float() || !std::isfinite(single)) return value;
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, single).ptr;
    double shortest = 0;
    std::from_chars(text, end, shortest);
    return shortest;
  }
  Json optional(const std::string& key, const Json& otherwise) const {
    const auto found = gguf.metadata.find(architecture + "." + key);
    if (found == gguf.metadata.end()) return otherwise;
    if (!found->is_primitive()) refuse("the key " + architecture + "." + key + " is no single value, as expected");
    return decimal(*found);
  }
  Json required(const std::string& key) const {
    const Json value = optional(key, nullptr);
    if (value.is_null()) refuse("lacks the key " + architecture + "." + key);
    return value;
  }
  int64_t integer(const std::string& key, int64_t otherwise) const {
    const Json value = optional(key, otherwise);
    if (!value.is_number_integer())
      refuse("the key " + architecture + "." + key + " is " + value.dump() + ", expected a whole number");
    return value.get<int64_t>();
  }
  double number(const std::string& key, double otherwise) const {
    const Json value = optional(key, otherwise);
    if (!value.is_number())
      refuse("the key " + architecture + "." + key + " is " + value.dump() + ", expected a number");
    return value.get<double>();
  }
  bool has(const std::string& tensor) const { return gguf.find(tensor) != nullptr; }
};

// ---- from files ----

void add_llama(const Source& s, Json& c) {
  c["attention_bias"] = s.has("blk.0.attn_q.bias");
  const Json window = s.optional("attention.sliding_window", nullptr);
  if (s.integer("expert_count", 0) > 0) {
    c["model_type"] = "mixtral";
    c["num_local_experts"] = s.required("expert_count"), c["num_experts_per_tok"] = s.required("expert_used_count");
  } else if (!window.is_null()) {
    c["model_type"] = "mistral";
  } else {
    c["mlp_bias"] = s.has("blk.0.ffn_gate.bias");
  }
  if (c["model_type"] != "llama") c.erase("attention_bias"), c["sliding_window"] = window;
}

void add_attention_bias(const Source& s, Json& c) {
  c["attention_bias"] = s.has("blk.0.attn_q.bias");
}

void add_nothing(const Source&, Json&) {}

void add_qwen3_moe(const Source& s, Json& c) {
  add_attention_bias(s, c);
  c["num_experts"] = s.required("expert_count"), c["num_experts_per_tok"] = s.required("expert_used_count");
  c["moe_intermediate_size"] = s.required("expert_feed_forward_length");
  c["norm_topk_prob"] = true, c["decoder_sparse_step"] = 1, c["mlp_only_layers"] = Json::array();
}

/// Routed experts beside shared ones, after the first dense layers.
void add_shared_mixture(const Source& s, Json& c) {
  c["n_routed_experts"] = s.required("expert_count"), c["num_experts_per_tok"] = s.required("expert_used_count");
  c["moe_intermediate_size"] = s.required("expert_feed_forward_length");
  c["n_shared_experts"] = s.integer("expert_shared_count", 0);
  c["first_k_dense_replace"] = s.integer("leading_dense_block_count", 0);
  c["norm_topk_prob"] = s.optional("expert_weights_norm", false);
  c["routed_scaling_factor"] = s.number("expert_weights_scale", 1);
  c["n_group"] = s.integer("expert_group_count", 1), c["topk_group"] = s.integer("expert_group_used_count", 1);
}

void add_deepseek2(const Source& s, Json& c) {
  add_shared_mixture(s, c);
  const int64_t gating = s.integer("expert_gating_func", kSoftmax), rope = s.required("rope.dimension_count");
  if (gating != kSoftmax && gating != kSigmoid)
    s.refuse("the key deepseek2.expert_gating_func is " + std::to_string(gating) + ", expected 1 or 2");
  c["model_type"] = gating == kSigmoid ? "deepseek_v3" : "deepseek_v2";
  c["scoring_func"] = gating == kSigmoid ? "sigmoid" : "softmax";
  c["topk_method"] = gating == kSigmoid ? "noaux_tc" : c["n_group"] == 1 ? "greedy" : "group_limited_greedy";
  const int64_t q_lora = s.integer("attention.q_lora_rank", 0);
  c["q_lora_rank"] = q_lora > 0 ? Json(q_lora) : Json();
  c["kv_lora_rank"] = s.required("attention.kv_lora_rank");
  const bool is_absorbed = !s.optional("attention.key_length_mla", nullptr).is_null();
  c["qk_rope_head_dim"] = rope;
  c["qk_nope_head_dim"] = s.integer(is_absorbed ? "attention.key_length_mla" : "attention.key_length", 0) - rope;
  c["v_head_dim"] = s.required(is_absorbed ? "attention.value_length_mla" : "attention.value_length");
  c["num_key_value_heads"] = c["num_attention_heads"], c["rope_interleave"] = true;
  c.erase("head_dim");
}

/// The rotated share of a head: GGUF files count dimensions.
void add_rotated_share(const Source& s, Json& c) {
  const double head = c["head_dim"], rotated = s.required("rope.dimension_count");
  if (!(head > 0)) s.refuse("the key " + s.architecture + ".attention.key_length is " + c["head_dim"].dump());
  c["partial_rotary_factor"] = rotated / head;
}

void add_glm4_moe(const Source& s, Json& c) {
  add_shared_mixture(s, c);
  add_attention_bias(s, c);
  add_rotated_share(s, c);
  c["use_qk_norm"] = s.has("blk.0.attn_q_norm.weight");
}

void add_minimax_m2(const Source& s, Json& c) {
  c["num_local_experts"] = s.required("expert_count"), c["num_experts_per_tok"] = s.required("expert_used_count");
  c["intermediate_size"] = s.required("expert_feed_forward_length");
  c["rotary_dim"] = s.required("rope.dimension_count");
  c["use_qk_norm"] = s.has("blk.0.attn_q_norm.weight"), c["scoring_func"] = "sigmoid";
}

void add_hunyuan_moe(const Source& s, Json& c) {
  add_attention_bias(s, c);
  c["num_experts"] = s.required("expert_count"), c["moe_topk"] = s.required("expert_used_count");
  c["intermediate_size"] = s.required("expert_feed_forward_length");
}

// ---- to files ----

/// Of a dense start an expert that no layer has: llama.cpp asks for one in each family of mixtures.
MoeSpec mixture_of(const ModelSpec& spec) {
  if (spec.moe_layers() > 0) return spec.layers.back().moe;
  return {.experts = 1,
          .top_k = 1,
          .expert_dim = spec.layers[0].dense_dim,
          .sigmoid_scores = spec.model_type != "deepseek_v2"};
}

void set_mixture(Metadata& out, const ModelSpec& spec, const std::string& at) {
  const MoeSpec m = mixture_of(spec);
  out[at + "expert_count"] = m.experts, out[at + "expert_used_count"] = m.top_k;
  out[at + "expert_feed_forward_length"] = m.expert_dim;
  out[at + "expert_gating_func"] = m.sigmoid_scores ? kSigmoid : kSoftmax;
  out[at + "expert_weights_norm"] = m.normalize;
  out[at + "expert_weights_scale"] = m.scale;
  if (m.shared_dim) out[at + "expert_shared_feed_forward_length"] = m.shared_dim;
  if (m.shared_dim || spec.moe_layers() == 0) out[at + "expert_shared_count"] = m.shared_dim / m.expert_dim;
  if (m.top_groups < m.groups)
    out[at + "expert_group_count"] = m.groups, out[at + "expert_group_used_count"] = m.top_groups;
  const int32_t dense = int32_t(spec.layers.size()) - spec.moe_layers();
  if (dense > 0) out[at + "leading_dense_block_count"] = dense;
}

void set_attention(Metadata& out, const ModelSpec& spec, const std::string& at) {
  const AttentionSpec& a = spec.layers[0].attention;
  out[at + "attention.head_count"] = a.heads, out[at + "attention.head_count_kv"] = a.kv_heads;
  out[at + "attention.layer_norm_rms_epsilon"] = spec.norm_epsilon;
  out[at + "attention.key_length"] = a.key_dim(), out[at + "attention.value_length"] = a.value_dim();
  if (a.window) out[at + "attention.sliding_window"] = a.window;
  if (!a.latent) return;
  out[at + "attention.q_lora_rank"] = a.q_lora_rank, out[at + "attention.kv_lora_rank"] = a.kv_lora_rank;
  out[at + "attention.key_length_mla"] = a.head_dim, out[at + "attention.value_length_mla"] = a.value_head_dim;
}

// ---- the table ----

struct Architecture {
  const char* name;
  std::vector<std::string> model_types;  // the first is what files of this name are read as, unless they say more
  void (*add_config)(const Source&, Json& config);
  GgufLayout layout = {};
  bool is_mixture = false;   // llama.cpp reads keys of experts, also where all layers are dense
  bool all_mixture = false;  // and expects experts in every layer
};

const std::vector<Architecture>& architectures() {
  static const std::vector<Architecture> table = {
      {"llama", {"llama", "mistral", "mixtral"}, add_llama, {.rope_pairs = true}},
      {"qwen2", {"qwen2"}, add_nothing},
      {"qwen3", {"qwen3"}, add_attention_bias},
      {"qwen3moe", {"qwen3_moe"}, add_qwen3_moe, {}, true, true},
      {"deepseek2", {"deepseek_v3", "deepseek_v2", "kimi_k2"}, add_deepseek2, {}, true},
      {"glm4moe", {"glm4_moe"}, add_glm4_moe, {.ffn_norm = "post_attention_norm"}, true},
      {"minimax-m2", {"minimax_m2"}, add_minimax_m2, {}, true, true},
      {"hunyuan-dense", {"hunyuan_v1_dense"}, add_attention_bias},
      {"hunyuan-moe", {"hunyuan_v1_moe"}, add_hunyuan_moe, {}, true, true},
  };
  return table;
}

const Architecture* find_architecture(const std::string& name) {
  const auto found = std::ranges::find_if(architectures(), [&](const Architecture& a) { return a.name == name; });
  return found == architectures().end() ? nullptr : &*found;
}

const Architecture& architecture_of(const ModelSpec& spec) {
  for (const Architecture& a : architectures())
    if (std::ranges::count(a.model_types, spec.model_type)) return a;
  throw UsageError("llama.cpp has no architecture for model_type \"" + spec.model_type + "\": export an HF folder");
}

std::string name_of_architecture(const GgufFile& gguf, const std::filesystem::path& file) {
  const auto found = gguf.metadata.find("general.architecture");
  std::string name = found != gguf.metadata.end() && found->is_string() ? found->get<std::string>() : "", known;
  if (find_architecture(name)) return name;
  for (const Architecture& a : architectures()) known += (known.empty() ? "" : ", ") + std::string(a.name);
  throw UsageError(file.string() + " holds a model of architecture " + quote_name(name) + "; known are " + known);
}

Json common_config(const Source& s) {
  const TensorView* embedding = s.gguf.find("token_embd.weight");
  if (!embedding || embedding->shape.size() != 2) s.refuse("has no matrix token_embd.weight");
  Json c = {{"hidden_act", "silu"},
            {"vocab_size", embedding->shape[0]},
            {"hidden_size", s.required("embedding_length")},
            {"num_hidden_layers", s.integer("block_count", 0) - s.integer("nextn_predict_layers", 0)},
            {"num_attention_heads", s.required("attention.head_count")},
            {"max_position_embeddings", s.required("context_length")},
            {"tie_word_embeddings", !s.has("output.weight")}};
  c["num_key_value_heads"] = s.optional("attention.head_count_kv", c["num_attention_heads"]);
  s.required("attention.layer_norm_rms_epsilon");
  c["rms_norm_eps"] = s.number("attention.layer_norm_rms_epsilon", 0);
  const int64_t heads = s.integer("attention.head_count", 0), width = s.integer("embedding_length", 0);
  c["head_dim"] = s.integer("attention.key_length", heads > 0 ? width / heads : 0);
  const Json ffn = s.optional("feed_forward_length", nullptr);
  if (!ffn.is_null()) c["intermediate_size"] = ffn;
  return c;
}

void add_rope(const Source& s, Json& c) {
  const double theta = s.number("rope.freq_base", 10000);
  c["rope_theta"] = theta;
  const std::string type = s.optional("rope.scaling.type", "linear").get<std::string>();  // llama.cpp's default
  const double factor = s.number("rope.scaling.factor", s.number("rope.scale_linear", 1));
  if (type == "yarn") {
    Json yarn = {{"rope_type", "yarn"}, {"factor", factor}};
    yarn["original_max_position_embeddings"] =
        s.integer("rope.scaling.original_context_length", s.integer("context_length", 0));
    yarn["beta_fast"] = s.number("rope.scaling.yarn_beta_fast", 32);
    yarn["beta_slow"] = s.number("rope.scaling.yarn_beta_slow", 1);
    const double log_mul = s.number("rope.scaling.yarn_log_multiplier", 0),
                 more = s.number("rope.scaling.attn_factor", 1);
    if (log_mul != 0) yarn["mscale"] = yarn["mscale_all_dim"] = s.decimal(Json(log_mul / 0.1));
    if (more != 1) yarn["attention_factor"] = more * (0.1 * std::log(factor) + 1);
    c["rope_scaling"] = yarn;
  } else if (type == "linear" && factor != 1) {
    c["rope_scaling"] = {{"rope_type", "linear"}, {"factor", factor}};
  } else if (type != "linear" && type != "none") {
    s.refuse("the key " + s.architecture + ".rope.scaling.type is " + quote_name(type) +
             ", expected none, linear or yarn");
  }
  const TensorView* divisors = s.gguf.find("rope_freqs.weight");
  if (!divisors) return;
  std::vector<float> values(size_t(divisors->num_elements()));
  if (divisors->dtype != DType::f32 || divisors->shape.size() != 1 || values.size() > 1024)
    s.refuse("tensor rope_freqs.weight is no F32 vector of at most 1024 elements");
  dequantize(*divisors, values);
  const Json scaling = llama3_scaling(values, theta, s.number("rope.scaling.original_context_length", 8192));
  if (scaling.is_null() || c.contains("rope_scaling"))
    s.refuse("tensor rope_freqs.weight scales the rotation in a way that is not Llama 3's");
  c["rope_scaling"] = scaling;
}

void add_token_ids(const GgufFile& gguf, Json& c) {
  const auto id = [&](const std::string& role) { return gguf.metadata.value("tokenizer.ggml." + role, Json()); };
  for (const char* role : {"bos_token_id", "eos_token_id"})
    if (id(role).is_number_integer()) c[role] = id(role);
  if (id("padding_token_id").is_number_integer()) c["pad_token_id"] = id("padding_token_id");
  Json stops = Json::array();
  for (const char* role : {"eos_token_id", "eot_token_id", "eom_token_id"})
    if (id(role).is_number_integer() && std::ranges::find(stops, id(role)) == stops.end()) stops.push_back(id(role));
  if (stops.size() > 1) c["eos_token_id"] = stops;
}

void expect_whole_heads(const Source& s, const Json& c) {
  const Json rotated = s.optional("rope.dimension_count", nullptr);
  const bool may_be_part =
      c.contains("partial_rotary_factor") || c.contains("rotary_dim") || c.contains("kv_lora_rank");
  if (!rotated.is_null() && !may_be_part && rotated != c["head_dim"])
    s.refuse("the key " + s.architecture + ".rope.dimension_count is " + rotated.dump() +
             ", expected the whole head, " + c["head_dim"].dump());
}

/// What llama.cpp computes otherwise whatever the file says.
void expect_computed_alike(const ModelSpec& spec, const Architecture& architecture) {
  const auto expect = [&](bool holds, const std::string& what) {
    if (!holds)
      throw UsageError("llama.cpp's " + std::string(architecture.name) + " " + what + ": export an HF folder instead");
  };
  const bool is_llama = architecture.layout.rope_pairs;
  for (const LayerSpec& layer : spec.layers) {
    const bool is_mixture = layer.dense_dim == 0;
    expect(layer.offsets.o_bias < 0 || is_llama, "has no bias behind attention, the model has");
    expect(layer.attention.window == 0 || is_llama, "has no sliding window, the model has");
    expect(is_mixture || !architecture.all_mixture, "has experts in every layer, the model has dense layers");
    if (!is_mixture) continue;
    const bool may_say = architecture.layout.ffn_norm != std::string("ffn_norm") || layer.attention.latent;
    expect(may_say || layer.moe.normalize, "normalises the weights of the experts, the model does not");
    expect(!layer.moe.group_by_best || layer.moe.top_groups == layer.moe.groups,
           "takes the two best experts for a group's worth, the model the best one");
    expect(!may_say || layer.moe.shared_dim > 0, "has shared experts, the model has none");
  }
  expect(llama3_divisors(spec).empty() || is_llama, "has no Llama 3 rope, the model has");
  if (spec.layers[0].attention.window && spec.layers[0].attention.window < spec.max_position)
    std::fprintf(stderr, "cohort: llama.cpp lets queries see all positions, the model the last %d\n",
                 spec.layers[0].attention.window);
}

int64_t file_type(DType dtype) {
  return dtype == DType::f32 ? 0 : dtype == DType::f16 ? 1 : dtype == DType::q8_0 ? 7 : 32;  // enum llama_ftype
}

int64_t feed_forward_length(const ModelSpec& spec) {
  for (const LayerSpec& layer : spec.layers)
    if (layer.dense_dim) return layer.dense_dim;
  const Json named = spec.config.value("intermediate_size", Json());
  return named.is_number_integer() ? named.get<int64_t>() : spec.layers[0].moe.expert_dim;
}

}  // namespace

Json config_from_gguf(const GgufFile& gguf, const std::filesystem::path& file) try {
  const Source source{gguf, file.string(), name_of_architecture(gguf, file)};
  const Architecture& architecture = *find_architecture(source.architecture);
  Json config = common_config(source);
  config["model_type"] = architecture.model_types[0];
  architecture.add_config(source, config);
  expect_whole_heads(source, config);
  add_rope(source, config);
  add_token_ids(gguf, config);
  config["architectures"] = Json::array({family_of(config["model_type"]).architecture});
  return config;
} catch (const Json::exception& error) {
  throw UsageError(file.string() +
                   ": a key of the metadata has a value of another type than it takes: " + error.what());
}

GgufLayout layout_of_gguf(const GgufFile& gguf) {
  const Architecture* architecture = find_architecture(gguf.metadata.value("general.architecture", ""));
  GgufLayout layout = architecture ? architecture->layout : GgufLayout();
  layout.whole_kv_b = gguf.find("blk.0.attn_kv_b.weight") != nullptr;
  return layout;
}

GgufLayout layout_in_gguf(const ModelSpec& spec) {
  return architecture_of(spec).layout;
}

Metadata gguf_model_metadata(const ModelSpec& spec, const std::string& name, DType dtype) {
  const Architecture& architecture = architecture_of(spec);
  expect_computed_alike(spec, architecture);
  Metadata out;
  out["general.architecture"] = architecture.name, out["general.type"] = "model", out["general.name"] = name;
  out["general.file_type"] = file_type(dtype);
  if (dtype == DType::q8_0) out["general.quantization_version"] = 2;
  const std::string at = std::string(architecture.name) + ".";
  out[at + "vocab_size"] = spec.vocab, out[at + "context_length"] = spec.max_position;
  out[at + "embedding_length"] = spec.dim, out[at + "block_count"] = spec.layers.size();
  out[at + "feed_forward_length"] = feed_forward_length(spec);
  set_attention(out, spec, at);
  if (architecture.is_mixture || spec.moe_layers() > 0) set_mixture(out, spec, at);
  const Metadata rope = gguf_rope_keys(spec);
  for (const auto& [key, value] : rope.items()) out[at + "rope." + key] = value;
  return out;
}

}  // namespace cohort
