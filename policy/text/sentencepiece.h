// sentencepiece models (tokenizer.model of Llama 2 and Mistral): pieces with scores, merged by the highest score of the
// result, which is BPE with merges in the order of these scores.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace cohort {

using Json = nlohmann::json;

enum class SentencePieceType { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

struct SentencePiece {
  std::string text;  // a space is U+2581
  float score = 0;
  SentencePieceType type = SentencePieceType::normal;
};

struct SentencePieceModel {
  std::vector<SentencePiece> pieces;  // by id
  bool is_bpe = true;                 // otherwise Unigram
  bool add_dummy_prefix = true;       // a space before every text
  bool has_character_map = false;     // normalises by a map of its own
  Json bos, eos;                      // ids put around a text, or null
};

/// The protocol buffer of a .model file. Throws UsageError where it is broken.
SentencePieceModel read_sentencepiece(std::string_view file);
/// Throws UsageError on models other than BPE without a character map.
Json sentencepiece_tokenizer_json(const SentencePieceModel& model);

}  // namespace cohort
