#include "policy/shrink.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>

#include "configs/error.h"
#include "policy/forward.h"
#include "policy/models/families.h"

namespace cohort {
namespace {

using Kept = std::vector<int32_t>;  // numbers of rows, columns, heads or groups, ascending

double norm(const float* values, int64_t count, int64_t stride = 1) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += double(values[i * stride]) * double(values[i * stride]);
  return std::sqrt(sum);
}

/// Of the columns [first, first + count) of a matrix.
double norm_of_columns(const float* matrix, int64_t rows, int64_t columns, int64_t first, int64_t count) {
  double sum = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const double n = norm(matrix + r * columns + first, count);
    sum += n * n;
  }
  return std::sqrt(sum);
}

/// The places of the `count` largest, ascending; of equals the first.
Kept largest(const std::vector<double>& values, int32_t count) {
  Kept order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int32_t a, int32_t b) { return values[size_t(a)] > values[size_t(b)]; });
  order.resize(size_t(count));
  std::ranges::sort(order);
  return order;
}

/// Rows of blocks of `size` rows.
Kept rows_of(const Kept& blocks, int64_t size) {
  Kept rows;
  for (int32_t block : blocks)
    for (int64_t i = 0; i < size; ++i) rows.push_back(int32_t(block * size + i));
  return rows;
}

/// The rows named of a matrix, one after another; returns where they end.
float* gather_rows(const float* from, const Kept& rows, int64_t columns, float* to) {
  for (int32_t row : rows) {
    std::memcpy(to, from + row * columns, size_t(columns) * sizeof(float));
    to += columns;
  }
  return to;
}

void gather_columns(const float* from, int64_t rows, int64_t columns, const Kept& kept, float* to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int32_t column : kept) *to++ = from[r * columns + column];
}

/// The model of `config` with the parameters of `from` that have the same name and shape; others have no values yet.
CausalLM with_same_parameters(const CausalLM& from, const Json& config) {
  ModelSpec spec = model_spec(config);
  spec.generation = from.spec.generation, spec.stop_ids = from.spec.stop_ids;
  CausalLM model = make_model(std::move(spec), from.bf16, Weights::parameters);
  std::map<std::string, const ParameterSpec*> sources;
  for (const ParameterSpec& p : from.spec.parameters) sources[p.name] = &p;
  for (const ParameterSpec& p : model.spec.parameters)
    if (const auto source = sources.find(p.name); source != sources.end() && source->second->shape == p.shape)
      std::memcpy(model.at(p.offset), from.at(source->second->offset), size_t(p.size()) * sizeof(float));
  return model;
}

// ---- Channels

Kept strongest_channels(const CausalLM& model, const LayerSpec& layer, int32_t count) {
  const int64_t dim = model.spec.dim, ffn = layer.dense_dim;
  const float *gate = model.at(layer.offsets.gate_up), *up = gate + ffn * dim, *down = model.at(layer.offsets.down);
  std::vector<double> weights;
  for (int64_t c = 0; c < ffn; ++c)
    weights.push_back(norm(gate + c * dim, dim) * norm(up + c * dim, dim) * norm(down + c, dim, ffn));
  return largest(weights, count);
}

void copy_channels(const CausalLM& from, const LayerSpec& a, const Kept& kept, CausalLM& to, const LayerSpec& b) {
  const int64_t dim = from.spec.dim, ffn = a.dense_dim;
  const float* gate = from.at(a.offsets.gate_up);
  gather_rows(gate + ffn * dim, kept, dim, gather_rows(gate, kept, dim, to.at(b.offsets.gate_up)));
  gather_columns(from.at(a.offsets.down), dim, ffn, kept, to.at(b.offsets.down));
  if (a.offsets.gate_up_bias < 0) return;
  const float* bias = from.at(a.offsets.gate_up_bias);
  gather_rows(bias + ffn, kept, 1, gather_rows(bias, kept, 1, to.at(b.offsets.gate_up_bias)));
}

// ---- Heads. A group is the query heads that share a key; of latent attention one head.

struct Groups {
  int64_t count = 0, queries = 0;  // groups, heads of one
};
Groups groups_of(const AttentionSpec& a) {
  return a.latent ? Groups{a.heads, 1} : Groups{a.kv_heads, a.heads / a.kv_heads};
}

std::vector<double> weights_of_latent_heads(const CausalLM& model, const LayerSpec& layer) {
  const AttentionSpec& a = layer.attention;
  const int64_t q_width = a.q_lora_rank ? a.q_lora_rank : model.spec.dim, per_head = a.nope_dim + a.value_head_dim;
  const float* q = model.at(a.q_lora_rank ? layer.offsets.q_b : layer.offsets.in);
  std::vector<double> weights;
  for (int64_t h = 0; h < a.heads; ++h)
    weights.push_back(norm(q + h * a.head_dim * q_width, a.head_dim * q_width) *
                      norm(model.at(layer.offsets.kv_b) + h * per_head * a.kv_lora_rank, per_head * a.kv_lora_rank) *
                      norm_of_columns(model.at(layer.offsets.o), model.spec.dim, int64_t(a.heads) * a.value_head_dim,
                                      h * a.value_head_dim, a.value_head_dim));
  return weights;
}

std::vector<double> weights_of_grouped_heads(const CausalLM& model, const LayerSpec& layer) {
  const AttentionSpec& a = layer.attention;
  const auto [count, queries] = groups_of(a);
  const int64_t dim = model.spec.dim, of_key = a.head_dim * dim, of_group = queries * a.head_dim;
  const float *q = model.at(layer.offsets.in), *k = q + a.heads * of_key, *v = k + a.kv_heads * of_key;
  std::vector<double> weights;
  for (int64_t g = 0; g < count; ++g)
    weights.push_back(norm(q + g * of_group * dim, of_group * dim) * norm(k + g * of_key, of_key) *
                      norm(v + g * of_key, of_key) *
                      norm_of_columns(model.at(layer.offsets.o), dim, a.heads * a.head_dim, g * of_group, of_group));
  return weights;
}

void copy_latent_heads(const CausalLM& from, const LayerSpec& layer, const Kept& heads, CausalLM& to,
                       const LayerOffsets& o) {
  const AttentionSpec& a = layer.attention;
  const int64_t dim = from.spec.dim, per_head = a.nope_dim + a.value_head_dim;
  const Kept queries = rows_of(heads, a.head_dim);
  if (a.q_lora_rank) {
    gather_rows(from.at(layer.offsets.q_b), queries, a.q_lora_rank, to.at(o.q_b));
  } else {
    const float* latent = from.at(layer.offsets.in) + int64_t(a.heads) * a.head_dim * dim;
    float* end = gather_rows(from.at(layer.offsets.in), queries, dim, to.at(o.in));
    std::memcpy(end, latent, size_t((a.kv_lora_rank + a.rope_dim) * dim) * sizeof(float));
  }
  gather_rows(from.at(layer.offsets.kv_b), rows_of(heads, per_head), a.kv_lora_rank, to.at(o.kv_b));
  gather_columns(from.at(layer.offsets.o), dim, int64_t(a.heads) * a.value_head_dim, rows_of(heads, a.value_head_dim),
                 to.at(o.o));
}

void copy_grouped_heads(const CausalLM& from, const LayerSpec& layer, const Kept& groups, CausalLM& to,
                        const LayerOffsets& o) {
  const AttentionSpec& a = layer.attention;
  const int64_t dim = from.spec.dim, num_q = int64_t(a.heads) * a.head_dim, num_kv = int64_t(a.kv_heads) * a.head_dim;
  const Kept queries = rows_of(groups, groups_of(a).queries * a.head_dim), keys = rows_of(groups, a.head_dim);
  const auto gather_qkv = [&](const float* q, int64_t width, float* out) {
    const float* k = q + num_q * width;
    out = gather_rows(q, queries, width, out);
    gather_rows(k + num_kv * width, keys, width, gather_rows(k, keys, width, out));
  };
  gather_qkv(from.at(layer.offsets.in), dim, to.at(o.in));
  if (o.in_bias >= 0) gather_qkv(from.at(layer.offsets.in_bias), 1, to.at(o.in_bias));
  gather_columns(from.at(layer.offsets.o), dim, num_q, queries, to.at(o.o));
  if (a.qk_norm != QkNorm::whole) return;
  gather_rows(from.at(layer.offsets.q_norm), queries, 1, to.at(o.q_norm));
  gather_rows(from.at(layer.offsets.k_norm), keys, 1, to.at(o.k_norm));
}

}  // namespace

CausalLM keep_channels(const CausalLM& model, int32_t intermediate_size) {
  const std::vector<LayerSpec>& layers = model.spec.layers;
  const auto is_dense = [](const LayerSpec& layer) { return layer.dense_dim > 0; };
  const auto dense = std::ranges::find_if(layers, is_dense);
  if (dense == layers.end()) throw UsageError("intermediate size: the model has no dense feed-forward block");
  if (intermediate_size < 1 || intermediate_size >= dense->dense_dim)
    throw UsageError("intermediate size " + std::to_string(intermediate_size) + ": the model has " +
                     std::to_string(dense->dense_dim) + ", expected fewer and at least 1");
  Json config = model.spec.config;
  config["intermediate_size"] = intermediate_size;
  CausalLM left = with_same_parameters(model, config);
  for (size_t l = 0; l < layers.size(); ++l)
    if (is_dense(layers[l]))
      copy_channels(model, layers[l], strongest_channels(model, layers[l], intermediate_size), left,
                    left.spec.layers[l]);
  return left;
}

CausalLM keep_heads(const CausalLM& model, int32_t num_attention_heads) {
  const AttentionSpec& a = model.spec.layers[0].attention;
  const Groups groups = groups_of(a);
  if (num_attention_heads < 1 || num_attention_heads >= a.heads || num_attention_heads % groups.queries)
    throw UsageError("attention heads " + std::to_string(num_attention_heads) + ": the model has " +
                     std::to_string(a.heads) + ", expected fewer, a multiple of " + std::to_string(groups.queries) +
                     " (the query heads of one key)");
  const auto kept_groups = int32_t(num_attention_heads / groups.queries);
  Json config = model.spec.config;
  config["num_attention_heads"] = num_attention_heads;
  config["num_key_value_heads"] = kept_groups;
  if (!a.latent) config["head_dim"] = a.head_dim;
  CausalLM left = with_same_parameters(model, config);
  for (size_t l = 0; l < model.spec.layers.size(); ++l) {
    const LayerSpec& layer = model.spec.layers[l];
    const auto weights = a.latent ? weights_of_latent_heads(model, layer) : weights_of_grouped_heads(model, layer);
    (a.latent ? copy_latent_heads : copy_grouped_heads)(model, layer, largest(weights, kept_groups), left,
                                                        left.spec.layers[l].offsets);
  }
  return left;
}

// ---- Residual stream

namespace {

/// A parameter as a matrix, and which of its axes is the residual stream: 0 is written to it, 1 reads it.
struct ResidualMatrix {
  const ParameterSpec *from, *to;
  int64_t rows, columns;  // of `from`
  int axis;
};

/// All parameters that have another size in a model of another width.
std::vector<ResidualMatrix> residual_matrices(const ModelSpec& from, const ModelSpec& to) {
  std::map<std::string, const ParameterSpec*> sources;
  for (const ParameterSpec& p : from.parameters) sources[p.name] = &p;
  std::vector<ResidualMatrix> all;
  for (const ParameterSpec& p : to.parameters) {
    const ParameterSpec& source = *sources.at(p.name);
    if (source.shape == p.shape) continue;
    const int64_t rows = source.shape[0];
    all.push_back({&source, &p, rows, source.size() / rows, p.shape[0] != rows ? 0 : 1});
  }
  return all;
}

/// [dim] share of each channel in the squares of a matrix.
void add_shares(const CausalLM& model, const ResidualMatrix& m, std::vector<double>& shares) {
  const float* values = model.at(m.from->offset);
  std::vector<double> squares;
  for (int64_t c = 0; c < model.spec.dim; ++c) {
    const double n = m.axis == 0 ? norm(values + c * m.columns, m.columns) : norm(values + c, m.rows, m.columns);
    squares.push_back(n * n);
  }
  const double total = std::accumulate(squares.begin(), squares.end(), 0.0);
  for (size_t c = 0; total > 0 && c < squares.size(); ++c) shares[c] += squares[c] / total;
}

/// A norm over a row of the residual stream.
bool is_residual_norm(const ModelSpec& spec, const ParameterSpec& p) {
  if (p.offset == spec.final_norm) return true;
  return std::ranges::any_of(spec.layers, [&](const LayerSpec& layer) {
    return p.offset == layer.offsets.attention_norm || p.offset == layer.offsets.ffn_norm;
  });
}

std::vector<double> weights_of_residual(const CausalLM& model, std::span<const ResidualMatrix> matrices) {
  std::vector<double> written(size_t(model.spec.dim)), read = written;
  for (const ResidualMatrix& m : matrices) {
    if (is_residual_norm(model.spec, *m.from)) continue;
    const bool is_embedding = m.from->offset == model.spec.embedding;
    if (m.axis == 0 || is_embedding) add_shares(model, m, written);
    if (m.axis == 1 && (!is_embedding || model.spec.tied_embeddings)) add_shares(model, m, read);
  }
  for (size_t c = 0; c < written.size(); ++c) written[c] *= read[c];
  return written;
}

}  // namespace

CausalLM keep_residual(const CausalLM& model, int32_t hidden_size) {
  if (hidden_size < 1 || hidden_size >= model.spec.dim)
    throw UsageError("hidden size " + std::to_string(hidden_size) + ": the model has " +
                     std::to_string(model.spec.dim) + ", expected fewer and at least 1");
  Json config = model.spec.config;
  config["hidden_size"] = hidden_size;
  const AttentionSpec& a = model.spec.layers[0].attention;
  if (!a.latent) config["head_dim"] = a.head_dim, config["num_key_value_heads"] = a.kv_heads;
  CausalLM left = with_same_parameters(model, config);
  const std::vector<ResidualMatrix> matrices = residual_matrices(model.spec, left.spec);
  const Kept kept = largest(weights_of_residual(model, matrices), hidden_size);
  // A sum of squares stays the same without channels of 0, its mean does not.
  const float norm_scale = std::sqrt(float(model.spec.dim) / float(hidden_size));
  for (const ResidualMatrix& m : matrices) {
    const float* from = model.at(m.from->offset);
    float* to = left.at(m.to->offset);
    if (m.axis == 0)
      gather_rows(from, kept, m.columns, to);
    else
      gather_columns(from, m.rows, m.columns, kept, to);
    if (is_residual_norm(model.spec, *m.from))
      for (int32_t c = 0; c < hidden_size; ++c) to[c] *= norm_scale;
  }
  return left;
}

// ---- Dense start

ExpertUsage count_experts(CausalLM& model, const Compute& compute, std::span<const std::vector<int32_t>> texts) {
  ExpertUsage usage;
  for (const LayerSpec& layer : model.spec.layers)
    if (!layer.dense_dim) {
      usage.chosen.emplace_back(size_t(layer.moe.experts), 0.0);
      usage.weight.emplace_back(size_t(layer.moe.experts), 0.0);
    }
  ForwardState state;
  for (const std::vector<int32_t>& text : texts) {
    const int64_t T = std::min(int64_t(text.size()), int64_t(model.spec.max_position));
    if (T == 0) continue;
    extend_rope(model, T);
    std::vector<int32_t> table(size_t(ceil_div(T, kKeyBlock)));
    std::iota(table.begin(), table.end(), 0);
    KvStore kv(model.spec, int64_t(table.size()), false);
    const RowSpan span{0, T, 0, table.data()};
    forward(model, compute, {std::span(text).first(size_t(T)), {&span, 1}, {}}, kv, Activations::all, state);
    usage.tokens += T;
    size_t m = 0;
    for (size_t l = 0; l < model.spec.layers.size(); ++l) {
      const LayerSpec& layer = model.spec.layers[l];
      if (layer.dense_dim) continue;
      for (int64_t i = 0; i < T * layer.moe.top_k; ++i) {
        const auto expert = size_t(state.layers[l].expert_TK[i]);
        usage.chosen[m][expert] += 1, usage.weight[m][expert] += double(state.layers[l].weight_TK[i]);
      }
      ++m;
    }
  }
  return usage;
}

namespace {

/// config.json of the dense form that a family has, its blocks `ffn` wide.
Json dense_config(const ModelSpec& spec, int32_t ffn) {
  const std::map<std::string, std::string> dense_form = {
      {"deepseek_v2", "deepseek_v2"}, {"deepseek_v3", "deepseek_v3"}, {"glm4_moe", "glm4_moe"},
      {"qwen3_moe", "qwen3"},         {"mixtral", "mistral"},         {"hunyuan_v1_moe", "hunyuan_v1_dense"}};
  const auto form = dense_form.find(spec.model_type);
  if (form == dense_form.end())
    throw UsageError("dense experts: a " + spec.model_type + " has no dense form that other programs load");
  const AttentionSpec& a = spec.layers[0].attention;
  Json config = spec.config;
  config["model_type"] = form->second;
  config["intermediate_size"] = ffn;
  if (form->second == spec.model_type) {
    config["first_k_dense_replace"] = spec.layers.size();
    if (config.contains("mlp_layer_types")) config["mlp_layer_types"] = Json(spec.layers.size(), "dense");
  } else {
    config["head_dim"] = a.head_dim, config["num_key_value_heads"] = a.kv_heads;
    config["sliding_window"] = a.window ? Json(a.window) : Json();
  }
  return config;
}

/// [E] what an expert's output is scaled by, 0 for those left out.
std::vector<float> scales(const std::vector<double>& chosen, const std::vector<double>& weight, int64_t tokens,
                          int32_t count) {
  std::vector<float> scale(chosen.size(), 0);
  for (int32_t e : largest(chosen, count)) scale[size_t(e)] = float(weight[size_t(e)] / double(tokens));
  return scale;
}

/// A dense block that is filled from its first channel on.
struct Block {
  float *gate, *up, *down;
  int64_t dim, ffn, filled = 0;
};

/// `count` channels of a block that is `of` wide, its output scaled.
void append(Block& block, const float* gate_up, const float* down, int64_t count, float scale) {
  const int64_t values = count * block.dim;
  std::memcpy(block.gate + block.filled * block.dim, gate_up, size_t(values) * sizeof(float));
  std::memcpy(block.up + block.filled * block.dim, gate_up + values, size_t(values) * sizeof(float));
  for (int64_t r = 0; r < block.dim; ++r)
    for (int64_t c = 0; c < count; ++c) block.down[r * block.ffn + block.filled + c] = scale * down[r * count + c];
  block.filled += count;
}

/// How wide the dense blocks have to be.
int32_t dense_width(const ModelSpec& spec, int32_t num_experts) {
  int32_t ffn = 0;
  for (const LayerSpec& layer : spec.layers) {
    if (!layer.dense_dim && (num_experts < 0 || num_experts > layer.moe.experts))
      throw UsageError("dense experts " + std::to_string(num_experts) + ": a layer has " +
                       std::to_string(layer.moe.experts));
    ffn = std::max(ffn, layer.dense_dim ? layer.dense_dim : layer.moe.shared_dim + num_experts * layer.moe.expert_dim);
  }
  if (ffn == 0) throw UsageError("dense experts 0: the model has no shared expert that would be left");
  return ffn;
}

/// The block of a layer before it is filled: gate and up at random, down zero.
Block empty_block(CausalLM& model, const LayerSpec& layer) {
  const LayerOffsets& o = layer.offsets;
  for (const ParameterSpec& p : model.spec.parameters)
    if (p.offset >= o.gate_up && p.offset < o.down)
      initial_values(model.spec, p, 0, 0, {model.at(p.offset), size_t(p.size())});
  const int64_t dim = model.spec.dim, ffn = layer.dense_dim;
  std::fill_n(model.at(o.down), dim * ffn, 0.0f);
  return {model.at(o.gate_up), model.at(o.gate_up) + ffn * dim, model.at(o.down), dim, ffn};
}

}  // namespace

CausalLM dense_start(const CausalLM& model, const ExpertUsage& usage, int32_t num_experts) {
  if (model.spec.moe_layers() == 0) throw UsageError("dense experts: the model has no mixture of experts");
  if (usage.tokens == 0) throw UsageError("dense experts: the texts hold no tokens that experts could be counted on");
  CausalLM dense = with_same_parameters(model, dense_config(model.spec, dense_width(model.spec, num_experts)));
  size_t m = 0;
  for (size_t l = 0; l < model.spec.layers.size(); ++l) {
    const LayerSpec &from = model.spec.layers[l], &to = dense.spec.layers[l];
    if (to.attention.window != from.attention.window)
      throw UsageError("dense experts: a " + dense.spec.model_type + " has another window in layer " +
                       std::to_string(l) + " than the model");
    Block block = empty_block(dense, to);
    if (from.offsets.gate_up >= 0)
      append(block, model.at(from.offsets.gate_up), model.at(from.offsets.down), from.ffn_dim(), 1);
    if (from.dense_dim) continue;
    const std::vector<float> scale = scales(usage.chosen[m], usage.weight[m], usage.tokens, num_experts);
    for (size_t e = 0; e < scale.size(); ++e)
      if (scale[e] != 0)
        append(block, model.at(from.offsets.expert_gate_up[e]), model.at(from.offsets.expert_down[e]),
               from.moe.expert_dim, scale[e]);
    ++m;
  }
  return dense;
}

}  // namespace cohort
