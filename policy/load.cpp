#include "policy/load.h"

#include <charconv>
#include <cstdio>
#include <functional>
#include <map>
#include <set>

#include "configs/config.h"
#include "configs/durable_file.h"
#include "configs/error.h"
#include "policy/files/dequantize.h"
#include "policy/files/gguf.h"
#include "policy/files/safetensors.h"
#include "policy/models/families.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

struct Reference {
  enum class Kind { folder, gguf, init } kind;
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
  return {Reference::Kind::folder, reference};
}

void expect_exists(const fs::path& path, const std::string& what) {
  if (!fs::exists(path))
    throw UsageError(what + " " + path.string() +
                     " does not exist: give an HF folder, a .gguf file or init:CONFIG.json");
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string text;
  for (int64_t size : shape) text += (text.empty() ? "[" : ", ") + std::to_string(size);
  return text + "]";
}

void expect_shape(const ParameterSpec& p, const TensorView& tensor, const std::string& file) {
  if (tensor.shape == p.shape) return;
  throw UsageError(file + ": tensor " + p.name + " has the shape " + shape_text(tensor.shape) +
                   ", config.json asks for " + shape_text(p.shape));
}

/// Tensors that no parameter takes, said once: adapters, a model of another kind.
void warn_of_unused(const CausalLM& model, const SafetensorsFolder& files, const fs::path& folder) {
  std::set<std::string> used;
  for (const ParameterSpec& p : model.spec.parameters) used.insert({p.name, p.name + "_scale_inv"});
  for (const ParameterSpec& copy : model.spec.copies) used.insert({copy.name, copy.name + "_scale_inv"});
  if (model.spec.tied_embeddings) used.insert("lm_head.weight");
  const std::string mtp = "model.layers." + std::to_string(model.spec.layers.size()) + ".";  // decoding reads none
  std::vector<std::string> unused;
  for (const TensorView& tensor : files.tensors)
    if (!used.contains(tensor.name) && !(model.weights == Weights::packed && tensor.name.starts_with(mtp)) &&
        !tensor.name.ends_with("rotary_emb.inv_freq"))
      unused.push_back(tensor.name);
  if (!unused.empty())
    std::fprintf(stderr, "cohort: %zu tensors of %s are no part of its config.json's model and are left out: %s%s\n",
                 unused.size(), folder.c_str(), unused[0].c_str(), unused.size() > 1 ? ", …" : "");
}

/// Fills `out` with rows of a parameter, from `first` on, a multiple of kRowsAtOnce. Called by several threads; must
/// not throw.
using ReadRows = std::function<void(const ParameterSpec&, int64_t first, std::span<float> out)>;
constexpr int64_t kRowsAtOnce = 128;  // a row of blocks of DeepSeek's FP8 files

int64_t row_size(const ParameterSpec& p) {
  return p.size() / p.shape[0];
}

void read_parameter(CausalLM& model, const Compute& compute, const ParameterSpec& p, const ReadRows& read) {
  compute.pool.parallel_for(ceil_div(p.shape[0], kRowsAtOnce), [&](int64_t piece) {
    const int64_t first = piece * kRowsAtOnce, rows = std::min(kRowsAtOnce, p.shape[0] - first);
    read(p, first, {model.at(p.offset + first * row_size(p)), size_t(rows * row_size(p))});
  });
}

/// Where the parameters of what is packed together begin: embedding, layers, final norm and head, the
/// multi-token-prediction layer; and the end of all.
std::vector<int64_t> part_begins(const ModelSpec& spec) {
  std::vector<int64_t> begins = {0};
  for (const LayerSpec& layer : spec.layers) begins.push_back(layer.offsets.attention_norm);
  begins.push_back(spec.final_norm);
  if (spec.mtp) begins.push_back(spec.mtp->first_parameter);
  begins.push_back(spec.num_parameters);
  return begins;
}

void pack_part(CausalLM& model, const Compute& compute, size_t part) {
  const size_t num_layers = model.spec.layers.size();
  if (part >= 1 && part <= num_layers) repack_layer(model, compute, part - 1);
  if (part == (model.spec.tied_embeddings ? 0 : num_layers + 1)) repack_head(model, compute);
  if (part == num_layers + 2) repack_mtp(model, compute);
}

/// The matrices from parameter `begin` to `end` were packed: nothing reads them again but an embedding of its own.
void discard_matrices(CausalLM& model, size_t begin, size_t end) {
  const ModelSpec& spec = model.spec;
  int64_t first = 0, last = 0;  // of neighbours, given back together
  for (size_t i = begin; i < end; ++i) {
    const ParameterSpec& p = spec.parameters[i];
    const bool is_kept = p.shape.size() < 2 || (p.offset == spec.embedding && !spec.tied_embeddings);
    if (is_kept) continue;
    if (p.offset != last) model.parameters.discard(first, last - first), first = p.offset;
    last = p.offset + p.size();
  }
  model.parameters.discard(first, last - first);
}

/// Reads, packs and, for decoding alone, gives back one part after the other: memory holds the weights about once.
void read_parameters(CausalLM& model, const Compute& compute, const ReadRows& read) {
  const ModelSpec& spec = model.spec;
  const std::vector<int64_t> begins = part_begins(spec);
  size_t next = 0;
  for (size_t part = 0; part + 1 < begins.size(); ++part) {
    const size_t first = next;
    for (; next < spec.parameters.size() && spec.parameters[next].offset < begins[part + 1]; ++next)
      read_parameter(model, compute, spec.parameters[next], read);
    if (model.weights == Weights::parameters) continue;
    pack_part(model, compute, part);
    if (model.weights == Weights::packed) discard_matrices(model, first, next);
  }
}

TensorView rows_of(const TensorView& tensor, int64_t first, int64_t count) {
  TensorView rows = tensor;
  const size_t bytes = tensor.bytes.size() / size_t(tensor.shape[0]);
  rows.shape[0] = count;
  rows.bytes = tensor.bytes.subspan(size_t(first) * bytes, size_t(count) * bytes);
  return rows;
}

/// Throws what dequantize would, before threads call it.
void expect_readable(const TensorView& tensor, const TensorView* scale_inv) {
  if (scale_inv) return expect_fp8_blocks(tensor, *scale_inv);
  dequantize(rows_of(tensor, 0, 0), {});
}

struct StoredWeight {
  const TensorView* weight = nullptr;
  const TensorView* scale_inv = nullptr;  // of FP8 blocks
};

void read_safetensors(CausalLM& model, const fs::path& folder, const Compute& compute) {
  const SafetensorsFolder files = open_safetensors(folder);
  std::map<std::string, StoredWeight> stored;
  for (const ParameterSpec& p : model.spec.parameters) {
    const StoredWeight found{files.find(p.name), files.find(p.name + "_scale_inv")};
    if (!found.weight)
      throw UsageError(folder.string() + " has no tensor " + p.name + ", which its config.json asks for");
    expect_shape(p, *found.weight, folder.string());
    expect_readable(*found.weight, found.scale_inv);
    stored[p.name] = found;
  }
  warn_of_unused(model, files, folder);
  read_parameters(model, compute, [&](const ParameterSpec& p, int64_t first, std::span<float> out) {
    const auto& [weight, scale_inv] = stored.at(p.name);
    const int64_t count = int64_t(out.size()) / row_size(p);
    const TensorView rows = rows_of(*weight, first, count);
    if (scale_inv)
      dequantize_fp8_blocks(rows, rows_of(*scale_inv, first / kRowsAtOnce, ceil_div(count, kRowsAtOnce)), out);
    else
      dequantize(rows, out);
    forget_mapped(rows.bytes);
  });
}

/// The HF config that a llama GGUF's metadata amounts to.
Json gguf_config(const Json& meta, bool tied, const std::string& file) {
  std::string arch = meta.value("general.architecture", "");
  if (arch != "llama")
    throw UsageError(file + " holds a model of architecture \"" + arch + "\"; this version reads llama from GGUF");
  auto number = [&](const char* key) -> Json {
    if (!meta.contains("llama." + std::string(key))) throw UsageError(file + " lacks the key llama." + key);
    return meta["llama." + std::string(key)];
  };
  const std::string scaling = meta.value("llama.rope.scaling.type", "none");
  if (scaling != "none")
    throw UsageError(file + " has llama.rope.scaling.type \"" + scaling +
                     "\"; this version reads unscaled rope from GGUF: use the model's safetensors folder");
  Json heads = number("attention.head_count");
  Json config = {{"model_type", "llama"},
                 {"architectures", {"LlamaForCausalLM"}},
                 {"hidden_act", "silu"},
                 {"hidden_size", number("embedding_length")},
                 {"num_hidden_layers", number("block_count")},
                 {"intermediate_size", number("feed_forward_length")},
                 {"num_attention_heads", heads},
                 {"num_key_value_heads", meta.value("llama.attention.head_count_kv", heads)},
                 {"max_position_embeddings", number("context_length")},
                 {"rms_norm_eps", number("attention.layer_norm_rms_epsilon")},
                 {"rope_theta", meta.value("llama.rope.freq_base", 10000.0)},
                 {"tie_word_embeddings", tied},
                 {"vocab_size", meta.value("tokenizer.ggml.tokens", Json::array()).size()}};
  if (meta.contains("llama.attention.key_length")) config["head_dim"] = meta["llama.attention.key_length"];
  for (auto [key, ggml] : {std::pair("bos_token_id", "tokenizer.ggml.bos_token_id"),
                           std::pair("eos_token_id", "tokenizer.ggml.eos_token_id"),
                           std::pair("pad_token_id", "tokenizer.ggml.padding_token_id")})
    if (meta.contains(ggml)) config[key] = meta[ggml];
  return config;
}

std::string gguf_name(const std::string& hf) {
  if (hf == "model.embed_tokens.weight") return "token_embd.weight";
  if (hf == "model.norm.weight") return "output_norm.weight";
  if (hf == "lm_head.weight") return "output.weight";
  const std::string prefix = "model.layers.";
  size_t dot = hf.find('.', prefix.size());
  std::string layer = hf.substr(prefix.size(), dot - prefix.size()), rest = hf.substr(dot + 1);
  static const std::map<std::string, std::string> names = {
      {"input_layernorm.weight", "attn_norm.weight"},    {"self_attn.q_proj.weight", "attn_q.weight"},
      {"self_attn.k_proj.weight", "attn_k.weight"},      {"self_attn.v_proj.weight", "attn_v.weight"},
      {"self_attn.o_proj.weight", "attn_output.weight"}, {"post_attention_layernorm.weight", "ffn_norm.weight"},
      {"mlp.gate_proj.weight", "ffn_gate.weight"},       {"mlp.up_proj.weight", "ffn_up.weight"},
      {"mlp.down_proj.weight", "ffn_down.weight"}};
  auto found = names.find(rest);
  return "blk." + layer + "." + (found == names.end() ? rest : found->second);
}

/// llama.cpp stores q and k rows for rope over neighbouring pairs: row h·dim/2 + j of a head stands at 2j + h.
int64_t row_in_gguf(int64_t row, int64_t head_dim) {
  const int64_t in_head = row % head_dim;
  return row - in_head + in_head % (head_dim / 2) * 2 + in_head / (head_dim / 2);
}

void read_gguf(CausalLM& model, const GgufFile& gguf, const std::string& file, const Compute& compute) {
  if (gguf.find("rope_freqs.weight"))
    throw UsageError(file +
                     " has rope_freqs.weight, scaled rope as Llama 3.1 has it, which this version does not read "
                     "from GGUF: use the model's safetensors folder");
  std::map<std::string, const TensorView*> stored;
  for (const ParameterSpec& p : model.spec.parameters) {
    const TensorView* tensor = stored[p.name] = gguf.find(gguf_name(p.name));
    if (!tensor) throw UsageError(file + " has no tensor " + gguf_name(p.name));
    expect_shape(p, *tensor, file);
    expect_readable(*tensor, nullptr);
  }
  const int64_t head_dim = model.spec.layers[0].attention.head_dim;
  read_parameters(model, compute, [&](const ParameterSpec& p, int64_t first, std::span<float> out) {
    const TensorView& tensor = *stored.at(p.name);
    const int64_t size = row_size(p), count = int64_t(out.size()) / size;
    if (!p.name.ends_with("q_proj.weight") && !p.name.ends_with("k_proj.weight")) {
      dequantize(rows_of(tensor, first, count), out);
      return forget_mapped(rows_of(tensor, first, count).bytes);
    }
    for (int64_t r = 0; r < count; ++r)
      dequantize(rows_of(tensor, row_in_gguf(first + r, head_dim), 1), out.subspan(size_t(r * size), size_t(size)));
  });
}

void draw_parameters(CausalLM& model, uint64_t seed, const Compute& compute) {
  read_parameters(model, compute, [&](const ParameterSpec& p, int64_t first, std::span<float> out) {
    initial_values(model.spec, p, seed, first * row_size(p), out);
  });
}

/// Stop ids of generation_config.json join those of config.json.
void add_stop_ids(ModelSpec& spec, const Json& eos) {
  for (const Json& id : eos.is_array() ? eos : Json::array({eos}))
    if (id.is_number_integer() &&
        std::find(spec.stop_ids.begin(), spec.stop_ids.end(), id.get<int32_t>()) == spec.stop_ids.end())
      spec.stop_ids.push_back(id.get<int32_t>());
  expect_stop_ids(spec);
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
  if (!fs::exists(folder / "model.safetensors") && !fs::exists(folder / "model.safetensors.index.json")) return true;
  return open_safetensors(folder).find("model.layers." + std::to_string(spec.layers.size()) + ".enorm.weight");
}

[[noreturn]] void refuse_without_tokenizer(const std::string& reference) {
  throw UsageError("model " + reference + " has no tokenizer.json beside it, which is needed here");
}

}  // namespace

ModelSpec load_spec(const std::string& reference) {
  Reference r = parse_reference(reference);
  expect_exists(r.path, "model");
  if (r.kind == Reference::Kind::gguf) {
    GgufFile gguf = open_gguf(r.path);
    return model_spec(gguf_config(gguf.metadata, !gguf.find("output.weight"), r.path.string()));
  }
  fs::path file = r.kind == Reference::Kind::init ? r.path : r.path / "config.json";
  expect_exists(file, "model config");
  Json config = parse_config_file(file);
  config.erase("tokenizer");
  ModelSpec spec = model_spec(config);
  if (r.kind == Reference::Kind::folder && fs::exists(r.path / "generation_config.json"))
    add_stop_ids(
        spec, (spec.generation = parse_config_file(r.path / "generation_config.json")).value("eos_token_id", Json()));
  if (r.kind == Reference::Kind::init || holds_mtp(r.path, spec)) add_mtp(spec);
  return spec;
}

std::unique_ptr<Tokenizer> tokenizer_of(const std::string& reference) {
  Reference r = parse_reference(reference);
  if (r.kind == Reference::Kind::gguf)
    return std::make_unique<Tokenizer>(tokenizer_from_gguf(open_gguf(r.path).metadata));
  if (r.kind == Reference::Kind::folder) {
    if (!fs::exists(r.path / "tokenizer.json")) return nullptr;
    return std::make_unique<Tokenizer>(load_tokenizer(r.path));
  }
  Json tokenizer = parse_config_file(r.path).value("tokenizer", Json());
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
  Reference r = parse_reference(reference);
  ModelSpec spec = load_spec(reference);
  if (weights == Weights::packed) remove_mtp(spec);  // decoding does not read it
  LoadedModel loaded{make_model(std::move(spec), bf16, weights), nullptr};
  if (r.kind == Reference::Kind::gguf)
    read_gguf(loaded.model, open_gguf(r.path), r.path.string(), compute);
  else if (r.kind == Reference::Kind::folder)
    read_safetensors(loaded.model, r.path, compute);
  else
    draw_parameters(loaded.model, r.seed, compute);
  loaded.tokenizer = tokenizer_of(reference);
  finish_loading(loaded, reference);
  return loaded;
}

LoadedModel load_with_tokenizer(const std::string& reference, const Compute& compute, bool bf16, Weights weights) {
  LoadedModel loaded = load_model(reference, compute, bf16, weights);
  if (!loaded.tokenizer) refuse_without_tokenizer(reference);
  return loaded;
}

void load_parameters(CausalLM& model, const fs::path& folder, const Compute& compute) {
  read_safetensors(model, folder, compute);
}

}  // namespace cohort
