#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <utility>

#include "configs/error.h"
#include "policy/text/decoder.h"
#include "policy/text/tokenizer_parts.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> read_if_there(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

Json parsed(const std::string& text, const fs::path& path) try {
  return Json::parse(text);
} catch (const Json::exception& error) {
  throw UsageError(path.string() + " is not valid JSON: " + error.what());
}

constexpr const char* chatml =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

Json added_token(int32_t id, const std::string& content) {
  return {{"id", id}, {"content", content}, {"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"normalized", false}, {"special", true}};
}

}  // namespace

Tokenizer load_tokenizer(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"})
    if (auto bytes = read_if_there(folder / name)) files[name] = std::move(*bytes);
  if (!files.contains("tokenizer.json"))
    throw UsageError("there is no tokenizer.json in " + folder.string() + "; a Hugging Face model folder has one (save it with AutoTokenizer)");
  Json config = files.contains("tokenizer_config.json") ? parsed(files["tokenizer_config.json"], folder / "tokenizer_config.json") : Json::object();
  if (files.contains("special_tokens_map.json")) {
    const Json map = parsed(files["special_tokens_map.json"], folder / "special_tokens_map.json");
    for (const auto& [role, token] : map.items())
      if (!config.contains(role) || config[role].is_null()) config[role] = token;
  }
  if (files.contains("chat_template.jinja")) config["chat_template"] = files["chat_template.jinja"];
  try {
    TokenizerParts parts = tokenizer_parts_from(parsed(files["tokenizer.json"], folder / "tokenizer.json"), config);
    parts.files = std::move(files);
    return Tokenizer(std::move(parts));
  } catch (const UsageError& error) {
    throw UsageError(folder.string() + ": " + error.what());
  }
}

Tokenizer byte_tokenizer(const std::vector<std::string>& special_tokens) {
  Json vocabulary = Json::object(), added = Json::array();
  for (int byte = 0; byte < 256; ++byte) vocabulary[to_byte_characters(std::string(1, static_cast<char>(byte)))] = byte;
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}, {"chat_template", chatml}};
  for (size_t i = 0; i < special_tokens.size(); ++i) {
    const std::string& token = special_tokens[i];
    added.push_back(added_token(static_cast<int32_t>(256 + i), token));
    added.back()["special"] = token.starts_with("<|");  // the others stay in decoded text, as think tags do
    for (const char* role : {"bos", "eos", "pad"})
      if (token == "<|" + std::string(role) + "|>") config[std::string(role) + "_token"] = token;
  }
  if (!config.contains("eos_token") && !special_tokens.empty()) config["eos_token"] = special_tokens[0];
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  const Json model = {{"type", "BPE"}, {"dropout", nullptr}, {"unk_token", nullptr}, {"continuing_subword_prefix", nullptr},
                      {"end_of_word_suffix", nullptr}, {"fuse_unk", false}, {"byte_fallback", false}, {"ignore_merges", false},
                      {"vocab", vocabulary}, {"merges", Json::array()}};
  return tokenizer_from_json({{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}, {"added_tokens", added},
                              {"normalizer", nullptr}, {"pre_tokenizer", byte_level}, {"post_processor", nullptr},
                              {"decoder", byte_level}, {"model", model}}, config);
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
  for (const auto& [name, bytes] : tokenizer.files()) files[name] = name.ends_with(".json") ? Json::parse(bytes) : Json(bytes);
  return files;
}

}  // namespace cohort
