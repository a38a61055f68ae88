// Fuzzes the readers of tokenizer files: the first byte chooses tokenizer.json, its parts inside one that works, a
// sentencepiece model, tiktoken ranks, tekken.json or the metadata of a GGUF file; a text to encode stands after the
// last newline. What must hold: no crash, no sanitizer report, nothing thrown but UsageError, ids below the number of
// tokens, decoded text that is valid UTF-8, and a stream that gives whole characters.
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "configs/error.h"
#include "policy/text/sentencepiece.h"
#include "policy/text/stream_decoder.h"
#include "policy/text/tiktoken.h"
#include "policy/text/tokenizer.h"
#include "policy/text/unicode.h"

namespace cohort {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}
void require_utf8(std::string_view text) {
  require(unicode::valid_prefix(text) == text.size());
}

Json parsed(std::string_view text) try { return Json::parse(text); } catch (const Json::exception& error) {
  throw UsageError(error.what());
}

/// A tokenizer that works, in which the given parts replace its own.
Json with_parts(const Json& parts) {
  Json whole = Json::parse(byte_tokenizer({"<|eos|>", "<x>"}).files().at("tokenizer.json"));
  if (parts.is_object()) whole.update(parts);
  return whole;
}

Tokenizer read(uint8_t kind, std::string_view file) {
  if (kind == 0) return tokenizer_from_json(parsed(file), Json::object());
  if (kind == 1) return tokenizer_from_json(with_parts(parsed(file)), {{"eos_token", "<|eos|>"}});
  if (kind == 2) return tokenizer_from_json(sentencepiece_tokenizer_json(read_sentencepiece(file)), Json::object());
  if (kind == 3)
    return tokenizer_from_json(tiktoken_tokenizer_json(known_tiktoken("tokenizer.model", file, Json::object())), {});
  if (kind == 4) return tokenizer_from_json(tiktoken_tokenizer_json(read_tekken(parsed(file))), Json::object());
  return tokenizer_from_gguf(parsed(file));
}

void use(const Tokenizer& tokenizer, std::string_view text) {
  const std::vector<int32_t> ids = tokenizer.encode(text, true);
  for (const int32_t id : ids) require(id >= 0 && id < tokenizer.size());
  require_utf8(tokenizer.decode(ids));
  StreamDecoder stream(tokenizer, false);
  for (const int32_t id : ids) require_utf8(stream.push(id));
  require_utf8(stream.finish());
}

}  // namespace
}  // namespace cohort

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  const std::string_view all(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  const size_t end = std::min(all.rfind('\n'), all.size());
  try {
    cohort::use(cohort::read(bytes[0] % 6, all.substr(0, end)), all.substr(std::min(end + 1, all.size())));
  } catch (const cohort::UsageError&) {
  }
  return 0;
}
