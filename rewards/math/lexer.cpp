#include "rewards/math/lexer.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>

namespace cohort::math {
namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Names that mean a LaTeX command when written without the backslash.
constexpr std::array<std::string_view, 68> kNames = {
    "arcsinh", "arccosh", "arctanh", "arcsin",    "arccos",   "arctan",   "arccot", "arcsec", "arccsc", "asin",
    "acos",    "atan",    "sinh",    "cosh",      "tanh",     "coth",     "sech",   "csch",   "sin",    "cos",
    "tan",     "cot",     "sec",     "csc",       "log",      "ln",       "lg",     "exp",    "sqrt",   "cbrt",
    "frac",    "pi",      "inf",     "infty",     "infinity", "Infinity", "max",    "min",    "gcd",    "lcm",
    "mod",     "abs",     "floor",   "ceil",      "binom",    "theta",    "alpha",  "beta",   "gamma",  "degrees",
    "lambda",  "oo",      "cis",     "factorial", "binomial", "arsinh",   "arcosh", "artanh", "Re",     "Im",
    "sgn",     "arg",     "det",     "tr",        "trace",    "arctg",    "tg",     "ctg"};

// Names that may stand glued to one more letter: sinx, lnx.
constexpr std::array<std::string_view, 8> kGlued = {"sin", "cos", "tan", "cot", "sec", "csc", "ln", "log"};

bool is_fraction_name(std::string_view name) {
  return name == "frac" || name == "dfrac" || name == "tfrac" || name == "cfrac";
}

// Short runs of letters that are words or units, never products of symbols.
constexpr std::array<std::string_view, 148> kShortWords = {
    "pct", "mm",  "cm",  "dm",  "km",  "in",  "ft",  "yd",  "mi",  "mg",  "kg",  "lb",  "lbs", "oz",  "ml",
    "mL",  "kl",  "sec", "min", "hr",  "hrs", "am",  "pm",  "AM",  "PM",  "mph", "kph", "gal", "sq",  "cu",
    "deg", "rad", "USD", "usd", "EUR", "RMB", "kmh", "kW",  "kWh", "MW",  "Hz",  "kHz", "mol", "kPa", "Pa",
    "kJ",  "cal", "day", "mod", "the", "is",  "are", "of",  "to",  "for", "per", "and", "or",  "not", "no",
    "No",  "yes", "Yes", "if",  "an",  "as",  "at",  "by",  "it",  "on",  "be",  "we",  "All", "all", "any",
    "one", "two", "six", "ten", "odd", "May", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "so",  "So",
    "The", "GB",  "km2", "st",  "nd",  "rd",  "th",  "We",  "He",  "It",  "She", "get", "Get", "got", "has",
    "had", "was", "can", "its", "our", "his", "her", "you", "You", "let", "Let", "see", "use", "but", "But",
    "now", "Now", "how", "who", "put", "add", "did", "For", "If",  "One", "Two", "Six", "Ten", "set", "old",
    "men", "bag", "box", "car", "dog", "egg", "cup", "pie", "jar", "row", "way", "yen", "pen"};

template <size_t N>
bool among(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr std::array<std::string_view, 17> kTextCommands = {
    "text",   "mbox",   "textbf", "textit", "textrm", "textnormal", "mathrm", "operatorname", "hbox",
    "textsf", "texttt", "mathsf", "emph",   "mathtt", "textup",     "textsc", "underline"};
// Commands whose argument is read as if they were not there.
constexpr std::array<std::string_view, 16> kStyles = {
    "variable", "mathbf", "boldsymbol", "bm",      "mathit",     "mathcal", "mathnormal", "boxed",
    "fbox",     "mathop", "mathfrak",   "mathscr", "ensuremath", "mathord", "mathbin",    "mathrel"};

// "A, C" or "A and C": single letters with separators, a list rather than prose.
bool is_letter_list(std::string_view text) {
  bool comma = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i).starts_with(" and ") || text.substr(i).starts_with(" or ")) {
      comma = true;
      i += text[i + 1] == 'a' ? 4 : 3;
      continue;
    }
    comma = comma || text[i] == ',';
    const bool alone = is_letter(text[i]) && (i + 1 == text.size() || !is_letter(text[i + 1]));
    if (!alone && text[i] != ',' && text[i] != ' ') return false;
  }
  return comma;
}

// A run of letters that is a word rather than a product of symbols: four or more, with a vowel, not abcd or dcba.
bool is_prose(std::string_view run) {
  if (run.size() < 4 || run.find_first_of("aeiouyAEIOUY") == std::string_view::npos) return false;
  const int step = run[1] - run[0];
  for (size_t i = 1; i < run.size(); ++i) {
    if (run[i] - run[i - 1] != step) return true;
  }
  return std::abs(step) != 1;
}

class Lexer {
 public:
  Lexer(std::string_view text, LexOptions options) : text_(text), options_(options) {}

  std::vector<Token> all() {
    while (at_ < text_.size()) step();
    tokens_.push_back({.kind = TokenKind::end, .spaced = true});
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return text_.substr(at_); }

  void push(TokenKind kind, std::string text) {
    tokens_.push_back({.kind = kind, .text = std::move(text), .spaced = spaced_});
    spaced_ = false;
  }

  void op(std::string_view spelling, size_t length) {
    push(TokenKind::op, std::string(spelling));
    at_ += length;
  }

  void step() {
    const char c = text_[at_];
    if (c == ' ') {
      spaced_ = true;
      ++at_;
    } else if (is_digit(c) || (c == '.' && at_ + 1 < text_.size() && is_digit(text_[at_ + 1]))) {
      number();
    } else if (rest().starts_with(".\\overline") || rest().starts_with(".\\bar")) {
      push(TokenKind::number, "0.");
      ++at_;
    } else if (c == '\\') {
      command();
    } else if (is_letter(c)) {
      letters();
    } else if ((c & 0x80) != 0) {
      foreign_word();
    } else {
      punctuation();
    }
  }

  void punctuation() {
    for (const auto& [from, to] : {std::pair<std::string_view, std::string_view>{"**", "^"},
                                   {"<=", "<="},
                                   {">=", ">="},
                                   {"!=", "!="},
                                   {"==", "="},
                                   {"...", "..."}}) {
      if (rest().starts_with(from)) return op(to, from.size());
    }
    op(rest().substr(0, 1), 1);
  }

  // Length of the digits at `from`.
  size_t digits_at(size_t from) const {
    size_t end = from;
    while (end < text_.size() && is_digit(text_[end])) ++end;
    return end - from;
  }

  // A separator of thousands at `from`: a comma, or one space, with exactly three digits behind it. A comma inside
  // brackets separates unless the commas around it carry spaces.
  bool thousands_at(size_t from) const {
    if (from >= text_.size() || digits_at(from + 1) != 3) return false;
    if (text_[from] == ' ')  // 5 121/144 is a mixed number
      return text_[from + 1] == '0' || from + 4 >= text_.size() || text_[from + 4] != '/';
    if (options_.decimal_comma) return text_[from] == '.';
    return text_[from] == ',' && (depth_ == 0 || spaced_commas_);
  }

  void number() {
    size_t length = digits_at(at_);
    std::string digits(rest().substr(0, length));
    bool grouped = false;
    if (length >= 1 && length <= 3 && digits != "0") {
      const char separator = at_ + length < text_.size() ? text_[at_ + length] : '\0';
      while (thousands_at(at_ + length) && text_[at_ + length] == separator) {
        digits += text_.substr(at_ + length + 1, 3);
        length += 4;
        grouped = true;
      }
    }
    const bool comma = options_.decimal_comma && at_ + length < text_.size() && text_[at_ + length] == ',';
    if (at_ + length < text_.size() && (comma || text_[at_ + length] == '.') && digits_at(at_ + length + 1) > 0) {
      const size_t decimals = digits_at(at_ + length + 1);
      digits += "." + std::string(text_.substr(at_ + length + 1, decimals));
      length += 1 + decimals;
    } else if (at_ + length < text_.size() && text_[at_ + length] == '.' && !rest().substr(length).starts_with("...")) {
      if (!rest().substr(length).starts_with(".\\") && !rest().substr(length).starts_with(".("))
        ++length;  // "5." is 5
      else {
        digits += '.';
        ++length;
      }  // 0.\overline{3}
    }
    at_ += length;
    const bool numerator = !tokens_.empty() && is_fraction_name(tokens_.back().text);  // \frac1e+1
    push(TokenKind::number, std::move(digits));
    tokens_.back().grouped = grouped;
    if (!numerator) exponent();
  }

  // 1e5, 2.5E-3: a number token keeps its exponent.
  void exponent() {
    if (at_ >= text_.size() || (text_[at_] != 'e' && text_[at_] != 'E')) return;
    const size_t sign = at_ + 1 < text_.size() && (text_[at_ + 1] == '-' || text_[at_ + 1] == '+') ? 1 : 0;
    const size_t length = digits_at(at_ + 1 + sign);
    if (length == 0 || length > 6) return;
    tokens_.back().text += text_.substr(at_, 1 + sign + length);
    at_ += 1 + sign + length;
  }

  // Contents of {…} at the cursor, which moves behind it; none when no balanced braces stand there.
  std::optional<std::string_view> braces() {
    size_t at = at_;
    while (at < text_.size() && text_[at] == ' ') ++at;
    if (at >= text_.size() || text_[at] != '{' || unclosed_ > 20) return std::nullopt;
    size_t depth = 0;
    for (size_t i = at; i < text_.size(); ++i) {
      if (text_[i] == '{') ++depth;
      if (text_[i] == '}' && --depth == 0) {
        at_ = i + 1;
        return text_.substr(at + 1, i - at - 1);
      }
    }
    ++unclosed_;
    return std::nullopt;
  }

  void command() {
    size_t end = at_ + 1;
    while (end < text_.size() && is_letter(text_[end])) ++end;
    const std::string_view name = text_.substr(at_ + 1, end - at_ - 1);
    if (name.empty()) {
      const size_t length = std::min<size_t>(2, text_.size() - at_);
      return op(rest().substr(0, length), length);
    }
    at_ = end;
    if (among(kTextCommands, name)) {
      const bool upright = name.starts_with("math") || name == "operatorname";
      if (auto inside = braces()) return text_content(*inside, upright);
      if (name.starts_with("math")) return;  // \mathsf T
    }
    if (name == "mathop" || name == "underbrace" || name == "overbrace") {
      const size_t from = at_;
      if (const auto inside = braces()) {  // an operator's name, or what the brace is under
        if (inside->starts_with("\\") && among(kNames, letters_of(*inside)))
          return push(TokenKind::command, letters_of(*inside));
        at_ = from;
      }
      return;
    }
    if (among(kStyles, name)) return;  // the braces that follow group
    if (name == "lbrace" || name == "rbrace") return push(TokenKind::op, name == "lbrace" ? "\\{" : "\\}");
    if (name == "vert" || name == "lvert" || name == "rvert") return push(TokenKind::op, "|");
    if (name == "Vert" || name == "lVert" || name == "rVert") return push(TokenKind::op, "\\|");
    if (name == "Re" || name == "Im") return push(TokenKind::command, std::string(name));
    if (name == "lbrack" || name == "rbrack") return push(TokenKind::op, name == "lbrack" ? "[" : "]");
    if (name == "prime") return push(TokenKind::op, "'");
    if (name == "infin") return push(TokenKind::command, "infty");
    if (name == "cosec") return push(TokenKind::command, "csc");
    if (name == "imath" || name == "jmath") return push(TokenKind::letter, std::string(1, name[0]));
    if (name == "rightarrow" || name == "longrightarrow") return push(TokenKind::command, "to");
    if (name == "mid") return push(TokenKind::op, "\\mid");
    if (name == "colon") return push(TokenKind::op, ":");
    push(TokenKind::command, std::string(name));
  }

  // The name in \mathrm{lcm}.
  static std::string letters_of(std::string_view text) {
    const size_t open = text.find('{');
    if (open == std::string_view::npos || !text.ends_with('}')) return {};
    return std::string(text.substr(open + 1, text.size() - open - 2));
  }

  // \text{…}: words stay one token; what holds no letters, or is a single symbol, is read as mathematics.
  // Upright letters are symbols, but for those that stand for units.
  void text_content(std::string_view inside, bool upright) {
    const size_t first = inside.find_first_not_of(' ');
    if (first == std::string_view::npos) {
      spaced_ = true;
      return;
    }
    inside = inside.substr(first, inside.find_last_not_of(' ') - first + 1);
    while (inside.starts_with(',') || inside.starts_with(';')) {  // \text{, and }
      push(TokenKind::op, std::string(inside.substr(0, 1)));
      inside.remove_prefix(std::min(inside.find_first_not_of(' ', 1), inside.size()));
    }
    if (inside.empty()) return;
    const bool letters =
        std::any_of(inside.begin(), inside.end(), [](char c) { return is_letter(c) || (c & 0x80) != 0; });
    if (!letters || inside.find_first_of("\\=<>^") != std::string_view::npos || is_letter_list(inside) ||
        is_digit(inside[0]))
      return nested(inside);
    if (inside == "cosec") return push(TokenKind::command, "csc");
    if (among(kNames, inside) && !is_time_unit(inside)) return push(TokenKind::command, std::string(inside));
    const bool symbol =
        inside == "i" || (!upright && !tokens_.empty() && !follows_value()) ||
        (upright && (std::string_view("mshgLlJNWVAKCF").find(inside) == std::string_view::npos || !follows_value()));
    if (inside.size() == 1 && symbol) return push(TokenKind::letter, std::string(inside));
    push(TokenKind::word, std::string(inside));
  }

  // Whether what is being read stands behind a value, where a letter may be its unit.
  bool follows_value() const {
    static constexpr std::string_view kSigns = "+-*/=<>^_([{|,;";
    if (tokens_.empty()) return false;
    const Token& last = tokens_.back();
    return last.kind != TokenKind::op || last.text.size() != 1 || kSigns.find(last.text[0]) == std::string_view::npos;
  }

  // The x of 9 x 2, with blanks and digits around it, is a sign of multiplication.
  bool is_times_letter(std::string_view run) const {
    return run == "x" && spaced_ && !tokens_.empty() && tokens_.back().kind == TokenKind::number &&
           at_ + 1 < text_.size() && text_[at_] == ' ' && is_digit(text_[at_ + 1]);
  }

  // The minutes and seconds behind a number are no functions.
  bool is_time_unit(std::string_view name) const {
    if (name != "min" && name != "sec") return false;
    size_t next = at_;
    while (next < text_.size() && (text_[next] == ' ' || text_[next] == '}')) ++next;
    const bool ends = next == text_.size() || text_[next] == '.' || text_[next] == ',';
    return ends && !tokens_.empty() && (tokens_.back().kind == TokenKind::number || tokens_.back().text == "}");
  }

  void nested(std::string_view inside) {
    if (nesting_ >= 4) return push(TokenKind::word, std::string(inside));
    Lexer inner(inside, options_);
    inner.nesting_ = nesting_ + 1;
    for (Token& token : inner.all()) {
      if (token.kind != TokenKind::end) tokens_.push_back(std::move(token));
    }
    spaced_ = false;
  }

  void letters() {
    size_t end = at_;
    while (end < text_.size() && is_letter(text_[end])) ++end;
    const std::string_view run = text_.substr(at_, end - at_);
    at_ = end;
    if ((run == "p" || run == "a") && rest().starts_with(".m")) {
      at_ += rest().starts_with(".m.") ? 3 : 2;
      return push(TokenKind::word, std::string(run) + "m");
    }
    if (is_times_letter(run)) return push(TokenKind::op, "*");
    if (run.size() == 1) return push(TokenKind::letter, std::string(run));
    if (run == "cosec") return push(TokenKind::command, "csc");
    if (run.size() > 4 && run.size() < 8 && run.ends_with("sqrt")) {  // 3xsqrt(2)
      for (char c : run.substr(0, run.size() - 4)) push(TokenKind::letter, std::string(1, c));
      return push(TokenKind::command, "sqrt");
    }
    if (among(kNames, run) && !is_time_unit(run)) return push(TokenKind::command, std::string(run));
    for (std::string_view name : kGlued) {
      if (run.size() == name.size() + 1 && run.starts_with(name) &&
          std::string_view("xyztabABCnk").find(run.back()) != std::string_view::npos && run != "cost") {
        push(TokenKind::command, std::string(name));
        return push(TokenKind::letter, std::string(run.substr(name.size())));
      }
    }
    const bool after_script = !tokens_.empty() && (tokens_.back().text == "_" || tokens_.back().text == "^");
    if (!after_script && (is_prose(run) || among(kShortWords, run))) {
      push(TokenKind::word, std::string(run));
      tokens_.back().bare = true;
      return;
    }
    for (char c : run) push(TokenKind::letter, std::string(1, c));
  }

  void foreign_word() {
    size_t end = at_;
    while (end < text_.size() && (text_[end] & 0x80) != 0) ++end;
    push(TokenKind::word, std::string(text_.substr(at_, end - at_)));
    at_ = end;
  }

 public:
  // Brackets change how commas are read: called for the whole text before lexing.
  void look_at_commas() {
    for (size_t i = 0; i + 1 < text_.size(); ++i)
      spaced_commas_ = spaced_commas_ || (text_[i] == ',' && text_[i + 1] == ' ');
    depth_ = text_.find_first_of("([") == std::string_view::npos && text_.find("\\{") == std::string_view::npos ? 0 : 1;
  }

 private:
  std::string_view text_;
  LexOptions options_;
  size_t at_ = 0;
  bool spaced_ = false;
  int depth_ = 0;
  int nesting_ = 0;
  int unclosed_ = 0;  // braces looked for in vain: a bounded number of times
  bool spaced_commas_ = false;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> lex(std::string_view text, LexOptions options) {
  Lexer lexer(text, options);
  lexer.look_at_commas();
  return lexer.all();
}

}  // namespace cohort::math
