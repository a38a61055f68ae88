// A tokenizer as GGUF files have it, out of its tokenizer.json. What llama.cpp has no key for (stripping around added
// tokens, ids around a text other than BOS and EOS) is left out; what would encode text otherwise is refused.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <utility>

#include "configs/error.h"
#include "policy/text/tokenizer_gguf.h"
#include "policy/text/tokenizer_parts.h"

namespace cohort {
namespace {

using Metadata = nlohmann::ordered_json;

[[noreturn]] void refuse(const std::string& what) {
  throw UsageError("the tokenizer cannot be written to a GGUF file: " + what + "; export an HF folder instead");
}

/// A merge is "left right" or [left, right].
std::string merge_text(const Json& merge) {
  if (merge.is_array()) return merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>();
  return merge;
}

std::vector<std::string> merges_of(const Json& tokenizer) {
  std::vector<std::string> merges;
  for (const Json& merge : tokenizer.at("model").at("merges")) merges.push_back(merge_text(merge));
  return merges;
}

bool mentions(const Json& stage, std::string_view type) {
  if (!stage.is_object()) return false;
  if (stage.value("type", "") == type) return true;
  for (const char* list : {"pretokenizers", "normalizers", "decoders"})
    if (stage.contains(list))
      for (const Json& part : stage[list])
        if (mentions(part, type)) return true;
  return false;
}

Json field(const Json& tokenizer, const char* name) {
  return tokenizer.value(name, Json());
}

/// By id; ids without a token get a name that no text contains as one.
void set_tokens(Metadata& out, const Tokenizer& tokenizer, int32_t vocab, const Json& added) {
  Metadata tokens = Metadata::array(), types = Metadata::array();
  for (int32_t id = 0; id < vocab; ++id) {
    const std::string token = id < tokenizer.size() ? tokenizer.token(id) : "";
    tokens.push_back(token.empty() ? unused_token(id) : token);
    types.push_back(int(token.empty() ? GgufTokenType::unused : GgufTokenType::normal));
  }
  for (const Json& token : added) {
    const bool is_special = token.value("special", false);
    types.at(token.at("id").get<size_t>()) = int(is_special ? GgufTokenType::control : GgufTokenType::user_defined);
  }
  out["tokenizer.ggml.tokens"] = std::move(tokens);
  out["tokenizer.ggml.token_type"] = std::move(types);
}

void set_byte_level(Metadata& out, const Json& tokenizer) {
  const std::vector<std::string> merges = merges_of(tokenizer);
  const std::string pre =
      merges.empty() ? "gpt-2"  // however a text is cut, bytes stay bytes
                     : gguf_pre_of(field(tokenizer, "pre_tokenizer"), mentions(field(tokenizer, "normalizer"), "NFC"),
                                   tokenizer.at("model").value("ignore_merges", false));
  if (pre.empty()) refuse("llama.cpp has no name for its pre_tokenizer that is known here");
  out["tokenizer.ggml.pre"] = pre;
  out["tokenizer.ggml.merges"] = merges;
}

/// Pieces with scores: a merge's result is worth the more the earlier the merge is.
void set_sentencepiece(Metadata& out, const Json& tokenizer) {
  const Metadata& tokens = out["tokenizer.ggml.tokens"];
  Metadata& types = out["tokenizer.ggml.token_type"];
  std::unordered_map<std::string, float> score_of;
  for (const std::string& merge : merges_of(tokenizer)) {
    std::string piece = merge;
    piece.erase(piece.find(' '), 1);
    score_of.emplace(std::move(piece), -float(score_of.size()));
  }
  const Json unk = tokenizer.at("model").value("unk_token", Json());
  Metadata scores = Metadata::array();
  for (size_t id = 0; id < tokens.size(); ++id) {
    const auto& token = tokens[id].get_ref<const std::string&>();
    const auto found = score_of.find(token);
    const bool is_byte = token.size() == 6 && token.starts_with("<0x") && token.ends_with('>');
    if (is_byte) types[id] = int(GgufTokenType::byte);
    if (unk == token) types[id] = int(GgufTokenType::unknown);
    scores.push_back(types[id] != int(GgufTokenType::normal) ? 0.0f
                     : found == score_of.end()               ? -float(score_of.size() + id)
                                                             : found->second);
  }
  out["tokenizer.ggml.scores"] = std::move(scores);
  const Json pre = field(tokenizer, "pre_tokenizer");
  out["tokenizer.ggml.add_space_prefix"] =
      mentions(field(tokenizer, "normalizer"), "Prepend") ||
      (mentions(pre, "Metaspace") && pre.value("prepend_scheme", std::string("always")) != "never" &&
       pre.value("add_prefix_space", true));
}

void set_roles(Metadata& out, const Tokenizer& tokenizer) {
  const SpecialTokens& special = tokenizer.special_tokens();
  for (const auto& [key, id] : {std::pair("bos_token_id", special.bos), std::pair("eos_token_id", special.eos),
                                std::pair("unknown_token_id", special.unk), std::pair("padding_token_id", special.pad)})
    if (id) out["tokenizer.ggml." + std::string(key)] = *id;
  const TokenizerParts& parts = tokenizer.parts();
  const auto is_alone = [](const std::vector<int32_t>& ids, std::optional<int32_t> id) {
    return id && ids.size() == 1 && ids[0] == *id;
  };
  out["tokenizer.ggml.add_bos_token"] = is_alone(parts.prefix, special.bos);
  out["tokenizer.ggml.add_eos_token"] = is_alone(parts.suffix, special.eos);
  if (!tokenizer.chat_template().empty()) out["tokenizer.chat_template"] = tokenizer.chat_template();
}

/// What the file makes of it merges the same pieces in the same order.
void expect_read_alike(const Metadata& metadata, const Json& tokenizer) {
  const Tokenizer again = tokenizer_from_gguf(Json(metadata));
  const Json written = Json::parse(again.files().at("tokenizer.json"));
  if (merges_of(written) != merges_of(tokenizer)) refuse("its merges do not follow from scores of their results");
}

}  // namespace

Metadata tokenizer_to_gguf(const Tokenizer& tokenizer, int32_t vocab) try {
  const auto file = tokenizer.files().find("tokenizer.json");
  if (file == tokenizer.files().end()) refuse("it has no tokenizer.json");
  const Json json = Json::parse(file->second);
  const bool byte_level =
      mentions(field(json, "pre_tokenizer"), "ByteLevel") || mentions(field(json, "decoder"), "ByteLevel");
  const bool pieces = json.at("model").value("byte_fallback", false);
  if (json.at("model").value("type", "BPE") != "BPE" || byte_level == pieces)
    refuse("it is neither byte-level BPE nor BPE over pieces with byte fallback");
  Metadata out;
  out["tokenizer.ggml.model"] = byte_level ? "gpt2" : "llama";
  const Json added = field(json, "added_tokens");
  set_tokens(out, tokenizer, vocab, added.is_null() ? Json::array() : added);
  if (byte_level)
    set_byte_level(out, json);
  else
    set_sentencepiece(out, json);
  set_roles(out, tokenizer);
  expect_read_alike(out, json);
  return out;
} catch (const Json::exception& error) {
  throw UsageError(std::string("tokenizer.json is not as expected: ") + error.what());
}

}  // namespace cohort
