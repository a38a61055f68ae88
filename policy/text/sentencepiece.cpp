#include "policy/text/sentencepiece.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "configs/error.h"
#include "policy/text/base64.h"
#include "policy/text/tokenizer_description.h"
#include "policy/text/unicode.h"

namespace cohort {
namespace {

constexpr std::string_view space_mark = "\u2581";
constexpr size_t longest_piece = 1024;  // bytes; real ones have tens

/// Fields of a protocol buffer message, one after another.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : bytes_(bytes) {}

  bool next() {
    if (bytes_.empty()) return false;
    const uint64_t tag = varint();
    number = static_cast<int>(tag >> 3);
    switch (tag & 7) {
      case 0:
        value = varint();
        break;
      case 1:
        bytes = take(8);
        break;
      case 2:
        bytes = take(varint());
        break;
      case 5:
        bytes = take(4);
        break;
      default:
        refuse();
    }
    return true;
  }
  float as_float() const {
    if (bytes.size() != 4) refuse();
    float x;
    std::memcpy(&x, bytes.data(), 4);
    return x;
  }

  int number = 0;
  uint64_t value = 0;
  std::string_view bytes;

 private:
  [[noreturn]] static void refuse() { throw UsageError("the sentencepiece model is not a whole protocol buffer"); }
  uint64_t varint() {
    uint64_t result = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      result |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return result;
    }
    refuse();
  }
  std::string_view take(uint64_t n) {
    if (n > bytes_.size()) refuse();
    const std::string_view taken = bytes_.substr(0, n);
    bytes_.remove_prefix(n);
    return taken;
  }
  std::string_view bytes_;
};

SentencePiece read_piece(std::string_view message) {
  SentencePiece piece;
  for (Fields field(message); field.next();) {
    if (field.number == 1) piece.text = unicode::repaired(field.bytes);
    if (field.number == 2) piece.score = field.as_float();
    if (field.number == 3) piece.type = static_cast<SentencePieceType>(field.value);
  }
  return piece;
}

/// Every way to cut a piece in two pieces, in the order of the pieces' scores; of equal ones the longest left half
/// first.
Json merges_of(const std::vector<SentencePiece>& pieces) {
  struct Merge {
    float score;
    size_t left_length, right_length;  // characters
    int32_t left, right;
  };
  std::unordered_map<std::string_view, int32_t> ids;
  for (size_t id = 0; id < pieces.size(); ++id)
    if (pieces[id].type == SentencePieceType::normal) ids.emplace(pieces[id].text, static_cast<int32_t>(id));
  std::vector<Merge> merges;
  for (const SentencePiece& piece : pieces) {
    if (piece.type != SentencePieceType::normal) continue;
    const std::string_view text = piece.text;
    std::vector<Merge> cuts;
    for (size_t at = 0; at < text.size(); at += unicode::char_at(text, at).length) {
      if (at == 0) continue;
      const auto left = ids.find(text.substr(0, at)), right = ids.find(text.substr(at));
      if (left != ids.end() && right != ids.end())
        cuts.push_back(
            {piece.score, unicode::count(left->first), unicode::count(right->first), left->second, right->second});
    }
    std::ranges::sort(
        cuts, [](const Merge& a, const Merge& b) { return std::pair(a.left, a.right) < std::pair(b.left, b.right); });
    merges.insert(merges.end(), cuts.begin(), cuts.end());
  }
  std::ranges::stable_sort(merges, [](const Merge& a, const Merge& b) {
    return std::tuple(b.score, b.left_length, b.right_length) < std::tuple(a.score, a.left_length, a.right_length);
  });
  Json listed = Json::array();
  for (const Merge& merge : merges) listed.push_back({pieces[merge.left].text, pieces[merge.right].text});
  return listed;
}

/// The steps before spaces are marked, in the words of tokenizer.json.
Json cleaning_steps(const SentencePieceModel& model, const char* one_space) {
  Json steps = Json::array();
  if (!model.character_map.empty())
    steps.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", to_base64(model.character_map)}});
  if (!model.remove_extra_spaces) return steps;
  steps.push_back({{"type", "Strip"}, {"strip_left", false}, {"strip_right", true}});
  steps.push_back({{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", one_space}});
  return steps;
}

Json normalizer_of(const SentencePieceModel& model) {
  Json steps = cleaning_steps(model, " ");
  if (model.add_dummy_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", "\u2581"}});
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}});
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

Json decoder_of(const SentencePieceModel& model) {
  Json steps = {{{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
                {{"type", "ByteFallback"}},
                {{"type", "Fuse"}}};
  if (model.add_dummy_prefix) steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", steps}};
}

/// A mark within a piece, after another character.
bool crosses_words(const SentencePiece& piece) {
  size_t at = 0;
  while (piece.text.compare(at, space_mark.size(), space_mark) == 0) at += space_mark.size();
  return at > space_mark.size() || piece.text.find(space_mark, at) != std::string::npos;
}

void describe_bpe(const SentencePieceModel& model, TokenizerDescription& description) {
  BpeDescription bpe;
  int32_t id = 0;
  for (const SentencePiece& piece : model.pieces) {
    bpe.vocab.emplace(piece.text, id++);
    bpe.byte_fallback |= piece.type == SentencePieceType::byte;
    if (piece.type == SentencePieceType::unknown) bpe.unk_token = piece.text;
  }
  bpe.fuse_unk = true;
  bpe.merges = merges_of(model.pieces);
  description.normalizer = normalizer_of(model);
  description.decoder = decoder_of(model);
  description.model = bpe_model(std::move(bpe));
}

void describe_unigram(const SentencePieceModel& model, TokenizerDescription& description) {
  Json vocabulary = Json::array(), unk;
  bool byte_fallback = false, split = true;
  for (const SentencePiece& piece : model.pieces) {
    if (piece.type == SentencePieceType::unknown) unk = vocabulary.size();
    byte_fallback |= piece.type == SentencePieceType::byte;
    split = split && !crosses_words(piece);
    vocabulary.push_back({piece.text, piece.score});
  }
  description.normalizer = {{"type", "Sequence"}, {"normalizers", cleaning_steps(model, "\u2581")}};
  description.pre_tokenizer = {{"type", "Metaspace"},
                               {"replacement", "\u2581"},
                               {"prepend_scheme", model.add_dummy_prefix ? "always" : "never"},
                               {"split", split}};
  description.decoder = byte_fallback ? decoder_of(model) : description.pre_tokenizer;
  description.model = {{"type", "Unigram"},
                       {"unk_id", std::move(unk)},
                       {"vocab", std::move(vocabulary)},
                       {"byte_fallback", byte_fallback}};
}

void read_trainer_settings(std::string_view message, SentencePieceModel& model) {
  constexpr uint64_t unigram = 1, bpe = 2;
  uint64_t type = unigram;
  for (Fields setting(message); setting.next();) {
    if (setting.number == 3) type = setting.value;
    if (setting.number == 41) model.bos_id = static_cast<int32_t>(setting.value);
    if (setting.number == 42) model.eos_id = static_cast<int32_t>(setting.value);
    if (setting.number == 24 && setting.value != 0)
      throw UsageError(
          "the sentencepiece model has spaces at the ends of words (treat_whitespace_as_suffix), which is "
          "not supported; its tokenizer.json is needed");
  }
  if (type != unigram && type != bpe)
    throw UsageError("the sentencepiece model is of kind " + std::to_string(type) +
                     ", expected 1 (Unigram) or 2 (BPE); its tokenizer.json is needed");
  model.is_bpe = type == bpe;
}

void read_normalizer_settings(std::string_view message, SentencePieceModel& model) {
  model.remove_extra_spaces = true;  // unless it says otherwise
  for (Fields setting(message); setting.next();) {
    if (setting.number == 2) model.character_map = setting.bytes;
    if (setting.number == 3) model.add_dummy_prefix = setting.value != 0;
    if (setting.number == 4) model.remove_extra_spaces = setting.value != 0;
  }
}

}  // namespace

SentencePieceModel read_sentencepiece(std::string_view file) {
  SentencePieceModel model;
  model.is_bpe = false;  // unless it says so
  for (Fields field(file); field.next();) {
    if (field.number == 1) model.pieces.push_back(read_piece(field.bytes));
    if (field.number == 2) read_trainer_settings(field.bytes, model);
    if (field.number == 3) read_normalizer_settings(field.bytes, model);
  }
  if (model.pieces.empty()) throw UsageError("the sentencepiece model has no pieces");
  return model;
}

Json sentencepiece_tokenizer_json(const SentencePieceModel& model) {
  TokenizerDescription description;
  std::vector<std::string> tokens;
  for (const SentencePiece& piece : model.pieces) {
    if (piece.text.size() > longest_piece)
      throw UsageError("the sentencepiece model has a piece of " + std::to_string(piece.text.size()) +
                       " bytes, expected at most " + std::to_string(longest_piece));
    if (piece.type == SentencePieceType::control || piece.type == SentencePieceType::user_defined ||
        piece.type == SentencePieceType::unknown)
      description.added_tokens.push_back(
          added_token(static_cast<int32_t>(tokens.size()), piece.text, piece.type != SentencePieceType::user_defined));
    tokens.push_back(piece.text);
  }
  description.post_processor =
      model.bos.is_null() && model.eos.is_null() ? Json() : around_text(model.bos, model.eos, tokens);
  model.is_bpe ? describe_bpe(model, description) : describe_unigram(model, description);
  return tokenizer_json_of(std::move(description));
}

}  // namespace cohort
