#include "policy/load.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <future>
#include <set>

#include "configs/config.h"
#include "configs/durable_file.h"
#include "configs/error.h"
#include "configs/read_file.h"
#include "policy/files/dequantize.h"
#include "policy/files/safetensors.h"
#include "policy/load_gguf.h"
#include "policy/load_parameters.h"
#include "policy/models/families.h"
#include "policy/peft.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

struct Reference {
  enum class Kind { folder, gguf, init, adapter } kind;
  fs::path path;
  uint64_t seed = 0;
};

Reference parse_reference(const std::string& reference) {
  if (reference.starts_with("init:")) {
    std::string rest = reference.substr(5);
    Reference r{Reference::Kind::init, rest.substr(0, rest.find('?')), 0};
    if (size_t at = rest.find("?seed="); at != std::string::npos) {
      const char *begin = rest.data() + at + 6, *end = rest.data() + rest.size();
      const auto parsed = std::from_chars(begin, end, r.seed);
      if (parsed.ec != std::errc() || parsed.ptr != end)
        throw UsageError("model reference " + reference + ": the seed is not a whole number from 0 to 2^64 - 1");
    } else if (rest.find('?') != std::string::npos) {
      throw UsageError("model reference " + reference + ": after ? only seed=N is known");
    }
    return r;
  }
  if (reference.ends_with(".gguf")) return {Reference::Kind::gguf, reference};
  return {is_adapter_folder(reference) ? Reference::Kind::adapter : Reference::Kind::folder, reference};
}

void expect_exists(const fs::path& path, const std::string& what) {
  if (!is_there(path))
    throw UsageError(what + " " + path.string() +
                     " does not exist: give an HF folder, a .gguf file or init:CONFIG.json");
}

/// Tensors that no parameter takes, said once: adapters, a model of another kind.
void warn_of_unused(const ModelSpec& spec, const SafetensorsFolder& files, const fs::path& folder, Weights weights) {
  std::set<std::string> used;
  for (const ParameterSpec& p : spec.parameters) used.insert({p.name, p.name + "_scale_inv"});
  for (const ParameterSpec& copy : spec.copies) used.insert({copy.name, copy.name + "_scale_inv"});
  if (spec.tied_embeddings) used.insert("lm_head.weight");
  const std::string mtp = "model.layers." + std::to_string(spec.layers.size()) + ".";  // decoding reads none
  std::vector<std::string> unused;
  for (const TensorView& tensor : files.tensors)
    if (!used.contains(tensor.name) && !(weights == Weights::packed && tensor.name.starts_with(mtp)) &&
        !tensor.name.ends_with("rotary_emb.inv_freq"))
      unused.push_back(quote_name(tensor.name));
  if (!unused.empty())
    std::fprintf(stderr, "cohort: %zu tensors of %s are no part of its config.json's model and are left out: %s%s\n",
                 unused.size(), folder.c_str(), unused[0].c_str(), unused.size() > 1 ? ", …" : "");
}

struct StoredWeight {
  const TensorView* weight = nullptr;
  const TensorView* scale_inv = nullptr;  // of FP8 blocks
};

/// By parameter. Throws UsageError for what is absent or of another shape or type.
std::vector<StoredWeight> find_weights(const ModelSpec& spec, const SafetensorsFolder& files, const fs::path& folder) {
  std::vector<StoredWeight> weights;
  for (const ParameterSpec& p : spec.parameters) {
    const StoredWeight& found = weights.emplace_back(files.find(p.name), files.find(p.name + "_scale_inv"));
    if (!found.weight)
      throw UsageError(folder.string() + " has no tensor " + p.name + ", which its config.json asks for");
    expect_shape(*found.weight, p.shape, folder.string());
    expect_readable(*found.weight, found.scale_inv, folder.string());
  }
  return weights;
}

/// Whether all matrices are stored as bfloat16: decoding then keeps them so, which changes no bit.
bool are_bf16(std::span<const StoredWeight> weights) {
  return std::ranges::all_of(weights, [](const StoredWeight& stored) {
    return stored.weight->shape.size() < 2 || stored.weight->dtype == DType::bf16;
  });
}

void read_weights(CausalLM& model, const std::vector<StoredWeight>& weights, const Compute& compute) {
  const ParameterSpec* const begin = model.spec.parameters.data();
  read_parameters(model, compute, [&](const ParameterSpec& p, int64_t first, std::span<float> out) {
    const auto& [weight, scale_inv] = weights[size_t(&p - begin)];
    const int64_t count = int64_t(out.size()) / row_size(p);
    const TensorView rows = rows_of(*weight, first, count);
    if (scale_inv)
      dequantize_fp8_blocks(rows, rows_of(*scale_inv, first / kRowsAtOnce, ceil_div(count, kRowsAtOnce)), out);
    else
      dequantize(rows, out);
    forget_mapped(rows.bytes);
  });
}

void draw_parameters(CausalLM& model, uint64_t seed, const Compute& compute) {
  read_parameters(model, compute, [&](const ParameterSpec& p, int64_t first, std::span<float> out) {
    initial_values(model.spec, p, seed, first * row_size(p), out);
  });
}

Json read_object(const fs::path& file) {
  Json object = parse_config_text(read_file(file), file.string());
  if (!object.is_object()) throw UsageError(file.string() + " holds no JSON object");
  return object;
}

/// What `f` refuses of "config.json", under the file's own name.
template <class F>
auto naming(const fs::path& file, F f) try {
  return f();
} catch (const UsageError& error) {
  constexpr std::string_view kUnnamed = "config.json";
  const std::string text = error.what();
  throw UsageError(file.string() + (text.starts_with(kUnnamed) ? text.substr(kUnnamed.size()) : ": " + text));
}

void finish_loading(LoadedModel& loaded, const std::string& reference) {
  CausalLM& model = loaded.model;
  if (loaded.tokenizer) {
    if (loaded.tokenizer->size() > model.spec.vocab)
      throw UsageError(reference + ": the tokenizer has " + std::to_string(loaded.tokenizer->size()) +
                       " ids, the model's vocabulary " + std::to_string(model.spec.vocab));
    if (loaded.tokenizer->special_tokens().eos) add_stop_ids(model.spec, *loaded.tokenizer->special_tokens().eos);
  }
  extend_rope(model, std::min<int64_t>(model.spec.max_position, 2048));
}

/// Whether the folder's files hold the multi-token-prediction layer; a folder without files, as a dry run reads it, is
/// believed what its config.json says.
bool holds_mtp(const fs::path& folder, const ModelSpec& spec) {
  if (spec.config.value("num_nextn_predict_layers", Json(0)) == 0) return false;
  if (!is_there(folder / "model.safetensors") && !is_there(folder / "model.safetensors.index.json")) return true;
  return open_safetensors(folder).find("model.layers." + std::to_string(spec.layers.size()) + ".enorm.weight");
}

/// Frozen weights with the folder's adapter beside them; where the parameters are in memory it is merged into them.
LoadedModel load_adapted(const fs::path& folder, const Compute& compute, bool bf16, Weights weights) {
  const std::string base = adapter_base(folder);
  if (is_adapter_folder(base))
    throw UsageError(folder.string() + ": its base model " + base + " is an adapter itself: export that one first");
  LoadedModel loaded = load_model(base, compute, bf16, weights);
  Adapter adapter = read_adapter(folder, loaded.model.spec);
  if (weights == Weights::packed) {
    repack(adapter, compute);
    loaded.model.adapter = std::move(adapter);
  } else {
    merge(loaded.model, adapter, compute);
    if (weights == Weights::all) repack(loaded.model, compute);
  }
  if (has_tokenizer(folder)) loaded.tokenizer = tokenizer_of(folder.string());
  return loaded;
}

[[noreturn]] void refuse_without_tokenizer(const std::string& reference) {
  throw UsageError("model " + reference + " has no tokenizer (tokenizer.json, say), which is needed here");
}

// Files are checked against what their config asks for before memory of that size is taken.

LoadedModel load_gguf(const fs::path& path, const Compute& compute, bool bf16, Weights weights) {
  expect_exists(path, "model");
  const GgufFile gguf = open_gguf(path);
  const ModelSpec spec = gguf_spec(gguf, path);
  expect_parameters(spec, gguf, path);
  auto tokenizer = std::async(std::launch::async, [&] { return gguf_tokenizer(gguf, path); });
  LoadedModel loaded{make_model(spec, bf16, weights), nullptr};
  read_gguf(loaded.model, gguf, path, compute);
  loaded.tokenizer = tokenizer.get();
  return loaded;
}

LoadedModel load_folder(const fs::path& path, const Compute& compute, bool bf16, Weights weights) {
  ModelSpec spec = load_spec(path.string());
  if (weights == Weights::packed) remove_mtp(spec);  // decoding does not read it
  const SafetensorsFolder files = open_safetensors(path);
  const std::vector<StoredWeight> stored = find_weights(spec, files, path);
  warn_of_unused(spec, files, path, weights);
  auto tokenizer = std::async(std::launch::async, [&] { return tokenizer_of(path.string()); });
  bf16 |= weights == Weights::packed && are_bf16(stored);
  LoadedModel loaded{make_model(spec, bf16, weights), nullptr};
  read_weights(loaded.model, stored, compute);
  loaded.tokenizer = tokenizer.get();
  return loaded;
}

LoadedModel draw_model(const std::string& reference, uint64_t seed, const Compute& compute, bool bf16,
                       Weights weights) {
  ModelSpec spec = load_spec(reference);
  if (weights == Weights::packed) remove_mtp(spec);
  LoadedModel loaded{make_model(std::move(spec), bf16, weights), nullptr};
  draw_parameters(loaded.model, seed, compute);
  loaded.tokenizer = tokenizer_of(reference);
  return loaded;
}

}  // namespace

ModelSpec load_spec(const std::string& reference) {
  Reference r = parse_reference(reference);
  expect_exists(r.path, "model");
  if (r.kind == Reference::Kind::gguf) return gguf_spec(open_gguf(r.path), r.path);
  if (r.kind == Reference::Kind::adapter) return load_spec(adapter_base(r.path));
  fs::path file = r.kind == Reference::Kind::init ? r.path : r.path / "config.json";
  expect_exists(file, "model config");
  Json config = read_object(file);
  config.erase("tokenizer");
  ModelSpec spec = naming(file, [&] { return model_spec(config); });
  const fs::path generation = r.path / "generation_config.json";
  if (r.kind == Reference::Kind::folder && is_there(generation)) {
    spec.generation = read_object(generation);
    naming(generation, [&] { add_stop_ids(spec, spec.generation.value("eos_token_id", Json())); });
  }
  if (r.kind == Reference::Kind::init || holds_mtp(r.path, spec)) naming(file, [&] { return add_mtp(spec); });
  return spec;
}

bool is_bf16(const std::string& reference) {
  const Reference r = parse_reference(reference);
  if (r.kind == Reference::Kind::adapter) return is_bf16(adapter_base(r.path));
  return r.kind == Reference::Kind::folder &&
         are_bf16(find_weights(load_spec(reference), open_safetensors(r.path), r.path));
}

std::unique_ptr<Tokenizer> tokenizer_of(const std::string& reference) {
  Reference r = parse_reference(reference);
  if (r.kind == Reference::Kind::gguf) return gguf_tokenizer(open_gguf(r.path), r.path);
  if (r.kind == Reference::Kind::adapter && !has_tokenizer(r.path)) return tokenizer_of(adapter_base(r.path));
  if (r.kind != Reference::Kind::init) {
    if (!has_tokenizer(r.path)) return nullptr;
    return std::make_unique<Tokenizer>(load_tokenizer(r.path));
  }
  Json tokenizer = read_object(r.path).value("tokenizer", Json());
  if (tokenizer.is_null()) return nullptr;
  if (!tokenizer.is_object() || !tokenizer.contains("bytes"))
    throw UsageError(r.path.string() + ": \"tokenizer\" is not of the form {\"bytes\": [special tokens]}");
  return std::make_unique<Tokenizer>(byte_tokenizer(tokenizer["bytes"].get<std::vector<std::string>>()));
}

Tokenizer expect_tokenizer(const std::string& reference) {
  std::unique_ptr<Tokenizer> tokenizer = tokenizer_of(reference);
  if (!tokenizer) refuse_without_tokenizer(reference);
  return std::move(*tokenizer);
}

LoadedModel load_model(const std::string& reference, const Compute& compute, bool bf16, Weights weights) {
  const Reference r = parse_reference(reference);
  LoadedModel loaded = r.kind == Reference::Kind::gguf      ? load_gguf(r.path, compute, bf16, weights)
                       : r.kind == Reference::Kind::adapter ? load_adapted(r.path, compute, bf16, weights)
                       : r.kind == Reference::Kind::folder  ? load_folder(r.path, compute, bf16, weights)
                                                            : draw_model(reference, r.seed, compute, bf16, weights);
  finish_loading(loaded, reference);
  return loaded;
}

LoadedModel load_with_tokenizer(const std::string& reference, const Compute& compute, bool bf16, Weights weights) {
  LoadedModel loaded = load_model(reference, compute, bf16, weights);
  if (!loaded.tokenizer) refuse_without_tokenizer(reference);
  return loaded;
}

void load_parameters(CausalLM& model, const fs::path& folder, const Compute& compute) {
  if (model.adapter) {
    Adapter stored = read_adapter(folder, model.spec);
    if (stored.values.size() != model.adapter->values.size())
      throw UsageError(folder.string() + ": its adapters are not those of this run");
    model.adapter->values = std::move(stored.values);
    return repack(model, compute);
  }
  const SafetensorsFolder files = open_safetensors(folder);
  warn_of_unused(model.spec, files, folder, model.weights);
  read_weights(model, find_weights(model.spec, files, folder), compute);
}

}  // namespace cohort
