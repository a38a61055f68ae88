#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "configs/error.h"
#include "policy/text/tokenizer_parts.h"
#include "policy/text/unicode.h"

namespace cohort {
namespace {

constexpr int32_t most_ids = 1 << 22;  // more than any vocabulary; a broken id must not ask for all memory

constexpr std::string_view space_mark = "\u2581";

void put_token(TokenizerParts& parts, const std::string& token, int64_t id) {
  if (id < 0 || id >= most_ids)
    throw UsageError("tokenizer.json gives the token \"" + token + "\" the id " + std::to_string(id) +
                     ", expected 0 to " + std::to_string(most_ids - 1));
  if (static_cast<size_t>(id) >= parts.tokens.size()) {
    parts.tokens.resize(id + 1);
    parts.special.resize(id + 1, 0);
  }
  parts.tokens[id] = token;
  parts.ids.insert(token, static_cast<int32_t>(id));
}

/// A merge is "left right" or [left, right].
std::pair<std::string, std::string> halves(const Json& merge) {
  if (merge.is_array() && merge.size() == 2) return {merge[0], merge[1]};
  const auto& text = merge.get_ref<const std::string&>();
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
    throw UsageError("tokenizer.json has the merge \"" + text + "\", expected two tokens with one space between them");
  return {text.substr(0, space), text.substr(space + 1)};
}

MergeTable merge_table(const Json& merges, const TokenTable& ids) {
  MergeTable table;
  table.reserve(merges.size());
  uint32_t rank = 0;
  for (const Json& merge : merges) {
    const auto [left, right] = halves(merge);
    const int32_t left_id = ids.find(left), right_id = ids.find(right), id = ids.find(left + right);
    if (left_id < 0 || right_id < 0 || id < 0)
      throw UsageError("tokenizer.json merges \"" + left + "\" and \"" + right + "\", but " +
                       (left_id < 0    ? left
                        : right_id < 0 ? right
                                       : left + right) +
                       " is not in its vocabulary");
    table.insert(left_id, right_id, {rank++, id});
  }
  return table;
}

/// No merge joins a word to the space mark that begins the next one.
bool merges_keep_words(const Json& merges) {
  return std::ranges::none_of(merges, [](const Json& merge) {
    const auto [left, right] = halves(merge);
    return right.starts_with(space_mark) && !left.ends_with(space_mark);
  });
}

/// What each token spells in the pieces that are encoded: raw bytes for byte-level models.
TokenTable piece_table(const TokenizerParts& parts, bool byte_level) {
  TokenTable pieces;
  size_t bytes = 0;
  for (const std::string& token : parts.tokens) bytes += token.size();
  pieces.reserve(parts.tokens.size(), bytes);
  std::string spelled;
  for (size_t id = 0; id < parts.tokens.size(); ++id) {
    const std::string& token = parts.tokens[id];
    if (token.empty() || (byte_level && !from_byte_characters(token, spelled))) continue;
    pieces.insert(byte_level ? spelled : token, static_cast<int32_t>(id));
  }
  return pieces;
}

void read_bpe(const Json& model, TokenizerParts& parts) {
  for (const char* field : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (model.contains(field) && !model[field].is_null() && model[field] != "")
      throw UsageError(std::string("tokenizer.json's model has the field ") + field + ", which is not supported");
  if (model.contains("dropout") && !model["dropout"].is_null() && model["dropout"] != 0.0)
    throw UsageError("tokenizer.json's model has dropout, expected null: encoding is deterministic here");
  const Json& vocabulary = model.at("vocab");
  parts.ids.reserve(vocabulary.size(), 8 * vocabulary.size());
  for (const auto& [token, id] : vocabulary.items()) put_token(parts, token, id);
  BpeSettings settings;
  settings.byte_level = parts.pre_tokenizer.byte_level();
  settings.ignore_merges = model.value("ignore_merges", false);
  settings.byte_fallback = model.value("byte_fallback", false);
  settings.fuse_unk = model.value("fuse_unk", false);
  if (model.contains("unk_token") && model["unk_token"].is_string())
    if (const int32_t unk = parts.ids.find(model["unk_token"].get<std::string>()); unk >= 0) settings.unk = unk;
  MergeTable merges = merge_table(model.at("merges"), parts.ids);
  settings.words = !settings.byte_level && !settings.ignore_merges && parts.ids.find(space_mark) >= 0 &&
                   merges_keep_words(model.at("merges"));
  parts.bpe.emplace(settings, piece_table(parts, settings.byte_level), std::move(merges),
                    static_cast<int32_t>(parts.tokens.size()));
}

void read_unigram(const Json& model, TokenizerParts& parts) {
  if (parts.pre_tokenizer.byte_level())
    throw UsageError(
        "tokenizer.json has a model of type Unigram behind the pre-tokenizer ByteLevel, which is not supported; BPE "
        "behind it is");
  std::vector<ScoredToken> tokens;
  const Json& vocabulary = model.at("vocab");
  parts.ids.reserve(vocabulary.size(), 8 * vocabulary.size());
  for (const Json& entry : vocabulary) {
    const std::string& text = entry.at(0).get_ref<const std::string&>();
    put_token(parts, text, static_cast<int64_t>(tokens.size()));
    tokens.push_back({text, entry.at(1).get<double>()});
  }
  UnigramSettings settings;
  settings.byte_fallback = model.value("byte_fallback", false);
  if (model.contains("unk_id") && !model["unk_id"].is_null()) {
    const auto unk = model["unk_id"].get<int64_t>();
    if (unk < 0 || unk >= static_cast<int64_t>(tokens.size()))
      throw UsageError("tokenizer.json's model has the unk_id " + std::to_string(unk) + ", expected one of its " +
                       std::to_string(tokens.size()) + " tokens");
    settings.unk = static_cast<int32_t>(unk);
  }
  parts.unigram.emplace(settings, tokens);
}

void read_added_tokens(const Json& added, TokenizerParts& parts) {
  for (const Json& entry : added) {
    AddedToken token;
    token.content = entry.at("content");
    token.id = entry.at("id");
    token.special = entry.value("special", false);
    token.lstrip = entry.value("lstrip", false);
    token.rstrip = entry.value("rstrip", false);
    token.single_word = entry.value("single_word", false);
    token.normalized = entry.value("normalized", !token.special);
    if (token.content.empty()) continue;
    put_token(parts, token.content, token.id);
    parts.special[token.id] = token.special;
    if (token.normalized) {  // looked for, and shown again, as the normaliser writes it
      parts.tokens[token.id] = parts.normalizer.apply(token.content);
      parts.normalized_added.add(parts.tokens[token.id], token);
    } else {
      parts.raw_added.add(token.content, token);
    }
  }
}

/// The ids a TemplateProcessing puts before and after the text.
void read_template(const Json& processor, TokenizerParts& parts) {
  bool before = true;
  for (const Json& element : processor.at("single")) {
    if (element.contains("Sequence")) {
      before = false;
      continue;
    }
    const std::string name = element.at("SpecialToken").at("id");
    for (const int32_t id : processor.at("special_tokens").at(name).at("ids"))
      (before ? parts.prefix : parts.suffix).push_back(id);
  }
}

void read_post_processor(const Json& processor, TokenizerParts& parts) {
  if (processor.is_null()) return;
  const std::string type = processor.at("type");
  if (type == "Sequence") {
    for (const Json& step : processor.at("processors")) read_post_processor(step, parts);
  } else if (type == "TemplateProcessing") {
    read_template(processor, parts);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    parts.prefix.push_back(processor.at("cls").at(1));
    parts.suffix.push_back(processor.at("sep").at(1));
  } else if (type != "ByteLevel") {
    throw UsageError("the post-processor \"" + type +
                     "\" of tokenizer.json is not supported; ByteLevel, TemplateProcessing and sequences of them are");
  }
}

void check_ids_around(const TokenizerParts& parts) {
  for (const auto* ids : {&parts.prefix, &parts.suffix})
    for (const int32_t id : *ids)
      if (id < 0 || static_cast<size_t>(id) >= parts.tokens.size())
        throw UsageError("tokenizer.json's post-processor puts the id " + std::to_string(id) +
                         " around a text, expected one of its " + std::to_string(parts.tokens.size()) + " tokens");
}

/// A special token of tokenizer_config.json is a string or an object with its content.
std::string content_of(const Json& token) {
  if (token.is_string()) return token;
  return token.is_object() ? token.value("content", "") : std::string();
}

void read_special_tokens(const Json& config, TokenizerParts& parts) {
  SpecialTokens& special = parts.special_tokens;
  for (const char* name :
       {"bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token"}) {
    const std::string content = config.contains(name) ? content_of(config[name]) : std::string();
    if (content.empty()) continue;
    special.text[name] = content;
    const int32_t id = parts.ids.find(content);
    if (id < 0) continue;
    const std::string_view role(name);
    if (role == "bos_token") special.bos = id;
    if (role == "eos_token") special.eos = id;
    if (role == "pad_token") special.pad = id;
    if (role == "unk_token") special.unk = id;
  }
}

/// One template, or a list of named ones of which the default counts.
void read_chat_template(const Json& config, TokenizerParts& parts) {
  if (!config.contains("chat_template")) return;
  const Json& source = config["chat_template"];
  if (source.is_string()) parts.chat_template = source;
  if (!source.is_array()) return;
  for (const Json& named : source)
    if (named.value("name", "") == "default") parts.chat_template = named.value("template", "");
}

}  // namespace

TokenizerParts tokenizer_parts_from(const Json& tokenizer_json, const Json& tokenizer_config) try {
  TokenizerParts parts;
  const auto field = [&](const char* name) { return tokenizer_json.value(name, Json()); };
  parts.normalizer = normalizer_from(field("normalizer"));
  parts.pre_tokenizer = pre_tokenizer_from(field("pre_tokenizer"));
  parts.decoder = decoder_from(field("decoder"));
  const Json& model = tokenizer_json.at("model");
  const std::string type =
      model.value("type", model.contains("vocab") && model["vocab"].is_array() ? "Unigram" : "BPE");
  if (type != "BPE" && type != "Unigram")
    throw UsageError("tokenizer.json has a model of type " + type + ", expected BPE or Unigram");
  type == "BPE" ? read_bpe(model, parts) : read_unigram(model, parts);
  read_added_tokens(field("added_tokens").is_null() ? Json::array() : field("added_tokens"), parts);
  read_post_processor(field("post_processor"), parts);
  check_ids_around(parts);
  parts.spelled.resize(parts.tokens.size());
  for (size_t id = 0; id < parts.tokens.size(); ++id)
    if (!parts.tokens[id].empty()) parts.spelled[id] = parts.decoder.spell(parts.tokens[id], false);
  read_special_tokens(tokenizer_config, parts);
  read_chat_template(tokenizer_config, parts);
  return parts;
} catch (const Json::exception& error) {
  throw UsageError(std::string("tokenizer.json or tokenizer_config.json is not as expected: ") + error.what());
}

Tokenizer tokenizer_from_json(const Json& tokenizer_json, const Json& tokenizer_config) {
  TokenizerParts parts = tokenizer_parts_from(tokenizer_json, tokenizer_config);
  parts.files["tokenizer.json"] = tokenizer_json.dump(1);
  parts.files["tokenizer_config.json"] = tokenizer_config.dump(1);
  Json map = Json::object();
  for (const auto& [role, content] : parts.special_tokens.text) map[role] = content;
  parts.files["special_tokens_map.json"] = map.dump(1);
  return Tokenizer(std::move(parts));
}

}  // namespace cohort
