#include "policy/text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstdio>
#include <stdexcept>
#include <utility>

#include "configs/error.h"
#include "policy/text/code_point_set.h"

namespace cohort {
namespace {

constexpr size_t longest_pattern = 4096;  // bytes; real ones have hundreds

/// Walks an Oniguruma pattern once and writes PCRE2's.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {
    if (pattern.size() > longest_pattern)
      throw UsageError("the tokenizer's split pattern has " + std::to_string(pattern.size()) +
                       " bytes, expected at most " + std::to_string(longest_pattern));
  }

  std::string translate() {
    while (at_ < pattern_.size()) {
      if (pattern_[at_] == '\\') {
        out_ += escape_outside();
      } else if (pattern_[at_] == '[') {
        out_ += written(parse_set());
      } else {
        out_ += pattern_[at_++];
      }
    }
    return out_;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw UsageError("the tokenizer's split pattern " + std::string(pattern_) + " has " + what + " at byte " +
                     std::to_string(at_) + ", which is not supported");
  }

  char next() {
    if (at_ >= pattern_.size()) refuse("an unfinished escape or set");
    return pattern_[at_++];
  }

  char32_t next_char() {
    if (at_ >= pattern_.size()) refuse("an unfinished set");
    const unicode::Char c = unicode::char_at(pattern_, at_);
    at_ += c.length;
    return c.code;
  }

  static std::string written(const CodePointSet& set) {
    if (set.empty()) return "(?!)";
    std::string text = "[";
    char range[40];
    for (const auto& [first, last] : set) {
      std::snprintf(range, sizeof range, first == last ? "\\x{%X}" : "\\x{%X}-\\x{%X}", static_cast<unsigned>(first),
                    static_cast<unsigned>(last));
      text += range;
    }
    return text + "]";
  }

  /// After `\p` or `\P`: `{Name}` or `{^Name}`.
  CodePointSet property(bool negated) {
    if (next() != '{') refuse("\\p without braces");
    const size_t end = pattern_.find('}', at_);
    if (end == std::string_view::npos) refuse("an unfinished \\p{");
    std::string_view name = pattern_.substr(at_, end - at_);
    at_ = end + 1;
    if (name.starts_with('^')) {
      name.remove_prefix(1);
      negated = !negated;
    }
    const CodePointSet set = set_of_property(name);
    return negated ? complement(set) : set;
  }

  char32_t hexadecimal() {
    const bool braces = at_ < pattern_.size() && pattern_[at_] == '{';
    at_ += braces;
    char32_t code = 0;
    for (int digits = 0; at_ < pattern_.size() && (braces || digits < 2); ++digits, ++at_) {
      const char c = pattern_[at_];
      const int value = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
      if (value < 0) break;
      code = code * 16 + value;
      if (code > unicode::last_code_point) refuse("a code point beyond U+10FFFF");
    }
    if (braces && next() != '}') refuse("an unfinished \\x{");
    return code;
  }

  /// The class or the one character that an escape stands for; `at_` is past the backslash.
  CodePointSet escape_set() {
    const char c = next();
    switch (c) {
      case 'p':
      case 'P':
        return property(c == 'P');
      case 's':
        return space_set();
      case 'S':
        return complement(space_set());
      case 'd':
        return set_of_property("Nd");
      case 'D':
        return complement(set_of_property("Nd"));
      case 'w':
        return word_set();
      case 'W':
        return complement(word_set());
      case 'n':
        return {{'\n', '\n'}};
      case 'r':
        return {{'\r', '\r'}};
      case 't':
        return {{'\t', '\t'}};
      case 'f':
        return {{'\f', '\f'}};
      case 'v':
        return {{'\v', '\v'}};
      case 'x': {
        const char32_t code = hexadecimal();
        return {{code, code}};
      }
      default:
        break;
    }
    if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z')) refuse(std::string("\\") + c);
    --at_;
    const char32_t code = next_char();
    return {{code, code}};
  }

  std::string escape_outside() {
    ++at_;
    if (at_ < pattern_.size() && (pattern_[at_] == 'A' || pattern_[at_] == 'z' || pattern_[at_] == 'Z'))
      return std::string("\\") + pattern_[at_++];
    return written(escape_set());
  }

  /// At `[`: a set, with ranges, nested sets and intersections.
  CodePointSet parse_set() {
    ++at_;
    const bool negated = at_ < pattern_.size() && pattern_[at_] == '^';
    at_ += negated;
    CodePointSet set, left;
    bool intersects = false, first = true;
    for (; first || pattern_.substr(at_, 1) != "]"; first = false) {
      if (pattern_.substr(at_, 2) == "[:") refuse("a POSIX bracket");
      if (pattern_.substr(at_, 2) == "&&") {
        at_ += 2;
        left = intersects ? intersection(left, set) : std::move(set);
        set.clear();
        intersects = true;
      } else {
        set = merged(std::move(set), set_member());
      }
    }
    ++at_;
    if (intersects) set = intersection(left, set);
    return negated ? complement(set) : set;
  }

  CodePointSet set_member() {
    if (at_ < pattern_.size() && pattern_[at_] == '[') return parse_set();
    CodePointSet member = one_member();
    const bool one = member.size() == 1 && member[0].first == member[0].second;
    if (!one || pattern_.substr(at_, 1) != "-" || at_ + 1 >= pattern_.size() || pattern_[at_ + 1] == ']') return member;
    ++at_;
    const CodePointSet last = one_member();
    if (last.size() != 1 || last[0].first != last[0].second || last[0].first < member[0].first)
      refuse("a broken range");
    return {{member[0].first, last[0].first}};
  }

  CodePointSet one_member() {
    if (at_ < pattern_.size() && pattern_[at_] == '\\') {
      ++at_;
      return escape_set();
    }
    const char32_t code = next_char();
    return {{code, code}};
  }

  std::string_view pattern_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string translate_regex(std::string_view pattern) {
  return Translator(pattern).translate();
}

struct Regex::Code {
  pcre2_code* code = nullptr;
  std::string pattern;  // as it stood, for messages
  ~Code() { pcre2_code_free(code); }
};

Regex::Regex(std::string_view pattern) : code_(std::make_unique<Code>()) {
  code_->pattern = pattern;
  const std::string translated = translate_regex(pattern);
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                              PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                              &offset, context);
  pcre2_compile_context_free(context);
  if (!code_->code) {
    PCRE2_UCHAR message[200];
    pcre2_get_error_message(error, message, sizeof message);
    throw UsageError("the tokenizer's split pattern " + code_->pattern +
                     " does not compile: " + reinterpret_cast<char*>(message));
  }
  pcre2_jit_compile(code_->code, PCRE2_JIT_COMPLETE);  // without it the interpreter matches
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

bool Regex::find(std::string_view text, size_t from, Span& match) const {
  const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> found(pcre2_match_data_create(1, nullptr),
                                                                             pcre2_match_data_free);
  for (; from <= text.size(); from += unicode::char_at(text, from).length) {
    const auto run = [&](uint32_t options) {
      return pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                         PCRE2_NO_UTF_CHECK | options, found.get(), nullptr);
    };
    int result = run(0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = run(PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) return false;
    if (result < 0)
      throw UsageError("the tokenizer's split pattern " + code_->pattern + " gave up on a text of " +
                       std::to_string(text.size()) + " bytes (PCRE2 error " + std::to_string(result) + ")");
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(found.get());
    match = {offsets[0], offsets[1]};
    if (match.end > match.begin) return true;
    from = match.begin;
    if (from >= text.size()) return false;
  }
  return false;
}

}  // namespace cohort
