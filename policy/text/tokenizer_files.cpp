#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>

#include "configs/error.h"
#include "configs/read_file.h"
#include "policy/text/decoder.h"
#include "policy/text/sentencepiece.h"
#include "policy/text/tiktoken.h"
#include "policy/text/tokenizer_description.h"
#include "policy/text/tokenizer_parts.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;
constexpr int most_nesting = 100;

std::optional<std::string> read_if_there(const fs::path& path) {
  if (!is_there(path)) return std::nullopt;
  return read_file(path);
}

/// Brackets open at once, outside of strings: what reading a tokenizer recurses by.
int nesting(const std::string& text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '[' || c == '{')) {
      deepest = std::max(deepest, ++depth);
    } else if (!in_string && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return deepest;
}

Json parsed(const std::string& text, const fs::path& path) try {
  if (nesting(text) > most_nesting)
    throw UsageError(path.string() + " is nested " + std::to_string(nesting(text)) + " levels deep, expected at most " +
                     std::to_string(most_nesting));
  return Json::parse(text);
} catch (const Json::exception& error) {
  throw UsageError(path.string() + " is not valid JSON: " + error.what());
}

constexpr const char* chatml =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

Json sentencepiece_json(const std::string& bytes, const Json& config, const fs::path& file) try {
  SentencePieceModel model = read_sentencepiece(bytes);
  const auto around = [&](const char* flag, bool otherwise, int32_t id) {
    const bool there = id >= 0 && static_cast<size_t>(id) < model.pieces.size();
    return there && config.value(flag, otherwise) ? Json(id) : Json();
  };
  model.bos = around("add_bos_token", model.is_bpe, model.bos_id);
  model.eos = around("add_eos_token", false, model.eos_id);
  return sentencepiece_tokenizer_json(model);
} catch (const UsageError& error) {
  throw UsageError(file.string() + ": " + error.what());
}

/// Of other kinds than tokenizer.json, the better description first.
constexpr const char* vocabulary_files[] = {"tekken.json", "qwen.tiktoken", "tiktoken.model", "tokenizer.model",
                                            "spiece.model"};

/// tokenizer.json made from a vocabulary file of another kind; null when the folder has none.
Json converted(const fs::path& folder, const Json& config) {
  if (const auto tekken = read_if_there(folder / "tekken.json"))
    return tiktoken_tokenizer_json(read_tekken(parsed(*tekken, folder / "tekken.json")));
  for (const char* name : std::span(vocabulary_files).subspan(1)) {
    const auto bytes = read_if_there(folder / name);
    if (!bytes) continue;
    const bool either = std::string_view(name) == "tokenizer.model", is_sentencepiece = name[0] == 's';
    const bool looks_like_ranks = bytes->substr(0, 5).find("== ") != std::string::npos;
    if (either ? looks_like_ranks : !is_sentencepiece)
      return tiktoken_tokenizer_json(known_tiktoken(name, *bytes, config));
    return sentencepiece_json(*bytes, config, folder / name);
  }
  return {};
}

/// The files of a tokenizer whose tokenizer.json was made here.
Tokenizer load_converted(const fs::path& folder, Json config) {
  const Json description = converted(folder, config);
  if (description.is_null())
    throw UsageError(
        "there is no tokenizer.json in " + folder.string() +
        ", nor tekken.json, qwen.tiktoken, tiktoken.model, tokenizer.model or spiece.model; a Hugging Face "
        "model folder has one of them");
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config.erase("auto_map");
  return tokenizer_from_json(description, config);
}

}  // namespace

bool has_tokenizer(const fs::path& folder) {
  return is_there(folder / "tokenizer.json") ||
         std::ranges::any_of(vocabulary_files, [&](const char* name) { return is_there(folder / name); });
}

Tokenizer load_tokenizer(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"})
    if (auto bytes = read_if_there(folder / name)) files[name] = std::move(*bytes);
  Json config = files.contains("tokenizer_config.json")
                    ? parsed(files["tokenizer_config.json"], folder / "tokenizer_config.json")
                    : Json::object();
  if (files.contains("special_tokens_map.json")) {
    const Json map = parsed(files["special_tokens_map.json"], folder / "special_tokens_map.json");
    for (const auto& [role, token] : map.items())
      if (!config.contains(role) || config[role].is_null()) config[role] = token;
  }
  if (files.contains("chat_template.jinja")) config["chat_template"] = files["chat_template.jinja"];
  try {
    if (!files.contains("tokenizer.json")) return load_converted(folder, config);
    TokenizerParts parts = tokenizer_parts_from(parsed(files["tokenizer.json"], folder / "tokenizer.json"), config);
    parts.files = std::move(files);
    return Tokenizer(std::move(parts));
  } catch (const UsageError& error) {
    const std::string text = error.what();
    throw UsageError(text.starts_with(folder.string()) ? text : folder.string() + ": " + text);
  } catch (const Json::exception& error) {
    throw UsageError(folder.string() + ": a tokenizer file is not as expected: " + error.what());
  }
}

Tokenizer byte_tokenizer(const std::vector<std::string>& special_tokens) {
  TokenizerDescription description;
  BpeDescription bpe;
  for (int byte = 0; byte < 256; ++byte) bpe.vocab[to_byte_characters(std::string(1, static_cast<char>(byte)))] = byte;
  Json config = plain_config();
  config["chat_template"] = chatml;
  for (size_t i = 0; i < special_tokens.size(); ++i) {
    const std::string& token = special_tokens[i];
    const bool is_special = token.starts_with("<|");  // the others stay in decoded text, as think tags do
    description.added_tokens.push_back(added_token(static_cast<int32_t>(256 + i), token, is_special));
    for (const char* role : {"bos", "eos", "pad"})
      if (token == "<|" + std::string(role) + "|>") config[std::string(role) + "_token"] = token;
  }
  if (!config.contains("eos_token") && !special_tokens.empty()) config["eos_token"] = special_tokens[0];
  description.pre_tokenizer = description.decoder = byte_level_stage(false);
  description.model = bpe_model(std::move(bpe));
  return tokenizer_from_json(tokenizer_json_of(std::move(description)), config);
}

void save_tokenizer(const Tokenizer& tokenizer, const fs::path& folder) {
  for (const auto& [name, bytes] : tokenizer.files()) {
    std::ofstream out(folder / name, std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!out.flush()) throw std::runtime_error("could not write " + (folder / name).string());
  }
}

Json hf_tokenizer_files(const Tokenizer& tokenizer) {
  Json files = Json::object();
  for (const auto& [name, bytes] : tokenizer.files())
    files[name] = name.ends_with(".json") ? Json::parse(bytes) : Json(bytes);
  return files;
}

}  // namespace cohort
