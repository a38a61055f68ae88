#include "policy/adapter.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "configs/error.h"
#include "policy/kernels/philox.h"
#include "policy/lora_config.h"
#include "policy/model.h"

namespace cohort {
namespace {

enum class Group { attention, mlp, experts };

/// A matrix that may have adapters: rows·k parameters at `offset`.
struct Place {
  Group group;
  int64_t offset, n, k;
  LowRank* low_rank;
};

std::vector<Place> places_of(const ModelSpec& spec, const LayerSpec& layer, AdapterLayer& to) {
  const AttentionSpec& a = layer.attention;
  const LayerOffsets& o = layer.offsets;
  const int64_t D = spec.dim, F = layer.ffn_dim();
  std::vector<Place> places = {{Group::attention, o.in, a.in_rows(), D, &to.in},
                               {Group::attention, o.o, D, int64_t(a.heads) * a.value_head_dim, &to.o}};
  if (a.q_lora_rank) places.push_back({Group::attention, o.q_b, int64_t(a.heads) * a.head_dim, a.q_lora_rank, &to.q_b});
  if (F) {
    places.push_back({Group::mlp, o.gate_up, 2 * F, D, &to.gate_up});
    places.push_back({Group::mlp, o.down, D, F, &to.down});
  }
  to.expert_gate_up.resize(o.expert_gate_up.size()), to.expert_down.resize(o.expert_down.size());
  for (size_t e = 0; e < o.expert_gate_up.size(); ++e) {
    places.push_back({Group::experts, o.expert_gate_up[e], 2 * layer.moe.expert_dim, D, &to.expert_gate_up[e]});
    places.push_back({Group::experts, o.expert_down[e], D, layer.moe.expert_dim, &to.expert_down[e]});
  }
  return places;
}

std::string module_of(const ParameterSpec& p) {
  constexpr std::string_view kWeight = ".weight";
  return p.name.ends_with(kWeight) ? p.name.substr(0, p.name.size() - kWeight.size()) : p.name;
}

/// Parameters by offset, for looking up which of them a matrix is made of.
using ByOffset = std::map<int64_t, const ParameterSpec*>;
ByOffset by_offset(const ModelSpec& spec) {
  ByOffset all;
  for (const ParameterSpec& p : spec.parameters) all[p.offset] = &p;
  return all;
}

/// f(module's parameter, its first row) for every module of the matrix, in the order of its rows.
template <class F>
void for_modules(const ByOffset& parameters, const Place& place, F f) {
  for (auto p = parameters.lower_bound(place.offset);
       p != parameters.end() && p->first < place.offset + place.n * place.k; ++p)
    f(*p->second, (p->first - place.offset) / place.k);
}

/// A list entry of PEFT matches the end of a module's name.
bool matches(const std::string& target, Group group, const std::string& module) {
  if (target == "all-linear") return true;
  if (target == "attention") return group == Group::attention;
  if (target == "mlp") return group == Group::mlp;
  if (target == "experts") return group == Group::experts;
  return module == target || module.ends_with("." + target);
}

/// The last parts of names, each once: what a target may be called.
std::string known_targets(const std::set<std::string>& modules) {
  std::set<std::string> names;
  for (const std::string& module : modules) names.insert(module.substr(module.rfind('.') + 1));
  std::string text = "all-linear, attention, mlp, experts";
  for (const std::string& name : names) text += ", " + name;
  return text;
}

void add_parameter(Adapter& adapter, int64_t& size, const std::string& name, int64_t rows, int64_t columns) {
  adapter.parameters.push_back({.name = name, .shape = {rows, columns}, .offset = size});
  size += rows * columns;
}

/// A's of all modules one below the other, then their B's.
void lay_out(Adapter& adapter, int64_t& size, int64_t& packed, const Place& place, const ByOffset& parameters,
             const std::map<std::string, int32_t>& ranks) {
  LowRank& r = *place.low_rank;
  r.n = place.n, r.k = place.k, r.a = size;
  std::vector<std::string> names;
  for_modules(parameters, place, [&](const ParameterSpec& p, int64_t first_row) {
    const auto rank = ranks.find(module_of(p));
    if (rank == ranks.end()) return;
    names.push_back(rank->first);
    r.modules.push_back(
        {.first_row = first_row, .rows = p.shape[0], .first_rank = int32_t(r.rank), .rank = rank->second});
    r.rank += rank->second;
  });
  for (size_t m = 0; m < names.size(); ++m)
    add_parameter(adapter, size, names[m] + ".lora_A.weight", r.modules[m].rank, r.k);
  for (size_t m = 0; m < names.size(); ++m) {
    r.modules[m].b = size;
    add_parameter(adapter, size, names[m] + ".lora_B.weight", r.modules[m].rows, r.modules[m].rank);
  }
  r.packed_a = packed, packed += packed_size(r.rank, r.k);
  r.packed_b = packed, packed += packed_size(r.n, r.rank);
}

/// B of all modules, scaled, at their rows and ranks: [n, rank].
void pack_b(const Adapter& adapter, const LowRank& r, const Compute& compute, std::vector<float>& rows, float* out) {
  rows.assign(size_t(r.n * r.rank), 0.0f);
  for (const LowRank::Module& m : r.modules)
    for (int64_t i = 0; i < m.rows; ++i)
      for (int32_t j = 0; j < m.rank; ++j)
        rows[size_t((m.first_row + i) * r.rank + m.first_rank + j)] =
            adapter.scale * adapter.values[m.b + i * m.rank + j];
  pack_matrix(compute, rows.data(), r.n, r.rank, r.rank, 1, out);
}

template <class F>
void for_low_ranks(const AdapterLayer& layer, F f) {
  for (const LowRank* r : {&layer.in, &layer.q_b, &layer.o, &layer.gate_up, &layer.down})
    if (r->rank) f(*r);
  for (const auto* experts : {&layer.expert_gate_up, &layer.expert_down})
    for (const LowRank& r : *experts)
      if (r.rank) f(r);
}

float uniform(uint64_t seed, uint64_t index) {  // in (0, 1)
  const auto bits =
      philox({uint32_t(index), uint32_t(index >> 32), 0x6c6f7261u, 0}, {uint32_t(seed), uint32_t(seed >> 32)});
  return float((bits[0] + 0.5) * 0x1p-32);
}

/// All modules that the config names. Throws UsageError naming a target that no module matches.
std::vector<TargetModule> find_targets(const ModelSpec& spec, const LoraConfig& config) {
  const ByOffset parameters = by_offset(spec);
  std::vector<TargetModule> targets;
  std::set<std::string> modules, unmatched(config.lora_target_modules.begin(), config.lora_target_modules.end());
  for (const LayerSpec& layer : spec.layers) {
    AdapterLayer unused;
    for (const Place& place : places_of(spec, layer, unused))
      for_modules(parameters, place, [&](const ParameterSpec& p, int64_t) {
        const std::string module = module_of(p);
        modules.insert(module);
        bool is_target = false;
        for (const std::string& target : config.lora_target_modules)
          if (matches(target, place.group, module)) is_target = true, unmatched.erase(target);
        if (is_target) targets.push_back({module, config.lora_r});
      });
  }
  if (!unmatched.empty() || targets.empty())
    throw UsageError(
        "lora_target_modules: " +
        (unmatched.empty() ? "nothing is named" : "no module of this model is called " + *unmatched.begin()) +
        "; known: " + known_targets(modules));
  return targets;
}

}  // namespace

Adapter adapter_of(const ModelSpec& spec, const std::vector<TargetModule>& targets) {
  std::map<std::string, int32_t> ranks;
  for (const TargetModule& target : targets) ranks[target.name] = target.rank;
  Adapter adapter;
  adapter.layers.resize(spec.layers.size());
  const ByOffset parameters = by_offset(spec);
  int64_t size = 0, packed = 0;
  for (size_t l = 0; l < spec.layers.size(); ++l)
    for (const Place& place : places_of(spec, spec.layers[l], adapter.layers[l]))
      lay_out(adapter, size, packed, place, parameters, ranks);
  adapter.values.resize(size), adapter.packed.resize(packed);
  return adapter;
}

void expect_targets(const ModelSpec& spec, const LoraConfig& config) {
  if (config.use_peft) find_targets(spec, config);
}

Adapter make_adapter(const ModelSpec& spec, const LoraConfig& config, const std::string& base, uint64_t seed) {
  Adapter adapter = adapter_of(spec, find_targets(spec, config));
  adapter.base = base, adapter.alpha = config.lora_alpha, adapter.rank = config.lora_r;
  adapter.is_rslora = config.use_rslora;
  adapter.scale = lora_scale(adapter);
  for (const ParameterSpec& p : adapter.parameters) {
    const bool is_a = p.name.ends_with("lora_A.weight");
    const float bound = 1 / std::sqrt(float(p.shape[1]));
    for (int64_t i = p.offset; i < p.offset + p.size(); ++i)
      adapter.values[i] = is_a ? bound * (2 * uniform(seed, uint64_t(i)) - 1) : 0.0f;
  }
  return adapter;
}

float lora_scale(const Adapter& adapter) {
  return float(adapter.alpha / (adapter.is_rslora ? std::sqrt(double(adapter.rank)) : adapter.rank));
}

void repack(Adapter& adapter, const Compute& compute) {
  std::vector<float> rows;
  for (const AdapterLayer& layer : adapter.layers)
    for_low_ranks(layer, [&](const LowRank& r) {
      pack_matrix(compute, adapter.values.data() + r.a, r.rank, r.k, r.k, 1, adapter.packed.data() + r.packed_a);
      pack_b(adapter, r, compute, rows, adapter.packed.data() + r.packed_b);
    });
}

Gemm product_a(const Adapter& adapter, const LowRank& r) {
  return {.b = adapter.packed.data() + r.packed_a, .n = r.rank, .k = r.k};
}

Gemm product_b(const Adapter& adapter, const LowRank& r) {
  return {.b = adapter.packed.data() + r.packed_b, .n = r.n, .k = r.rank};
}

Adapter copy_adapter(const Adapter& from) {
  Adapter to;
  to.base = from.base, to.parameters = from.parameters, to.layers = from.layers;
  to.alpha = from.alpha, to.rank = from.rank, to.is_rslora = from.is_rslora, to.scale = from.scale;
  to.values.resize(from.values.size()), to.packed.resize(from.packed.size());
  std::copy_n(from.values.data(), from.values.size(), to.values.data());
  std::copy_n(from.packed.data(), from.packed.size(), to.packed.data());
  return to;
}

void merge(CausalLM& model, const Adapter& adapter, const Compute& compute) {
  std::vector<AdapterLayer> layers = adapter.layers;
  for (size_t l = 0; l < layers.size(); ++l)
    for (const Place& place : places_of(model.spec, model.spec.layers[l], layers[l])) {
      const LowRank& r = *place.low_rank;
      for (const LowRank::Module& m : r.modules)
        compute.pool.parallel_for(m.rows, [&](int64_t row) {
          float* weight = model.at(place.offset + (m.first_row + row) * r.k);
          const float *b = adapter.values.data() + m.b + row * m.rank,
                      *a = adapter.values.data() + r.a + m.first_rank * r.k;
          for (int64_t k = 0; k < r.k; ++k) {
            double sum = 0;
            for (int32_t j = 0; j < m.rank; ++j) sum += double(b[j]) * double(a[j * r.k + k]);
            weight[k] = float(double(weight[k]) + double(adapter.scale) * sum);
          }
        });
    }
}

const std::vector<ParameterSpec>& trained_parameters(const CausalLM& model) {
  return model.adapter ? model.adapter->parameters : model.spec.parameters;
}

Buffer& trained_values(CausalLM& model) {
  return model.adapter ? model.adapter->values : model.parameters;
}
const Buffer& trained_values(const CausalLM& model) {
  return model.adapter ? model.adapter->values : model.parameters;
}

CausalLM with_adapter(const CausalLM& model, Adapter adapter) {
  CausalLM other{.spec = model.spec, .weights = model.weights, .bf16 = model.bf16};
  other.parameters = Buffer::view_of(model.parameters), other.packed = Buffer::view_of(model.packed);
  other.coded = BufferOf<uint8_t>::view_of(model.coded);
  other.matrices = model.matrices, other.layers = model.layers, other.head = model.head, other.version = model.version;
  other.rope_positions = model.rope_positions, other.rope_cos = model.rope_cos, other.rope_sin = model.rope_sin;
  other.adapter = std::move(adapter);
  return other;
}

}  // namespace cohort
