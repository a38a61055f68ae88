#include "policy/text/nfc.h"

#include <utf8proc.h>

#include <utility>
#include <vector>

#include "policy/text/unicode.h"

namespace cohort {
namespace {

constexpr char32_t first_unsafe = 0x300, num_codes = 0x30000;  // none stands outside

/// Code points before which a text may not be cut: marks that reorder, what joins the character before it, and what
/// NFC replaces by something else.
constexpr std::pair<char32_t, char32_t> unsafe_ranges[] = {
#include "policy/text/nfc_table.inc"
};

std::vector<bool> expand_ranges() {
  std::vector<bool> unsafe(num_codes, false);
  for (const auto& [first, last] : unsafe_ranges)
    for (char32_t code = first; code <= last; ++code) unsafe[code] = true;
  return unsafe;
}

bool is_unsafe(char32_t code) {
  static const std::vector<bool> unsafe = expand_ranges();
  return code >= first_unsafe && code < num_codes && unsafe[code];
}

/// A mark that is newer than the table stays where it is; utf8proc would reorder it.
bool is_new_mark(char32_t code) {
  return code >= first_unsafe && utf8proc_get_property(static_cast<utf8proc_int32_t>(code))->combining_class != 0;
}

}  // namespace

std::string nfc(std::string_view text, std::string (*transform)(std::string_view)) {
  std::string out;
  out.reserve(text.size());
  size_t done = 0, last = 0;  // what has been copied; where the last safe character begins
  char32_t last_code = 0;
  for (size_t at = 0; at < text.size();) {
    const unicode::Char c = unicode::char_at(text, at);
    if (!is_unsafe(c.code)) {
      last = at;
      last_code = c.code;
      at += c.length;
      continue;
    }
    const size_t begin = is_new_mark(last_code) ? at : last;
    while (at < text.size()) {
      const unicode::Char next = unicode::char_at(text, at);
      if (!is_unsafe(next.code)) break;
      at += next.length;
    }
    out.append(text.substr(done, begin - done)).append(transform(text.substr(begin, at - begin)));
    done = last = at;
  }
  return out.append(text.substr(done));
}

}  // namespace cohort
