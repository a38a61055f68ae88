#include "policy/text/tiktoken.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <unordered_map>
#include <utility>

#include "configs/error.h"
#include "policy/text/base64.h"
#include "policy/text/decoder.h"
#include "policy/text/tokenizer_description.h"

namespace cohort {
namespace {

constexpr const char* kimi_pattern =
    R"([\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr size_t longest_token = 1024;     // bytes; real ones have 128
constexpr int32_t most_special = 1 << 20;  // ids

std::string token_from(std::string_view base64) {
  std::optional<std::string> bytes = from_base64(base64);
  if (!bytes)
    throw UsageError("the tiktoken vocabulary has \"" + std::string(base64.substr(0, 80)) + "\", expected base64");
  if (bytes->size() > longest_token)
    throw UsageError("the tiktoken vocabulary has a token of " + std::to_string(bytes->size()) +
                     " bytes, expected at most " + std::to_string(longest_token));
  return *std::move(bytes);
}

using Ranks = std::unordered_map<std::string_view, uint32_t>;

/// Every way to cut a token in two tokens, in the order of these: tiktoken merges any two that spell a token, not only
/// those from which training made it.
std::vector<std::pair<std::string_view, std::string_view>> cuts_of(std::string_view token, const Ranks& ranks) {
  std::vector<std::pair<std::string_view, std::string_view>> cuts;
  for (size_t at = 1; at < token.size(); ++at)
    if (ranks.contains(token.substr(0, at)) && ranks.contains(token.substr(at)))
      cuts.emplace_back(token.substr(0, at), token.substr(at));
  std::ranges::sort(cuts, {}, [&](const auto& cut) { return std::pair(ranks.at(cut.first), ranks.at(cut.second)); });
  return cuts;
}

constexpr int32_t llama3_ranks = 128'000;

std::map<int32_t, std::string> llama3_special_tokens(int32_t first) {
  std::vector<std::string> names = {"<|begin_of_text|>",
                                    "<|end_of_text|>",
                                    "<|reserved_special_token_0|>",
                                    "<|reserved_special_token_1|>",
                                    "<|finetune_right_pad_id|>",
                                    "<|step_id|>",
                                    "<|start_header_id|>",
                                    "<|end_header_id|>",
                                    "<|eom_id|>",
                                    "<|eot_id|>",
                                    "<|python_tag|>"};
  for (int i = 2; names.size() < 256; ++i) names.push_back("<|reserved_special_token_" + std::to_string(i) + "|>");
  std::map<int32_t, std::string> tokens;
  for (const std::string& name : names) tokens[first++] = name;
  return tokens;
}

/// A key of added_tokens_decoder.
int32_t id_of_key(const std::string& key) {
  int32_t id = -1;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc() || end != key.data() + key.size() || id < 0)
    throw UsageError("tokenizer_config.json's added_tokens_decoder has the key \"" + key + "\", expected an id");
  return id;
}

std::map<int32_t, std::string> qwen_special_tokens(int32_t first) {
  std::map<int32_t, std::string> tokens;
  for (const char* name : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) tokens[first++] = name;
  for (int i = 0; i < 205; ++i) tokens[first++] = "<|extra_" + std::to_string(i) + "|>";
  return tokens;
}

}  // namespace

std::vector<std::string> read_tiktoken_ranks(std::string_view file) {
  std::vector<std::string> tokens;
  for (size_t line = 1; !file.empty(); ++line) {
    const size_t end = std::min(file.find('\n'), file.size()), space = file.substr(0, end).find(' ');
    const std::string_view rank =
        space == std::string_view::npos ? std::string_view() : file.substr(space + 1, end - space - 1);
    size_t value = 0;
    if (end > 0) {
      if (std::from_chars(rank.data(), rank.data() + rank.size(), value).ec != std::errc() || value != tokens.size())
        throw UsageError("the tiktoken vocabulary has \"" + std::string(file.substr(0, std::min<size_t>(end, 80))) +
                         "\" in line " + std::to_string(line) + ", expected a token in base64 and the rank " +
                         std::to_string(tokens.size()));
      tokens.push_back(token_from(file.substr(0, space)));
    }
    file.remove_prefix(std::min(end + 1, file.size()));
  }
  return tokens;
}

/// How many ids stand before those of the vocabulary.
static int32_t special_count(const Json& config) {
  const auto special = config.at("default_num_special_tokens").get<int64_t>();
  const auto all = config.at("default_vocab_size").get<int64_t>();
  if (special < 0 || special > most_special || all < special)
    throw UsageError("tekken.json has " + std::to_string(special) + " special tokens of " + std::to_string(all) +
                     ", expected at most " + std::to_string(most_special) + " and no more than all");
  return static_cast<int32_t>(special);
}

TiktokenVocabulary read_tekken(const Json& tekken) try {
  TiktokenVocabulary vocabulary;
  const Json& config = tekken.at("config");
  vocabulary.pattern = config.at("pattern");
  vocabulary.first_id = special_count(config);
  const auto size = config.at("default_vocab_size").get<size_t>() - static_cast<size_t>(vocabulary.first_id);
  for (const Json& token : tekken.at("vocab")) {
    if (vocabulary.tokens.size() == size) break;
    vocabulary.tokens.push_back(token_from(token.at("token_bytes").get_ref<const std::string&>()));
  }
  const char* names[] = {"<unk>",
                         "<s>",
                         "</s>",
                         "[INST]",
                         "[/INST]",
                         "[AVAILABLE_TOOLS]",
                         "[/AVAILABLE_TOOLS]",
                         "[TOOL_RESULTS]",
                         "[/TOOL_RESULTS]",
                         "[TOOL_CALLS]",
                         "[IMG]",
                         "<pad>",
                         "[IMG_BREAK]",
                         "[IMG_END]",
                         "[PREFIX]",
                         "[MIDDLE]",
                         "[SUFFIX]",
                         "[SYSTEM_PROMPT]",
                         "[/SYSTEM_PROMPT]",
                         "[TOOL_CONTENT]"};
  for (int32_t id = 0; id < vocabulary.first_id; ++id)
    vocabulary.special_tokens[id] = id < 20 ? names[id] : "<SPECIAL_" + std::to_string(id) + ">";
  if (tekken.contains("special_tokens") && tekken["special_tokens"].is_array())
    for (const Json& token : tekken["special_tokens"])
      vocabulary.special_tokens[token.at("rank")] = token.at("token_str");
  return vocabulary;
} catch (const Json::exception& error) {
  throw UsageError(std::string("tekken.json is not as expected: ") + error.what());
}

TiktokenVocabulary known_tiktoken(const std::string& file_name, std::string_view file, const Json& tokenizer_config) {
  TiktokenVocabulary vocabulary;
  vocabulary.tokens = read_tiktoken_ranks(file);
  const auto first = static_cast<int32_t>(vocabulary.tokens.size());
  const bool qwen = file_name == "qwen.tiktoken", kimi = file_name == "tiktoken.model";
  vocabulary.pattern = qwen ? qwen2_pattern : kimi ? kimi_pattern : llama3_pattern;
  vocabulary.nfc = qwen;
  if (qwen) vocabulary.special_tokens = qwen_special_tokens(first);
  if (!qwen && !kimi) {
    if (first > llama3_ranks)
      throw UsageError("the tiktoken vocabulary " + file_name + " has " + std::to_string(first) +
                       " ranks, expected the " + std::to_string(llama3_ranks) +
                       " of Llama 3; of another family its tokenizer.json is needed");
    vocabulary.special_tokens = llama3_special_tokens(first);
  }
  const Json added = tokenizer_config.value("added_tokens_decoder", Json::object());
  for (const auto& [id, token] : added.items()) vocabulary.special_tokens[id_of_key(id)] = token.at("content");
  return vocabulary;
}

Json tiktoken_tokenizer_json(const TiktokenVocabulary& vocabulary) {
  Ranks ranks;
  for (size_t rank = 0; rank < vocabulary.tokens.size(); ++rank)
    ranks.emplace(vocabulary.tokens[rank], static_cast<uint32_t>(rank));
  BpeDescription bpe;
  for (size_t rank = 0; rank < vocabulary.tokens.size(); ++rank) {
    const std::string& token = vocabulary.tokens[rank];
    bpe.vocab[to_byte_characters(token)] = vocabulary.first_id + static_cast<int32_t>(rank);
    for (const auto& [left, right] : cuts_of(token, ranks))
      bpe.merges.push_back({to_byte_characters(left), to_byte_characters(right)});
  }
  bpe.ignore_merges = true;  // a piece that is a token is taken whole
  TokenizerDescription description;
  for (const auto& [id, content] : vocabulary.special_tokens)
    description.added_tokens.push_back(added_token(id, content, true));
  if (vocabulary.nfc) description.normalizer = {{"type", "NFC"}};
  description.pre_tokenizer = sequence_of({split_stage(vocabulary.pattern), byte_level_stage(false)});
  description.post_processor = byte_level_stage(true);
  description.decoder = byte_level_stage(true);
  description.model = bpe_model(std::move(bpe));
  return tokenizer_json_of(std::move(description));
}

}  // namespace cohort
