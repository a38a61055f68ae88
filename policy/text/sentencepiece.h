// sentencepiece models (tokenizer.model of Llama 2 and Mistral, spiece.model of T5): pieces with scores. A BPE model
// merges by the highest score of the result, which is BPE with merges in the order of these scores; a Unigram model
// takes the pieces of highest total score.
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
  bool remove_extra_spaces = false;   // at the ends of a text, and all but one within
  std::string character_map;          // normalises first; may be empty
  int32_t bos_id = 1, eos_id = 2;     // -1: none
  Json bos, eos;                      // ids put around a text, or null
};

/// The protocol buffer of a .model file. Throws UsageError where it is broken.
SentencePieceModel read_sentencepiece(std::string_view file);
/// Throws UsageError on what tokenizer.json cannot say: spaces that end a word.
Json sentencepiece_tokenizer_json(const SentencePieceModel& model);

}  // namespace cohort
