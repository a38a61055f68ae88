// What a tokenizer is made of.
#pragma once
#include <string>
#include <vector>

#include "policy/text/added_tokens.h"
#include "policy/text/bpe.h"
#include "policy/text/decoder.h"
#include "policy/text/normalize.h"
#include "policy/text/pretokenize.h"
#include "policy/text/tokenizer.h"
#include "policy/text/unigram.h"

namespace cohort {

struct TokenizerParts {
  std::vector<std::string> tokens;    // by id, as in the vocabulary file; empty where an id has none
  std::vector<std::string> spelled;   // by id: the bytes the token adds to decoded text
  std::vector<uint8_t> special;       // by id
  TokenTable ids;                     // token → id, added tokens included
  AddedTokenFinder raw_added;         // looked for in the text as it is
  AddedTokenFinder normalized_added;  // looked for after normalisation
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::optional<Bpe> bpe;          // one of the two
  std::optional<Unigram> unigram;  //
  Decoder decoder;
  std::vector<int32_t> prefix, suffix;  // put around a text with add_special_tokens
  SpecialTokens special_tokens;
  std::string chat_template;
  std::map<std::string, std::string> files;
};

/// From parsed tokenizer.json and tokenizer_config.json; `files` stays empty.
TokenizerParts tokenizer_parts_from(const Json& tokenizer_json, const Json& tokenizer_config);

}  // namespace cohort
