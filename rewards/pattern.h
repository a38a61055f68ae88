// A regular expression whose work is bounded: what the text holds cannot make a match take long.
#pragma once
#include <memory>
#include <string>
#include <string_view>

struct pcre2_real_code_8;

namespace cohort {

enum class Matched { yes, no, out_of_budget };

/// A PCRE2 pattern (UTF-8; invalid bytes of the text match nothing).
class Pattern {
 public:
  struct Options {
    bool full = false, ignore_case = false;
  };
  /// Throws UsageError naming the place in the pattern, after `where`.
  Pattern(const std::string& pattern, Options options, std::string_view where);

  /// Thread-safe; throws std::runtime_error when PCRE2 fails otherwise.
  Matched match(std::string_view text) const;

 private:
  std::shared_ptr<pcre2_real_code_8> code_;
};

}  // namespace cohort
