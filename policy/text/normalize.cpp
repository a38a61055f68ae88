#include "policy/text/normalize.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "configs/error.h"
#include "policy/text/base64.h"
#include "policy/text/character_map.h"
#include "policy/text/nfc.h"
#include "policy/text/pretokenize.h"
#include "policy/text/unicode.h"

namespace cohort {
namespace {

using Step = std::function<std::string(std::string_view)>;

std::string unicode_form(std::string_view text, int options, char32_t unchanged_below) {
  bool changes = false;
  for (size_t at = 0; at < text.size() && !changes;) {
    const unicode::Char c = unicode::char_at(text, at);
    changes = c.code >= unchanged_below;
    at += c.length;
  }
  if (!changes) return std::string(text);
  utf8proc_uint8_t* mapped = nullptr;
  const auto length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &mapped, static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(mapped, std::free);
  if (length < 0) throw std::runtime_error(std::string("Unicode normalisation failed: ") + utf8proc_errmsg(length));
  return {reinterpret_cast<const char*>(mapped), static_cast<size_t>(length)};
}

std::string composed(std::string_view text) {
  return unicode_form(text, UTF8PROC_STABLE | UTF8PROC_COMPOSE, 0);
}

Step character_map_step(const std::string& base64) {
  const auto bytes = from_base64(base64);
  if (!bytes) throw UsageError("the tokenizer's precompiled_charsmap is not base64");
  return [map = std::make_shared<CharacterMap>(*bytes)](std::string_view text) { return map->apply(text); };
}

/// A normaliser that multiplies its text is broken or hostile: NFKD, the worst of real ones, makes 18 characters of
/// one.
void check_growth(size_t from, size_t to) {
  constexpr size_t room = size_t{1} << 20, most_times = 64;
  if (to > room + most_times * from)
    throw UsageError("the tokenizer's normalizer makes " + std::to_string(to) + " bytes of " + std::to_string(from) +
                     ", expected no more than " + std::to_string(most_times) + " times as many");
}

Step replace_step(FindMatch find, std::string content) {
  return [find = std::move(find), content = std::move(content)](std::string_view text) {
    std::string replaced;
    size_t at = 0;
    for (Span match; find(text, at, match); at = match.end)
      check_growth(text.size(), replaced.append(text.substr(at, match.begin - at)).append(content).size());
    return replaced.append(text.substr(at));
  };
}

std::string strip(std::string_view text, bool left, bool right) {
  size_t begin = 0, end = 0;  // of what stays; end is past the last character that is not a space
  bool leading = true;
  for (size_t at = 0; at < text.size();) {
    const unicode::Char c = unicode::char_at(text, at);
    at += c.length;
    if (!unicode::is_space(c.code)) {
      leading = false;
      end = at;
    } else if (leading) {
      begin = at;
    }
  }
  if (leading && (left || right)) return {};
  return std::string(text.substr(left ? begin : 0, (right ? end : text.size()) - (left ? begin : 0)));
}

void add_steps(const Json& description, std::vector<Step>& steps) {
  const std::string type = description.at("type");
  const auto form = [&](int options, char32_t unchanged_below) {
    steps.push_back(
        [=](std::string_view text) { return unicode_form(text, UTF8PROC_STABLE | options, unchanged_below); });
  };
  if (type == "Sequence") {
    for (const Json& step : description.at("normalizers")) add_steps(step, steps);
  } else if (type == "NFC") {
    steps.push_back([](std::string_view text) { return nfc(text, composed); });
  } else if (type == "NFD") {
    form(UTF8PROC_DECOMPOSE, 0xC0);
  } else if (type == "NFKC") {
    form(UTF8PROC_COMPOSE | UTF8PROC_COMPAT, 0xA0);
  } else if (type == "NFKD") {
    form(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, 0xA0);
  } else if (type == "Prepend") {
    const std::string prefix = description.at("prepend");
    steps.push_back(
        [prefix](std::string_view text) { return text.empty() ? std::string() : prefix + std::string(text); });
  } else if (type == "Replace") {
    steps.push_back(replace_step(find_pattern(description.at("pattern")), description.at("content")));
  } else if (type == "Precompiled") {
    const Json& map = description.at("precompiled_charsmap");
    if (!map.is_null()) steps.push_back(character_map_step(map));
  } else if (type == "Strip") {
    const bool left = description.value("strip_left", true), right = description.value("strip_right", true);
    steps.push_back([=](std::string_view text) { return strip(text, left, right); });
  } else {
    throw UsageError("the normalizer \"" + type +
                     "\" is not supported; NFC, NFD, NFKC, NFKD, Precompiled, Prepend, Replace and Strip are");
  }
}

}  // namespace

std::string Normalizer::apply(std::string_view text) const {
  std::string result(text);
  for (const Step& step : steps) {
    result = step(result);
    check_growth(text.size(), result.size());
  }
  return result;
}

Normalizer normalizer_from(const Json& description) {
  Normalizer normalizer;
  if (!description.is_null()) add_steps(description, normalizer.steps);
  return normalizer;
}

}  // namespace cohort
