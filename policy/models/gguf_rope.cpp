#include "policy/models/gguf_rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "configs/error.h"
#include "policy/models/families.h"

namespace cohort {
namespace {

constexpr double kSame = 1e-5;  // relative; the files hold fp32

bool is_same(double a, double b) {
  return std::abs(a - b) <= kSame * std::max(std::abs(a), std::abs(b));
}

/// The whole number beside it, where there is one.
double snapped(double x) {
  return std::abs(x - std::round(x)) <= 1e-3 * std::abs(x) ? std::round(x) : x;
}

double frequency(double theta, size_t j, size_t count) {
  return 1 / std::pow(theta, double(j) / double(count));
}

std::string type_of(const Json& scaling) {
  return scaling.is_object() ? scaling.value("rope_type", scaling.value("type", "default")) : "default";
}

/// Between its two bounds Llama 3 mixes by s = (length·f/2π − low) / (high − low), a line over f whose slope and origin
/// give `length` and `high` in units of `low`, which is 1 in every model. Fewer than two points leave `length` as it
/// is.
Json fitted(std::span<const float> divisors, double theta, double factor, double length) {
  double n = 0, sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0;
  for (size_t j = 0; j < divisors.size(); ++j) {
    const double divisor = divisors[j];
    if (is_same(divisor, 1) || is_same(divisor, factor)) continue;
    const double x = frequency(theta, j, divisors.size()) / (2 * std::numbers::pi);
    const double y = (1 / divisor - 1 / factor) / (1 - 1 / factor);
    n += 1, sum_x += x, sum_y += y, sum_xx += x * x, sum_xy += x * y;
  }
  double high = n == 1 ? snapped(1 + (length * sum_x - 1) / sum_y) : 4;  // 4 in every model
  if (n >= 2) {
    const double slope = (n * sum_xy - sum_x * sum_y) / (n * sum_xx - sum_x * sum_x);
    const double origin = (sum_y - slope * sum_x) / n;
    high = snapped(1 - 1 / origin);
    length = snapped(slope * (high - 1));
  }
  return {{"rope_type", "llama3"},
          {"factor", factor},
          {"low_freq_factor", 1.0},
          {"high_freq_factor", high},
          {"original_max_position_embeddings",
           std::abs(length) < 1e9 && length == std::round(length) ? Json(int64_t(length)) : Json(length)}};
}

double yarn_amplitude(double factor) {
  return factor > 1 ? 0.1 * std::log(factor) + 1 : 1;
}

/// llama.cpp's DeepSeek-V2 takes mscale for mscale_all_dim, so that cos and sin keep their size.
void add_yarn(nlohmann::ordered_json& keys, const ModelSpec& spec, const Json& scaling) {
  const double factor = scaling.at("factor");
  if (!optional_flag(scaling, "truncate", true))
    throw UsageError("llama.cpp's YaRN has whole dimensions for bounds, config.json says otherwise: " + scaling.dump() +
                     "; export an HF folder instead");
  keys["scaling.type"] = "yarn";
  keys["scaling.factor"] = factor;
  keys["scaling.original_context_length"] = scaling.value("original_max_position_embeddings", spec.max_position);
  for (const auto& [ours, theirs, usual] : {std::tuple("beta_fast", "scaling.yarn_beta_fast", 32.0),
                                            std::tuple("beta_slow", "scaling.yarn_beta_slow", 1.0)})
    if (scaling.contains(ours) && scaling[ours].is_number() && scaling[ours].get<double>() != usual)
      keys[theirs] = scaling[ours].get<double>();
  if (!spec.layers[0].attention.latent) {
    const double more = spec.rope.amplitude / yarn_amplitude(factor);
    if (!is_same(more, 1)) keys["scaling.attn_factor"] = more;
    return;
  }
  const Json of_all = scaling.value("mscale_all_dim", Json());
  if (!of_all.is_number() || of_all == 0 || !is_same(spec.rope.amplitude, 1))
    throw UsageError(
        "llama.cpp computes YaRN of DeepSeek's models with mscale equal to mscale_all_dim alone, config.json says "
        "otherwise: " +
        scaling.dump());
  keys["scaling.yarn_log_multiplier"] = 0.1 * of_all.get<double>();
}

}  // namespace

Json llama3_scaling(std::span<const float> divisors, double theta, double length) {
  if (divisors.empty()) return nullptr;
  const double factor = snapped(*std::ranges::max_element(divisors));
  if (!(factor > 1) || !std::isfinite(factor)) return nullptr;
  const Json scaling = fitted(divisors, theta, factor, length);
  if (!(scaling["original_max_position_embeddings"] > 0) || !(scaling["high_freq_factor"] > 1)) return nullptr;
  const RopeSpec rope =
      rope_spec({{"rope_theta", theta}, {"rope_scaling", scaling}}, int32_t(2 * divisors.size()), false);
  for (size_t j = 0; j < divisors.size(); ++j)
    if (!is_same(frequency(theta, j, divisors.size()) / rope.inv_freq[j], divisors[j])) return nullptr;
  return scaling;
}

std::vector<float> llama3_divisors(const ModelSpec& spec) {
  std::vector<float> divisors;
  if (type_of(rope_scaling(spec.config)) != "llama3") return divisors;
  const std::vector<float>& scaled = spec.rope.inv_freq;
  for (size_t j = 0; j < scaled.size(); ++j)
    divisors.push_back(float(frequency(rope_theta(spec.config), j, scaled.size()) / scaled[j]));
  return divisors;
}

nlohmann::ordered_json gguf_rope_keys(const ModelSpec& spec) {
  const Json scaling = rope_scaling(spec.config);
  const std::string type = type_of(scaling);
  const AttentionSpec& a = spec.layers[0].attention;
  if (a.latent && !spec.rope.interleaved)
    throw UsageError("llama.cpp turns neighbouring pairs in DeepSeek's models, config.json has rope_interleave false");
  nlohmann::ordered_json keys;
  keys["dimension_count"] = spec.rope.dim;
  keys["freq_base"] = rope_theta(spec.config);
  if (type == "linear") {
    keys["scaling.type"] = "linear";
    keys["scaling.factor"] = scaling.at("factor").get<double>();
  } else if (type == "yarn") {
    add_yarn(keys, spec, scaling);
  } else if (type == "llama3") {  // beside rope_freqs.weight, which llama.cpp reads
    keys["scaling.original_context_length"] = scaling.at("original_max_position_embeddings").get<int64_t>();
  } else if (type == "dynamic") {  // Hunyuan: a longer base, whatever the length
    keys["freq_base"] =
        rope_theta(spec.config) * std::pow(scaling.at("alpha").get<double>(), spec.rope.dim / (spec.rope.dim - 2.0));
  }
  return keys;
}

}  // namespace cohort
