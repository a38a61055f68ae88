#include "policy/text/tokenizer_description.h"

#include <utility>

namespace cohort {

Json byte_level_stage(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json split_stage(const std::string& pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
}

Json digits_stage() { return {{"type", "Digits"}, {"individual_digits", true}}; }

Json sequence_of(Json stages) { return {{"type", "Sequence"}, {"pretokenizers", std::move(stages)}}; }

Json added_token(int32_t id, const std::string& content, bool special) {
  return {{"id", id},         {"content", content}, {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

Json bpe_model(BpeDescription bpe) {
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", bpe.unk_token},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", bpe.fuse_unk},
                {"byte_fallback", bpe.byte_fallback},
                {"ignore_merges", bpe.ignore_merges}};
  model["vocab"] = std::move(bpe.vocab);
  model["merges"] = std::move(bpe.merges);
  return model;
}

Json around_text(const Json& bos_id, const Json& eos_id, const std::vector<std::string>& tokens) {
  if (bos_id.is_null() && eos_id.is_null()) return byte_level_stage(true);
  Json used = Json::object();
  const auto element = [&](const Json& id) {
    const std::string& token = tokens.at(id.get<size_t>());
    used[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
    return Json{{"SpecialToken", {{"id", token}, {"type_id", 0}}}};
  };
  const auto text = [](const char* name, int type) { return Json{{"Sequence", {{"id", name}, {"type_id", type}}}}; };
  Json single = Json::array(), pair = Json::array();
  if (!bos_id.is_null()) single.push_back(element(bos_id));
  single.push_back(text("A", 0));
  pair = single;
  pair.push_back(text("B", 1));
  if (!eos_id.is_null()) single.push_back(element(eos_id)), pair.push_back(element(eos_id));
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", used}};
}

Json tokenizer_json_of(TokenizerDescription description) {
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", std::move(description.added_tokens)},
          {"normalizer", std::move(description.normalizer)},
          {"pre_tokenizer", std::move(description.pre_tokenizer)},
          {"post_processor", std::move(description.post_processor)},
          {"decoder", std::move(description.decoder)},
          {"model", std::move(description.model)}};
}

Json plain_config() { return {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}}; }

}  // namespace cohort
