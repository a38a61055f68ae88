#include "policy/load_gguf.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "configs/error.h"
#include "policy/files/dequantize.h"
#include "policy/load_parameters.h"
#include "policy/models/gguf_config.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

/// What a parameter is read from: one tensor, an expert's matrix of one, or for kv_b two.
struct Source {
  TensorView tensor;
  GgufArrangement arrangement = GgufArrangement::plain;
  TensorView values;  // of kv_b; `tensor` then makes the keys
  const AttentionSpec* attention = nullptr;
};

/// One matrix of a tensor of several.
TensorView matrix_of(const TensorView& tensor, int64_t index) {
  TensorView matrix = rows_of(tensor, index, 1);
  matrix.shape.erase(matrix.shape.begin());
  return matrix;
}

void add_sources(std::vector<Source>& sources, const GgufPlan& plan, const TensorView& tensor, const ModelSpec& spec) {
  for (size_t i = 0; i < plan.parameters.size(); ++i) {
    Source& source = sources[plan.parameters[i]];
    source.attention = &spec.layers[plan.layer].attention;
    if (plan.arrangement == GgufArrangement::value_up) {
      source.values = tensor;
      continue;
    }
    const bool is_stacked = tensor.shape.size() == 3 && plan.arrangement == GgufArrangement::plain;
    source.tensor = is_stacked ? matrix_of(tensor, int64_t(i)) : tensor;
    source.arrangement = plan.arrangement;
  }
}

std::vector<Source> find_sources(const ModelSpec& spec, const GgufFile& gguf, const std::string& file) {
  std::vector<Source> sources(spec.parameters.size());
  for (const GgufPlan& plan : gguf_plans(spec, layout_of_gguf(gguf))) {
    const TensorView* tensor = gguf.find(plan.name);
    if (!tensor) throw UsageError(file + " has no tensor " + plan.name + ", which its metadata asks for");
    expect_shape(*tensor, plan.shape, file);
    expect_readable(*tensor, nullptr, file);
    add_sources(sources, plan, *tensor, spec);
  }
  return sources;
}

/// Tensors that no parameter takes, said once: layers that predict further tokens, mostly.
void warn_of_unused(const ModelSpec& spec, const GgufFile& gguf, const std::string& file) {
  std::set<std::string> used = {"rope_freqs.weight"};
  for (const GgufPlan& plan : gguf_plans(spec, layout_of_gguf(gguf))) used.insert(plan.name);
  std::vector<std::string> unused;
  for (const TensorView& tensor : gguf.tensors)
    if (!used.contains(tensor.name)) unused.push_back(quote_name(tensor.name));
  if (!unused.empty())
    std::fprintf(stderr, "cohort: %zu tensors of %s are no part of its metadata's model and are left out: %s%s\n",
                 unused.size(), file.c_str(), unused[0].c_str(), unused.size() > 1 ? ", …" : "");
}

void read_turned_rows(const Source& source, int64_t first, int64_t row_size, std::span<float> out) {
  const int64_t count = int64_t(out.size()) / row_size;
  for (int64_t r = 0; r < count; ++r)
    dequantize(rows_of(source.tensor, row_in_gguf(first + r, source.attention->head_dim), 1),
               out.subspan(size_t(r * row_size), size_t(row_size)));
  forget_mapped(rows_of(source.tensor, first, count).bytes);
}

/// Rows of kv_b: of each head those that make keys (stored transposed), then those that make values.
void read_kv_b_rows(const Source& source, int64_t first, std::span<float> out) {
  const AttentionSpec& a = *source.attention;
  const int64_t rank = a.kv_lora_rank, of_head = a.nope_dim + a.value_head_dim, count = int64_t(out.size()) / rank;
  std::vector<float> transposed;
  for (int64_t r = 0, head_read = -1; r < count; ++r) {
    const int64_t head = (first + r) / of_head, row = (first + r) % of_head;
    const std::span<float> to = out.subspan(size_t(r * rank), size_t(rank));
    if (row >= a.nope_dim) {
      dequantize(rows_of(matrix_of(source.values, head), row - a.nope_dim, 1), to);
      continue;
    }
    if (head != head_read) {
      transposed.resize(size_t(rank * a.nope_dim));
      dequantize(matrix_of(source.tensor, head), transposed);
      head_read = head;
    }
    for (int64_t k = 0; k < rank; ++k) to[size_t(k)] = transposed[size_t(k * a.nope_dim + row)];
  }
}

}  // namespace

ModelSpec gguf_spec(const GgufFile& gguf, const fs::path& file) try {
  return model_spec(config_from_gguf(gguf, file));
} catch (const UsageError& error) {
  const std::string text = error.what();
  throw UsageError(text.starts_with(file.string()) ? text : file.string() + ", read as a config.json: " + text);
}

void expect_parameters(const ModelSpec& spec, const GgufFile& gguf, const fs::path& file) {
  find_sources(spec, gguf, file.string());
}

void read_gguf(CausalLM& model, const GgufFile& gguf, const fs::path& file, const Compute& compute) {
  warn_of_unused(model.spec, gguf, file.string());
  const std::vector<Source> sources = find_sources(model.spec, gguf, file.string());
  const ParameterSpec* const begin = model.spec.parameters.data();
  read_parameters(model, compute, [&](const ParameterSpec& p, int64_t first, std::span<float> out) {
    const Source& source = sources[size_t(&p - begin)];
    if (source.arrangement == GgufArrangement::rope_pairs) return read_turned_rows(source, first, row_size(p), out);
    if (source.arrangement == GgufArrangement::key_up) return read_kv_b_rows(source, first, out);
    const TensorView rows = rows_of(source.tensor, first, int64_t(out.size()) / row_size(p));
    dequantize(rows, out);
    forget_mapped(rows.bytes);
  });
}

std::unique_ptr<Tokenizer> gguf_tokenizer(const GgufFile& gguf, const fs::path& file) try {
  const auto model = gguf.metadata.find("tokenizer.ggml.model");
  if (model == gguf.metadata.end() || *model == "no_vocab" || *model == "none") return nullptr;
  return std::make_unique<Tokenizer>(tokenizer_from_gguf(gguf.metadata));
} catch (const UsageError& error) {
  throw UsageError(file.string() + ": " + error.what());
}

}  // namespace cohort
