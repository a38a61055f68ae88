#include "policy/models/families.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "configs/error.h"

namespace cohort {
namespace {

std::string rope_type(const Json& scaling) {
  if (!scaling.is_object()) return "default";
  return optional_text(scaling, "rope_type", optional_text(scaling, "type", "default"));
}

/// Of rope settings: a number above 0.
double positive(const Json& scaling, const char* key, double otherwise) {
  const double value = optional_number(scaling, key, otherwise);
  if (!(value > 0))
    throw UsageError(std::string("config.json has rope settings with \"") + key +
                     "\": " + scaling.value(key, Json()).dump() + ", expected a number above 0");
  return value;
}

/// Llama 3: long wavelengths divided by `factor`, short ones kept, a ramp between.
void apply_llama3(const Json& s, std::vector<double>& frequency) {
  double factor = positive(s, "factor", 0), low = positive(s, "low_freq_factor", 0),
         high = positive(s, "high_freq_factor", 0), length = positive(s, "original_max_position_embeddings", 0);
  if (!(high > low))
    throw UsageError("config.json has rope settings with a high_freq_factor that is not above low_freq_factor: " +
                     s.dump());
  for (double& f : frequency) {
    double wavelength = 2 * std::numbers::pi / f;
    if (wavelength > length / low)
      f /= factor;
    else if (wavelength > length / high) {
      double smooth = (length / wavelength - low) / (high - low);
      f = (1 - smooth) * f / factor + smooth * f;
    }
  }
}

/// YaRN (arXiv 2309.00071): interpolation for slow dimensions, extrapolation for fast ones; returns the amplitude.
/// The bounds between the two are whole dimensions unless `truncate` is false (transformers modeling_rope_utils.py).
double apply_yarn(const Json& config, const Json& s, int32_t dim, double theta, std::vector<double>& frequency) {
  const double longest = optional_int(config, "max_position_embeddings", 4096);
  const double factor = positive(s, "factor", 0), length = positive(s, "original_max_position_embeddings", longest);
  const bool truncate = optional_flag(s, "truncate", true);
  auto correction = [&](double rotations) {
    return dim * std::log(length / (rotations * 2 * std::numbers::pi)) / (2 * std::log(theta));
  };
  double low = correction(positive(s, "beta_fast", 32)), high = correction(positive(s, "beta_slow", 1));
  if (truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;
  for (size_t j = 0; j < frequency.size(); ++j) {
    double ramp = std::clamp((double(j) - low) / (high - low), 0.0, 1.0);
    frequency[j] = frequency[j] / factor * ramp + frequency[j] * (1 - ramp);
  }
  auto mscale = [&](double m) { return factor > 1 ? 0.1 * m * std::log(factor) + 1 : 1.0; };
  double m = optional_number(s, "mscale", 0), m_all = optional_number(s, "mscale_all_dim", 0);
  return optional_number(s, "attention_factor", m != 0 && m_all != 0 ? mscale(m) / mscale(m_all) : mscale(1));
}

}  // namespace

int64_t add_parameter(ModelSpec& spec, const std::string& name, std::vector<int64_t> shape, bool gradient) {
  constexpr size_t most = 1 << 19;  // several times those of the largest models
  if (spec.parameters.size() == most)
    throw UsageError("config.json asks for more than " + std::to_string(most) + " tensors");
  ParameterSpec parameter{name, std::move(shape), spec.num_parameters, gradient};
  spec.num_parameters += parameter.size();
  spec.parameters.push_back(parameter);
  return parameter.offset;
}

/// Far above any model there is, and low enough that products of two sizes stay whole.
static int64_t most_of(std::string_view key) {
  if (key == "max_position_embeddings" || key == "vocab_size") return 1 << 24;
  if (key == "hidden_size" || key == "intermediate_size" || key == "moe_intermediate_size") return 1 << 20;
  return 1 << 12;
}

int32_t required_int(const Json& config, const char* key, int32_t least) {
  if (!config.contains(key) || !config[key].is_number_integer())
    throw UsageError(std::string("config.json has no integer \"") + key + "\", which model_type \"" +
                     config.value("model_type", "") + "\" needs");
  const Json& value = config[key];
  if (value < least || value > most_of(key))
    throw UsageError(std::string("config.json has \"") + key + "\": " + value.dump() + ", expected " +
                     std::to_string(least) + " to " + std::to_string(most_of(key)));
  return value.get<int32_t>();
}

int32_t optional_int(const Json& config, const char* key, int32_t otherwise, int32_t least) {
  if (!config.contains(key) || config[key].is_null()) return otherwise;
  return required_int(config, key, least);
}

[[noreturn]] static void refuse_type(const Json& value, const char* key, const char* expected) {
  throw UsageError(std::string("config.json has \"") + key + "\": " + value.dump().substr(0, 80) + ", expected " +
                   expected);
}

/// Null where the key is absent.
static const Json& value_at(const Json& config, const char* key) {
  static const Json none;
  const auto found = config.find(key);
  return found == config.end() ? none : *found;
}

bool optional_flag(const Json& config, const char* key, bool otherwise) {
  const Json& value = value_at(config, key);
  if (!value.is_null() && !value.is_boolean()) refuse_type(value, key, "true or false");
  return value.is_null() ? otherwise : value.get<bool>();
}

double optional_number(const Json& config, const char* key, double otherwise) {
  const Json& value = value_at(config, key);
  if (!value.is_null() && !value.is_number()) refuse_type(value, key, "a number");
  return value.is_null() ? otherwise : value.get<double>();
}

std::string optional_text(const Json& config, const char* key, const std::string& otherwise) {
  const Json& value = value_at(config, key);
  if (!value.is_null() && !value.is_string()) refuse_type(value, key, "a text");
  return value.is_null() ? otherwise : value.get<std::string>();
}

void expect_only(const Json& config, const char* key, const Json& only) {
  if (config.contains(key) && !config[key].is_null() && config[key] != only)
    throw UsageError(std::string("config.json has \"") + key + "\": " + config[key].dump() +
                     ", which this version does not compute: only " + only.dump());
}

float norm_epsilon(const Json& config, float otherwise) {
  const float epsilon = float(optional_number(config, "rms_norm_eps", otherwise));
  if (!(epsilon >= 0)) throw UsageError("config.json has a rms_norm_eps below 0");
  return epsilon;
}

double rope_theta(const Json& config) {
  const Json& parameters = value_at(config, "rope_parameters");
  const double outside = optional_number(config, "rope_theta", 10000.0);
  return parameters.is_object() ? optional_number(parameters, "rope_theta", outside) : outside;
}

Json rope_scaling(const Json& config) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const Json& settings = value_at(config, key);
    if (settings.is_object()) return settings;
    if (!settings.is_null()) refuse_type(settings, key, "an object or null");
  }
  return nullptr;
}

RopeSpec rope_spec(const Json& config, int32_t dim, bool interleaved) {
  double theta = rope_theta(config);
  std::vector<double> frequency;
  Json scaling = rope_scaling(config);
  std::string type = rope_type(scaling);
  if (type == "dynamic" && optional_number(scaling, "alpha", 0) != 0) {  // Hunyuan: a longer base, whatever the length
    theta *= std::pow(scaling["alpha"].get<double>(), dim / (dim - 2.0));
    type = "default";
  }
  for (int32_t j = 0; j < dim / 2; ++j) frequency.push_back(1.0 / std::pow(theta, 2.0 * j / dim));
  RopeSpec rope{.dim = dim, .interleaved = interleaved};
  if (type == "llama3")
    apply_llama3(scaling, frequency);
  else if (type == "yarn")
    rope.amplitude = float(apply_yarn(config, scaling, dim, theta, frequency));
  else if (type == "linear")
    for (double& f : frequency) f /= positive(scaling, "factor", 0);
  else if (type != "default")
    throw UsageError("rope type \"" + type + "\" in config.json is not known: default, linear, llama3 or yarn");
  for (double f : frequency) rope.inv_freq.push_back(float(f));
  const bool is_finite = std::ranges::all_of(rope.inv_freq, [](float f) { return std::isfinite(f); });
  if (!is_finite || !std::isfinite(rope.amplitude))
    throw UsageError("config.json has rope settings that give no finite angle: rope_theta " + std::to_string(theta) +
                     ", " + scaling.dump());
  return rope;
}

int64_t ModelSpec::active_parameters() const {
  int64_t active = 0;
  for (const ParameterSpec& p : parameters) {
    if (p.offset >= main_parameters()) break;
    if (p.name == "model.embed_tokens.weight" && !tied_embeddings) continue;
    if (p.name.find(".experts.") == std::string::npos) active += p.size();
  }
  for (const LayerSpec& layer : layers)
    if (layer.dense_dim == 0) active += int64_t(layer.moe.top_k) * 3 * dim * layer.moe.expert_dim;
  return active;
}

/// What kernels and rows keep in arrays of fixed size.
static void check_sizes(const ModelSpec& spec) {
  auto at_most = [](const char* what, int64_t value, int64_t most) {
    if (value > most)
      throw UsageError(std::string("config.json: ") + what + " is " + std::to_string(value) +
                       ", this version goes up to " + std::to_string(most));
  };
  if (spec.rope.dim < 2 || spec.rope.dim % 2)
    throw UsageError("config.json: the rotated dimensions of a head are " + std::to_string(spec.rope.dim) +
                     ", expected an even number");
  for (const LayerSpec& layer : spec.layers) {
    const AttentionSpec& a = layer.attention;
    if (a.heads % a.kv_heads)
      throw UsageError("config.json: num_attention_heads " + std::to_string(a.heads) +
                       " is no multiple of num_key_value_heads " + std::to_string(a.kv_heads));
    at_most("the heads of one key", a.heads / a.kv_heads, kMostHeadsOfAKey);
    if (!a.latent && spec.rope.dim > a.head_dim)
      throw UsageError("config.json: " + std::to_string(spec.rope.dim) + " dimensions of a head are rotated, it has " +
                       std::to_string(a.head_dim));
    at_most(a.latent ? "kv_lora_rank + qk_rope_head_dim" : "head_dim", a.key_dim(),
            a.latent ? kMostLatent : kMostHeadDim);
    if (layer.dense_dim) continue;
    at_most("n_routed_experts", layer.moe.experts, kMostExperts);
    at_most("num_experts_per_tok", layer.moe.top_k, kMostChosen);
    at_most("n_group", layer.moe.groups, kMostGroups);
  }
}

void add_stop_ids(ModelSpec& spec, const Json& eos) {
  for (const Json& id : eos.is_array() ? eos : eos.is_null() ? Json::array() : Json::array({eos})) {
    if (!id.is_number_integer()) refuse_type(eos, "eos_token_id", "a token id or a list of them");
    if (id < 0 || id >= spec.vocab)
      throw UsageError("eos_token_id " + id.dump() + " is outside the model's vocabulary of " +
                       std::to_string(spec.vocab));
    if (!std::ranges::count(spec.stop_ids, id.get<int32_t>())) spec.stop_ids.push_back(id.get<int32_t>());
  }
}

constexpr Family kFamilies[] = {
    {"deepseek_v2", "DeepseekV2ForCausalLM", deepseek_v2_spec},
    {"deepseek_v3", "DeepseekV3ForCausalLM", deepseek_v3_spec, add_deepseek_v3_mtp},
    {"glm4_moe", "Glm4MoeForCausalLM", glm4_moe_spec},
    {"hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM", hunyuan_v1_dense_spec},
    {"hunyuan_v1_moe", "HunYuanMoEV1ForCausalLM", hunyuan_v1_moe_spec},
    {"kimi_k2", "DeepseekV3ForCausalLM", deepseek_v3_spec, add_deepseek_v3_mtp},
    {"llama", "LlamaForCausalLM", llama_spec},
    {"minimax_m2", "MiniMaxM2ForCausalLM", minimax_m2_spec},
    {"mistral", "MistralForCausalLM", mistral_spec},
    {"mixtral", "MixtralForCausalLM", mixtral_spec},
    {"qwen2", "Qwen2ForCausalLM", qwen2_spec},
    {"qwen3", "Qwen3ForCausalLM", qwen3_spec},
    {"qwen3_moe", "Qwen3MoeForCausalLM", qwen3_moe_spec},
};

const Family& family_of(const std::string& model_type) {
  std::string known;
  for (const Family& family : kFamilies) {
    if (model_type == family.model_type) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.model_type);
  }
  throw UsageError("config.json has model_type \"" + model_type + "\"; this version knows " + known);
}

static ModelSpec family_spec(const Json& config) {
  const std::string type = optional_text(config, "model_type", "");
  ModelSpec spec = family_of(type).spec(config);
  spec.model_type = type;
  spec.config = config;
  add_stop_ids(spec, value_at(config, "eos_token_id"));
  return spec;
}

ModelSpec model_spec(const Json& config) {
  try {
    if (!config.is_object()) throw UsageError("config.json is no JSON object");
    if (!(optional_number(config, "initializer_range", 0.02) >= 0))
      throw UsageError("config.json has an initializer_range below 0");
    ModelSpec spec = family_spec(config);
    check_sizes(spec);
    return spec;
  } catch (const Json::exception& error) {
    throw UsageError(std::string("config.json has a value of another type than its key takes: ") + error.what());
  }
}

bool add_mtp(ModelSpec& spec) {
  const Family& family = family_of(spec.model_type);
  if (!family.add_mtp || optional_int(spec.config, "num_nextn_predict_layers", 0, 0) == 0) return false;
  family.add_mtp(spec);
  return true;
}

void remove_mtp(ModelSpec& spec) {
  if (!spec.mtp) return;
  spec.num_parameters = spec.main_parameters();
  std::erase_if(spec.parameters, [&](const ParameterSpec& p) { return p.offset >= spec.num_parameters; });
  spec.copies.clear();
  spec.mtp.reset();
}

}  // namespace cohort
