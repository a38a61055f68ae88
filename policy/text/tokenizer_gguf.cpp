// A GGUF file's tokenizer, rewritten as the tokenizer.json it was made from: the name in tokenizer.ggml.pre stands for
// the pre-tokenizer and the normalizer.
#include "policy/text/tokenizer_gguf.h"

#include <string_view>
#include <utility>

#include "configs/error.h"
#include "policy/text/sentencepiece.h"
#include "policy/text/tokenizer_description.h"
#include "policy/text/unicode.h"

namespace cohort {
namespace {

constexpr const char* deepseek3_pattern =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* tekken_pattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Json gpt2() {
  return byte_level_stage(true);
}
Json digits_gpt2() {
  return sequence_of({digits_stage(), byte_level_stage(true)});
}
Json llama3() {
  return sequence_of({split_stage(llama3_pattern), byte_level_stage(false)});
}
Json qwen2() {
  return sequence_of({split_stage(qwen2_pattern), byte_level_stage(false)});
}
Json tekken() {
  return sequence_of({split_stage(tekken_pattern), byte_level_stage(false)});
}
Json deepseek3() {
  return sequence_of({split_stage(R"(\p{N}{1,3})"), split_stage("[一-龥\u3040-ゟ゠-ヿ]+"),
                      split_stage(deepseek3_pattern), byte_level_stage(false)});
}
Json deepseek_coder() {
  return sequence_of({split_stage(R"([\r\n])"), split_stage(R"(\s?\p{L}+)"), split_stage(R"(\s?\p{P}+)"),
                      split_stage("[一-龥ࠀ-一가-\uD7FF]+"), digits_stage(), byte_level_stage(false)});
}

struct Pre {
  std::string_view name;  // tokenizer.ggml.pre
  Json (*stages)();
  bool nfc = false;
  bool ignore_merges = false;
};
constexpr Pre pres[] = {
    {"gpt-2", gpt2},
    {"olmo", gpt2},
    {"smollm", digits_gpt2},
    {"starcoder", digits_gpt2},
    {"refact", digits_gpt2},
    {"command-r", digits_gpt2},
    {"llama-bpe", llama3, false, true},
    {"llama3", llama3, false, true},
    {"llama-v3", llama3, false, true},
    {"glm4", llama3},
    {"chatglm-bpe", llama3},
    {"dbrx", llama3},
    {"qwen2", qwen2, true},
    {"deepseek-r1-qwen", qwen2, true},
    {"stablelm2", qwen2},
    {"hunyuan", qwen2},
    {"deepseek-v3", deepseek3},
    {"hunyuan-dense", deepseek3},
    {"deepseek-coder", deepseek_coder},
    {"tekken", tekken, false, true},
};

const Pre& find_pre(const std::string& name) {
  std::string known;
  for (const Pre& pre : pres) {
    if (pre.name == name) return pre;
    known += (known.empty() ? "" : ", ") + std::string(pre.name);
  }
  throw UsageError("the GGUF file's tokenizer.ggml.pre is \"" + name + "\", which is not known; known are " + known);
}

GgufTokenType type_at(const Json& types, size_t id) {
  return id < types.size() ? static_cast<GgufTokenType>(types[id].get<int>()) : GgufTokenType::normal;
}

Json added_tokens(const Json& tokens, const Json& types) {
  Json added = Json::array();
  for (size_t id = 0; id < types.size(); ++id) {
    const GgufTokenType type = type_at(types, id);
    if (type == GgufTokenType::control || type == GgufTokenType::user_defined)
      added.push_back(added_token(static_cast<int32_t>(id), tokens.at(id), type == GgufTokenType::control));
  }
  return added;
}

/// The id to put around a text, where the file says so.
Json id_around(const Json& metadata, const char* flag, bool otherwise, const char* id_key) {
  return metadata.value(flag, otherwise) && metadata.contains(id_key) ? metadata.at(id_key) : Json();
}

Json config_from(const Json& metadata, const Json& tokens) {
  Json config = plain_config();
  const std::pair<const char*, const char*> roles[] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                                                       {"eos_token", "tokenizer.ggml.eos_token_id"},
                                                       {"pad_token", "tokenizer.ggml.padding_token_id"},
                                                       {"unk_token", "tokenizer.ggml.unknown_token_id"}};
  for (const auto& [role, key] : roles)
    if (metadata.contains(key)) config[role] = tokens.at(metadata.at(key).get<size_t>());
  if (metadata.contains("tokenizer.chat_template")) config["chat_template"] = metadata.at("tokenizer.chat_template");
  return config;
}

Json byte_level_json(const Json& metadata, const std::vector<std::string>& tokens) {
  const Pre& pre = find_pre(metadata.value("tokenizer.ggml.pre", "gpt-2"));
  BpeDescription bpe;
  const Json types = metadata.value("tokenizer.ggml.token_type", Json::array());
  for (size_t id = 0; id < tokens.size(); ++id) {
    const bool is_absent = type_at(types, id) == GgufTokenType::unused && tokens[id] == unused_token(int64_t(id));
    if (!is_absent) bpe.vocab.emplace(tokens[id], id);
  }
  bpe.merges = metadata.at("tokenizer.ggml.merges");
  bpe.ignore_merges = pre.ignore_merges;
  TokenizerDescription description;
  description.added_tokens = added_tokens(metadata.at("tokenizer.ggml.tokens"), types);
  if (pre.nfc) description.normalizer = {{"type", "NFC"}};
  description.pre_tokenizer = pre.stages();
  description.post_processor =
      around_text(id_around(metadata, "tokenizer.ggml.add_bos_token", false, "tokenizer.ggml.bos_token_id"),
                  id_around(metadata, "tokenizer.ggml.add_eos_token", false, "tokenizer.ggml.eos_token_id"), tokens);
  description.decoder = byte_level_stage(true);
  description.model = bpe_model(std::move(bpe));
  return tokenizer_json_of(std::move(description));
}

/// The model "llama" is a sentencepiece BPE model: pieces with scores.
Json sentencepiece_json(const Json& metadata, const std::vector<std::string>& tokens) {
  SentencePieceModel model;
  const Json& scores = metadata.at("tokenizer.ggml.scores");
  const Json& types = metadata.at("tokenizer.ggml.token_type");
  for (size_t id = 0; id < tokens.size(); ++id)
    model.pieces.push_back({tokens[id], scores.at(id), static_cast<SentencePieceType>(types.at(id).get<int>())});
  model.add_dummy_prefix = metadata.value("tokenizer.ggml.add_space_prefix", true);
  model.bos = id_around(metadata, "tokenizer.ggml.add_bos_token", true, "tokenizer.ggml.bos_token_id");
  model.eos = id_around(metadata, "tokenizer.ggml.add_eos_token", false, "tokenizer.ggml.eos_token_id");
  return sentencepiece_tokenizer_json(model);
}

/// Pre-tokenizers as one list of stages without what changes no piece.
Json plain_stages(const Json& stage) {
  Json plain = Json::array();
  if (!stage.is_object()) return plain;
  if (stage.value("type", "") == "Sequence") {
    for (const Json& part : stage.value("pretokenizers", Json::array()))
      for (const Json& each : plain_stages(part)) plain.push_back(each);
    return plain;
  }
  Json kept = stage;
  kept.erase("trim_offsets");
  if (kept.value("type", "") == "ByteLevel" && !kept.contains("use_regex")) kept["use_regex"] = true;
  return Json::array({kept});
}

}  // namespace

std::string gguf_pre_of(const Json& pre_tokenizer, bool nfc, bool ignore_merges) {
  const Json stages = plain_stages(pre_tokenizer);
  for (const Pre& pre : pres)
    if (pre.nfc == nfc && pre.ignore_merges == ignore_merges && plain_stages(pre.stages()) == stages)
      return std::string(pre.name);
  return "";
}

Tokenizer tokenizer_from_gguf(const Json& metadata) try {
  const std::string model = metadata.at("tokenizer.ggml.model");
  if (model != "gpt2" && model != "llama")
    throw UsageError("the GGUF file's tokenizer.ggml.model is \"" + model +
                     "\", expected \"gpt2\" (byte-level BPE) or \"llama\" (sentencepiece)");
  const Json& tokens = metadata.at("tokenizer.ggml.tokens");
  const auto texts = tokens.get<std::vector<std::string>>();
  for (const std::string& text : texts)
    if (unicode::valid_prefix(text) != text.size())
      throw UsageError("the GGUF file's tokenizer has the token \"" + unicode::repaired(text) +
                       "\", expected valid UTF-8");
  return tokenizer_from_json(model == "gpt2" ? byte_level_json(metadata, texts) : sentencepiece_json(metadata, texts),
                             config_from(metadata, tokens));
} catch (const Json::exception& error) {
  throw UsageError(std::string("the GGUF file's tokenizer metadata is not as expected: ") + error.what());
} catch (const std::out_of_range&) {
  throw UsageError("the GGUF file's tokenizer metadata names a token beyond its tokens");
}

}  // namespace cohort
