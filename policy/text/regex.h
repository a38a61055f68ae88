// Regular expressions of tokenizer.json files, which are Oniguruma's, run by PCRE2. Character classes (\p{..}, \s, \w,
// sets with &&) are resolved here against our own Unicode table, so that PCRE2's older one decides nothing.
// Not supported, and refused by name: word boundaries, back references by name, \h, \R, \X, POSIX brackets.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "policy/text/split_patterns.h"

namespace cohort {

class Regex {
 public:
  /// Throws UsageError naming the pattern and what in it is not understood.
  explicit Regex(std::string_view pattern);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  /// The leftmost match at or after `from`; empty matches are passed over. Thread-safe.
  bool find(std::string_view text, size_t from, Span& match) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

/// The pattern in PCRE2's syntax, classes written out as ranges.
std::string translate_regex(std::string_view pattern);

}  // namespace cohort
