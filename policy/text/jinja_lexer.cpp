// Cuts a template into text, and the names, literals and operators of its tags. The whitespace rules are Jinja2's with
// trim_blocks (a line break after a block tag goes) and lstrip_blocks (blanks before a block tag that begins a line
// go).
#include <algorithm>
#include <cctype>

#include "policy/text/jinja_syntax.h"
#include "policy/text/unicode.h"

namespace cohort::jinja {
namespace {

[[noreturn]] void fail(int line, const std::string& what) {
  throw TemplateError("line " + std::to_string(line) + ": " + what);
}

bool is_name_start(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
bool is_name_part(char c) {
  return is_name_start(c) || std::isdigit(static_cast<unsigned char>(c));
}

/// Line breaks become \n and one at the end of the template goes (keep_trailing_newline is off).
std::string with_plain_lines(std::string_view source) {
  std::string plain;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      plain += '\n';
      i += i + 1 < source.size() && source[i + 1] == '\n';
    } else {
      plain += source[i];
    }
  }
  if (plain.ends_with('\n')) plain.pop_back();
  return plain;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(with_plain_lines(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t tag = next_tag();
      text_before(tag);
      if (tag == std::string::npos) break;
      lex_tag(tag);
    }
    put(TokenKind::end, "");
    return std::move(tokens_);
  }

 private:
  void put(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  /// Moves on and counts lines.
  void advance(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + at_, source_.begin() + to, '\n'));
    at_ = to;
  }

  size_t next_tag() const {
    for (size_t at = source_.find('{', at_); at != std::string::npos && at + 1 < source_.size();
         at = source_.find('{', at + 1))
      if (source_[at + 1] == '{' || source_[at + 1] == '%' || source_[at + 1] == '#') return at;
    return std::string::npos;
  }

  char char_at(size_t at) const { return at < source_.size() ? source_[at] : '\0'; }

  /// The text up to a tag, less the whitespace that the tag takes.
  void text_before(size_t tag) {
    std::string_view text = std::string_view(source_).substr(at_, tag == std::string::npos ? tag : tag - at_);
    if (tag != std::string::npos) {
      const char sign = char_at(tag + 2);
      if (sign == '-') {
        text = stripped_right(text);
      } else if (sign != '+' && source_[tag + 1] != '{') {
        const size_t line = text.rfind('\n');
        const size_t begin = line == std::string_view::npos ? 0 : line + 1;
        if ((begin > 0 || at_line_start_) && text.find_first_not_of(" \t", begin) == std::string_view::npos)
          text = text.substr(0, begin);
      }
    }
    if (!text.empty()) put(TokenKind::text, std::string(text));
    advance(tag == std::string::npos ? source_.size() : tag);
  }

  static std::string_view stripped_right(std::string_view text) {
    while (!text.empty()) {
      size_t last = text.size() - 1;
      while (last > 0 && (static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) --last;
      if (!is_python_space(unicode::char_at(text, last).code)) break;
      text = text.substr(0, last);
    }
    return text;
  }
  static bool is_python_space(char32_t c) { return unicode::is_space(c) || (c >= 0x1C && c <= 0x1F); }

  void lex_tag(size_t tag) {
    const char kind = source_[tag + 1];
    advance(tag + 2);
    if (char_at(at_) == '-' || (char_at(at_) == '+' && kind != '{')) advance(at_ + 1);
    if (kind == '#') return skip_comment();
    if (kind == '%' && skip_raw()) return;
    put(kind == '{' ? TokenKind::print_begin : TokenKind::block_begin, "");
    lex_inside(kind == '{' ? "}}" : "%}", kind == '{' ? TokenKind::print_end : TokenKind::block_end);
  }

  /// Whitespace after a tag that ended at `end`, whose last sign ('-', '+' or none) is given.
  void after_tag(size_t end, char sign, bool is_block) {
    advance(end);
    at_line_start_ = false;
    if (sign == '-') {
      while (at_ < source_.size() && is_python_space(unicode::char_at(source_, at_).code)) {
        at_line_start_ = source_[at_] == '\n';
        advance(at_ + unicode::char_at(source_, at_).length);
      }
    } else if (is_block && sign != '+' && char_at(at_) == '\n') {
      advance(at_ + 1);
      at_line_start_ = true;
    }
  }

  void skip_comment() {
    const size_t close = source_.find("#}", at_);
    if (close == std::string::npos) fail(line_, "a comment {# that does not end");
    const char sign = close > at_ ? source_[close - 1] : '\0';
    after_tag(close + 2, sign, true);
  }

  /// {% raw %} … {% endraw %}: the text between as it is.
  bool skip_raw() {
    size_t at = source_.find_first_not_of(" \t\n", at_);
    if (at == std::string::npos || source_.compare(at, 3, "raw") != 0 || is_name_part(char_at(at + 3))) return false;
    at = source_.find_first_not_of(" \t\n", at + 3);
    const char sign = at == std::string::npos ? '\0' : source_[at];
    if (at != std::string::npos && (sign == '-' || sign == '+')) ++at;
    if (at == std::string::npos || source_.compare(at, 2, "%}") != 0) fail(line_, "a broken {% raw %}");
    after_tag(at + 2, sign, true);
    for (size_t end = source_.find("{%", at_); end != std::string::npos; end = source_.find("{%", end + 2)) {
      size_t name = end + 2 + (char_at(end + 2) == '-' || char_at(end + 2) == '+');
      name = source_.find_first_not_of(" \t\n", name);
      if (name == std::string::npos || source_.compare(name, 6, "endraw") != 0) continue;
      text_before(end);
      const size_t close = source_.find("%}", name);
      if (close == std::string::npos) break;
      after_tag(close + 2, source_[close - 1], true);
      return true;
    }
    fail(line_, "a {% raw %} that does not end");
  }

  /// Names, literals and operators up to the end of the tag.
  void lex_inside(std::string_view close, TokenKind close_kind) {
    int brackets = 0;
    while (at_ < source_.size()) {
      const char c = source_[at_];
      const bool signed_close =
          (c == '-' || (c == '+' && close_kind == TokenKind::block_end)) && source_.compare(at_ + 1, 2, close) == 0;
      if (brackets == 0 && (signed_close || source_.compare(at_, 2, close) == 0)) {
        put(close_kind, "");
        return after_tag(at_ + 2 + signed_close, signed_close ? c : '\0', close_kind == TokenKind::block_end);
      }
      if (is_python_space(unicode::char_at(source_, at_).code)) {
        advance(at_ + unicode::char_at(source_, at_).length);
      } else if (c == '"' || c == '\'') {
        lex_string(c);
      } else if (std::isdigit(static_cast<unsigned char>(c))) {
        lex_number();
      } else if (is_name_start(c)) {
        const size_t end = std::find_if_not(source_.begin() + at_, source_.end(), is_name_part) - source_.begin();
        put(TokenKind::name, source_.substr(at_, end - at_));
        advance(end);
      } else {
        lex_operator(brackets);
      }
    }
    fail(line_, "a tag that does not end, expected " + std::string(close));
  }

  void lex_operator(int& brackets) {
    constexpr std::string_view two[] = {"//", "**", "==", "!=", ">=", "<="};
    const std::string_view rest = std::string_view(source_).substr(at_);
    const auto found = std::ranges::find_if(two, [&](std::string_view op) { return rest.starts_with(op); });
    const std::string_view op = found != std::end(two) ? *found : rest.substr(0, 1);
    if (std::string_view("+-/*%~[](){}=<>.:|,;").find(op[0]) == std::string_view::npos && op != "!=")
      fail(line_, "the character '" + std::string(rest.substr(0, unicode::char_at(rest, 0).length)) + "' in a tag");
    if (op == "(" || op == "[" || op == "{") ++brackets;
    if (op == ")" || op == "]" || op == "}") --brackets;
    if (brackets < 0) fail(line_, "a '" + std::string(op) + "' that nothing opened");
    put(TokenKind::op, std::string(op));
    advance(at_ + op.size());
  }

  void lex_number() {
    size_t end = at_;
    const auto digits = [&] {
      while (std::isdigit(static_cast<unsigned char>(char_at(end))) ||
             (char_at(end) == '_' && std::isdigit(static_cast<unsigned char>(char_at(end + 1)))))
        ++end;
    };
    digits();
    bool is_float = false;
    if (char_at(end) == '.' && std::isdigit(static_cast<unsigned char>(char_at(end + 1)))) {
      is_float = true;
      ++end;
      digits();
    }
    const size_t sign = end + 1 + (char_at(end + 1) == '-' || char_at(end + 1) == '+');
    if ((char_at(end) | 32) == 'e' && std::isdigit(static_cast<unsigned char>(char_at(sign)))) {
      is_float = true;
      end = sign;
      digits();
    }
    std::string number = source_.substr(at_, end - at_);
    std::erase(number, '_');
    if (is_name_part(char_at(end))) fail(line_, "the number " + number + source_[end] + "…, expected decimal digits");
    put(is_float ? TokenKind::floating : TokenKind::integer, number);
    advance(end);
  }

  void lex_string(char quote) {
    std::string value;
    for (size_t at = at_ + 1; at < source_.size(); ++at) {
      if (source_[at] == quote) {
        put(TokenKind::string, std::move(value));
        return advance(at + 1);
      }
      if (source_[at] == '\\' && at + 1 < source_.size()) {
        at = unescape(at + 1, value);
      } else {
        value += source_[at];
      }
    }
    fail(line_, "a string that does not end");
  }

  /// Python's escapes; `at` is past the backslash; returns the last byte taken.
  size_t unescape(size_t at, std::string& value) {
    const char c = source_[at];
    constexpr std::string_view names = "nrtbfav0\\'\"", values = std::string_view("\n\r\t\b\f\a\v\0\\'\"", 11);
    if (const size_t known = names.find(c); known != std::string_view::npos) return value += values[known], at;
    if (c == '\n') return at;
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) return value += {'\\', c}, at;
    const std::string hex = source_.substr(at + 1, digits);
    if (hex.size() != digits || !std::ranges::all_of(hex, [](unsigned char d) { return std::isxdigit(d); }))
      fail(line_,
           std::string("the escape \\") + c + hex + ", expected " + std::to_string(digits) + " hexadecimal digits");
    const auto code = static_cast<char32_t>(std::stoul(hex, nullptr, 16));
    unicode::append(value,
                    code > unicode::last_code_point || (code >= 0xD800 && code < 0xE000) ? unicode::replacement : code);
    return at + digits;
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  return Lexer(source).run();
}

}  // namespace cohort::jinja
