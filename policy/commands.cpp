#include "policy/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>

#include "configs/config.h"
#include "configs/durable_file.h"
#include "configs/error.h"
#include "policy/forward.h"
#include "policy/load.h"
#include "policy/save.h"
#include "policy/save_gguf.h"
#include "policy/shrink.h"
#include "policy/text/chat_template.h"

namespace cohort {
namespace {

struct InspectOptions {
  std::string model, encode, decode, chat, logprobs;
  bool tensors = false, json = false, add_special_tokens = false, skip_special_tokens = false,
       no_generation_prompt = false;
};

std::ifstream open_lines(const std::string& path) {
  std::ifstream file(path == "-" ? "/dev/stdin" : path);
  if (!file) throw UsageError(path + " cannot be read");
  return file;
}

/// Calls f for each line, parsed.
template <class F>
void for_lines(const std::string& path, F f) {
  std::ifstream file = open_lines(path);
  int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    Json row = Json::parse(line, nullptr, false);
    const std::string where = path + ":" + std::to_string(number);
    if (row.is_discarded()) throw UsageError(where + " is not JSON");
    try {
      f(row, line);
    } catch (const Json::exception& error) {
      throw UsageError(where + " is not of the form that this probe reads: " + error.what());
    }
  }
}

/// log p(id_t | ids before it) of one sequence by the engine's forward; the first is null.
Json sequence_logprobs(CausalLM& model, const Compute& compute, const std::vector<int32_t>& ids) {
  Json row = Json::array({nullptr});
  if (ids.size() < 2) return ids.empty() ? Json::array() : row;
  extend_rope(model, int64_t(ids.size()));
  std::vector<int32_t> table(size_t(ceil_div(int64_t(ids.size()), kKeyBlock)));
  for (size_t b = 0; b < table.size(); ++b) table[b] = int32_t(b);
  KvStore kv(model.spec, int64_t(table.size()), false);
  ForwardState state;
  RowSpan span{0, int64_t(ids.size()) - 1, 0, table.data()};
  forward(model, compute, {std::span(ids).first(ids.size() - 1), {&span, 1}, {}}, kv, Activations::none, state);
  Buffer row_logits(model.spec.vocab);
  for (size_t t = 0; t + 1 < ids.size(); ++t) {
    int32_t index = int32_t(t);
    logits(model, compute, state.hidden_TD.data(), &index, 1, row_logits.data());
    row.push_back(compute.kernels->token_statistics(row_logits.data(), model.spec.vocab, 1.0f, ids[t + 1]).logprob);
  }
  return row;
}

bool is_ids(const Json& row) {
  return row.is_array() && std::all_of(row.begin(), row.end(), [](const Json& id) { return id.is_number_integer(); });
}

/// Token ids, each in the vocabulary.
std::vector<int32_t> ids_of(const Json& row, int32_t vocab) {
  if (!is_ids(row))
    throw UsageError("a line of --decode is " + row.dump().substr(0, 80) + ", expected an array of token ids");
  for (const Json& id : row)
    if (id < 0 || id >= vocab)
      throw UsageError("token id " + id.dump() + " is outside the vocabulary of " + std::to_string(vocab));
  return row.get<std::vector<int32_t>>();
}

Json description(const std::string& reference, const ModelSpec& spec) {
  int64_t kv = 0;
  for (const LayerSpec& layer : spec.layers) {
    const AttentionSpec& a = layer.attention;
    kv += int64_t(a.kv_heads) * (a.key_dim() + (a.latent ? a.key_dim() : a.value_dim())) * 4;
  }
  const int64_t table = spec.tied_embeddings ? 0 : int64_t(spec.vocab) * spec.dim;  // kept in fp32 beside a bf16 store
  return {{"model", reference},
          {"model_type", spec.model_type},
          {"vocab_size", spec.vocab},
          {"hidden_size", spec.dim},
          {"num_hidden_layers", spec.layers.size()},
          {"moe_layers", spec.moe_layers()},
          {"mtp_layers", spec.mtp ? 1 : 0},
          {"context", spec.max_position},
          {"parameters", spec.main_parameters()},
          {"mtp_parameters", spec.num_parameters - spec.main_parameters()},
          {"active_parameters", spec.active_parameters()},
          {"tied_embeddings", spec.tied_embeddings},
          {"kv_bytes_per_token", kv},
          {"decode_bytes", spec.main_parameters() * 4},
          {"decode_bytes_bf16", spec.main_parameters() * 2 + table * 2},
          {"train_bytes", spec.num_parameters * 20},
          {"stop_ids", spec.stop_ids}};
}

void describe(const InspectOptions& o) {
  ModelSpec spec = load_spec(o.model);
  Json text = description(o.model, spec);
  if (o.tensors)
    for (const ParameterSpec& p : spec.parameters) text["tensors"].push_back({{"name", p.name}, {"shape", p.shape}});
  if (o.json) {
    std::cout << text.dump() << "\n";
    return;
  }
  for (const auto& [key, value] : text.items())
    if (key != "tensors")
      std::cout << key << std::string(key.size() < 22 ? 22 - key.size() : 1, ' ') << value.dump() << "\n";
  for (const Json& tensor : text.value("tensors", Json::array()))
    std::cout << tensor["name"].get<std::string>() << " " << tensor["shape"].dump() << "\n";
}

void run_inspect(const InspectOptions& o) {
  if (o.encode.empty() && o.decode.empty() && o.chat.empty() && o.logprobs.empty()) return describe(o);
  Compute compute(usable_cores());
  LoadedModel loaded = load_model(o.model, compute, false, Weights::packed);
  if (!o.logprobs.empty()) {
    Json ids = parse_config_file(o.logprobs == "-" ? "/dev/stdin" : o.logprobs), out = Json::array();
    const bool is_list = ids.is_object() && ids.contains("ids") && ids["ids"].is_array() &&
                         std::all_of(ids["ids"].begin(), ids["ids"].end(), is_ids);
    if (!is_list) throw UsageError(o.logprobs + " is not of the form {\"ids\": [[…], …]}");
    for (const Json& row : ids["ids"])
      out.push_back(sequence_logprobs(loaded.model, compute, ids_of(row, loaded.model.spec.vocab)));
    std::cout << Json{{"logprobs", out}}.dump() << "\n";
    return;
  }
  if (!loaded.tokenizer) throw UsageError("model " + o.model + " has no tokenizer (tokenizer.json, say)");
  const Tokenizer& tokenizer = *loaded.tokenizer;
  if (!o.encode.empty())
    for_lines(o.encode, [&](const Json& row, const std::string&) {
      std::cout << Json(tokenizer.encode(row.get<std::string>(), o.add_special_tokens)).dump() << "\n";
    });
  if (!o.decode.empty())
    for_lines(o.decode, [&](const Json& row, const std::string&) {
      std::cout << Json(tokenizer.decode(ids_of(row, loaded.model.spec.vocab), o.skip_special_tokens)).dump() << "\n";
    });
  if (!o.chat.empty())
    for_lines(o.chat, [&](const Json&, const std::string& line) {
      OrderedJson row = OrderedJson::parse(line), messages = row.is_array() ? row : row.at("messages"),
                  extra = OrderedJson::object();
      if (row.is_object())
        for (const auto& [key, value] : row.items())
          if (key != "messages") extra[key] = value;
      std::cout << Json(render_chat(tokenizer, messages, !o.no_generation_prompt, extra)).dump() << "\n";
    });
}

struct ExportOptions {
  std::string model, out, dtype = "f32", format = "hf";
  std::vector<int32_t> layers;
  int32_t hidden_size = 0, intermediate_size = 0, num_attention_heads = 0;  // 0: all
  std::optional<int32_t> dense_experts;
  std::string texts;
  int64_t shard_bytes = SaveOptions().shard_bytes;
};

const std::map<std::string, DType> kExportTypes = {
    {"f32", DType::f32}, {"bf16", DType::bf16}, {"f16", DType::f16}, {"q8_0", DType::q8_0}};

void expect_export_options(const ExportOptions& o) {
  const bool is_gguf = o.format == "gguf";
  if (std::filesystem::exists(o.out))
    throw UsageError("--out " + o.out + " is there already: name a new " + (is_gguf ? "file" : "folder"));
  if (is_gguf && !o.out.ends_with(".gguf"))
    throw UsageError("--out " + o.out + " is one file with --format gguf: name it " + o.out + ".gguf");
  if (o.dense_experts && o.texts.empty())
    throw UsageError("--dense-experts keeps the experts that texts use most: name a file of some with --texts");
  const bool is_smaller =
      !o.layers.empty() || o.hidden_size || o.num_attention_heads || o.intermediate_size || o.dense_experts;
  if (o.format == "peft" && (is_smaller || o.dtype != "f32"))
    throw UsageError("--format peft writes adapters as they are: leave out --dtype and what makes a model smaller");
  if (!is_gguf && o.dtype == "q8_0") throw UsageError("--dtype q8_0 is a type of GGUF files: add --format gguf");
}

/// Ids of a text, a chat, or a row of tasks or of supervised tuning.
std::vector<int32_t> ids_of_row(const Tokenizer& tokenizer, const Json& row) {
  if (row.is_string()) return tokenizer.encode(row.get<std::string>(), true);
  if (row.is_array()) return tokenizer.encode(render_chat(tokenizer, row, false));
  if (row.contains("messages")) return ids_of_row(tokenizer, row["messages"]);
  const Json &prompt = row.at("prompt"), completion = row.value("completion", Json());
  if (completion.is_null()) return ids_of_row(tokenizer, prompt);
  if (prompt.is_string()) return ids_of_row(tokenizer, prompt.get<std::string>() + completion.get<std::string>());
  Json messages = prompt;
  for (const Json& message : completion) messages.push_back(message);
  return ids_of_row(tokenizer, messages);
}

CausalLM dense_export(const ExportOptions& o, const Compute& compute, LoadedModel& loaded) {
  if (!loaded.tokenizer) throw UsageError("model " + o.model + " has no tokenizer to read --texts with");
  std::vector<std::vector<int32_t>> texts;
  for_lines(o.texts, [&](const Json& row, const std::string&) { texts.push_back(ids_of_row(*loaded.tokenizer, row)); });
  const ExpertUsage usage = count_experts(loaded.model, compute, texts);
  std::cerr << "experts counted on " << usage.tokens << " tokens of " << texts.size() << " texts\n";
  return dense_start(loaded.model, usage, *o.dense_experts);
}

void run_export(const ExportOptions& o) {
  expect_export_options(o);
  const std::filesystem::path out = o.out;
  make_writable_folder(std::filesystem::absolute(out).parent_path());
  const Compute compute(usable_cores());
  const bool is_peft = o.format == "peft";
  LoadedModel loaded = load_model(o.model, compute, false,
                                  is_peft           ? Weights::packed
                                  : o.dense_experts ? Weights::all
                                                    : Weights::parameters);
  if (is_peft && !loaded.model.adapter)
    throw UsageError("--format peft writes adapters, and " + o.model + " has none: name a PEFT folder");
  if (o.dense_experts) loaded.model = dense_export(o, compute, loaded);
  if (!o.layers.empty()) loaded.model = keep_layers(loaded.model, o.layers);
  if (o.num_attention_heads) loaded.model = keep_heads(loaded.model, o.num_attention_heads);
  if (o.hidden_size) loaded.model = keep_residual(loaded.model, o.hidden_size);
  if (o.intermediate_size) loaded.model = keep_channels(loaded.model, o.intermediate_size);
  const DType dtype = kExportTypes.at(o.dtype);
  if (o.format == "gguf")
    save_gguf(loaded.model, loaded.tokenizer.get(), out, dtype);
  else
    write_folder_durably(out, [&](const std::filesystem::path& folder) {
      save_model(loaded.model, loaded.tokenizer.get(), folder, {.dtype = dtype, .shard_bytes = o.shard_bytes});
    });
  std::cerr << "exported " << trained_values(loaded.model).size() << " parameters as " << o.dtype << " to " << o.out
            << "\n";
}

}  // namespace

void add_policy_commands(CLI::App& app) {
  auto o = std::make_shared<InspectOptions>();
  CLI::App* verb =
      app.add_subcommand("inspect", "what a model is; probes of its tokenizer, template and log-probabilities");
  verb->add_option("model", o->model, "an HF folder, a .gguf file, or init:CONFIG.json?seed=N")->required();
  verb->add_flag("--tensors", o->tensors, "list the tensors");
  verb->add_flag("--json", o->json, "one JSON object");
  verb->add_option("--encode", o->encode, "file of JSON strings, one a line → ids");
  verb->add_option("--decode", o->decode, "file of id arrays, one a line → text");
  verb->add_option("--chat", o->chat, "file of message lists, one a line → prompt text");
  verb->add_option("--logprobs", o->logprobs, "file {\"ids\": [[…]]} → log-probabilities in fp32");
  verb->add_flag("--add-special-tokens", o->add_special_tokens,
                 "with --encode: BOS and EOS as the tokenizer adds them");
  verb->add_flag("--skip-special-tokens", o->skip_special_tokens, "with --decode: leave special tokens out");
  verb->add_flag("--no-generation-prompt", o->no_generation_prompt, "with --chat");
  verb->footer("Example:\n  cohort inspect init:configs/models/demo-moe.json --tensors");
  verb->callback([o] { run_inspect(*o); });

  auto e = std::make_shared<ExportOptions>();
  CLI::App* exporting = app.add_subcommand("export", "write a model as a folder or file that other programs load");
  exporting->add_option("-m,--model", e->model, "an HF folder, a .gguf file, or init:CONFIG.json?seed=N")->required();
  exporting->add_option("--out", e->out, "folder, or NAME.gguf; it may not exist yet")->required();
  exporting->add_option("--dtype", e->dtype, "of the weights (q8_0: GGUF alone)")
      ->check(CLI::IsMember({"f32", "bf16", "f16", "q8_0"}))
      ->capture_default_str();
  exporting
      ->add_option("--format", e->format,
                   "an HF folder, one file for llama.cpp, or a PEFT folder's adapters as they are (the others merge)")
      ->check(CLI::IsMember({"hf", "gguf", "peft"}))
      ->capture_default_str();
  exporting->add_option("--keep-layers", e->layers, "numbers from 0: the model of these layers alone")->delimiter(',');
  exporting
      ->add_option("--num-attention-heads", e->num_attention_heads,
                   "so many heads of each layer, those of largest weights, in whole groups that share a key")
      ->check(CLI::PositiveNumber);
  exporting
      ->add_option("--hidden-size", e->hidden_size, "so many channels of the residual stream, those of largest weights")
      ->check(CLI::PositiveNumber);
  exporting
      ->add_option("--intermediate-size", e->intermediate_size,
                   "so many channels of each dense feed-forward block, those of largest weights")
      ->check(CLI::PositiveNumber);
  exporting
      ->add_option(
          "--dense-experts", e->dense_experts,
          "a dense model of a mixture: shared experts beside so many of the most used, before anything else is "
          "cut")
      ->check(CLI::NonNegativeNumber);
  exporting->add_option("--texts", e->texts,
                        "with --dense-experts: what experts are counted on, a text, a chat or a row of {messages} or "
                        "{prompt, completion} a line");
  exporting->add_option("--shard-bytes", e->shard_bytes, "largest file of weights")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  exporting->footer(
      "Example:\n  cohort export -m runs/demo/grpo/final --out exported --dtype bf16\n"
      "  cohort export -m runs/demo/grpo/final --dense-experts 2 --texts runs/demo/student_distilled/traces.jsonl "
      "--out dense\n"
      "  cohort export -m runs/demo/grpo/final --format gguf --dtype q8_0 --out demo.gguf");
  exporting->callback([e] { run_export(*e); });
}

}  // namespace cohort
