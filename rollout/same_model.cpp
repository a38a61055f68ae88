#include "rollout/same_model.h"

#include "configs/error.h"

namespace cohort {
namespace {

Json attention_of(const AttentionSpec& a) {
  return {{"latent", a.latent},
          {"heads", a.heads},
          {"kv_heads", a.kv_heads},
          {"head_dim", a.head_dim},
          {"value_head_dim", a.value_head_dim},
          {"q_lora_rank", a.q_lora_rank},
          {"kv_lora_rank", a.kv_lora_rank},
          {"nope_dim", a.nope_dim},
          {"rope_dim", a.rope_dim},
          {"scale", a.scale},
          {"window", a.window},
          {"qk_norm", int(a.qk_norm)},
          {"lora_norm_epsilon", a.lora_norm_epsilon}};
}

Json experts_of(const MoeSpec& m) {
  return {{"experts", m.experts},
          {"top_k", m.top_k},
          {"groups", m.groups},
          {"top_groups", m.top_groups},
          {"expert_dim", m.expert_dim},
          {"shared_dim", m.shared_dim},
          {"sigmoid_scores", m.sigmoid_scores},
          {"normalize", m.normalize},
          {"group_by_best", m.group_by_best},
          {"scale", m.scale},
          {"correction_bias", m.correction_bias}};
}

/// The parameters of the served layers, by name.
Json shapes_of(const ModelSpec& spec) {
  Json shapes = Json::object();
  for (const ParameterSpec& p : spec.parameters)
    if (p.offset < spec.main_parameters()) shapes[p.name] = p.shape;
  return shapes;
}

}  // namespace

Json computation_of(const ModelSpec& spec) {
  Json layers = Json::array();
  for (const LayerSpec& layer : spec.layers) {
    layers.push_back({{"dense_dim", layer.dense_dim}, {"attention", attention_of(layer.attention)}});
    if (!layer.dense_dim) layers.back()["experts"] = experts_of(layer.moe);
  }
  return {{"model_type", spec.model_type},
          {"vocab", spec.vocab},
          {"dim", spec.dim},
          {"context", spec.max_position},
          {"norm_epsilon", spec.norm_epsilon},
          {"tied_embeddings", spec.tied_embeddings},
          {"rope",
           {{"dim", spec.rope.dim},
            {"interleaved", spec.rope.interleaved},
            {"frequencies", spec.rope.inv_freq},
            {"amplitude", spec.rope.amplitude}}},
          {"num_layers", spec.layers.size()},
          {"layers", layers},
          {"shapes", shapes_of(spec)}};
}

void expect_same_model(const ModelSpec& served, const ModelSpec& fresh, const std::string& reference) {
  const Json expected = computation_of(served).flatten(), found = computation_of(fresh).flatten();
  const auto shown = [](const Json& value) { return value.is_null() ? "missing" : value.dump(); };
  const auto refuse = [&](const std::string& path, const Json& is, const Json& should_be) {
    throw UsageError(reference + " is another model than the one that is served: " + path.substr(1) + " is " +
                     shown(is) + ", expected " + shown(should_be));
  };
  for (const auto& [path, value] : expected.items())
    if (found.value(path, Json()) != value) refuse(path, found.value(path, Json()), value);
  for (const auto& [path, value] : found.items())
    if (!expected.contains(path)) refuse(path, value, Json());
}

}  // namespace cohort
