// A GGUF file's tokenizer, rewritten as the tokenizer.json it was made from: the name in tokenizer.ggml.pre stands for
// the pre-tokenizer and the normalizer.
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "configs/error.h"
#include "policy/text/tokenizer.h"

namespace cohort {
namespace {

enum TokenType { normal = 1, unknown = 2, control = 3, user_defined = 4 };

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json split_by(const std::string& regex) {
  return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
}

Json sequence(Json stages) { return {{"type", "Sequence"}, {"pretokenizers", std::move(stages)}}; }

constexpr const char* llama3_regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* qwen2_regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* deepseek3_regex =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* tekken_regex =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Json gpt2() { return byte_level(true); }
Json digits_gpt2() { return sequence({{{"type", "Digits"}, {"individual_digits", true}}, byte_level(true)}); }
Json llama3() { return sequence({split_by(llama3_regex), byte_level(false)}); }
Json qwen2() { return sequence({split_by(qwen2_regex), byte_level(false)}); }
Json tekken() { return sequence({split_by(tekken_regex), byte_level(false)}); }
Json deepseek3() {
  return sequence({split_by(R"(\p{N}{1,3})"), split_by("[一-龥\u3040-ゟ゠-ヿ]+"), split_by(deepseek3_regex), byte_level(false)});
}
Json deepseek_coder() {
  return sequence({split_by(R"([\r\n])"), split_by(R"(\s?\p{L}+)"), split_by(R"(\s?\p{P}+)"), split_by("[一-龥ࠀ-一가-\uD7FF]+"),
                   {{"type", "Digits"}, {"individual_digits", true}}, byte_level(false)});
}

struct Pre {
  std::string_view name;  // tokenizer.ggml.pre
  Json (*stages)();
  bool nfc = false;
  bool ignore_merges = false;
};
constexpr Pre pres[] = {
    {"gpt-2", gpt2},          {"default", gpt2},           {"olmo", gpt2},
    {"smollm", digits_gpt2},  {"starcoder", digits_gpt2},  {"refact", digits_gpt2},  {"command-r", digits_gpt2},
    {"llama-bpe", llama3, false, true}, {"llama3", llama3, false, true}, {"llama-v3", llama3, false, true},
    {"glm4", llama3},         {"chatglm-bpe", llama3},     {"dbrx", llama3},
    {"qwen2", qwen2, true},   {"deepseek-r1-qwen", qwen2, true}, {"stablelm2", qwen2},   {"hunyuan", qwen2},
    {"deepseek-v3", deepseek3}, {"hunyuan-dense", deepseek3}, {"deepseek-coder", deepseek_coder}, {"tekken", tekken, false, true},
};

const Pre& find_pre(const std::string& name) {
  std::string known;
  for (const Pre& pre : pres) {
    if (pre.name == name) return pre;
    known += (known.empty() ? "" : ", ") + std::string(pre.name);
  }
  throw UsageError("the GGUF file's tokenizer.ggml.pre is \"" + name + "\", which is not known; known are " + known);
}

Json added_tokens(const Json& tokens, const Json& types) {
  Json added = Json::array();
  for (size_t id = 0; id < types.size(); ++id) {
    const int type = types[id];
    if (type != control && type != user_defined) continue;
    added.push_back({{"id", id}, {"content", tokens[id]}, {"single_word", false}, {"lstrip", false}, {"rstrip", false},
                     {"normalized", false}, {"special", type == control}});
  }
  return added;
}

/// BOS before and EOS after a text, where the file says so.
Json post_processor(const Json& metadata, const Json& tokens) {
  Json single = Json::array({{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}), used = Json::object();
  const auto place = [&](const char* flag, const char* id_key, bool front) {
    if (!metadata.value(flag, false) || !metadata.contains(id_key)) return;
    const std::string token = tokens.at(metadata.at(id_key).get<size_t>());
    const Json element = {{"SpecialToken", {{"id", token}, {"type_id", 0}}}};
    single.insert(front ? single.begin() : single.end(), element);
    used[token] = {{"id", token}, {"ids", {metadata.at(id_key)}}, {"tokens", {token}}};
  };
  place("tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id", true);
  place("tokenizer.ggml.add_eos_token", "tokenizer.ggml.eos_token_id", false);
  if (used.empty()) return byte_level(true);
  Json pair = single;
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", used}};
}

Json config_from(const Json& metadata, const Json& tokens) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  const std::pair<const char*, const char*> roles[] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                                                       {"eos_token", "tokenizer.ggml.eos_token_id"},
                                                       {"pad_token", "tokenizer.ggml.padding_token_id"},
                                                       {"unk_token", "tokenizer.ggml.unknown_token_id"}};
  for (const auto& [role, key] : roles)
    if (metadata.contains(key)) config[role] = tokens.at(metadata.at(key).get<size_t>());
  if (metadata.contains("tokenizer.chat_template")) config["chat_template"] = metadata.at("tokenizer.chat_template");
  return config;
}

Json bpe_model(const Json& metadata, const Json& tokens, const Pre& pre) {
  Json vocabulary = Json::object();
  for (size_t id = 0; id < tokens.size(); ++id) vocabulary.emplace(tokens[id].get_ref<const std::string&>(), id);
  return {{"type", "BPE"}, {"dropout", nullptr}, {"unk_token", nullptr}, {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr}, {"fuse_unk", false}, {"byte_fallback", false}, {"ignore_merges", pre.ignore_merges},
          {"vocab", std::move(vocabulary)}, {"merges", metadata.at("tokenizer.ggml.merges")}};
}

}  // namespace

Tokenizer tokenizer_from_gguf(const Json& metadata) try {
  const std::string model = metadata.at("tokenizer.ggml.model");
  if (model != "gpt2") throw UsageError("the GGUF file's tokenizer.ggml.model is \"" + model + "\", expected \"gpt2\" (byte-level BPE)");
  const Json& tokens = metadata.at("tokenizer.ggml.tokens");
  const Pre& pre = find_pre(metadata.value("tokenizer.ggml.pre", "gpt-2"));
  Json json = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr},
               {"added_tokens", added_tokens(tokens, metadata.value("tokenizer.ggml.token_type", Json::array()))},
               {"normalizer", pre.nfc ? Json{{"type", "NFC"}} : Json()}, {"pre_tokenizer", pre.stages()},
               {"post_processor", post_processor(metadata, tokens)}, {"decoder", byte_level(true)}};
  json["model"] = bpe_model(metadata, tokens, pre);
  return tokenizer_from_json(json, config_from(metadata, tokens));
} catch (const Json::exception& error) {
  throw UsageError(std::string("the GGUF file's tokenizer metadata is not as expected: ") + error.what());
}

}  // namespace cohort
